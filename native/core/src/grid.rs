//! Decimal text onto an integer grid of ticks or lots, exactly: what would need rounding is an error.

use crate::digits::Digits;
use std::fmt;

/// Says why a text is not a whole number of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GridError {
    /// The text is not plain decimal (`12`, `12.50`).
    Malformed,
    /// The number is not a multiple of the step.
    OffGrid,
    /// The number does not fit 63 bits at this scale.
    TooLarge,
    /// A step must be greater than zero.
    ZeroStep,
}

impl fmt::Display for GridError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a plain decimal",
            Self::OffGrid => "not a multiple of the step",
            Self::TooLarge => "too large",
            Self::ZeroStep => "the step must be positive",
        })
    }
}

impl std::error::Error for GridError {}

/// Multiples of one decimal step, such as a tick of `0.01` or a lot of `0.00001`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Fraction digits of the step once its trailing zeros are gone.
    scale: usize,
    /// The step in units of 10^-scale.
    step: i64,
    /// 10^scale, as long as numbers can be read eight digits at a time.
    unit: u64,
}

impl Grid {
    /// Returns the grid whose step is given as decimal text.
    pub fn new(step: &str) -> Result<Self, GridError> {
        let bytes = step.as_bytes();
        let scale = match bytes.iter().position(|&b| b == b'.') {
            None => 0,
            Some(dot) => {
                let fraction = &bytes[dot + 1..];
                fraction.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1)
            }
        };
        let step = scaled(bytes, scale, Finer::Refused)?;
        if step == 0 {
            return Err(GridError::ZeroStep);
        }
        Ok(Self { scale, step, unit: if scale <= 8 { 10u64.pow(scale as u32) } else { 0 } })
    }

    /// Returns how many whole steps fit the number, dropping what is finer than a step.
    pub fn count_down(&self, text: &[u8]) -> Result<i64, GridError> {
        Ok(scaled(text, self.scale, Finer::Dropped)? / self.step)
    }

    /// Reads a number where it stands: from `at` to the closing quote. Returns the count and where the quote is.
    ///
    /// The same as [`Self::count`] or [`Self::count_down`] of the text between, eight digits at a time.
    #[inline]
    pub fn read_quoted(&self, bytes: &[u8], at: usize, finer: Finer) -> Result<(i64, usize), GridError> {
        match self.read_short(bytes, at, finer) {
            Some(read) => Ok(read),
            None => self.read_slowly(bytes.get(at..).unwrap_or_default(), at, finer),
        }
    }

    /// Reads a number of the usual form: up to seven digits, a point and up to eight digits. Nothing when it is of another
    /// form, or refused.
    #[inline(always)]
    pub fn read_short(&self, bytes: &[u8], at: usize, finer: Finer) -> Option<(i64, usize)> {
        let whole = Digits::lead(bytes, at);
        if whole.count == 0 || whole.count == 8 || self.unit == 0 {
            return None;
        }
        let point = at + whole.count;
        let (value, end) = match bytes.get(point) {
            Some(b'"') => (whole.value(whole.count).wrapping_mul(self.unit), point),
            Some(b'.') => {
                let joined = whole.without_point();
                let (whole_value, fraction, places) = if bytes.get(point + 1 + joined.count - whole.count)
                    == Some(&b'"')
                    && whole.count + self.scale <= 8
                {
                    // Point and all within eight bytes: one number with the point taken out.
                    (0, joined, whole.count)
                } else {
                    (whole.value(whole.count).wrapping_mul(self.unit), Digits::lead(bytes, point + 1), 0)
                };
                let digits = fraction.count - places;
                let width = places + self.scale;
                if digits == 0 || (finer == Finer::Refused && fraction.beyond(width) != 0) {
                    return None;
                }
                (whole_value + fraction.value(width), point + 1 + digits)
            }
            _ => return None,
        };
        // A ninth digit of the fraction is no quote either.
        if bytes.get(end) != Some(&b'"') {
            return None;
        }
        let mut value = value as i64; // Below 10^15.
        if self.step != 1 {
            if finer == Finer::Refused && value % self.step != 0 {
                return None;
            }
            value /= self.step;
        }
        Some((value, end))
    }

    /// The rare long way: numbers of many digits or at a text's end, and what is none.
    #[cold]
    fn read_slowly(&self, tail: &[u8], at: usize, finer: Finer) -> Result<(i64, usize), GridError> {
        let end = tail.iter().position(|b| *b == b'"').ok_or(GridError::Malformed)?;
        let text = &tail[..end];
        let count = if finer == Finer::Refused { self.count(text)? } else { self.count_down(text)? };
        Ok((count, at + end))
    }

    /// Returns how many steps the number amounts to.
    pub fn count(&self, text: &[u8]) -> Result<i64, GridError> {
        let value = scaled(text, self.scale, Finer::Refused)?;
        if self.step == 1 {
            return Ok(value);
        }
        if value % self.step != 0 {
            return Err(GridError::OffGrid);
        }
        Ok(value / self.step)
    }
}

