//! A Uniswap V2 pair: constant product, rounded as `UniswapV2Library` does.

use crate::{AmmError, PIPS, U256};

/// Two reserves and a fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    reserves: [U256; 2],
    fee_pips: u32,
}

/// Reserves are uint112 in the contract: beyond, a swap reverts.
const RESERVE_BITS: usize = 112;

impl Pair {
    /// Returns the pair; both reserves must be positive and fit 112 bits.
    pub fn new(reserve0: U256, reserve1: U256, fee_pips: u32) -> Result<Self, AmmError> {
        if u64::from(fee_pips) >= PIPS {
            return Err(AmmError::State("the fee must be below 1000000 pips"));
        }
        for reserve in [reserve0, reserve1] {
            if reserve.is_zero() || reserve.bit_len() > RESERVE_BITS {
                return Err(AmmError::State("reserves must be positive and fit 112 bits"));
            }
        }
        Ok(Self { reserves: [reserve0, reserve1], fee_pips })
    }

    pub fn reserves(&self) -> [U256; 2] {
        self.reserves
    }

    /// Returns `getAmountOut`.
    pub fn quote_exact_in_down(&self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        let (reserve_in, reserve_out) = self.sides(zero_for_one);
        self.check(reserve_in, amount_in)?;
        // 112 + 20 + 112 bits at most.
        let effective = amount_in * U256::from(PIPS - u64::from(self.fee_pips));
        Ok(effective * reserve_out / (reserve_in * U256::from(PIPS) + effective))
    }

    /// Returns `getAmountIn`.
    pub fn quote_exact_out_up(&self, zero_for_one: bool, amount_out: U256) -> Result<U256, AmmError> {
        let (reserve_in, reserve_out) = self.sides(zero_for_one);
        if amount_out.is_zero() {
            return Err(AmmError::Amount);
        }
        if amount_out >= reserve_out {
            return Err(AmmError::Depth);
        }
        let numerator = reserve_in * amount_out * U256::from(PIPS);
        let denominator = (reserve_out - amount_out) * U256::from(PIPS - u64::from(self.fee_pips));
        // `+ 1` even where the division is exact, as the library has it.
        let amount_in = numerator / denominator + U256::from(1);
        self.check(reserve_in, amount_in)?;
        Ok(amount_in)
    }

    /// Swaps exactly `amount_in` and returns the output.
    pub fn swap_exact_in(&mut self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        let amount_out = self.quote_exact_in_down(zero_for_one, amount_in)?;
        if amount_out.is_zero() {
            return Err(AmmError::Depth); // The pair reverts: INSUFFICIENT_OUTPUT_AMOUNT.
        }
        let (taken, given) = if zero_for_one { (0, 1) } else { (1, 0) };
        self.reserves[taken] += amount_in;
        self.reserves[given] -= amount_out;
        Ok(amount_out)
    }

    fn sides(&self, zero_for_one: bool) -> (U256, U256) {
        let [zero, one] = self.reserves;
        if zero_for_one {
            (zero, one)
        } else {
            (one, zero)
        }
    }

    fn check(&self, reserve_in: U256, amount_in: U256) -> Result<(), AmmError> {
        if amount_in.is_zero() {
            return Err(AmmError::Amount);
        }
        match reserve_in.checked_add(amount_in) {
            Some(after) if after.bit_len() <= RESERVE_BITS => Ok(()),
            _ => Err(AmmError::Depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_own_example_comes_out() {
        // UniswapV2Router01.spec.ts of v2-periphery: getAmountOut(2, 100, 100) = 1, getAmountIn(1, 100, 100) = 2.
        let pair = Pair::new(U256::from(100), U256::from(100), 3_000).unwrap();
        assert_eq!(pair.quote_exact_in_down(true, U256::from(2)), Ok(U256::from(1)));
        assert_eq!(pair.quote_exact_out_up(true, U256::from(1)), Ok(U256::from(2)));
    }

    #[test]
    fn a_swap_never_lowers_the_product() {
        let mut pair = Pair::new(U256::from(1_000_003u64), U256::from(7_777_777u64), 3_000).unwrap();
        for turn in 1u64..200 {
            let [a, b] = pair.reserves();
            pair.swap_exact_in(turn % 3 == 0, U256::from(turn * 97)).unwrap();
            let [c, d] = pair.reserves();
            assert!(c * d >= a * b);
        }
    }

    #[test]
    fn what_the_pair_cannot_do_is_refused() {
        let mut pair = Pair::new(U256::from(100), U256::from(100), 3_000).unwrap();
        assert_eq!(pair.quote_exact_out_up(true, U256::from(100)), Err(AmmError::Depth));
        assert_eq!(pair.quote_exact_in_down(true, U256::ZERO), Err(AmmError::Amount));
        assert_eq!(pair.quote_exact_in_down(true, U256::from(1) << 112), Err(AmmError::Depth));
        assert_eq!(pair.swap_exact_in(true, U256::from(1)), Err(AmmError::Depth));
        assert_eq!(pair.reserves(), [U256::from(100); 2]);
        assert!(Pair::new(U256::ZERO, U256::from(1), 0).is_err());
    }
}
