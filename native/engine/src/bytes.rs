//! Numbers as little-endian bytes, for snapshots and hashes.

/// Bytes that are no state, or another configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt(pub &'static str);

impl std::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "corrupt state: {}", self.0)
    }
}

impl std::error::Error for Corrupt {}

#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub fn i64(&mut self, number: i64) {
        self.u64(number as u64);
    }

    pub fn i128(&mut self, number: i128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt("cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Corrupt> {
        Ok(u64::from_le_bytes(self.chunk()?))
    }

    pub fn i64(&mut self) -> Result<i64, Corrupt> {
        Ok(self.u64()? as i64)
    }

    pub fn i128(&mut self) -> Result<i128, Corrupt> {
        Ok(i128::from_le_bytes(self.chunk()?))
    }

    /// Returns a number that fits a smaller type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Corrupt> {
        T::try_from(self.u64()?).map_err(|_| Corrupt("a number out of range"))
    }

    pub fn bool(&mut self) -> Result<bool, Corrupt> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Corrupt("neither yes nor no")),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.small::<usize>()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Corrupt("cut off"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Returns how many items follow, of at least so many bytes each.
    pub fn count(&mut self, least: usize) -> Result<usize, Corrupt> {
        let count = self.small::<usize>()?;
        if count > self.0.len() / least.max(1) {
            return Err(Corrupt("more items than bytes"));
        }
        Ok(count)
    }
}
