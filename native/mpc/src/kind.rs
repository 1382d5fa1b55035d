//! The two kinds of keys behind one face: what a party stores, refreshes and repairs without asking which it is.

use crate::{frost, Fault, Generate, Output, Refresh, Repair, Roster, Session, Share};

/// Which curve, and with it which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ECDSA over secp256k1 by DKLs23.
    Secp256k1,
    /// EdDSA over edwards25519 by FROST.
    Ed25519,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::Ed25519 => "ed25519",
        }
    }

    pub fn of(name: &str) -> Result<Self, Fault> {
        [Self::Secp256k1, Self::Ed25519]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Fault::local("a key's kind is secp256k1 or ed25519"))
    }
}

/// A share of either kind.
#[derive(Clone)]
pub enum AnyShare {
    Secp256k1(Share),
    Ed25519(Box<frost::Share>),
}

impl AnyShare {
    /// Takes a finished run's share.
    pub fn from_output(output: Output) -> Option<Self> {
        match output {
            Output::Share(share) => Some(Self::Secp256k1(*share)),
            Output::Ed25519Share(share) => Some(Self::Ed25519(share)),
            _ => None,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Secp256k1(_) => Kind::Secp256k1,
            Self::Ed25519(_) => Kind::Ed25519,
        }
    }

    pub fn wallet(&self) -> &str {
        match self {
            Self::Secp256k1(share) => share.wallet(),
            Self::Ed25519(share) => share.wallet(),
        }
    }

    pub fn epoch(&self) -> u32 {
        match self {
            Self::Secp256k1(share) => share.epoch(),
            Self::Ed25519(share) => share.epoch(),
        }
    }

    pub fn index(&self) -> u8 {
        match self {
            Self::Secp256k1(share) => share.index(),
            Self::Ed25519(share) => share.index(),
        }
    }

    pub fn threshold(&self) -> u8 {
        match self {
            Self::Secp256k1(share) => share.threshold(),
            Self::Ed25519(share) => share.threshold(),
        }
    }

    pub fn parties(&self) -> u8 {
        match self {
            Self::Secp256k1(share) => share.parties(),
            Self::Ed25519(share) => share.parties(),
        }
    }

    /// Returns the public key: x and y of secp256k1 at a path, or the 32 bytes of Ed25519, which has no path but `m`.
    pub fn public_key(&self, path: &str) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Secp256k1(share) => Ok(share.public_key(path)?.to_vec()),
            Self::Ed25519(share) if path == "m" => Ok(share.public_key()?.to_vec()),
            Self::Ed25519(_) => Err(Fault::local("an Ed25519 key has no children")),
        }
    }

    pub fn seal(&self, kek: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Secp256k1(share) => share.seal(kek),
            Self::Ed25519(share) => share.seal(kek),
        }
    }

    pub fn open(blob: &[u8], kek: &[u8; 32], kind: Kind, wallet: &str, index: u8, epoch: u32) -> Result<Self, Fault> {
        match kind {
            Kind::Secp256k1 => Share::open(blob, kek, wallet, index, epoch).map(Self::Secp256k1),
            Kind::Ed25519 => frost::Share::open(blob, kek, wallet, index, epoch).map(Box::new).map(Self::Ed25519),
        }
    }

    /// Returns a session that leads to the next epoch.
    pub fn refresh(&self, roster: Roster, attempt: &[u8]) -> Result<Session, Fault> {
        match self {
            Self::Secp256k1(share) => Refresh::session(share, roster, attempt),
            Self::Ed25519(share) => frost::Refresh::session(share, roster, attempt),
        }
    }
}

/// Returns a session that makes a new key of a kind.
pub fn generate(kind: Kind, wallet: &str, threshold: u8, roster: Roster, attempt: &[u8]) -> Result<Session, Fault> {
    match kind {
        Kind::Secp256k1 => Generate::session(wallet, threshold, roster, attempt),
        Kind::Ed25519 => frost::Generate::session(wallet, threshold, roster, attempt),
    }
}

/// What is to be repaired.
pub struct Lost<'a> {
    pub kind: Kind,
    pub wallet: &'a str,
    pub epoch: u32,
    /// The party without a share.
    pub target: u8,
}

/// Returns a session that rebuilds a lost share; helpers give theirs, the target none.
///
/// # Errors
/// A helper's share is of another kind, or the roles do not fit.
pub fn repair(share: Option<&AnyShare>, roster: Roster, lost: &Lost<'_>, attempt: &[u8]) -> Result<Session, Fault> {
    let Lost { kind, wallet, epoch, target } = *lost;
    match (kind, share) {
        (Kind::Secp256k1, None) => Repair::session(None, roster, wallet, epoch, target, attempt),
        (Kind::Secp256k1, Some(AnyShare::Secp256k1(share))) => {
            Repair::session(Some(share), roster, wallet, epoch, target, attempt)
        }
        (Kind::Ed25519, None) => frost::Repair::session(None, roster, wallet, epoch, target, attempt),
        (Kind::Ed25519, Some(AnyShare::Ed25519(share))) => {
            frost::Repair::session(Some(share), roster, wallet, epoch, target, attempt)
        }
        _ => Err(Fault::local("the share is of another kind")),
    }
}
