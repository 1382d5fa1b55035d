//! Capstan's hot path, on the standard library alone: order matching, the L2 book, market-data decoding.
//!
//! Everything here is integers: prices in ticks, sizes in lots. Text becomes integers once, in [`grid`].
#![forbid(unsafe_code)]

pub mod bars;
pub mod batch;
pub mod book;
pub mod depth;
pub mod digits;
pub mod flat_book;
pub mod grid;
pub mod json;
pub mod l3_book;
pub mod matching;
pub mod orders;
mod queues;
