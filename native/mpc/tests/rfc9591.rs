//! The test vectors of RFC 9591, appendix E.1 (FROST(Ed25519, SHA-512)), through the library that our machines call.
//!
//! <https://www.rfc-editor.org/rfc/rfc9591.html#appendix-E.1>: 2 of 3 participants, numbers 1 and 3, sign "test".

use std::collections::BTreeMap;

use frost_core::round1::Nonce;
use frost_ed25519::keys::{KeyPackage, PublicKeyPackage, SecretShare, SigningShare, VerifiableSecretSharingCommitment};
use frost_ed25519::round1::SigningNonces;
use frost_ed25519::{round2, Ciphersuite, Ed25519Sha512, Field, Identifier, SigningKey, SigningPackage, VerifyingKey};

const GROUP_SECRET_KEY: &str = "7b1c33d3f5291d85de664833beb1ad469f7fb6025a0ec78b3a790c6e13a98304";
const GROUP_PUBLIC_KEY: &str = "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673";
const MESSAGE: &str = "74657374";
const COEFFICIENT: &str = "178199860edd8c62f5212ee91eff1295d0d670ab4ed4506866bae57e7030b204";
const SHARES: [(u16, &str); 3] = [
    (1, "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509"),
    (2, "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d"),
    (3, "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02"),
];

struct Signer {
    number: u16,
    hiding_randomness: &'static str,
    binding_randomness: &'static str,
    hiding_nonce: &'static str,
    binding_nonce: &'static str,
    hiding_commitment: &'static str,
    binding_commitment: &'static str,
    binding_factor_input: &'static str,
    binding_factor: &'static str,
    sig_share: &'static str,
}

const SIGNERS: [Signer; 2] = [
    Signer {
        number: 1,
        hiding_randomness: "06894e04ee4aceec8619d5f6a0a180e2f47194d2ac306cba586b555e7c48d765",
        binding_randomness: "40d6f879ff22e22409f7d808fed81f37118e7d3e4af71c0f44c60207553bcbce",
        hiding_nonce: "ef6599dea4010581a72b3018c37c29a4341d7cab0773e8687ca74dcf14009701",
        binding_nonce: "2baadfa0c69aa60d517ad4751de372a73f9d89cfc39026601f18458cdec12605",
        hiding_commitment: "9b116f12589591a7e23fe8048059ab10ab48e67739e7a2fb3890f61a7999478c",
        binding_commitment: "c39b66b7dfccb122da24f13587f9a08c4347cae70046ca15169adf90ba65854d",
        binding_factor_input: concat!(
            "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673504df914fa965023fb75c25d",
            "ed4bb260f417de6d32e5c442c6ba313791cc9a4948d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe",
            "07729a193751cbc93df7739fd1223d8697dfc21b1679435bafda1f92815944f28d2faf21ded33ae94a161000",
            "90ae7d83555c9b2d961e3d5d1b62828e8cb58a88a73cda404f8f725a01000000000000000000000000000000",
            "00000000000000000000000000000000",
        ),
        binding_factor: "ff960a65374e216a0918729b153466016664fa980d409bc3f308daa7acb30d0d",
        sig_share: "60997f0142e43e8005027fe5ab7447dac00d22c2d7ddd9571a02613ba7d81c08",
    },
    Signer {
        number: 3,
        hiding_randomness: "fa5d950626782aade9e33fa781376d4888c2d1de7c37518bc248eb818ed0cdde",
        binding_randomness: "7459a4d14ded0e365b085271be8dc6600d5b88f3978a2174297ffa32001a5afc",
        hiding_nonce: "80f8d9a4b8f9366e1a0b618107c907cd3ee29fa9bb40b4691cc1bde696240005",
        binding_nonce: "2610b664a5a187b4855e87d2ff485bebdf043dc2f161fcd4854cd01dc0276404",
        hiding_commitment: "e679a2a971748ccfaabead4dbe8ac1def61275c186c79d471e1e45091ad1e687",
        binding_commitment: "b2a942478453fabb6bd3181c56ba657413447b4136e1daea2484d396d1a516b3",
        binding_factor_input: concat!(
            "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673504df914fa965023fb75c25d",
            "ed4bb260f417de6d32e5c442c6ba313791cc9a4948d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe",
            "07729a193751cbc93df7739fd1223d8697dfc21b1679435bafda1f92815944f28d2faf21ded33ae94a161000",
            "90ae7d83555c9b2d961e3d5d1b62828e8cb58a88a73cda404f8f725a03000000000000000000000000000000",
            "00000000000000000000000000000000",
        ),
        binding_factor: "279d48ec56f16d234c09ea62f3d02ab776ee38e03f66b20f939f1316e13df10f",
        sig_share: "79390e78bc59699c7af831f8f5fb478ec871a85f561a8641b5670ac4443f720f",
    },
];
const SIGNATURE: &str = concat!(
    "154fb694ee7fcb37bf2381d94488c2a84b03b3352ad085feca81ad26d45852b7",
    "ecfe971ce4da95c4a95db93ac376b053897fca212ef85f99cf696bffeb178f07",
);

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identifier(number: u16) -> Identifier {
    number.try_into().unwrap()
}

