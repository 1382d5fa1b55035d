//! Private keys that live in memory: what signs with them, and how they are wiped.
//!
//! The curve's arithmetic is libsecp256k1's. Nonces are those of RFC 6979, s is low, and every signature is verified
//! against the key before it is returned: a fault while signing can reveal the key through the wrong signature.
#![forbid(unsafe_code)]

mod signing;
mod transaction;

pub use signing::{complete, Fault, SigningKey};
pub use transaction::{address, keccak256, rlp_integer, Envelope};
