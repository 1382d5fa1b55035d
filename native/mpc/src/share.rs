//! One party's share of a key, and its encrypted form.

use std::sync::Arc;

use dkls23_secp256k1::{Party, PublicKeyPackage};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::envelope::{lock, unlock};
use crate::keys::{address_bytes, public_bytes};
use crate::machine::{read, write};
use crate::Fault;

const TAG: &[u8] = b"capstan-mpc/share/1";

/// A party's share of a wallet's key in one epoch. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Share {
    pub(crate) wallet: String,
    pub(crate) epoch: u32,
    pub(crate) party: Arc<Party>,
    pub(crate) package: PublicKeyPackage,
}

#[derive(Serialize)]
struct Written<'a>(&'a Party, &'a PublicKeyPackage);

#[derive(Deserialize)]
struct Read(Party, PublicKeyPackage);

impl Share {
    pub fn wallet(&self) -> &str {
        &self.wallet
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub fn index(&self) -> u8 {
        self.party.party_index.as_u8()
    }

    pub fn threshold(&self) -> u8 {
        self.party.parameters.threshold
    }

    pub fn parties(&self) -> u8 {
        self.party.parameters.share_count
    }

    /// Returns the chain code, which with the public key gives every child's public key.
    pub fn chain_code(&self) -> [u8; 32] {
        self.party.derivation_data.chain_code
    }

    /// Returns x and y of the public key at a path of non-hardened steps (`m`, `m/0/7`).
    pub fn public_key(&self, path: &str) -> Result<[u8; 64], Fault> {
        if path == "m" {
            return Ok(public_bytes(&self.party.pk));
        }
        Ok(public_bytes(&self.derive(path)?.pk))
    }

    /// Returns the party that signs at a path.
    pub(crate) fn derive(&self, path: &str) -> Result<Arc<Party>, Fault> {
        // Each step has one spelling, so that a path is one text: no sign, no leading zero, nothing hardened.
        let canonical = path == "m"
            || path.strip_prefix("m/").is_some_and(|steps| {
                steps
                    .split('/')
                    .all(|step| step.parse::<u32>().is_ok_and(|number| number < 1 << 31 && number.to_string() == step))
            });
        if !canonical {
            return Err(Fault::local("a share derives along non-hardened steps only, like m/0/7"));
        }
        if path == "m" {
            return Ok(self.party.clone());
        }
        let child =
            self.party.derive_from_path(path, address_bytes).map_err(|error| Fault::local(error.description))?;
        Ok(Arc::new(child))
    }

    /// Returns the share encrypted under a key-encryption key, bound to wallet, party and epoch.
    pub fn seal(&self, kek: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        let plain = Zeroizing::new(write(&Written(&self.party, &self.package))?);
        lock(kek, &plain, &context(TAG, &self.wallet, self.index(), self.epoch))
    }

    pub fn open(blob: &[u8], kek: &[u8; 32], wallet: &str, index: u8, epoch: u32) -> Result<Self, Fault> {
        let plain = unlock(kek, blob, &context(TAG, wallet, index, epoch))?;
        let Read(party, package) = read(&plain)?;
        if party.party_index.as_u8() != index || *package.verifying_key() != party.pk {
            return Err(Fault::local("the blob holds another share"));
        }
        Ok(Self { wallet: wallet.to_owned(), epoch, party: Arc::new(party), package })
    }
}

/// Returns what an encrypted share is bound to; the tag tells the kinds of shares apart.
pub(crate) fn context(tag: &[u8], wallet: &str, index: u8, epoch: u32) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    bytes.extend((wallet.len() as u32).to_be_bytes());
    bytes.extend(wallet.as_bytes());
    bytes.push(index);
    bytes.extend(epoch.to_be_bytes());
    bytes
}
