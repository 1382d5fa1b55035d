//! What is ready to be sent, in one buffer that is used again.

/// Byte strings one behind the other.
#[derive(Debug, Default, Clone)]
pub struct Frames {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// Returns an empty buffer with room for a few orders, so that the first does not wait for memory.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(4_096), ends: Vec::with_capacity(16) }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| &self.bytes[if at == 0 { 0 } else { self.ends[at - 1] }..self.ends[at]])
    }

    /// Ends the frame that was being written.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Forgets the frame that was being written.
    pub(crate) fn drop_unfinished(&mut self) {
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}
