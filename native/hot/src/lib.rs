//! From a command to bytes a venue takes: encoded through templates made once, signed by a key in memory.
//!
//! What is written per order is price, size, id and time; the rest stands in the template. Numbers are integers of ticks
//! and lots until the last moment, and their text is exact. Nothing on this path allocates once its buffers have grown.
//!
//! A key signs orders and nothing else, and only within what custody wrote into its [`limits::Certificate`]: the check is
//! here, beside the key, so that a mistake above cannot get past it.
#![forbid(unsafe_code)]

pub mod binance;
pub mod evm;
pub mod frames;
pub mod guard;
pub mod hyperliquid;
pub mod keys;
pub mod limits;
pub mod live;
pub mod refusal;
mod statement;
pub mod template;
pub mod text;
mod window;

pub use frames::Frames;
pub use guard::{Encoder, Guard, Listing};
pub use keys::Key;
pub use limits::{Certificate, FreezeSwitch, Warden};
pub use refusal::Refusal;
