//! The journal: every event in the order the kernel took it, as the 64-byte records they are, in blocks with a checksum.
//!
//! ```text
//! file   = header · block*
//! header = "CAPJNL01" · run u16 · 6 zeros · seed u64 · digest of the configuration [32] · crc32 u32 · 4 zeros
//! block  = "CBLK" · crc32 of the rest of the head and of the slots · slots u32 · events u32 · first event u64 · 40 zeros
//!          · slot*                                              a slot is a record, or 64 bytes of a record's payload
//! ```
//!
//! A block is written when it is full, and always before anything that an event led to leaves: what is lost with a dead
//! process then led to nothing, and comes again from its source. What `write` returned for survives `kill -9`; a power
//! cut takes what was not yet synced, which the shell does several times a second. A torn tail (the process died inside
//! `write`) is cut off at opening; damage before a block that is whole is an error: nothing is guessed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytemuck::Zeroable;

use crate::crc::crc32;
use crate::event::{Event, PAYLOAD};

pub const SLOT: usize = 64;
const MAGIC: &[u8; 8] = b"CAPJNL01";
const BLOCK: &[u8; 4] = b"CBLK";
/// Slots after which a block is written.
const SLOTS_MAX: usize = 1024;

/// What a run was made of: its journal means nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub run: u16,
    pub seed: u64,
    /// SHA-256 of the configuration, and of the feed's file where there is one.
    pub config: [u8; 32],
}

impl Header {
    pub fn bytes(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&self.run.to_le_bytes());
        out[16..24].copy_from_slice(&self.seed.to_le_bytes());
        out[24..56].copy_from_slice(&self.config);
        let crc = crc32(0, &out[..56]);
        out[56..60].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; SLOT] = bytes.get(..SLOT)?.try_into().ok()?;
        let header = Self {
            run: u16::from_le_bytes([head[8], head[9]]),
            seed: u64::from_le_bytes(head[16..24].try_into().ok()?),
            config: head[24..56].try_into().ok()?,
        };
        (header.bytes() == *head).then_some(header)
    }
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    Io(io::Error),
    /// Another process writes it.
    Locked,
    /// It is not a journal, or its header is damaged.
    NotOne,
    /// It was written by a run of another configuration.
    Other(Header),
    /// A block is damaged and whole ones follow; the byte where it begins.
    Damaged(u64),
}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Locked => f.write_str("in use by another process"),
            Self::NotOne => f.write_str("not a journal"),
            Self::Other(header) => {
                write!(f, "written by run {} with seed {} and another configuration", header.run, header.seed)
            }
            Self::Damaged(at) => write!(f, "the block at byte {at} is damaged"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Turns events into blocks.
#[derive(Debug, Default)]
pub struct Encoder {
    block: Vec<u8>,
    events: u32,
    first: u64,
}

impl Encoder {
    /// Returns an encoder that continues after so many events.
    pub fn after(events: u64) -> Self {
        Self { block: vec![0; SLOT], events: 0, first: events }
    }

    /// Adds an event; returns whether the block is full and wants to be written.
    #[inline]
    pub fn add(&mut self, event: &Event, payload: &[u8]) -> bool {
        debug_assert_eq!(payload.len(), payload_length(event));
        if self.block.is_empty() {
            self.block.resize(SLOT, 0);
        }
        self.block.extend_from_slice(bytemuck::bytes_of(event));
        if !payload.is_empty() {
            self.block.extend_from_slice(payload);
            self.block.resize(self.block.len().next_multiple_of(SLOT), 0);
        }
        self.events += 1;
        self.block.len() >= (1 + SLOTS_MAX) * SLOT
    }

    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Returns how many events were added in all, those before this encoder included.
    pub fn count(&self) -> u64 {
        self.first + u64::from(self.events)
    }

    /// Hands the finished block to `write` and begins the next; the block stays when `write` fails.
    pub fn finish<E>(&mut self, write: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.events == 0 {
            return Ok(());
        }
        let slots = (self.block.len() / SLOT - 1) as u32;
        self.block[..4].copy_from_slice(BLOCK);
        self.block[8..12].copy_from_slice(&slots.to_le_bytes());
        self.block[12..16].copy_from_slice(&self.events.to_le_bytes());
        self.block[16..24].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32(0, &self.block[8..]);
        self.block[4..8].copy_from_slice(&crc.to_le_bytes());
        write(&self.block)?;
        self.first += u64::from(self.events);
        self.events = 0;
        self.block.clear();
        self.block.resize(SLOT, 0);
        Ok(())
    }
}

/// Returns how many bytes of payload follow an event; a length that is none counts as too long for any file.
pub fn payload_length(event: &Event) -> usize {
    if event.flags & PAYLOAD == 0 {
        0
    } else {
        usize::try_from(event.aux[1]).unwrap_or(usize::MAX)
    }
}

/// A journal's bytes, checked: events and where the last whole block ends.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    bytes: &'a [u8],
    pub header: Header,
    /// Events in whole blocks.
    pub events: u64,
    /// Length of header and whole blocks.
    pub good: usize,
}

