//! Amounts and prices inside one liquidity range of Uniswap V3, as `SqrtPriceMath.sol` and `SwapMath.sol` round them.

use crate::math::{div_up, mul_div_down, mul_div_up};
use crate::{AmmError, PIPS, U256};

const Q96: U256 = U256::from_limbs([0, 1 << 32, 0, 0]);

/// Which amount a swap fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exact {
    In,
    Out,
}

/// One step of a swap: to the target price, or to where the amount is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub sqrt_price: U256,
    /// Without the fee.
    pub amount_in: U256,
    pub amount_out: U256,
    pub fee: U256,
}

fn fits(value: Option<U256>) -> Result<U256, AmmError> {
    value.ok_or(AmmError::Depth)
}

/// Returns token 0 between two prices, `low <= high`.
pub fn amount0(liquidity: u128, low: U256, high: U256, up: bool) -> Result<U256, AmmError> {
    let numerator: U256 = U256::from(liquidity) << 96;
    if up {
        Ok(div_up(fits(mul_div_up(numerator, high - low, high))?, low))
    } else {
        Ok(fits(mul_div_down(numerator, high - low, high))? / low)
    }
}

/// Returns token 1 between two prices, `low <= high`.
pub fn amount1(liquidity: u128, low: U256, high: U256, up: bool) -> Result<U256, AmmError> {
    let liquidity = U256::from(liquidity);
    fits(if up { mul_div_up(liquidity, high - low, Q96) } else { mul_div_down(liquidity, high - low, Q96) })
}

/// Returns the price after token 0 came in (it falls) or went out (it rises), rounded up.
fn price_after_0(price: U256, liquidity: u128, amount: U256, comes_in: bool) -> Result<U256, AmmError> {
    if amount.is_zero() {
        return Ok(price);
    }
    let numerator: U256 = U256::from(liquidity) << 96;
    let product = amount.checked_mul(price);
    if comes_in {
        // The contract falls back to the coarser formula where its 256 bits overflow.
        if let Some(denominator) = product.and_then(|p| numerator.checked_add(p)) {
            return fits(mul_div_up(numerator, price, denominator));
        }
        return Ok(div_up(numerator, fits((numerator / price).checked_add(amount))?));
    }
    match product {
        Some(product) if numerator > product => fits(mul_div_up(numerator, price, numerator - product)),
        _ => Err(AmmError::Depth),
    }
}

/// Returns the price after token 1 came in (it rises) or went out (it falls), rounded down.
fn price_after_1(price: U256, liquidity: u128, amount: U256, comes_in: bool) -> Result<U256, AmmError> {
    let liquidity = U256::from(liquidity);
    if comes_in {
        return fits(mul_div_down(amount, Q96, liquidity).and_then(|quotient| price.checked_add(quotient)));
    }
    let quotient = fits(mul_div_up(amount, Q96, liquidity))?;
    if price > quotient {
        Ok(price - quotient)
    } else {
        Err(AmmError::Depth)
    }
}

/// Returns one step from `price` towards `target` with `left` of the exact amount to go.
///
/// The direction is that of the prices: token 0 comes in when the target is lower.
pub fn step(
    price: U256,
    target: U256,
    liquidity: u128,
    left: U256,
    fee_pips: u32,
    exact: Exact,
) -> Result<Step, AmmError> {
    let zero_for_one = price >= target;
    let (low, high) = if zero_for_one { (target, price) } else { (price, target) };
    let fee_pips = u64::from(fee_pips);
    let taken = |low: U256, high: U256| match zero_for_one {
        true => amount0(liquidity, low, high, true),
        false => amount1(liquidity, low, high, true),
    };
    let given = |low: U256, high: U256| match zero_for_one {
        true => amount1(liquidity, low, high, false),
        false => amount0(liquidity, low, high, false),
    };
    let (next, whole) = match exact {
        Exact::In => {
            let usable = fits(mul_div_down(left, U256::from(PIPS - fee_pips), U256::from(PIPS)))?;
            let whole = taken(low, high)?;
            if usable >= whole {
                (target, Some(whole))
            } else if zero_for_one {
                (price_after_0(price, liquidity, usable, true)?, None)
            } else {
                (price_after_1(price, liquidity, usable, true)?, None)
            }
        }
        Exact::Out => {
            let whole = given(low, high)?;
            if left >= whole {
                (target, Some(whole))
            } else if zero_for_one {
                (price_after_1(price, liquidity, left, false)?, None)
            } else {
                (price_after_0(price, liquidity, left, false)?, None)
            }
        }
    };
    let (low, high) = if zero_for_one { (next, price) } else { (price, next) };
    let reached = next == target;
    let (amount_in, amount_out) = match (exact, whole) {
        (Exact::In, Some(whole)) => (whole, given(low, high)?),
        (Exact::Out, Some(whole)) => (taken(low, high)?, whole),
        (Exact::In, None) => (taken(low, high)?, given(low, high)?),
        (Exact::Out, None) => (taken(low, high)?, given(low, high)?.min(left)),
    };
    let fee = if exact == Exact::In && !reached {
        left - amount_in // What is left of the input is the fee.
    } else {
        fits(mul_div_up(amount_in, U256::from(fee_pips), U256::from(PIPS - fee_pips)))?
    };
    Ok(Step { sqrt_price: next, amount_in, amount_out, fee })
}