/// The key package of a participant, checked against the dealer's commitment to the polynomial.
fn key_package(number: u16, share: &str) -> KeyPackage {
    let committed = [GROUP_SECRET_KEY, COEFFICIENT]
        .map(|secret| VerifyingKey::from(SigningKey::deserialize(&bytes(secret)).unwrap()).serialize().unwrap());
    let commitment = VerifiableSecretSharingCommitment::deserialize(committed).unwrap();
    let share = SigningShare::deserialize(&bytes(share)).unwrap();
    KeyPackage::try_from(SecretShare::new(identifier(number), share, commitment)).unwrap()
}

fn nonce(randomness: &str, share: &str) -> String {
    let input = [bytes(randomness), bytes(share)].concat();
    hex(&<frost_ed25519::Ed25519ScalarField as Field>::serialize(&Ed25519Sha512::H3(&input)))
}

#[test]
fn shares_nonces_signature_shares_and_the_signature_are_those_of_the_rfc() {
    let keys: BTreeMap<u16, KeyPackage> =
        SHARES.iter().map(|(number, share)| (*number, key_package(*number, share))).collect();
    let verifying_shares = keys.iter().map(|(number, key)| (identifier(*number), *key.verifying_share())).collect();
    let public = PublicKeyPackage::new(verifying_shares, *keys[&1].verifying_key(), Some(2));
    assert_eq!(hex(&public.verifying_key().serialize().unwrap()), GROUP_PUBLIC_KEY);

    let mut nonces = BTreeMap::new();
    for signer in &SIGNERS {
        let share = SHARES[usize::from(signer.number) - 1].1;
        assert_eq!(nonce(signer.hiding_randomness, share), signer.hiding_nonce);
        assert_eq!(nonce(signer.binding_randomness, share), signer.binding_nonce);
        let (hiding, binding) = (bytes(signer.hiding_nonce), bytes(signer.binding_nonce));
        let pair =
            SigningNonces::from_nonces(Nonce::deserialize(&hiding).unwrap(), Nonce::deserialize(&binding).unwrap());
        assert_eq!(hex(&pair.commitments().hiding().serialize().unwrap()), signer.hiding_commitment);
        assert_eq!(hex(&pair.commitments().binding().serialize().unwrap()), signer.binding_commitment);
        nonces.insert(identifier(signer.number), pair);
    }

    let commitments = nonces.iter().map(|(who, pair)| (*who, *pair.commitments())).collect();
    let package = SigningPackage::new(commitments, &bytes(MESSAGE));
    let inputs = package.binding_factor_preimages(public.verifying_key(), &[]).unwrap();
    let mut shares = BTreeMap::new();
    for (signer, (who, input)) in SIGNERS.iter().zip(&inputs) {
        assert_eq!((*who, hex(input).as_str()), (identifier(signer.number), signer.binding_factor_input));
        let factor = Ed25519Sha512::H1(input);
        assert_eq!(hex(&<frost_ed25519::Ed25519ScalarField as Field>::serialize(&factor)), signer.binding_factor);
        let share = round2::sign(&package, &nonces[who], &keys[&signer.number]).unwrap();
        assert_eq!(hex(&share.serialize()), signer.sig_share);
        shares.insert(*who, share);
    }
    let signature = frost_ed25519::aggregate(&package, &shares, &public).unwrap();
    assert_eq!(hex(&signature.serialize().unwrap()), SIGNATURE);
}
