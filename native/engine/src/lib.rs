//! The engine's kernel: `commands = step(event)`, single writer, the same in live, paper, backtest and replay.
//!
//! Everything is integers: prices in ticks, sizes in lots, amounts in smallest units. There is no clock, no randomness
//! and no hash order here: the same events give the same commands.
#![deny(unsafe_code)]

mod actions;
pub mod book;
pub mod broken;
pub mod bytes;
mod changes;
pub mod command;
pub mod config;
mod crc;
pub mod digest;
pub mod engine;
pub mod event;
pub mod feed;
pub mod gate;
pub mod instrument;
pub mod journal;
pub mod kernel;
pub mod order_state;
pub mod orders;
pub mod payload;
pub mod portfolio;
pub mod reconcile;
pub mod replica;
mod reports;
pub mod reservations;
pub mod risk;
pub mod sim;
mod snapshot;
pub mod store;
pub mod strategies;
pub mod swaps;
pub mod targets;
pub mod trades;
pub mod wakes;

pub use broken::Broken;
pub use command::{ClientId, Command};
pub use config::Config;
pub use engine::{Engine, Strategy};
pub use event::Event;
pub use kernel::Kernel;
pub use orders::NewOrder;
pub use targets::Target;
