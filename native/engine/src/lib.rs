//! The engine's kernel: `commands = step(event)`, single writer, the same in live, paper, backtest and replay.
//!
//! Everything is integers: prices in ticks, sizes in lots, amounts in smallest units. There is no clock, no randomness
//! and no hash order here: the same events give the same commands.
#![deny(unsafe_code)]

pub mod book;
pub mod command;
pub mod event;
pub mod feed;
pub mod instrument;
pub mod payload;
pub mod replica;
pub mod risk;
pub mod sim;
