//! SHA-256 over what a run decided and what came of it: every command, fill and settlement, in order. Equal digests mean
//! equal runs.

use sha2::{Digest as _, Sha256};

use crate::command::Command;
use crate::event::Event;

/// Records that are hashed at once.
const BATCH: usize = 4096;

/// A chain: each full batch is hashed together with the value before it, so that a snapshot can hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    pub(crate) chain: [u8; 32],
    pub(crate) batch: Vec<u8>,
    pub(crate) count: u64,
}

impl Digest {
    pub fn commands(&mut self, commands: &[Command]) {
        for command in commands {
            self.add(bytemuck::bytes_of(command));
        }
    }

    pub fn fill(&mut self, fill: &Event) {
        self.add(bytemuck::bytes_of(fill));
    }

    pub fn settled(&mut self, event: &Event, payload: &[u8]) {
        self.add(bytemuck::bytes_of(event));
        self.add(payload);
    }

    /// Returns the value over everything so far.
    pub fn value(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(&self.batch);
        hash.update(self.count.to_le_bytes());
        hash.finalize().into()
    }

    /// Returns how many records it is over.
    pub fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    fn add(&mut self, record: &[u8]) {
        self.batch.extend_from_slice(record);
        self.count += 1;
        if self.batch.len() >= BATCH {
            let mut hash = Sha256::new();
            hash.update(self.chain);
            hash.update(&self.batch);
            self.chain = hash.finalize().into();
            self.batch.clear();
        }
    }
}
