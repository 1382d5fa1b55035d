//! Key generation without a dealer: commitments for everyone, a term for each, and a last round of confirmation.

use std::collections::BTreeMap;

use frost_ed25519::keys::dkg::{part1, part2, part3, round1, round2};
use frost_ed25519::Identifier;
use rand_core::OsRng;
use zeroize::Zeroizing;

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

/// One party's side of key generation.
pub struct Generate {
    wallet: String,
    threshold: u8,
    party: u8,
    peers: Vec<u8>,
    id: [u8; 32],
    state: Option<State>,
}

impl Generate {
    /// Returns a session that makes a new key, t of the roster's n parties. `attempt` is never used twice.
    ///
    /// # Errors
    /// The threshold is below 2 or above n, or the parties are not numbered 1 to n.
    pub fn session(wallet: &str, threshold: u8, roster: Roster, attempt: &[u8]) -> Result<Session, Fault> {
        let parties = roster.parties();
        if parties != (1..=parties.len() as u8).collect::<Vec<_>>() {
            return Err(Fault::local("the parties are not numbered 1 to n"));
        }
        if threshold < 2 || usize::from(threshold) > parties.len() {
            return Err(Fault::local("the threshold must be at least 2 and at most n"));
        }
        let id = digest("capstan-mpc/frost-generate/1", &[wallet.as_bytes(), &[threshold], &parties, attempt]);
        let machine = Self {
            wallet: wallet.to_owned(),
            threshold,
            party: roster.party,
            peers: roster.peers.keys().copied().collect(),
            id,
            state: Some(State::New),
        };
        Session::new(id, roster, Box::new(machine))
    }

    fn commit(&mut self) -> Result<Progress, Fault> {
        let count = self.peers.len() as u16 + 1;
        let (secret, package) = part1(identifier(self.party)?, count, u16::from(self.threshold), OsRng)
            .map_err(|error| fault(&error, &self.peers))?;
        self.state = Some(State::Committed(secret));
        Ok(broadcast(write(&package)?, &self.peers))
    }

    fn deal(&mut self, secret: round1::SecretPackage, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let packages = by_identifier(read_broadcast(inbound)?)?;
        let (secret, terms) = part2(secret, &packages).map_err(|error| fault(&error, &self.peers))?;
        let outbound = deal_terms(&self.peers, &terms)?;
        self.state = Some(State::Dealt(secret, packages));
        Ok(Progress::Send(outbound))
    }

    fn collect(
        &mut self,
        secret: &round2::SecretPackage,
        packages: &Packages,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let terms = by_identifier(read_direct(inbound)?)?;
        let (key, package) = part3(secret, packages, &terms).map_err(|error| fault(&error, &self.peers))?;
        let share = Box::new(Share::new(&self.wallet, 1, self.party, key, package)?);
        let mark = share.mark(&self.id)?;
        self.state = Some(State::Confirming(share, mark));
        Ok(broadcast(mark.to_vec(), &self.peers))
    }
}

impl Machine for Generate {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.commit(),
            Some(State::Committed(secret)) => self.deal(secret, inbound),
            Some(State::Dealt(secret, packages)) => self.collect(&secret, &packages, inbound),
            Some(State::Confirming(share, mark)) => confirmed(Output::Ed25519Share(share), mark, inbound),
            None => Err(Fault::local("key generation was finished or given up")),
        }
    }
}

pub(super) fn deal_terms(
    peers: &[u8],
    terms: &BTreeMap<Identifier, round2::Package>,
) -> Result<BTreeMap<u8, Message>, Fault> {
    let mut outbound = BTreeMap::new();
    for peer in peers {
        let term = terms.get(&identifier(*peer)?).ok_or_else(|| Fault::local("the library left out a peer"))?;
        let direct = Zeroizing::new(write(term)?);
        outbound.insert(*peer, Message { direct, ..Message::default() });
    }
    Ok(outbound)
}
