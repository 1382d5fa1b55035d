//! One party's share of an Ed25519 key, and its encrypted form.

use frost_ed25519::keys::{KeyPackage, PublicKeyPackage, VerifyingShare};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::identifier;
use crate::envelope::{lock, unlock};
use crate::keys::digest;
use crate::machine::{read, write};
use crate::share::context;
use crate::Fault;

const TAG: &[u8] = b"capstan-mpc/frost-share/1";

/// A party's share of a wallet's Ed25519 key in one epoch. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Share {
    wallet: String,
    epoch: u32,
    party: u8,
    key: KeyPackage,
    package: PublicKeyPackage,
}

#[derive(Serialize)]
struct Written<'a>(&'a KeyPackage, &'a PublicKeyPackage);

#[derive(Deserialize)]
struct Read(KeyPackage, PublicKeyPackage);

impl Share {
    /// Returns a share whose secret fits its own public side and that of everyone.
    pub(super) fn new(
        wallet: &str,
        epoch: u32,
        party: u8,
        key: KeyPackage,
        package: PublicKeyPackage,
    ) -> Result<Self, Fault> {
        let own = identifier(party)?;
        let public = VerifyingShare::from(*key.signing_share());
        let count = u8::try_from(package.verifying_shares().len()).map_err(|_| Fault::local("too many parties"))?;
        let numbered = (1..=count).map(identifier).collect::<Result<Vec<_>, _>>()?;
        let fits = *key.identifier() == own
            && public == *key.verifying_share()
            && package.verifying_shares().get(&own) == Some(&public)
            && package.verifying_shares().keys().copied().eq(numbered)
            && package.verifying_key() == key.verifying_key()
            && package.min_signers() == Some(*key.min_signers());
        if !fits {
            return Err(Fault::local("a share does not fit its key"));
        }
        Ok(Self { wallet: wallet.to_owned(), epoch, party, key, package })
    }

    pub fn wallet(&self) -> &str {
        &self.wallet
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn index(&self) -> u8 {
        self.party
    }

    pub fn threshold(&self) -> u8 {
        // Checked when the share was made: at most as many as the parties, whose number is a u8.
        u8::try_from(*self.key.min_signers()).unwrap_or(u8::MAX)
    }

    pub fn parties(&self) -> u8 {
        u8::try_from(self.package.verifying_shares().len()).unwrap_or(u8::MAX)
    }

    /// Returns the public key as RFC 8032 writes it.
    pub fn public_key(&self) -> Result<[u8; 32], Fault> {
        let bytes = self.key.verifying_key().serialize().map_err(|_| Fault::local("the public key is degenerate"))?;
        bytes.try_into().map_err(|_| Fault::local("a public key has 32 bytes"))
    }

    pub(super) fn key(&self) -> &KeyPackage {
        &self.key
    }

    pub(super) fn package(&self) -> &PublicKeyPackage {
        &self.package
    }

    /// Returns a hash over everyone's public side: parties whose shares do not belong together differ in it.
    pub(super) fn mark(&self, session: &[u8; 32]) -> Result<[u8; 32], Fault> {
        let package = write(&self.package)?;
        let fields = [self.wallet.as_bytes(), &self.epoch.to_be_bytes(), &package, session];
        Ok(digest("capstan-mpc/frost-confirm/1", &fields))
    }

    /// Returns the share encrypted under a key-encryption key, bound to wallet, party and epoch.
    pub fn seal(&self, kek: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        let plain = Zeroizing::new(write(&Written(&self.key, &self.package))?);
        lock(kek, &plain, &context(TAG, &self.wallet, self.party, self.epoch))
    }

    pub fn open(blob: &[u8], kek: &[u8; 32], wallet: &str, index: u8, epoch: u32) -> Result<Self, Fault> {
        let plain = unlock(kek, blob, &context(TAG, wallet, index, epoch))?;
        let Read(key, package) = read(&plain)?;
        Self::new(wallet, epoch, index, key, package)
    }
}
