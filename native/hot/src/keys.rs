//! Keys that sign orders. They are wiped when dropped and show themselves to nobody.

use ed25519_dalek::{Signer, SigningKey as Ed25519Key};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::text;
use crate::Refusal;

pub(crate) type HmacState = Hmac<Sha256>;

/// One key. Boxed, so that moving it leaves no copy behind.
pub enum Key {
    /// The two states after a block of the padded secret, which is what HMAC needs of it.
    Hmac(Box<HmacState>),
    Ed25519(Box<Ed25519Key>),
    Secp256k1(Box<capstan_keys::SigningKey>),
}

impl Key {
    /// Returns a shared secret's key; secrets of venues are text, and its bytes are what is meant.
    pub fn hmac(secret: &[u8]) -> Result<Self, Refusal> {
        if secret.is_empty() {
            return Err(Refusal::Untrusted("a shared secret is not empty"));
        }
        let state = HmacState::new_from_slice(secret).map_err(|_| Refusal::Untrusted("no key for HMAC"))?;
        Ok(Self::Hmac(Box::new(state)))
    }

    /// Returns the key of an Ed25519 seed (RFC 8032: the private key).
    pub fn ed25519(seed: &[u8; 32]) -> Self {
        Self::Ed25519(Box::new(Ed25519Key::from_bytes(seed)))
    }

    pub fn secp256k1(secret: &[u8; 32]) -> Result<Self, Refusal> {
        let key = capstan_keys::SigningKey::new(secret)
            .map_err(|_| Refusal::Untrusted("a private key lies between zero and the curve's order"))?;
        Ok(Self::Secp256k1(Box::new(key)))
    }

    /// Returns how certificates name the key: its public part. A shared secret has none, so its MAC of a fixed text names it.
    pub fn name(&self) -> String {
        let mut name = Vec::new();
        match self {
            Self::Hmac(state) => {
                name.extend(b"hmac:");
                let mac = (**state).clone().chain_update(b"capstan/key-name/v1").finalize().into_bytes();
                text::hex(&mac[..16], &mut name);
            }
            Self::Ed25519(key) => {
                name.extend(b"ed25519:");
                text::hex(key.verifying_key().as_bytes(), &mut name);
            }
            Self::Secp256k1(key) => return format!("secp256k1:{}", capstan_keys::address(&key.public_key())),
        }
        String::from_utf8_lossy(&name).into_owned()
    }

    /// Appends a signature as a venue's query or JSON holds it: hexadecimal for HMAC, base64 for Ed25519.
    ///
    /// `prefix` is a state that has taken the first `taken` bytes of the message already, for HMAC keys. An Ed25519
    /// signature is not verified again, as those of secp256k1 are: it would cost twice the signing, and what a fault could
    /// reveal here is a key that trades within its limits.
    pub(crate) fn sign_text(
        &self,
        message: &[u8],
        prefix: Option<(&HmacState, usize)>,
        escaped: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match self {
            Self::Hmac(state) => {
                let (mut state, taken) = match prefix {
                    Some((state, taken)) => (state.clone(), taken),
                    None => ((**state).clone(), 0),
                };
                state.update(&message[taken..]);
                text::hex(&state.finalize().into_bytes(), out);
            }
            Self::Ed25519(key) => text::base64(&key.sign(message).to_bytes(), escaped, out),
            Self::Secp256k1(_) => return Err(Refusal::Unsupported("no venue takes such text signed by secp256k1")),
        }
        Ok(())
    }

    /// Returns a state that has taken the beginning of every message, for HMAC keys.
    pub(crate) fn prefix(&self, beginning: &[u8]) -> Option<Box<HmacState>> {
        match self {
            Self::Hmac(state) => Some(Box::new((**state).clone().chain_update(beginning))),
            _ => None,
        }
    }

    /// Signs a digest made here, of an order or a call; low s, recovered and compared.
    pub(crate) fn sign_digest(&self, digest: &[u8; 32]) -> Result<[u8; 65], Refusal> {
        match self {
            Self::Secp256k1(key) => key.sign_digest_unchecked(digest).map_err(|_| Refusal::Fault),
            _ => Err(Refusal::Unsupported("digests are signed by secp256k1 keys")),
        }
    }

    /// Returns a plain signature of bytes, for vectors and verifiers: HMAC (32 bytes) or Ed25519 (64).
    pub fn sign_bytes_unchecked(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Hmac(state) => Ok((**state).clone().chain_update(message).finalize().into_bytes().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Self::Secp256k1(_) => Err(Refusal::Unsupported("secp256k1 keys sign orders and calls, not bytes")),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Key(hmac, ***)",
            Self::Ed25519(_) => "Key(ed25519, ***)",
            Self::Secp256k1(_) => "Key(secp256k1, ***)",
        })
    }
}

/// Reads a key from text as a secret file holds it: an HMAC secret as it is, the others as 32 bytes in hexadecimal.
pub fn read(kind: &str, secret: &str) -> Result<Key, Refusal> {
    let bytes = || {
        text::from_hex::<32>(secret).map(Zeroizing::new).ok_or(Refusal::Untrusted("a private key is 32 bytes in hex"))
    };
    match kind {
        "hmac" => Key::hmac(secret.as_bytes()),
        "ed25519" => Ok(Key::ed25519(&*bytes()?)),
        "secp256k1" => Key::secp256k1(&*bytes()?),
        _ => Err(Refusal::Untrusted("keys are of kind hmac, ed25519 or secp256k1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn hmac_answers_as_rfc_4231_says() {
        // Test cases 1 to 4, 6 and 7; the fifth is about a truncated MAC, which no venue takes.
        let long = [0xaa; 131];
        let cases: [(&[u8], Vec<u8>, &str); 6] = [
            (b"Jefe", b"what do ya want for nothing?".to_vec(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (&[0x0b; 20], b"Hi There".to_vec(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (&[0xaa; 20], vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &hex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                vec![0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long,
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.".to_vec(),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (secret, message, expected) in cases {
            let key = Key::hmac(secret).unwrap();
            assert_eq!(key.sign_bytes_unchecked(&message).unwrap(), hex(expected));
            let prefix = key.prefix(&message[..5]).unwrap();
            let mut signature = Vec::new();
            key.sign_text(&message, Some((&prefix, 5)), false, &mut signature).unwrap();
            assert_eq!(signature, expected.as_bytes());
        }
        assert!(Key::hmac(b"").is_err());
    }

    #[test]
    fn ed25519_answers_as_rfc_8032_says() {
        // Section 7.1, tests 1 to 3.
        for (seed, message, expected) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let key = read("ed25519", seed).unwrap();
            assert_eq!(key.sign_bytes_unchecked(&hex(message)).unwrap(), hex(expected));
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = Key::hmac(b"a secret of the venue").unwrap();
        assert_eq!(format!("{key:?}"), "Key(hmac, ***)");
        assert!(matches!(read("ed25519", "12"), Err(Refusal::Untrusted(_))));
        assert!(matches!(read("rsa", "12"), Err(Refusal::Untrusted(_))));
        assert!(read("secp256k1", &"00".repeat(32)).is_err());
    }
}
