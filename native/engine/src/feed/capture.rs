//! Recorded streams: lines of `<time of receipt in ns> <message>`, read in one batch.
//!
//! A line whose message has no `stream` is the answer to a question (a REST snapshot) and is taken where it stands: that
//! is when the recorder knew it. Local times never go back.

use super::decoder::{Decoder, Outcome};
use super::error::FeedError;
use crate::event::{Event, ASKED};
use capstan_core::digits::{find, unsigned};
use std::fmt;

/// What a recording was made of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub messages: u64,
    pub events: u64,
    /// Messages that gave records.
    pub taken: u64,
    pub old: u64,
    pub kept: u64,
    pub gaps: u64,
    pub too_old: u64,
    pub ignored: u64,
}

/// A line that could not be read; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub line: u64,
    pub why: FeedError,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadLine {}

/// Reads recordings, one after another, as one stream.
#[derive(Debug)]
pub struct Capture {
    decoder: Decoder,
    /// Whose answers the lines without a stream are.
    asked: u32,
    /// Added to times of receipt: how far the recorder's clock was behind.
    shift_ns: i64,
    time_local_ns: i64,
    line: u64,
    tally: Tally,
}

impl Capture {
    pub fn new(decoder: Decoder, asked: u32, shift_ns: i64) -> Self {
        Self { decoder, asked, shift_ns, time_local_ns: i64::MIN, line: 0, tally: Tally::default() }
    }

    /// Reads whole lines and hands each message's records to `take`. Stops at the first bad line, which changes nothing.
    pub fn read(&mut self, text: &[u8], mut take: impl FnMut(&[Event])) -> Result<(), BadLine> {
        let mut events = Vec::with_capacity(4096);
        let mut rest = text;
        while !rest.is_empty() {
            let line;
            (line, rest) = match find(rest, b'\n') {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            if line.is_empty() {
                continue;
            }
            self.line += 1;
            self.message(line, &mut events).map_err(|why| BadLine { line: self.line, why })?;
            take(&events);
            events.clear();
        }
        Ok(())
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn message(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), FeedError> {
        let malformed = FeedError::Malformed { expected: "a time of receipt and a message", at: 0 };
        let (received, space) = unsigned(line, 0).ok_or(malformed.clone())?;
        let received = i64::try_from(received).map_err(|_| malformed.clone())?;
        let Some((b' ', message)) = line[space..].split_first() else { return Err(malformed) };
        self.take(message, received.saturating_add(self.shift_ns), events)
    }

    /// Reads one message that came at a local time and appends its records.
    #[inline]
    pub fn take(&mut self, message: &[u8], time_local_ns: i64, events: &mut Vec<Event>) -> Result<(), FeedError> {
        let before = events.len();
        self.time_local_ns = self.time_local_ns.max(time_local_ns);
        let is_answer = !message.starts_with(b"{\"stream\"");
        let asked = is_answer.then_some(self.asked);
        let outcome = self.decoder.decode(message, self.time_local_ns, asked, events)?;
        if is_answer {
            for event in &mut events[before..] {
                event.flags |= ASKED;
            }
        }
        let tally = &mut self.tally;
        tally.messages += 1;
        tally.events += (events.len() - before) as u64;
        *match outcome {
            Outcome::Events => &mut tally.taken,
            Outcome::Old => &mut tally.old,
            Outcome::Kept => &mut tally.kept,
            Outcome::Gap => &mut tally.gaps,
            Outcome::TooOld => &mut tally.too_old,
            Outcome::Ignored => &mut tally.ignored,
        } += 1;
        Ok(())
    }
}