/// What becomes of digits finer than the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finer {
    Refused,
    Dropped,
}

/// Returns the text's value in units of 10^-scale.
fn scaled(text: &[u8], scale: usize, finer: Finer) -> Result<i64, GridError> {
    let mut value: i64 = 0;
    let mut at = 0;
    while at < text.len() && text[at] != b'.' {
        value = push_digit(value, text[at])?;
        at += 1;
    }
    if at == 0 {
        return Err(GridError::Malformed);
    }
    let mut missing = scale;
    if at < text.len() {
        let fraction = &text[at + 1..];
        if fraction.is_empty() {
            return Err(GridError::Malformed);
        }
        for &digit in fraction {
            if missing > 0 {
                value = push_digit(value, digit)?;
                missing -= 1;
            } else if !digit.is_ascii_digit() {
                return Err(GridError::Malformed);
            } else if digit != b'0' && finer == Finer::Refused {
                return Err(GridError::OffGrid);
            }
        }
    }
    for _ in 0..missing {
        value = value.checked_mul(10).ok_or(GridError::TooLarge)?;
    }
    Ok(value)
}

fn push_digit(value: i64, digit: u8) -> Result<i64, GridError> {
    let digit = digit.wrapping_sub(b'0');
    if digit > 9 {
        return Err(GridError::Malformed);
    }
    value.checked_mul(10).and_then(|v| v.checked_add(i64::from(digit))).ok_or(GridError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ticks_whatever_the_trailing_zeros() {
        let tick = Grid::new("0.01000000").unwrap();
        assert_eq!(tick.count(b"61837.63000000"), Ok(6_183_763));
        assert_eq!(tick.count(b"61837.6"), Ok(6_183_760));
        assert_eq!(tick.count(b"61837"), Ok(6_183_700));
        assert_eq!(Grid::new("0.05").unwrap().count(b"1.15"), Ok(23));
        assert_eq!(Grid::new("10").unwrap().count(b"120.00"), Ok(12));
        assert_eq!(Grid::new("10.0").unwrap().count(b"0"), Ok(0));
    }

    #[test]
    fn refuses_what_would_need_rounding() {
        assert_eq!(Grid::new("0.01").unwrap().count(b"1.001"), Err(GridError::OffGrid));
        assert_eq!(Grid::new("0.05").unwrap().count(b"1.01"), Err(GridError::OffGrid));
    }

    #[test]
    fn counts_down_to_whole_steps_when_asked() {
        let lot = Grid::new("0.00001").unwrap();
        assert_eq!(lot.count_down(b"25.42618900"), Ok(2_542_618));
        assert_eq!(lot.count_down(b"0.00000999"), Ok(0));
        assert_eq!(Grid::new("0.5").unwrap().count_down(b"1.9"), Ok(3));
        assert_eq!(lot.count_down(b"1.000001x"), Err(GridError::Malformed));
    }

    #[test]
    fn reading_in_place_equals_counting_the_text() {
        let texts = [
            "0",
            "0.0",
            "61837.63000000",
            "61837.6",
            "61837",
            "000000000000000000001.5",
            "1.15",
            "1.001",
            "1.00000001",
            "92233720368547758.07",
            "92233720368547758.08",
            "123456789012345678",
            "1234567890123456789",
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1.0x",
            " 1",
            "1.1.1",
            "0.000000000000000000000001",
            "99999999999999999999999999",
        ];
        for step in ["0.01", "0.05", "10", "1", "0.00001", "0.00000001", "0.000000000000000001"] {
            let grid = Grid::new(step).unwrap();
            for text in texts {
                let quoted = format!("[\"{text}\"]");
                let end = 2 + text.len();
                for finer in [Finer::Refused, Finer::Dropped] {
                    let text = text.as_bytes();
                    let counted = if finer == Finer::Refused { grid.count(text) } else { grid.count_down(text) };
                    let read = grid.read_quoted(quoted.as_bytes(), 2, finer);
                    assert_eq!(read.is_ok(), counted.is_ok(), "{quoted} in {step}");
                    assert_eq!(read.ok(), counted.ok().map(|count| (count, end)), "{quoted} in {step}");
                }
            }
            assert_eq!(grid.read_quoted(b"[\"1.5", 2, Finer::Dropped), Err(GridError::Malformed));
            assert_eq!(grid.read_quoted(b"", 2, Finer::Dropped), Err(GridError::Malformed));
        }
    }

    #[test]
    fn refuses_what_is_not_plain_decimal() {
        let tick = Grid::new("0.01").unwrap();
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.0x", "1.00x", " 1", "1,0", "0x1", "1.1.1"] {
            assert_eq!(tick.count(text.as_bytes()), Err(GridError::Malformed), "{text}");
        }
        assert_eq!(tick.count(b"92233720368547758.08"), Err(GridError::TooLarge));
        assert_eq!(tick.count(b"92233720368547758.07"), Ok(i64::MAX));
        assert_eq!(Grid::new("0.00"), Err(GridError::ZeroStep));
        assert_eq!(Grid::new("abc"), Err(GridError::Malformed));
    }
}
