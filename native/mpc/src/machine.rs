//! What every protocol looks like from outside: a round's messages in, the next round's out.

use std::collections::BTreeMap;
use std::fmt;

use dkls23_secp256k1::protocols::{Abort, AbortKind};
use serde::{de::DeserializeOwned, Serialize};
use zeroize::Zeroizing;

use crate::{frost, Presignature, Share};

/// What one party tells another in one round.
#[derive(Clone, Default)]
pub struct Message {
    /// The same for everyone; the session makes the parties compare what they received.
    pub broadcast: Vec<u8>,
    /// For this recipient only. Secret.
    pub direct: Zeroizing<Vec<u8>>,
}

/// The result of a run.
pub enum Output {
    /// A share of a new key, or of the same key in a new epoch.
    Share(Box<Share>),
    /// r, s (low) and the recovery id (0 or 1).
    Signature([u8; 65]),
    /// A signature that lacks what is signed.
    Presignature(Box<Presignature>),
    Ed25519Share(Box<frost::Share>),
    /// R and s as RFC 8032 writes them.
    Ed25519Signature([u8; 64]),
    /// A helper's part is done; it has nothing new.
    Nothing,
}

/// What a step leads to.
pub enum Progress {
    Send(BTreeMap<u8, Message>),
    Done(Output),
}

/// One party's side of a protocol. The first step takes no messages, each later one exactly one from every peer.
pub trait Machine: Send {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault>;
}

/// Why a run ended without a result. Nothing of the run may be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: String,
    /// The party that must never be met again: its own sealed message fails a check. With ECDSA such a check leaks bits
    /// of long-lived state.
    pub culprit: Option<u8>,
}

impl Fault {
    /// Returns a fault that blames nobody: a message was lost or changed on its way, or the input is wrong.
    pub fn local(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), culprit: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

impl From<Abort> for Fault {
    fn from(abort: Abort) -> Self {
        let culprit = match abort.kind {
            AbortKind::BanCounterparty(party) => Some(party.as_u8()),
            AbortKind::Recoverable => None,
        };
        Self { reason: abort.description(), culprit }
    }
}

pub(crate) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    postcard::to_stdvec(value).map_err(|_| Fault::local("a message could not be written"))
}

/// Reads a value that must fill its bytes exactly.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Fault::local("a message could not be read")),
    }
}

/// Returns a round in which every peer is told the same.
pub(crate) fn broadcast(bytes: Vec<u8>, peers: &[u8]) -> Progress {
    let message = Message { broadcast: bytes, ..Message::default() };
    Progress::Send(peers.iter().map(|peer| (*peer, message.clone())).collect())
}

/// Ends a run whose parties have told one another a mark over their result: it counts when all marks are the same.
pub(crate) fn confirmed(output: Output, mark: [u8; 32], inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
    match inbound.iter().find(|(_, message)| message.broadcast != mark) {
        Some((from, _)) => Err(Fault::local(format!("party {from} confirms another key"))),
        None => Ok(Progress::Done(output)),
    }
}

/// Reads the secret part of every peer's message.
pub(crate) fn read_direct<T: DeserializeOwned>(inbound: &BTreeMap<u8, Message>) -> Result<BTreeMap<u8, T>, Fault> {
    inbound.iter().map(|(from, message)| Ok((*from, read(&message.direct)?))).collect()
}

/// Reads the common part of every peer's message.
pub(crate) fn read_broadcast<T: DeserializeOwned>(inbound: &BTreeMap<u8, Message>) -> Result<BTreeMap<u8, T>, Fault> {
    inbound.iter().map(|(from, message)| Ok((*from, read(&message.broadcast)?))).collect()
}
