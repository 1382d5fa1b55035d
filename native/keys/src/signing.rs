use std::sync::OnceLock;

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey};
use zeroize::Zeroizing;

use crate::transaction::Envelope;

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are no private key of the curve.
    NotAKey,
    /// What was just signed does not recover to the key: a fault of the machine.
    NotRecovered,
    /// Not a transaction type that is signed here.
    UnknownType,
}

/// One private key. Boxed, so that moving it leaves no copy behind; wiped when dropped.
pub struct SigningKey {
    secret: Box<SecretKey>,
    public: PublicKey,
}

impl SigningKey {
    pub fn new(secret: &[u8; 32]) -> Result<Self, Fault> {
        let secret = Box::new(SecretKey::from_byte_array(*secret).map_err(|_| Fault::NotAKey)?);
        let public = PublicKey::from_secret_key(curve(), &secret);
        Ok(Self { secret, public })
    }

    /// Returns x and y of the public key.
    pub fn public_key(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(&self.public.serialize_uncompressed()[1..]);
        bytes
    }

    /// Returns the private key itself, for the one purpose of encrypting it.
    pub fn reveal(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.secret_bytes())
    }

    /// Signs 32 bytes that the caller has hashed from a payload it has read. Returns r, s (low) and the parity.
    pub fn sign_digest_unchecked(&self, digest: &[u8; 32]) -> Result<[u8; 65], Fault> {
        let message = Message::from_digest(*digest);
        let signature = curve().sign_ecdsa_recoverable(message, &self.secret);
        // Recovered rather than verified: it proves the parity as well, by which everybody else will find the signer.
        let is_ours =
            curve().recover_ecdsa(message, &signature).is_ok_and(|public| public.eq_fast_unstable(&self.public));
        let (recovery, compact) = signature.serialize_compact();
        // A parity above 1 says that r was reduced by the order (once in 2^127): no transaction can carry it.
        if !is_ours || i32::from(recovery) as u8 > 1 {
            return Err(Fault::NotRecovered);
        }
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = i32::from(recovery) as u8;
        Ok(bytes)
    }

    /// Signs a transaction whose own fields stand encoded and joined in `body`. Returns what is broadcast.
    pub fn sign_transaction(&self, envelope: Envelope, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let signature = self.sign_digest_unchecked(&envelope.digest(body))?;
        Ok(envelope.assemble(body, &signature))
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

/// Turns a device's raw r and s into what Ethereum takes: s made low, and the parity that recovers to the key.
pub fn complete(raw: &[u8; 64], digest: &[u8; 32], public_key: &[u8; 64]) -> Result<[u8; 65], Fault> {
    let mut signature = Signature::from_compact(raw).map_err(|_| Fault::NotRecovered)?;
    signature.normalize_s();
    let message = Message::from_digest(*digest);
    let compact = signature.serialize_compact();
    for recovery in [RecoveryId::Zero, RecoveryId::One] {
        let found = RecoverableSignature::from_compact(&compact, recovery)
            .and_then(|signature| curve().recover_ecdsa(message, &signature));
        if found.is_ok_and(|key| key.serialize_uncompressed()[1..] == public_key[..]) {
            let mut bytes = [0; 65];
            bytes[..64].copy_from_slice(&compact);
            bytes[64] = i32::from(recovery) as u8;
            return Ok(bytes);
        }
    }
    Err(Fault::NotRecovered)
}

/// The tables of the curve, blinded once per process against side channels.
fn curve() -> &'static Secp256k1<All> {
    static CURVE: OnceLock<Secp256k1<All>> = OnceLock::new();
    CURVE.get_or_init(|| {
        let (mut curve, mut seed) = (Secp256k1::new(), Zeroizing::new([0; 32]));
        if getrandom::fill(seed.as_mut()).is_ok() {
            curve.seeded_randomize(&seed);
        }
        curve
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_the_order_are_no_keys() {
        assert!(matches!(SigningKey::new(&[0; 32]), Err(Fault::NotAKey)));
        assert!(matches!(SigningKey::new(&secp256k1::constants::CURVE_ORDER), Err(Fault::NotAKey)));
    }

    #[test]
    fn a_devices_signature_is_completed_whichever_s_it_gave() {
        let (key, digest) = (SigningKey::new(&[7; 32]).unwrap(), [9; 32]);
        let signed = key.sign_digest_unchecked(&digest).unwrap();
        let mut raw: [u8; 64] = signed[..64].try_into().unwrap();
        assert_eq!(complete(&raw, &digest, &key.public_key()), Ok(signed));
        let low = SecretKey::from_byte_array(raw[32..].try_into().unwrap()).unwrap();
        raw[32..].copy_from_slice(&low.negate().secret_bytes());
        assert!(raw[32] >= 0x80);
        assert_eq!(complete(&raw, &digest, &key.public_key()), Ok(signed));
        assert_eq!(complete(&raw, &[8; 32], &key.public_key()), Err(Fault::NotRecovered));
        assert_eq!(complete(&[0xFF; 64], &digest, &key.public_key()), Err(Fault::NotRecovered));
    }

    #[test]
    fn signatures_recover_and_repeat() {
        let key = SigningKey::new(&[7; 32]).unwrap();
        for number in 0..64 {
            let first = key.sign_digest_unchecked(&[number; 32]).unwrap();
            assert_eq!(first, key.sign_digest_unchecked(&[number; 32]).unwrap());
            assert!(first[32] < 0x80, "s is low");
        }
    }
}
