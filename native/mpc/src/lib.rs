//! Threshold ECDSA over secp256k1, and Ed25519 ([`frost`]), for parties that do not trust one another, or whoever carries their messages.
//!
//! A [`Session`] is one party's side of one run: key generation, signing or refresh. It takes the envelopes of a round
//! and gives those of the next; between parties travels nothing that is not sealed end to end ([`envelope`]). Inside
//! runs a [`Machine`], which knows the mathematics and nothing of envelopes.
//!
//! A share leaves this crate only encrypted ([`Share::seal`]). A session that saw one wrong byte is dead: there is no
//! retry with the same randomness, and a [`Fault`] that names a culprit means that this party must never run a session
//! with it again (its failed check has told it bits of our long-lived state).
#![forbid(unsafe_code)]

pub mod envelope;
pub mod frost;
mod generate;
mod keys;
mod kind;
mod machine;
mod nonce;
mod presign;
mod refresh;
mod repair;
mod session;
mod share;
mod sign;

pub use envelope::Identity;
pub use generate::Generate;
pub use keys::{address_bytes, Curve};
pub use kind::{generate, repair, AnyShare, Kind, Lost};
pub use machine::{Fault, Machine, Message, Output, Progress};
pub use presign::{Presign, Presignature};
pub use refresh::Refresh;
pub use repair::Repair;
pub use session::{Roster, Session};
pub use share::Share;
pub use sign::{Sign, SignRequest};
