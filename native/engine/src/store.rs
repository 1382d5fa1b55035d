//! A snapshot in a file beside the journal: the state after so many of its events.
//!
//! ```text
//! file = "CAPSNP01" · journal header [64] · events u64 · length u64 · SHA-256 of all this and of the state [32] · state
//! ```
//!
//! It only saves time: one that is damaged, or of another run, is as good as none, and the whole journal is replayed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::journal::{Header, JournalError, SLOT};

const MAGIC: &[u8; 8] = b"CAPSNP01";
const HEAD: usize = 8 + SLOT + 8 + 8;

/// Writes a snapshot so that either the old one or the new one is there, whatever happens meanwhile.
pub fn write(path: &Path, header: &Header, events: u64, state: &[u8]) -> Result<(), JournalError> {
    let mut head = Vec::with_capacity(HEAD + 32);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&header.bytes());
    head.extend_from_slice(&events.to_le_bytes());
    head.extend_from_slice(&(state.len() as u64).to_le_bytes());
    let digest = digest(&head, state);
    head.extend_from_slice(&digest);
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&head)?;
    file.write_all(state)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Returns the events and the state of a snapshot of this run, or nothing.
pub fn read(path: &Path, header: &Header) -> Option<(u64, Vec<u8>)> {
    let bytes = fs::read(path).ok()?;
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (found, state) = rest.split_at_checked(32)?;
    let is_ours = &head[..8] == MAGIC && head[8..8 + SLOT] == header.bytes();
    let number = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let (events, length) = (number(8 + SLOT)?, number(8 + SLOT + 8)?);
    let is_whole = length == state.len() as u64 && digest(head, state) == *found;
    (is_ours && is_whole).then(|| (events, state.to_vec()))
}

fn digest(head: &[u8], state: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(state);
    hash.finalize().into()
}
