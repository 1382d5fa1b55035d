//! Presignatures: all of a signature but its last exchange, made before anyone knows what will be signed.
//!
//! A run of the first three phases for a stand-in leaves, at each party, phi, u and w = H·phi + r·v, where H is the
//! stand-in and r the x of the nonce point R; over all parties they add up to phi, k·phi and H·phi + r·sk·phi. When the
//! digest h is known, everyone computes the same offset d = hash(R, key, h, …), moves the nonce to R' = R + d·G, and tells
//!
//! ```text
//! u' = u + d·phi        which adds up to (k + d)·phi
//! w' = h·phi + r'·v     which adds up to phi·(h + r'·sk),     v = (w - H·phi) / r
//! ```
//!
//! so that s = w'/u', as if the nonce had been k + d from the start. The offset makes the nonce depend on what is signed:
//! with r known before the message, ECDSA loses bits to whoever may choose messages and children (Groth and Shoup, "On
//! the security of ECDSA with additive key derivation and presignatures", ePrint 2021/1330).
//!
//! A presignature lives in memory only and is moved into the one signature it makes. Two signatures by one of them would
//! reveal the key, so there is no copy, no file and no backup of it: a party that dies has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::signing::Broadcast3to4;
use dkls23_secp256k1::Party;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::elliptic_curve::Group;
use k256::{FieldBytes, ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use crate::keys::{digest, public_bytes};
use crate::machine::{broadcast, confirmed, write};
use crate::nonce::{Nonce, Step, Summed};
use crate::sign::{check_signers, sign_data, LastRound};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

/// One party's part of a signature that lacks only what is signed. Not `Clone`; wiped when dropped.
pub struct Presignature {
    id: [u8; 32],
    parties: Vec<u8>,
    own: u8,
    party: Arc<Party>,
    point: ProjectivePoint,
    phi: Zeroizing<Scalar>,
    u: Zeroizing<Scalar>,
    v: Zeroizing<Scalar>,
}

/// One party's side of making one.
pub struct Presign {
    id: [u8; 32],
    parties: Vec<u8>,
    own: u8,
    nonce: Nonce,
    made: Option<(Box<Presignature>, [u8; 32])>,
}

impl Presign {
    /// Returns a session that makes a presignature for a share's key at a path; the roster names exactly the t signers.
    ///
    /// # Errors
    /// The path is not derivable, or the roster does not fit the share.
    pub fn session(share: &Share, roster: Roster, path: &str, attempt: &[u8]) -> Result<Session, Fault> {
        check_signers(share, &roster)?;
        let party = share.derive(path)?;
        let parties = roster.parties();
        let id = digest(
            "capstan-mpc/presign/1",
            &[share.wallet.as_bytes(), &share.epoch.to_be_bytes(), path.as_bytes(), &parties, attempt],
        );
        let data = sign_data(&id, &roster, id)?;
        let own = roster.party;
        let machine = Self { id, parties, own, nonce: Nonce::new(party, data), made: None };
        Session::new(id, roster, Box::new(machine))
    }

    /// Keeps what is needed to sign, and asks the others whether they have the same nonce point.
    fn confirm(&mut self, summed: &Summed) -> Result<Progress, Fault> {
        let r = scalar_of_x(&summed.point)?;
        let inverse = Option::<Scalar>::from(r.invert()).ok_or_else(|| Fault::local("the nonce's x is zero"))?;
        let stand_in = <Scalar as Reduce<FieldBytes>>::reduce(&self.id.into());
        let v = (summed.ours.w - stand_in * *summed.phi) * inverse;
        let mark = digest("capstan-mpc/presign-confirm/1", &[&self.id, &point_bytes(&summed.point)]);
        let made = Box::new(Presignature {
            id: self.id,
            parties: self.parties.clone(),
            own: self.own,
            party: self.nonce.party.clone(),
            point: summed.point,
            phi: summed.phi.clone(),
            u: Zeroizing::new(summed.ours.u),
            v: Zeroizing::new(v),
        });
        self.made = Some((made, mark));
        let peers: Vec<u8> = self.parties.iter().copied().filter(|party| *party != self.own).collect();
        Ok(broadcast(mark.to_vec(), &peers))
    }
}

impl Machine for Presign {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if let Some((made, mark)) = self.made.take() {
            return confirmed(Output::Presignature(made), mark, inbound);
        }
        match self.nonce.step(inbound)? {
            Step::Send(progress) => Ok(progress),
            Step::Summed(summed) => self.confirm(&summed),
        }
    }
}

impl Presignature {
    /// Returns what the presignature is called: the id of the session that made it.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Returns the session that uses it up for the digest of a pre-image which this party has parsed and judged itself.
    ///
    /// # Errors
    /// The roster is not that of the presignature.
    pub fn sign(self, roster: Roster, message: [u8; 32], attempt: &[u8]) -> Result<Session, Fault> {
        if roster.party != self.own || roster.parties() != self.parties {
            return Err(Fault::local("the presignature is of other signers"));
        }
        let id = digest("capstan-mpc/presigned/1", &[&self.id, &message, &self.parties, attempt]);
        let peers = roster.peers.keys().copied().collect();
        let ready = Some((self.turn(&message, sign_data(&id, &roster, message)?)?, peers));
        Session::new(id, roster, Box::new(Finish { ready, last: None }))
    }