impl<'a> Contents<'a> {
    /// Returns what a journal holds. A torn tail is left out.
    pub fn read(bytes: &'a [u8]) -> Result<Self, JournalError> {
        let header = Header::read(bytes).ok_or(JournalError::NotOne)?;
        let (mut at, mut events) = (SLOT, 0);
        while at < bytes.len() {
            match whole_block(&bytes[at..], events) {
                Some((length, count)) => {
                    at += length;
                    events += u64::from(count);
                }
                // Torn is what nothing whole comes after.
                None if has_whole_block(&bytes[at..]) => return Err(JournalError::Damaged(at as u64)),
                None => break,
            }
        }
        Ok(Self { bytes, header, events, good: at })
    }

    /// Calls `take` with each event and its payload, from the `skip`-th on.
    pub fn each<E>(&self, skip: u64, mut take: impl FnMut(&Event, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut at = SLOT;
        let mut number = 0;
        while at < self.good {
            let slots = u32_at(self.bytes, at + 8) as usize;
            let (mut slot, end) = (at + SLOT, at + SLOT + slots * SLOT);
            while slot < end {
                let mut event = Event::zeroed();
                bytemuck::bytes_of_mut(&mut event).copy_from_slice(&self.bytes[slot..slot + SLOT]);
                slot += SLOT;
                let length = payload_length(&event);
                if number >= skip {
                    take(&event, &self.bytes[slot..slot + length])?;
                }
                slot += length.next_multiple_of(SLOT);
                number += 1;
            }
            at = end;
        }
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Returns length and events of the whole block at the beginning, if there is one that follows `first` events.
fn whole_block(bytes: &[u8], first: u64) -> Option<(usize, u32)> {
    let (length, count, found) = checked_block(bytes)?;
    (found == first && holds_events(&bytes[SLOT..length], count)).then_some((length, count))
}

fn checked_block(bytes: &[u8]) -> Option<(usize, u32, u64)> {
    if bytes.len() < SLOT || &bytes[..4] != BLOCK {
        return None;
    }
    let length = (u32_at(bytes, 8) as usize).checked_mul(SLOT)?.checked_add(SLOT)?;
    let rest = bytes.get(8..length)?;
    let first = u64::from_le_bytes(bytes[16..24].try_into().ok()?);
    (crc32(0, rest) == u32_at(bytes, 4)).then(|| (length, u32_at(bytes, 12), first))
}

/// Whether slots are so many events with their payloads.
fn holds_events(slots: &[u8], count: u32) -> bool {
    let (mut at, mut found) = (0, 0);
    while at < slots.len() {
        let mut event = Event::zeroed();
        bytemuck::bytes_of_mut(&mut event).copy_from_slice(&slots[at..at + SLOT]);
        let Some(padded) = payload_length(&event).checked_next_multiple_of(SLOT) else { return false };
        match padded.checked_add(at + SLOT) {
            Some(next) if next <= slots.len() => at = next,
            _ => return false,
        }
        found += 1;
    }
    found == count
}

fn has_whole_block(bytes: &[u8]) -> bool {
    (SLOT..bytes.len()).step_by(SLOT).any(|at| checked_block(&bytes[at..]).is_some())
}

/// An open journal. Nobody else can have it open.
#[derive(Debug)]
pub struct Journal {
    file: File,
    encoder: Encoder,
}

impl Journal {
    /// Creates a journal, or opens it and returns its bytes up to the last whole block; the torn rest is cut off.
    pub fn open(path: &Path, header: &Header) -> Result<(Self, Vec<u8>), JournalError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Held until the file is closed, also by `kill -9`: two engines on one account would be a disaster.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked,
            TryLockError::Error(error) => JournalError::Io(error),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.len() < SLOT && header.bytes().starts_with(&bytes) {
            bytes.clear(); // The process died before the header was whole.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.bytes())?;
            file.sync_all()?;
            bytes.extend_from_slice(&header.bytes());
        }
        let contents = Contents::read(&bytes)?;
        if contents.header != *header {
            return Err(JournalError::Other(contents.header));
        }
        let (good, events) = (contents.good, contents.events);
        if good < bytes.len() {
            file.set_len(good as u64)?;
            bytes.truncate(good);
        }
        file.seek(SeekFrom::Start(good as u64))?;
        Ok((Self { file, encoder: Encoder::after(events) }, bytes))
    }

    /// Adds an event; it survives the process from the next [`Journal::flush`] on.
    #[inline]
    pub fn append(&mut self, event: &Event, payload: &[u8]) -> Result<(), JournalError> {
        if self.encoder.add(event, payload) {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands what was added to the operating system. To be called before what it led to leaves.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        let file = &mut self.file;
        Ok(self.encoder.finish(|block| file.write_all(block))?)
    }

    /// Forces what was flushed to the disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        Ok(self.file.sync_data()?)
    }

    /// Returns how many events it holds, those not yet flushed included.
    pub fn count(&self) -> u64 {
        self.encoder.count()
    }
}
