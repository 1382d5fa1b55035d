//! Points and scalars as bytes, and the digest everything here is bound with.

use dkls23_secp256k1::protocols::PartyIndex;
use k256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};

use crate::Fault;

/// The curve of every key.
pub type Curve = k256::Secp256k1;

/// Returns the 64 bytes (x, y) of a public key.
pub(crate) fn public_bytes(point: &k256::AffinePoint) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes.copy_from_slice(&point.to_sec1_point(false).as_bytes()[1..]);
    bytes
}

/// Returns the EIP-55 address of a public key.
pub fn address_bytes(point: &k256::AffinePoint) -> String {
    dkls23_secp256k1::compute_eth_address(point)
}

pub(crate) fn index(party: u8) -> Result<PartyIndex, Fault> {
    PartyIndex::new(party).map_err(|_| Fault::local("a party's index begins at 1"))
}

/// Hashes fields so that no two lists of fields give the same bytes: every field is preceded by its length.
pub(crate) fn digest(tag: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([tag.len() as u8]);
    hasher.update(tag.as_bytes());
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}
