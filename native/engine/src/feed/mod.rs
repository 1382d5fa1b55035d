//! Venue bytes to events: Binance-protocol market data, decoded in one pass straight into the 64-byte records.
//!
//! ```text
//!  bytes ── message: fields, levels written as they are read ── sync: U/u/pu ──> Level… | Clear Level… | Stale | nothing
//! ```
//!
//! A message is taken whole or not at all: after an error nothing was appended and nothing is remembered of it. The last
//! record of a message carries [`LAST`](crate::event::LAST). There is no clock here: the caller says when bytes came.

pub mod capture;
mod decoder;
mod error;
pub mod fuse;
mod layout;
mod message;
mod sync;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Outcome, Source};
pub use error::FeedError;
