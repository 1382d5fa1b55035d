//! Threshold Ed25519: FROST (RFC 9591) in the same sessions as the ECDSA of this crate.
//!
//! Key generation and refresh broadcast commitments, deal secret terms, and end when everyone confirms the same key. A
//! signature takes two exchanges. Nonces live in one session's memory and are used once: a machine that has stepped
//! cannot step again, and a party that died has lost them.
//!
//! Unlike the multiplications of ECDSA, a failed check here tells nobody anything of a share. What a party has sealed
//! itself and what is wrong for certain (a proof, a signature share) names it as the culprit all the same.
//!
//! There are no child keys: Ed25519 has no derivation without the whole key. One key generation for each account.

mod generate;
mod refresh;
mod repair;
mod share;
mod sign;

use std::collections::BTreeMap;

use frost_ed25519::{Error, Identifier};

use crate::Fault;

pub use generate::Generate;
pub use refresh::Refresh;
pub use repair::Repair;
pub use share::Share;
pub use sign::Sign;

fn identifier(party: u8) -> Result<Identifier, Fault> {
    Identifier::try_from(u16::from(party)).map_err(|_| Fault::local("a party's index begins at 1"))
}

/// Returns what the peers sent by the library's identifiers.
fn by_identifier<T>(received: BTreeMap<u8, T>) -> Result<BTreeMap<Identifier, T>, Fault> {
    received.into_iter().map(|(from, item)| Ok((identifier(from)?, item))).collect()
}

/// Turns the library's error into a fault; a peer that it blames becomes the culprit.
fn fault(error: &Error, peers: &[u8]) -> Fault {
    let blamed = error.culprits();
    let culprit = peers.iter().copied().find(|peer| identifier(*peer).is_ok_and(|peer| blamed.contains(&peer)));
    Fault { reason: error.to_string(), culprit }
}
