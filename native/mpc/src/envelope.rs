//! Sealed envelopes between two parties, opaque to whoever carries them.
//!
//! The fragments of key generation are raw secret scalars, and a coordinator relays them: so every message, broadcasts
//! included, is sealed from party to party. The key comes from the two parties' static X25519 keys (pinned when the
//! parties were set up), the session and the direction, so that only the named sender can have written an envelope, and
//! none is good in another session, round or direction. It hides from the carrier; it is not forward secret, the TLS
//! link below it is.
//!
//! Layout: session (32), round, sender, recipient (1 each), nonce (24), ciphertext. The first 35 bytes are
//! authenticated as well.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::Aes256Gcm;
use chacha20poly1305::XChaCha20Poly1305;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::keys::digest;
use crate::Fault;

const HEADER: usize = 35;
const NONCE: usize = 24;
/// The largest message of any round is about 300 kB.
const ENVELOPE_MAX: usize = 1 << 21;

/// Where an envelope belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub session: [u8; 32],
    pub round: u8,
    pub sender: u8,
    pub recipient: u8,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..32].copy_from_slice(&self.session);
        bytes[32..].copy_from_slice(&[self.round, self.sender, self.recipient]);
        bytes
    }

    /// Reads where an envelope claims to belong; nothing is authenticated.
    pub fn of(envelope: &[u8]) -> Result<Self, Fault> {
        if envelope.len() < HEADER + NONCE + 16 || envelope.len() > ENVELOPE_MAX {
            return Err(Fault::local("an envelope has an impossible length"));
        }
        let mut session = [0; 32];
        session.copy_from_slice(&envelope[..32]);
        Ok(Self { session, round: envelope[32], sender: envelope[33], recipient: envelope[34] })
    }
}

/// A party's static key for envelopes.
#[derive(Clone)]
pub struct Identity(StaticSecret);

impl Identity {
    /// Returns a new identity from the operating system's randomness.
    pub fn generate() -> Result<Self, Fault> {
        Ok(Self(StaticSecret::from(*random::<32>()?)))
    }

    pub fn public_key(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// Returns the identity encrypted under a key-encryption key, bound to its party.
    pub fn seal(&self, kek: &[u8; 32], party: u8) -> Result<Vec<u8>, Fault> {
        lock(kek, self.0.as_bytes(), &identity_context(party))
    }

    pub fn open(blob: &[u8], kek: &[u8; 32], party: u8) -> Result<Self, Fault> {
        let bytes = unlock(kek, blob, &identity_context(party))?;
        let secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(bytes.as_slice().try_into().map_err(|_| Fault::local("not an identity"))?);
        Ok(Self(StaticSecret::from(*secret)))
    }

    pub(crate) fn close(&self, peer: &[u8; 32], header: Header, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce = random::<NONCE>()?;
        let aad = header.to_bytes();
        let sealed = self
            .cipher(peer, header)?
            .encrypt(&(*nonce).into(), Payload { msg: plain, aad: &aad })
            .map_err(|_| Fault::local("a message could not be sealed"))?;
        Ok([aad.as_slice(), nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn open_envelope(
        &self,
        peer: &[u8; 32],
        header: Header,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&envelope[HEADER..HEADER + NONCE]);
        let payload = Payload { msg: &envelope[HEADER + NONCE..], aad: &envelope[..HEADER] };
        self.cipher(peer, header)?
            .decrypt(&nonce.into(), payload)
            .map(Zeroizing::new)
            .map_err(|_| Fault::local("an envelope was not sealed by its sender for this place"))
    }

    fn cipher(&self, peer: &[u8; 32], header: Header) -> Result<XChaCha20Poly1305, Fault> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(Fault::local("a peer's public key is degenerate"));
        }
        let direction = [header.sender, header.recipient];
        let key = Zeroizing::new(digest("capstan-mpc/envelope/1", &[shared.as_bytes(), &header.session, &direction]));
        Ok(XChaCha20Poly1305::new((&*key).into()))
    }
}

fn identity_context(party: u8) -> Vec<u8> {
    [b"capstan-mpc/identity/1".as_slice(), &[party]].concat()
}

/// Encrypts for storage: AES-256-GCM, a random nonce of 12 bytes before the ciphertext.
pub(crate) fn lock(kek: &[u8; 32], plain: &[u8], context: &[u8]) -> Result<Vec<u8>, Fault> {
    let nonce = random::<12>()?;
    let sealed = Aes256Gcm::new(kek.into())
        .encrypt(&(*nonce).into(), Payload { msg: plain, aad: context })
        .map_err(|_| Fault::local("a blob could not be encrypted"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

pub(crate) fn unlock(kek: &[u8; 32], blob: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let Some((nonce, sealed)) = blob.split_first_chunk::<12>() else {
        return Err(Fault::local("a blob is truncated"));
    };
    Aes256Gcm::new(kek.into())
        .decrypt(&(*nonce).into(), Payload { msg: sealed, aad: context })
        .map(Zeroizing::new)
        .map_err(|_| Fault::local("wrong key-encryption key, or another wallet, party or epoch"))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Fault> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| Fault::local("the operating system gave no randomness"))?;
    Ok(bytes)
}
