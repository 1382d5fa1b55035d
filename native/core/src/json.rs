//! A strict, allocation-free JSON cursor: just enough to read venue messages and to refuse malformed ones.

/// What was wrong and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub expected: &'static str,
    pub at: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

/// Venue messages nest three or four deep; anything deeper is refused before it can exhaust the stack.
const DEPTH_MAX: usize = 32;

/// Where reading has come to in a text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Returns the whole text.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes to a byte that the caller has read up to by other means.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    pub fn fail<T>(&self, expected: &'static str) -> Result<T> {
        Err(JsonError { expected, at: self.at })
    }

    /// Returns the next byte that is not white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&b) = self.bytes.get(self.at) {
            if !matches!(b, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(b);
            }
            self.at += 1;
        }
        None
    }

    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return self.fail(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("end of message"),
        }
    }

    /// Walks an object, calling `field` with each raw key; `field` must take the value.
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, &'a [u8]) -> Result<()>) -> Result<()> {
        self.expect(b'{', "'{'")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "':'")?;
            field(self, key)?;
            if !self.more(b'}', "',' or '}'")? {
                return Ok(());
            }
        }
    }

    /// Walks an array, calling `item` before each element; `item` must take it.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[', "'['")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.more(b']', "',' or ']'")? {
                return Ok(());
            }
        }
    }

    fn more(&mut self, close: u8, what: &'static str) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fail(what),
        }
    }

    /// Returns a string's raw bytes between the quotes; escapes are checked but not decoded.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.bytes[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
                Some(b) if *b >= 0x20 => self.at += 1,
                _ => return self.fail("the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return self.fail("four hex digits");
                    }
                    self.at += 1;
                }
            }
            _ => return self.fail("an escape"),
        }
        Ok(())
    }

    /// Returns a whole number without sign, fraction or exponent.
    pub fn unsigned(&mut self) -> Result<u64> {
        self.peek();
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit) = self.bytes.get(self.at).filter(|b| b.is_ascii_digit()) {
            value = match value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0'))) {
                Some(value) => value,
                None => return self.fail("a number below 2^64"),
            };
            self.at += 1;
        }
        let digits = self.at - start;
        let more = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        if digits == 0 || more || (digits > 1 && self.bytes[start] == b'0') {
            return self.fail("a whole number");
        }
        Ok(value)
    }

    /// Takes any value and forgets it.
    pub fn skip(&mut self) -> Result<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return self.fail("less nesting");
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(|c, _| c.skip_nested(depth + 1)),
            Some(b'[') => self.array(|c| c.skip_nested(depth + 1)),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.fail("a value"),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.fail("true, false or null");
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        let leading_zero = self.bytes.get(self.at) == Some(&b'0');
        if self.digits()? > 1 && leading_zero {
            return self.fail("no leading zero");
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<usize> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            return self.fail("a digit");
        }
        Ok(self.at - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well_formed(text: &str) -> bool {
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn accepts_json() {
        for text in
            ["{}", "[]", " [1, -2.5e+3, 0, 0.1, true, false, null] ", r#"{"a":{"b":["c","\u00e9\n"]}}"#, "\"é\""]
        {
            assert!(well_formed(text), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":}",
            "{\"a\"1}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "1e",
            "tru",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a",
            "[1 2]",
            "{} {}",
            "'a'",
            "\"\u{1}\"",
        ] {
            assert!(!well_formed(text), "{text}");
        }
        assert!(!well_formed(&"[".repeat(100_000)));
    }
}
