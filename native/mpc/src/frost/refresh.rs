//! Proactive refresh: all n parties add shares of nothing to their own. The key stays, the old shares fit no new one.

use std::collections::BTreeMap;

use frost_ed25519::keys::dkg::{round1, round2};
use frost_ed25519::keys::refresh::{refresh_dkg_part1, refresh_dkg_part2, refresh_dkg_shares};
use frost_ed25519::Identifier;
use rand_core::OsRng;

use super::generate::deal_terms;
use super::{by_identifier, fault, identifier, Share};
use crate::keys::digest;
use crate::machine::{broadcast, confirmed, read_broadcast, read_direct, write};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session};

type Packages = BTreeMap<Identifier, round1::Package>;

enum State {
    New,
    Committed(round1::SecretPackage),
    Dealt(round2::SecretPackage, Packages),
    Confirming(Box<Share>, [u8; 32]),
}

/// One party's side of a refresh.
pub struct Refresh {
    share: Share,
    peers: Vec<u8>,
    id: [u8; 32],
    state: Option<State>,
}

impl Refresh {
    /// Returns a session that leads to the next epoch; the roster names all n parties.
    ///
    /// # Errors
    /// The roster does not fit the share.
    pub fn session(share: &Share, roster: Roster, attempt: &[u8]) -> Result<Session, Fault> {
        let parties = roster.parties();
        if roster.party != share.index() || parties != (1..=share.parties()).collect::<Vec<_>>() {
            return Err(Fault::local("a refresh needs every party of the key"));
        }
        let fields = [share.wallet().as_bytes(), &share.epoch().to_be_bytes(), &share.public_key()?, attempt];
        let id = digest("capstan-mpc/frost-refresh/1", &fields);
        let peers = roster.peers.keys().copied().collect();
        let machine = Self { share: share.clone(), peers, id, state: Some(State::New) };
        Session::new(id, roster, Box::new(machine))
    }

    fn commit(&mut self) -> Result<Progress, Fault> {
        let (count, threshold) = (u16::from(self.share.parties()), u16::from(self.share.threshold()));
        let (secret, package) = refresh_dkg_part1(identifier(self.share.index())?, count, threshold, OsRng)
            .map_err(|error| fault(&error, &self.peers))?;
        self.state = Some(State::Committed(secret));
        Ok(broadcast(write(&package)?, &self.peers))
    }

    fn deal(&mut self, secret: round1::SecretPackage, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let packages = by_identifier(read_broadcast(inbound)?)?;
        let (secret, terms) = refresh_dkg_part2(secret, &packages).map_err(|error| fault(&error, &self.peers))?;
        let outbound = deal_terms(&self.peers, &terms)?;
        self.state = Some(State::Dealt(secret, packages));
        Ok(Progress::Send(outbound))
    }

    fn renew(
        &mut self,
        secret: &round2::SecretPackage,
        packages: &Packages,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let terms = by_identifier(read_direct(inbound)?)?;
        let (package, key) = (self.share.package().clone(), self.share.key().clone());
        let (key, package) =
            refresh_dkg_shares(secret, packages, &terms, package, key).map_err(|error| fault(&error, &self.peers))?;
        if key.verifying_key() != self.share.key().verifying_key() {
            return Err(Fault::local("the refresh changed the key"));
        }
        let next = self.share.epoch() + 1;
        let share = Box::new(Share::new(self.share.wallet(), next, self.share.index(), key, package)?);
        let mark = share.mark(&self.id)?;
        self.state = Some(State::Confirming(share, mark));
        Ok(broadcast(mark.to_vec(), &self.peers))
    }
}

impl Machine for Refresh {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.commit(),
            Some(State::Committed(secret)) => self.deal(secret, inbound),
            Some(State::Dealt(secret, packages)) => self.renew(&secret, &packages, inbound),
            Some(State::Confirming(share, mark)) => confirmed(Output::Ed25519Share(share), mark, inbound),
            None => Err(Fault::local("the refresh was finished or given up")),
        }
    }
}
