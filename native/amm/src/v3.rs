//! A Uniswap V3 pool: concentrated liquidity, swapped step by step as `UniswapV3Pool.swap` does.

use crate::swap_math::{step, Exact};
use crate::tick_math::{sqrt_price_at, tick_at, MAX_SQRT_PRICE, MIN_SQRT_PRICE};
use crate::ticks::{Tick, Ticks};
use crate::{AmmError, PIPS, U256};

/// The price, the tick it lies in, and the liquidity in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub sqrt_price: U256,
    pub tick: i32,
    pub liquidity: u128,
}

/// The whole of what swaps depend on. Fee growth and oracle are left out: they change no amount.
#[derive(Debug, Clone)]
pub struct Pool {
    slot: Slot,
    ticks: Ticks,
    fee_pips: u32,
}

struct Outcome {
    slot: Slot,
    amount_in: U256,
    amount_out: U256,
}

impl Pool {
    /// Returns a pool as a snapshot tells it; what does not add up is refused.
    pub fn new(
        slot: Slot,
        fee_pips: u32,
        spacing: i32,
        ticks: impl IntoIterator<Item = (i32, Tick)>,
    ) -> Result<Self, AmmError> {
        if u64::from(fee_pips) >= PIPS {
            return Err(AmmError::State("the fee must be below 1000000 pips"));
        }
        let mut table = Ticks::new(spacing)?;
        for (number, tick) in ticks {
            table.load(number, tick)?;
        }
        let pool = Self { slot, ticks: table, fee_pips };
        pool.check(slot)?;
        Ok(pool)
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn ticks(&self) -> &Ticks {
        &self.ticks
    }

    /// Takes price, tick and liquidity as a `Swap` log tells them.
    pub fn move_to(&mut self, slot: Slot) -> Result<(), AmmError> {
        self.check(slot)?;
        self.slot = slot;
        Ok(())
    }

    /// Takes a mint (positive) or burn.
    pub fn change_liquidity(&mut self, lower: i32, upper: i32, delta: i128) -> Result<(), AmmError> {
        if delta == 0 {
            return Ok(()); // A burn of nothing only collects fees.
        }
        let in_force = (lower..upper).contains(&self.slot.tick);
        let liquidity = if in_force {
            self.slot.liquidity.checked_add_signed(delta).ok_or(AmmError::State("a burn exceeds what is there"))?
        } else {
            self.slot.liquidity
        };
        self.ticks.change(lower, upper, delta)?;
        self.slot.liquidity = liquidity;
        Ok(())
    }

    /// Returns what `QuoterV2.quoteExactInputSingle` does.
    pub fn quote_exact_in_down(&self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        Ok(self.run(zero_for_one, amount_in, Exact::In)?.amount_out)
    }

    /// Returns what `QuoterV2.quoteExactOutputSingle` does.
    pub fn quote_exact_out_up(&self, zero_for_one: bool, amount_out: U256) -> Result<U256, AmmError> {
        Ok(self.run(zero_for_one, amount_out, Exact::Out)?.amount_in)
    }

    /// Swaps exactly `amount_in` and returns the output.
    pub fn swap_exact_in(&mut self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        let outcome = self.run(zero_for_one, amount_in, Exact::In)?;
        self.slot = outcome.slot;
        Ok(outcome.amount_out)
    }

    fn run(&self, zero_for_one: bool, amount: U256, exact: Exact) -> Result<Outcome, AmmError> {
        if amount.is_zero() {
            return Err(AmmError::Amount);
        }
        // Routers stop one unit short of the extreme prices.
        let one = U256::from(1);
        let limit = if zero_for_one { MIN_SQRT_PRICE + one } else { MAX_SQRT_PRICE - one };
        let mut slot = self.slot;
        let (mut left, mut amount_in, mut amount_out) = (amount, U256::ZERO, U256::ZERO);
        while !left.is_zero() {
            if slot.sqrt_price == limit || (slot.liquidity == 0 && self.ticks.is_last(slot.tick, zero_for_one)) {
                return Err(AmmError::Depth);
            }
            let (boundary, net) = self.ticks.next(slot.tick, zero_for_one);
            let price_there = sqrt_price_at(boundary)?;
            let target = if zero_for_one { price_there.max(limit) } else { price_there.min(limit) };
            let start = slot.sqrt_price;
            let done = step(start, target, slot.liquidity, left, self.fee_pips, exact)?;
            slot.sqrt_price = done.sqrt_price;
            let taken = done.amount_in.checked_add(done.fee).ok_or(AmmError::Depth)?;
            amount_in = amount_in.checked_add(taken).ok_or(AmmError::Depth)?;
            amount_out = amount_out.checked_add(done.amount_out).ok_or(AmmError::Depth)?;
            left -= if exact == Exact::In { taken } else { done.amount_out };
            if slot.sqrt_price == price_there {
                if let Some(net) = net {
                    let change = if zero_for_one { net.checked_neg() } else { Some(net) };
                    slot.liquidity = change
                        .and_then(|change| slot.liquidity.checked_add_signed(change))
                        .ok_or(AmmError::State("ticks and liquidity do not add up"))?;
                }
                slot.tick = if zero_for_one { boundary - 1 } else { boundary };
            } else if slot.sqrt_price != start {
                slot.tick = tick_at(slot.sqrt_price)?;
            }
        }
        Ok(Outcome { slot, amount_in, amount_out })
    }

    fn check(&self, slot: Slot) -> Result<(), AmmError> {
        if !(MIN_SQRT_PRICE..MAX_SQRT_PRICE).contains(&slot.sqrt_price) {
            return Err(AmmError::State("the pool is not initialised"));
        }
        // A price on a boundary may still belong to the tick below it, when it was reached from above.
        let at = tick_at(slot.sqrt_price)?;
        if slot.tick != at && !(slot.tick + 1 == at && sqrt_price_at(at)? == slot.sqrt_price) {
            return Err(AmmError::State("price and tick do not fit"));
        }
        if self.ticks.liquidity_at(slot.tick) != Some(slot.liquidity) {
            return Err(AmmError::State("the ticks do not add up to the liquidity"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let slot = Slot { sqrt_price: U256::from(1) << 96, tick: 0, liquidity: 0 };
        let mut pool = Pool::new(slot, 3_000, 60, []).unwrap();
        pool.change_liquidity(-600, 600, 10i128.pow(18)).unwrap();
        pool.change_liquidity(-60, 60, 5 * 10i128.pow(18)).unwrap();
        pool
    }

    #[test]
    fn a_swap_there_and_back_gains_nothing() {
        for amount in [1u64, 7, 1_000, 10u64.pow(15), 4 * 10u64.pow(16)] {
            let mut pool = pool();
            let amount = U256::from(amount);
            let out = pool.swap_exact_in(true, amount).unwrap();
            if !out.is_zero() {
                assert!(pool.swap_exact_in(false, out).unwrap() < amount);
            }
        }
    }

    #[test]
    fn a_quote_is_what_the_swap_then_gives_and_changes_nothing() {
        let mut pool = pool();
        let before = pool.slot();
        let amount = U256::from(3 * 10u64.pow(16));
        let quoted = pool.quote_exact_in_down(false, amount).unwrap();
        assert_eq!(pool.slot(), before);
        assert!(pool.quote_exact_out_up(false, quoted).unwrap() <= amount);
        assert_eq!(pool.swap_exact_in(false, amount), Ok(quoted));
        assert!(pool.slot().tick >= 60, "it left the narrow range");
        assert_eq!(pool.slot().liquidity, 10u128.pow(18));
    }

    #[test]
    fn what_is_beyond_the_liquidity_is_refused_whole() {
        let mut pool = pool();
        let before = pool.slot();
        assert_eq!(pool.swap_exact_in(true, U256::from(10u128.pow(20))), Err(AmmError::Depth));
        assert_eq!(pool.quote_exact_out_up(true, U256::from(10u128.pow(19))), Err(AmmError::Depth));
        assert_eq!(pool.slot(), before);
        assert!(pool.change_liquidity(-60, 60, -6 * 10i128.pow(18)).is_err());
        assert_eq!(pool.slot(), before);
    }

    #[test]
    fn a_snapshot_that_does_not_add_up_is_refused() {
        let slot = Slot { sqrt_price: U256::from(1) << 96, tick: 0, liquidity: 5 };
        assert!(Pool::new(slot, 3_000, 60, []).is_err());
        assert!(Pool::new(Slot { tick: 3, ..slot }, 3_000, 60, []).is_err());
        assert!(Pool::new(Slot { sqrt_price: U256::ZERO, ..slot }, 3_000, 60, []).is_err());
    }
}
