//! Chance that is no chance: what the seed and a number give, the same in every run and in any order of asking.

/// Returns a well-mixed number of its three inputs (the finaliser of SplitMix64).
pub fn draw(seed: u64, number: u64, purpose: u64) -> u64 {
    let mut z = seed
        .wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(purpose.wrapping_mul(0xD1B5_4A32_D192_ED03));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Returns a number in 0..1000000, evenly: below `share` with a chance of `share` parts per million.
pub fn draw_ppm(seed: u64, number: u64, purpose: u64) -> u32 {
    ((u128::from(draw(seed, number, purpose)) * 1_000_000) >> 64) as u32
}
