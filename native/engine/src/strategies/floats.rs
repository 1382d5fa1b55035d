//! Logarithm and decay from additions, multiplications and divisions only.
//!
//! `f64::ln` and `powf` end in the C library, whose last bit differs between libraries. IEEE 754 fixes + - * / to the
//! last bit, so these give the same double on every machine, and the same as `engine/sdk/floats.py`, which performs the
//! same operations in the same order.

const LN2: f64 = std::f64::consts::LN_2;
const LN_TERMS: u32 = 25;
const EXP_TERMS: u32 = 18;

/// Returns the natural logarithm of a positive, normal number.
pub fn ln(mut x: f64) -> f64 {
    let mut halvings = 0.0;
    while x > 1.5 {
        x *= 0.5;
        halvings += 1.0;
    }
    while x < 0.75 {
        x *= 2.0;
        halvings -= 1.0;
    }
    // ln x = 2 artanh((x - 1)/(x + 1)); the argument is at most 0.2 in size, so 25 terms are beyond a double.
    let z = (x - 1.0) / (x + 1.0);
    let square = z * z;
    let mut total = 0.0;
    for term in (1..=LN_TERMS).rev() {
        total = total * square + 1.0 / (2.0 * f64::from(term) - 1.0);
    }
    2.0 * z * total + halvings * LN2
}

/// Returns 0.5^x for x >= 0: what is left after x half-lives. Beyond 1,000 half-lives it is 0.
pub fn half_to_the(x: f64) -> f64 {
    if x > 1000.0 {
        return 0.0;
    }
    let whole = x as u32;
    let y = -(x - f64::from(whole)) * LN2;
    let mut total = 1.0;
    for term in (1..=EXP_TERMS).rev() {
        total = 1.0 + y / f64::from(term) * total;
    }
    for _ in 0..whole {
        total *= 0.5;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_library_says_to_a_few_units_in_the_last_place() {
        for n in 1..5_000 {
            let x = f64::from(n) * 0.003_7;
            let (ours, theirs) = (ln(x), x.ln());
            assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs().max(1.0), "ln {x}");
            let (ours, theirs) = (half_to_the(x), 0.5f64.powf(x));
            assert!((ours - theirs).abs() <= 8.0 * f64::EPSILON * theirs, "0.5^{x}: {ours} {theirs}");
        }
        assert_eq!((ln(1.0), half_to_the(0.0), half_to_the(1.0), half_to_the(2_000.0)), (0.0, 1.0, 0.5, 0.0));
    }

    #[test]
    fn bits_are_fixed() {
        // The same table as in tests/engine/sdk/test_floats.py.
        for (value, bits) in [
            (ln(1.2), 0x3fc7565011e49674),
            (ln(30000.0), 0x40249e2f0b0af577),
            (half_to_the(0.1), 0x3feddb680117ab12),
            (half_to_the(2.75), 0x3fc306fe0a31b716),
        ] {
            assert_eq!(value.to_bits(), bits, "{value}");
        }
    }
}
