//! Custody's signed statements: a title, then one `name value` per line. What is not understood is refused.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::Refusal;

/// The longest statement that is read.
const LENGTH_MAX: usize = 64 * 1024;

/// The lines of a statement whose signature holds.
pub(crate) struct Statement<'a> {
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Statement<'a> {
    /// Reads a statement that `authority` signed. `title` is its first line.
    pub(crate) fn open(
        text: &'a [u8],
        signature: &[u8; 64],
        authority: &[u8; 32],
        title: &str,
    ) -> Result<Self, Refusal> {
        let key = VerifyingKey::from_bytes(authority).map_err(|_| Refusal::Untrusted("no authority's key"))?;
        key.verify_strict(text, &Signature::from_bytes(signature))
            .map_err(|_| Refusal::Untrusted("the authority did not sign this"))?;
        let malformed = Refusal::Untrusted("not a statement of this kind");
        let text = std::str::from_utf8(text).map_err(|_| malformed)?;
        let body = text.strip_prefix(title).and_then(|rest| rest.strip_prefix('\n')).ok_or(malformed)?;
        if text.len() > LENGTH_MAX || !body.ends_with('\n') {
            return Err(malformed);
        }
        let lines = body.lines().map(|line| line.split_once(' ').ok_or(malformed)).collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// Takes the one line of this name.
    pub(crate) fn one(&mut self, name: &str) -> Result<&'a str, Refusal> {
        let mut found = self.many(name);
        match (found.pop(), found.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(Refusal::Untrusted("a statement says each thing once")),
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, Refusal> {
        number(self.one(name)?)
    }

    /// Takes every line of this name, in order.
    pub(crate) fn many(&mut self, name: &str) -> Vec<&'a str> {
        let mut found = Vec::new();
        self.lines.retain(|(this, value)| {
            if *this == name {
                found.push(*value);
            }
            *this != name
        });
        found
    }

    /// Refuses a statement that says more than was taken: a limit that is not understood must not be ignored.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        if self.lines.is_empty() {
            return Ok(());
        }
        Err(Refusal::Untrusted("a statement says something unknown here"))
    }
}

/// Reads a number without sign, blanks or leading zeros.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Refusal> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(number) if is_plain => Ok(number),
        _ => Err(Refusal::Untrusted("a statement's number is malformed")),
    }
}
