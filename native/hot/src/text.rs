//! Numbers and bytes as text, into buffers of fixed size.

use capstan_engine::instrument::Decimal;

use crate::Refusal;

/// Up to `N` bytes of text.
#[derive(Debug, Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Text<N> {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Replaces the text. What is longer than `N` is cut, which no caller lets happen.
    pub fn set(&mut self, text: &[u8]) {
        self.length = text.len().min(N);
        self.bytes[..self.length].copy_from_slice(&text[..self.length]);
    }
}

/// How a number's fraction is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zeros {
    /// As many digits as the tick or lot has.
    Kept,
    /// Without zeros at the end, as venues want it that hash the text.
    Dropped,
}

/// The largest scale of a tick or lot.
pub const SCALE_MAX: u8 = 18;

/// Writes `count` times `unit` exactly. Positive numbers only: no order has another.
pub fn decimal(count: i64, unit: Decimal, zeros: Zeros, text: &mut Text<48>) -> Result<(), Refusal> {
    if count <= 0 || unit.digits <= 0 || unit.scale > SCALE_MAX {
        return Err(Refusal::Malformed("prices, sizes and their units are positive, with at most 18 decimals"));
    }
    // At most 2^126, which has 38 digits.
    let number = count.unsigned_abs() as u128 * unit.digits.unsigned_abs() as u128;
    let mut at = text.bytes.len();
    let mut left = unit.scale;
    let mut is_zero = zeros == Zeros::Dropped;
    // Numbers of 128 bits are divided in software: only those that need it are.
    let mut small = match u64::try_from(number) {
        Ok(small) => small,
        Err(_) => {
            let mut number = number;
            while number > u128::from(u64::MAX) {
                digit(&mut text.bytes, &mut at, &mut left, &mut is_zero, (number % 10) as u8);
                number /= 10;
            }
            number as u64
        }
    };
    while small != 0 || left != 0 {
        digit(&mut text.bytes, &mut at, &mut left, &mut is_zero, (small % 10) as u8);
        small /= 10;
    }
    if at == text.bytes.len() || text.bytes[at] == b'.' {
        at -= 1;
        text.bytes[at] = b'0';
    }
    text.length = text.bytes.len() - at;
    text.bytes.copy_within(at.., 0);
    Ok(())
}

/// Puts one digit before the others, and the point where the fraction ends.
fn digit(bytes: &mut [u8; 48], at: &mut usize, left: &mut u8, is_zero: &mut bool, digit: u8) {
    let is_fraction = *left > 0;
    *left = left.saturating_sub(1);
    if is_fraction {
        *is_zero &= digit == 0;
        if !*is_zero {
            *at -= 1;
            bytes[*at] = b'0' + digit;
        }
        if *left == 0 && *at < bytes.len() {
            *at -= 1;
            bytes[*at] = b'.';
        }
        *is_zero &= *left > 0;
        return;
    }
    *at -= 1;
    bytes[*at] = b'0' + digit;
}

/// Writes a number.
pub fn integer(mut number: u64, text: &mut Text<48>) {
    let mut at = text.bytes.len();
    loop {
        at -= 1;
        text.bytes[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.length = text.bytes.len() - at;
    text.bytes.copy_within(at.., 0);
}

/// Appends bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Reads hexadecimal, with or without `0x`; nothing when it is none of `N` bytes.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(bytes)
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes as base64 (RFC 4648); percent-encoded, for a place in a URL, when `escaped`.
pub fn base64(bytes: &[u8], escaped: bool, out: &mut Vec<u8>) {
    let mut put = |letter: u8| match letter {
        b'+' if escaped => out.extend(b"%2B"),
        b'/' if escaped => out.extend(b"%2F"),
        b'=' if escaped => out.extend(b"%3D"),
        other => out.push(other),
    };
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = BASE64[(word >> (18 - 6 * place)) as usize & 63];
            put(if place <= group.len() { letter } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(count: i64, digits: i64, scale: u8, zeros: Zeros) -> String {
        let mut text = Text::default();
        decimal(count, Decimal { digits, scale }, zeros, &mut text).unwrap();
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn prices_are_exact_text() {
        for (count, digits, scale, kept, dropped) in [
            (5_000_000, 1, 2, "50000.00", "50000"),
            (1, 1, 8, "0.00000001", "0.00000001"),
            (10, 1, 8, "0.00000010", "0.0000001"),
            (1_234_567, 5, 1, "617283.5", "617283.5"),
            (7, 100, 0, "700", "700"),
            (123, 10, 2, "12.30", "12.3"),
            (100, 1, 2, "1.00", "1"),
            (
                i64::MAX,
                i64::MAX,
                18,
                "85070591730234615847.396907784232501249",
                "85070591730234615847.396907784232501249",
            ),
            (i64::MAX, i64::MAX, 0, "85070591730234615847396907784232501249", "85070591730234615847396907784232501249"),
        ] {
            assert_eq!(written(count, digits, scale, Zeros::Kept), kept);
            assert_eq!(written(count, digits, scale, Zeros::Dropped), dropped);
        }
    }

    #[test]
    fn nothing_but_positive_numbers_is_written() {
        for (count, digits, scale) in [(0, 1, 2), (-5, 1, 2), (5, 0, 2), (5, -1, 2), (5, 1, 19)] {
            let unit = Decimal { digits, scale };
            assert!(decimal(count, unit, Zeros::Kept, &mut Text::default()).is_err());
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            let mut out = Vec::new();
            base64(plain.as_bytes(), false, &mut out);
            assert_eq!(out, encoded.as_bytes());
        }
        let mut out = Vec::new();
        base64(&[0xFB, 0xEF, 0xBF, 0xFF], true, &mut out);
        assert_eq!(out, b"%2B%2B%2B%2F%2Fw%3D%3D");
    }

    #[test]
    fn hexadecimal_round_trips() {
        let mut out = Vec::new();
        hex(&[0, 0x7f, 0xff], &mut out);
        assert_eq!(out, b"007fff");
        assert_eq!(from_hex("0x007fFF"), Some([0, 0x7f, 0xff]));
        assert_eq!(from_hex::<3>("007ff"), None);
        assert_eq!(from_hex::<1>("zz"), None);
    }
}
