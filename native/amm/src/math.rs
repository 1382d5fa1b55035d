//! Products and quotients that pass through 512 bits, each named by the way it rounds.

use crate::U256;
use ruint::Uint;

type U512 = Uint<512, 8>;

/// Returns `a * b / d` rounded down, or nothing when `d` is zero or the result does not fit 256 bits.
pub fn mul_div_down(a: U256, b: U256, d: U256) -> Option<U256> {
    if d.is_zero() {
        return None;
    }
    // Most factors are far smaller than 256 bits; one division of four limbs is three times as fast as of eight.
    if let Some(product) = a.checked_mul(b) {
        return Some(product / d);
    }
    let product: U512 = a.widening_mul(b);
    U256::checked_from_limbs_slice((product / U512::from(d)).as_limbs())
}

/// Returns `a * b / d` rounded up, or nothing as for [`mul_div_down`].
pub fn mul_div_up(a: U256, b: U256, d: U256) -> Option<U256> {
    if d.is_zero() {
        return None;
    }
    if let Some(product) = a.checked_mul(b) {
        return Some(div_up(product, d));
    }
    let (quotient, rest) = a.widening_mul::<256, 4, 512, 8>(b).div_rem(U512::from(d));
    let quotient = U256::checked_from_limbs_slice(quotient.as_limbs())?;
    if rest.is_zero() {
        Some(quotient)
    } else {
        quotient.checked_add(U256::from(1))
    }
}

/// Returns `a / d` rounded up; `d` is not zero.
pub fn div_up(a: U256, d: U256) -> U256 {
    let (quotient, rest) = a.div_rem(d);
    if rest.is_zero() {
        quotient
    } else {
        quotient + U256::from(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_beyond_256_bits_are_divided_exactly() {
        let max = U256::MAX;
        assert_eq!(mul_div_down(max, max, max), Some(max));
        assert_eq!(mul_div_up(max, max, max), Some(max));
        assert_eq!(mul_div_down(max, max, max - U256::from(1)), None);
        let half = max / U256::from(2);
        assert_eq!(mul_div_down(half, max, max), Some(half));
        assert_eq!(mul_div_up(half, max - U256::from(1), max), Some(half));
        assert_eq!(mul_div_down(half, max - U256::from(1), max), Some(half - U256::from(1)));
        assert_eq!(mul_div_down(max, max, U256::ZERO), None);
        assert_eq!(mul_div_up(U256::from(7), U256::from(3), U256::from(2)), Some(U256::from(11)));
    }
}
