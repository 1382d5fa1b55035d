//! Signing with exactly t parties: nonce commitments, signature shares, and everyone holds the signature.

use std::collections::BTreeMap;

use frost_ed25519::round1::{self, SigningCommitments, SigningNonces};
use frost_ed25519::round2::{self, SignatureShare};
use frost_ed25519::{aggregate, SigningPackage};
use rand_core::OsRng;

use super::{by_identifier, fault, identifier, Share};
use crate::keys::digest;
use crate::machine::{broadcast, read_broadcast, write};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session};

enum State {
    New,
    Committed(Box<SigningNonces>),
    Shared(SigningPackage, SignatureShare),
}

/// One party's side of a signature.
pub struct Sign {
    share: Share,
    peers: Vec<u8>,
    message: Vec<u8>,
    state: Option<State>,
}

impl Sign {
    /// Returns a session that signs bytes this party has judged; the roster names exactly the t signers. `attempt` is
    /// never used twice for the same message and parties.
    ///
    /// # Errors
    /// The roster does not fit the share.
    pub fn session(share: &Share, roster: Roster, message: &[u8], attempt: &[u8]) -> Result<Session, Fault> {
        let parties = roster.parties();
        if roster.party != share.index()
            || parties.len() != usize::from(share.threshold())
            || parties.iter().any(|party| *party > share.parties())
        {
            return Err(Fault::local("the signers do not fit the share"));
        }
        // Parties that hold shares of different refreshes meet in different sessions, so that a signature share that
        // does not verify is its sender's fault and nobody else's.
        let package = write(share.package())?;
        let id = digest(
            "capstan-mpc/frost-sign/1",
            &[share.wallet().as_bytes(), &share.epoch().to_be_bytes(), &package, message, &parties, attempt],
        );
        let peers = roster.peers.keys().copied().collect();
        let machine = Self { share: share.clone(), peers, message: message.to_vec(), state: Some(State::New) };
        Session::new(id, roster, Box::new(machine))
    }

    fn commit(&mut self) -> Result<Progress, Fault> {
        let (nonces, commitments) = round1::commit(self.share.key().signing_share(), &mut OsRng);
        self.state = Some(State::Committed(Box::new(nonces)));
        Ok(broadcast(write(&commitments)?, &self.peers))
    }

    fn share_out(&mut self, nonces: &SigningNonces, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let mut commitments: BTreeMap<_, SigningCommitments> = by_identifier(read_broadcast(inbound)?)?;
        commitments.insert(identifier(self.share.index())?, *nonces.commitments());
        let package = SigningPackage::new(commitments, &self.message);
        let own = round2::sign(&package, nonces, self.share.key()).map_err(|error| fault(&error, &self.peers))?;
        let message = write(&own)?;
        self.state = Some(State::Shared(package, own));
        Ok(broadcast(message, &self.peers))
    }

    fn finish(
        &self,
        package: &SigningPackage,
        own: SignatureShare,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let mut shares = by_identifier(read_broadcast(inbound)?)?;
        shares.insert(identifier(self.share.index())?, own);
        // Verifies against the public key before it answers, and finds who is wrong if it does not.
        let signature =
            aggregate(package, &shares, self.share.package()).map_err(|error| fault(&error, &self.peers))?;
        let bytes = signature.serialize().map_err(|error| fault(&error, &self.peers))?;
        let bytes = bytes.try_into().map_err(|_| Fault::local("a signature has 64 bytes"))?;
        Ok(Progress::Done(Output::Ed25519Signature(bytes)))
    }
}

impl Machine for Sign {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.commit(),
            Some(State::Committed(nonces)) => self.share_out(&nonces, inbound),
            Some(State::Shared(package, own)) => self.finish(&package, own, inbound),
            None => Err(Fault::local("the signature was finished or given up")),
        }
    }
}
