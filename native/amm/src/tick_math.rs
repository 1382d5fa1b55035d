//! Ticks and square-root prices of Uniswap V3, to the last bit of `TickMath.sol`.
//!
//! A square-root price is Q64.96: sqrt(raw token 1 / raw token 0) * 2^96. Tick t stands at 1.0001^(t/2).

use crate::{AmmError, U256};

pub const MIN_TICK: i32 = -887_272;
pub const MAX_TICK: i32 = 887_272;
/// The square-root price of [`MIN_TICK`].
pub const MIN_SQRT_PRICE: U256 = U256::from_limbs([4_295_128_739, 0, 0, 0]);
/// The square-root price of [`MAX_TICK`]: 1461446703485210103287273052203988822378723970342.
pub const MAX_SQRT_PRICE: U256 = U256::from_limbs([0x5d951d5263988d26, 0xefd1fc6a50648849, 0xfffd8963, 0]);

/// Q128.128 of 1.0001^(-2^k / 2) for k = 0..19, from `TickMath.sol`.
const FACTORS: [u128; 20] = [
    0xfffcb933bd6fad37aa2d162d1a594001,
    0xfff97272373d413259a46990580e213a,
    0xfff2e50f5f656932ef12357cf3c7fdcc,
    0xffe5caca7e10e4e61c3624eaa0941cd0,
    0xffcb9843d60f6159c9db58835c926644,
    0xff973b41fa98c081472e6896dfb254c0,
    0xff2ea16466c96a3843ec78b326b52861,
    0xfe5dee046a99a2a811c461f1969c3053,
    0xfcbe86c7900a88aedcffc83b479aa3a4,
    0xf987a7253ac413176f2b074cf7815e54,
    0xf3392b0822b70005940c7a398e4b70f3,
    0xe7159475a2c29b7443b29c7fa6e889d9,
    0xd097f3bdfd2022b8845ad8f792aa5825,
    0xa9f746462d870fdf8a65dc1f90e061e5,
    0x70d869a156d2a1b890bb3df62baf32f7,
    0x31be135f97d08fd981231505542fcfa6,
    0x09aa508b5b7a84e1c677de54f3e99bc9,
    0x005d6af8dedb81196699c329225ee604,
    0x00002216e584f5fa1ea926041bedfe98,
    0x00000000048a170391f7dc42444e8fa2,
];

/// Returns the square-root price of a tick.
pub fn sqrt_price_at(tick: i32) -> Result<U256, AmmError> {
    if !(MIN_TICK..=MAX_TICK).contains(&tick) {
        return Err(AmmError::State("the tick is beyond 887272"));
    }
    let bits = tick.unsigned_abs();
    let mut ratio: U256 = U256::from(1) << 128;
    for (k, factor) in FACTORS.iter().enumerate() {
        if bits >> k & 1 == 1 {
            // Both are at most 2^128: the product fits.
            ratio = (ratio * U256::from(*factor)) >> 128;
        }
    }
    if tick > 0 {
        ratio = U256::MAX / ratio;
    }
    let up = U256::from(u64::from(ratio.as_limbs()[0] & 0xffff_ffff != 0));
    Ok((ratio >> 32) + up)
}

/// Returns the greatest tick whose square-root price is not above the given one.
pub fn tick_at(sqrt_price: U256) -> Result<i32, AmmError> {
    if !(MIN_SQRT_PRICE..MAX_SQRT_PRICE).contains(&sqrt_price) {
        return Err(AmmError::State("the price is beyond what a pool can have"));
    }
    let (mut low, mut high) = (MIN_TICK, MAX_TICK);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if sqrt_price_at(middle)? <= sqrt_price {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_are_the_contracts() {
        assert_eq!(sqrt_price_at(MIN_TICK), Ok(MIN_SQRT_PRICE));
        assert_eq!(sqrt_price_at(MAX_TICK), Ok(MAX_SQRT_PRICE));
        assert_eq!(MAX_SQRT_PRICE.to_string(), "1461446703485210103287273052203988822378723970342");
        assert_eq!(sqrt_price_at(0), Ok(U256::from(1) << 96));
        assert!(sqrt_price_at(MAX_TICK + 1).is_err());
        assert!(tick_at(MAX_SQRT_PRICE).is_err());
    }

    #[test]
    fn a_price_lies_in_its_tick() {
        for tick in (MIN_TICK..MAX_TICK).step_by(4_999).chain([-1, 0, 1, MAX_TICK - 1]) {
            let price = sqrt_price_at(tick).unwrap();
            assert_eq!(tick_at(price), Ok(tick));
            assert_eq!(tick_at(sqrt_price_at(tick + 1).unwrap() - U256::from(1)), Ok(tick));
        }
    }
}
