//! Decimal digits eight at a time, in one machine word.

/// The digits that lead a text: one value a byte, the first digit lowest. What follows them is left in the bytes above.
#[derive(Clone, Copy)]
pub struct Digits {
    values: u64,
    /// The top bit of each byte that is no digit.
    others: u64,
    /// How many lead, up to 8.
    pub count: usize,
}

const EACH: u64 = 0x0101_0101_0101_0101;

impl Digits {
    /// Looks at eight bytes from `at`, or what is left of the text.
    #[inline(always)]
    pub fn lead(bytes: &[u8], at: usize) -> Self {
        let rest = bytes.get(at..).unwrap_or_default();
        let chunk = match rest.first_chunk::<8>() {
            Some(chunk) => *chunk,
            None => Self::padded(rest),
        };
        let values = u64::from_le_bytes(chunk) ^ (EACH * 0x30);
        // A byte above 9 sets its top bit; a carry can only spoil the bytes after it, which do not count any more.
        let others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
        Self { values, others, count: (others.trailing_zeros() / 8) as usize }
    }

    /// Returns the last bytes of a text with zeros after them, which are no digits.
    #[cold]
    fn padded(rest: &[u8]) -> [u8; 8] {
        let mut chunk = [0; 8];
        for (to, from) in chunk.iter_mut().zip(rest) {
            *to = *from;
        }
        chunk
    }

    /// Returns the digits as a number of `width` places, 0 to 8: zeros are added at the end, digits too many are dropped.
    #[inline(always)]
    pub fn value(self, width: usize) -> u64 {
        if width == 0 {
            return 0;
        }
        let placed = self.kept() << ((64 - 8 * width) & 63);
        let pairs = placed.wrapping_mul(10 * 256 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
        let fours = pairs.wrapping_mul(100 * 65_536 + 1) >> 16 & 0x0000_ffff_0000_ffff;
        fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32
    }

    /// Returns zero when all digits after the first `width` are zero.
    #[inline(always)]
    pub fn beyond(self, width: usize) -> u64 {
        if width >= 8 {
            return 0;
        }
        self.kept() >> (8 * width)
    }

    /// Takes out the byte after the digits, which is a point: they and those after it that are within the eight bytes.
    #[inline(always)]
    pub fn without_point(self) -> Self {
        let shift = 8 * self.count as u32;
        let below = (1u64 << shift) - 1;
        let values = (self.values & below) | ((self.values >> 8) & !below);
        let others = ((self.others >> 8) & !below) | 0x80 << 56;
        Self { values, others, count: (others.trailing_zeros() / 8) as usize }
    }

    #[inline(always)]
    fn kept(self) -> u64 {
        if self.count >= 8 {
            return self.values;
        }
        self.values & ((1 << ((8 * self.count) & 63)) - 1)
    }
}

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Reads a whole number of up to 19 digits, as JSON writes it. Returns it and where it ends; nothing when it is none or
/// longer.
#[inline(always)]
pub fn unsigned(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = Digits::lead(bytes, at);
    if first.count == 0 || (first.count > 1 && first.values & 0xff == 0) {
        return None;
    }
    let (mut value, mut end, mut last) = (first.value(first.count), at + first.count, first.count);
    while last == 8 {
        let more = Digits::lead(bytes, end);
        if end - at + more.count > 19 {
            return None;
        }
        value = value * POWERS[more.count] + more.value(more.count);
        end += more.count;
        last = more.count;
    }
    Some((value, end))
}

/// Finds a byte, 64 at a time.
#[inline]
pub fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let (chunks, tail) = bytes.as_chunks::<64>();
    for (at, chunk) in chunks.iter().enumerate() {
        // Without an early exit, so that it becomes a few wide comparisons.
        if chunk.iter().fold(0, |found, b| found | u8::from(*b == byte)) != 0 {
            return chunk.iter().position(|b| *b == byte).map(|within| at * 64 + within);
        }
    }
    tail.iter().position(|b| *b == byte).map(|within| chunks.len() * 64 + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_the_standard_library_reads_them() {
        let mut text = String::new();
        for length in 1..=19 {
            text.push(char::from(b'1' + (length % 9) as u8));
            for tail in
                [",12345678", "}}}}}}}}}", "\"\"\"\"\"\"\"\"\"", "\u{fe}\u{ff}abcdefg", "//////////", "::::::::::"]
            {
                let whole = format!("x{text}{tail}");
                assert_eq!(unsigned(whole.as_bytes(), 1), Some((text.parse().unwrap(), 1 + length)), "{whole}");
            }
        }
        assert_eq!(unsigned(b"9999999999999999999,_______", 0), Some((9_999_999_999_999_999_999, 19)));
        assert_eq!(unsigned(b"0,_______", 0), Some((0, 1)));
        assert_eq!(unsigned(b"1234567890", 3), Some((4_567_890, 10)));
        assert_eq!(unsigned(b"1234567890123456", 0), Some((1_234_567_890_123_456, 16)));
        for none in ["12345678901234567890,_______", "01,______", ",_______", "-1_______", ""] {
            assert_eq!(unsigned(none.as_bytes(), 0), None, "{none}");
        }
    }

    #[test]
    fn places_are_filled_or_dropped() {
        let digits = Digits::lead(b"1234x678", 0);
        assert_eq!(digits.count, 4);
        assert_eq!((0..=8).map(|width| digits.value(width)).collect::<Vec<_>>()[..6], [0, 1, 12, 123, 1234, 12_340]);
        assert_eq!((digits.value(8), digits.beyond(4), digits.beyond(8)), (12_340_000, 0, 0));
        assert_ne!(digits.beyond(3), 0);
        assert_eq!(Digits::lead(b"12300000", 0).beyond(3), 0);
        assert_eq!(Digits::lead(b"99999999", 0).value(8), 99_999_999);
    }

    #[test]
    fn a_byte_is_found_where_it_first_is() {
        for length in 0..100 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(find(&bytes, b'b'), None);
            for at in (0..length).rev() {
                bytes[at] = b'b';
                assert_eq!(find(&bytes, b'b'), Some(at));
            }
        }
    }
}