    /// Moves the nonce by what is signed, and computes this party's terms.
    fn turn(
        self,
        message: &[u8; 32],
        data: dkls23_secp256k1::protocols::signing::SignData,
    ) -> Result<LastRound, Fault> {
        let public = public_bytes(&self.party.pk);
        let offset = digest(
            "capstan-mpc/presign-offset/1",
            &[&point_bytes(&self.point), &public, message, &self.id, &self.parties],
        );
        let offset = <Scalar as Reduce<FieldBytes>>::reduce(&offset.into());
        let point = self.point + ProjectivePoint::GENERATOR * offset;
        let r = scalar_of_x(&point)?;
        let h = <Scalar as Reduce<FieldBytes>>::reduce(&(*message).into());
        let ours = Broadcast3to4 { u: *self.u + offset * *self.phi, w: h * *self.phi + r * *self.v };
        let x_coord = point.to_affine().x().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(LastRound { party: self.party, data, x_coord, ours })
    }
}

/// One party's side of the last exchange.
struct Finish {
    ready: Option<(LastRound, Vec<u8>)>,
    last: Option<LastRound>,
}

impl Machine for Finish {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if let Some((last, peers)) = self.ready.take() {
            let message = write(&last.ours)?;
            self.last = Some(last);
            return Ok(broadcast(message, &peers));
        }
        self.last.take().ok_or_else(|| Fault::local("the signature was finished or given up"))?.finish(inbound)
    }
}

/// Returns r: the point's x, reduced by the order. The point must not be at infinity.
fn scalar_of_x(point: &ProjectivePoint) -> Result<Scalar, Fault> {
    if bool::from(point.is_identity()) {
        return Err(Fault::local("the nonce's point is at infinity"));
    }
    Ok(<Scalar as Reduce<FieldBytes>>::reduce(&point.to_affine().x()))
}

fn point_bytes(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_sec1_point(true).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use dkls23_secp256k1::protocols::re_key::re_key;
    use dkls23_secp256k1::protocols::Parameters;

    use super::*;
    use crate::keys::{address_bytes, index};
    use crate::Identity;

    fn roster(identities: &BTreeMap<u8, Identity>, own: u8) -> Roster {
        let peers =
            identities.iter().filter(|(party, _)| **party != own).map(|(party, key)| (*party, key.public_key()));
        Roster { identity: identities[&own].clone(), party: own, peers: peers.collect() }
    }

    fn run(sessions: &mut BTreeMap<u8, Session>) {
        let mut inboxes: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        while sessions.values().any(|session| !session.is_done()) {
            let mut outboxes: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
            for (party, session) in sessions.iter_mut() {
                for (to, envelope) in session.step(inboxes.get(party).map_or(&[][..], Vec::as_slice)).unwrap() {
                    outboxes.entry(to).or_default().push(envelope);
                }
            }
            inboxes = outboxes;
        }
    }

    impl Presignature {
        /// What must never be possible outside of this test.
        fn copy(&self) -> Self {
            Self {
                id: self.id,
                parties: self.parties.clone(),
                own: self.own,
                party: self.party.clone(),
                point: self.point,
                phi: self.phi.clone(),
                u: self.u.clone(),
                v: self.v.clone(),
            }
        }
    }

    #[test]
    fn the_nonce_depends_on_what_is_signed() {
        let parameters = Parameters::new(2, 2).unwrap();
        let secret = Scalar::from(7u64);
        let (parties, package) = re_key(&parameters, b"session", &secret, None, address_bytes);
        let identities: BTreeMap<u8, Identity> = (1..=2).map(|party| (party, Identity::generate().unwrap())).collect();
        let mut sessions: BTreeMap<u8, Session> = parties
            .into_iter()
            .map(|party| {
                let own = party.party_index.as_u8();
                assert_eq!(party.party_index, index(own).unwrap());
                let share = Share { wallet: "w".into(), epoch: 1, party: Arc::new(party), package: package.clone() };
                (own, Presign::session(&share, roster(&identities, own), "m", b"attempt").unwrap())
            })
            .collect();
        run(&mut sessions);
        let made: BTreeMap<u8, Box<Presignature>> = sessions
            .iter_mut()
            .map(|(party, session)| match session.take_output() {
                Some(Output::Presignature(made)) => (*party, made),
                _ => panic!("no presignature"),
            })
            .collect();
        let nonce = scalar_of_x(&made[&1].point).unwrap().to_bytes();
        let mut seen = vec![nonce.to_vec()];
        for message in [[1; 32], [2; 32]] {
            let mut signing: BTreeMap<u8, Session> = made
                .iter()
                .map(|(party, one)| (*party, one.copy().sign(roster(&identities, *party), message, b"a").unwrap()))
                .collect();
            run(&mut signing); // the library has verified the signature under the key
            let Some(Output::Signature(signature)) = signing.get_mut(&1).unwrap().take_output() else {
                panic!("no signature")
            };
            let r = signature[..32].to_vec();
            assert!(!seen.contains(&r));
            seen.push(r);
        }
    }

    #[test]
    fn other_signers_get_nothing() {
        let identities: BTreeMap<u8, Identity> = (1..=3).map(|party| (party, Identity::generate().unwrap())).collect();
        let parameters = Parameters::new(2, 2).unwrap();
        let (parties, _) = re_key(&parameters, b"session", &Scalar::from(7u64), None, address_bytes);
        let made = Presignature {
            id: [0; 32],
            parties: vec![1, 2],
            own: 1,
            party: Arc::new(parties.into_iter().next().unwrap()),
            point: ProjectivePoint::GENERATOR,
            phi: Zeroizing::new(Scalar::ONE),
            u: Zeroizing::new(Scalar::ONE),
            v: Zeroizing::new(Scalar::ONE),
        };
        assert!(made.sign(roster(&identities, 1), [1; 32], b"a").is_err());
    }
}
