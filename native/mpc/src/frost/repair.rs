//! Repair: t helpers split what they know of a lost share among themselves, and each sends the target one sum.
//!
//! No helper learns the share, and the target learns nothing of a helper's. What it gets is a share like the lost one:
//! a refresh by all parties has to follow, after which neither that one nor a stolen copy fits anything.

use std::collections::BTreeMap;

use frost_ed25519::keys::repairable::{repair_share_part1, repair_share_part2, repair_share_part3, Delta, Sigma};
use frost_ed25519::keys::PublicKeyPackage;
use frost_ed25519::{Ed25519Sha512, Identifier};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::{fault, identifier, Share};
use crate::keys::digest;
use crate::machine::{read, write};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session};

enum State {
    New,
    Split(Option<Delta>),
    Summed,
}

/// One party's side of a repair: a helper, who has the share it helps from, or the target, who has none.
pub struct Repair {
    share: Option<Share>,
    wallet: String,
    epoch: u32,
    party: u8,
    target: u8,
    peers: Vec<u8>,
    helpers: Vec<u8>,
    state: Option<State>,
}

impl Repair {
    /// Returns a session in which the roster's other parties help `target`. Helpers give their share, the target none.
    ///
    /// # Errors
    /// The roles, the share and the roster do not fit one another.
    pub fn session(
        share: Option<&Share>,
        roster: Roster,
        wallet: &str,
        epoch: u32,
        target: u8,
        attempt: &[u8],
    ) -> Result<Session, Fault> {
        let parties = roster.parties();
        let fits = share
            .is_none_or(|share| share.wallet() == wallet && share.epoch() == epoch && share.index() == roster.party);
        if !fits || share.is_none() != (roster.party == target) || !parties.contains(&target) {
            return Err(Fault::local("a repair has one target without a share, and helpers with theirs"));
        }
        let fields = [wallet.as_bytes(), &epoch.to_be_bytes(), &[target], &parties, attempt];
        let id = digest("capstan-mpc/frost-repair/1", &fields);
        let machine = Self {
            share: share.cloned(),
            wallet: wallet.to_owned(),
            epoch,
            party: roster.party,
            target,
            peers: roster.peers.keys().copied().collect(),
            helpers: parties.into_iter().filter(|party| *party != target).collect(),
            state: Some(State::New),
        };
        Session::new(id, roster, Box::new(machine))
    }

    fn split(&mut self) -> Result<Progress, Fault> {
        let mut outbound: BTreeMap<u8, Message> = self.peers.iter().map(|peer| (*peer, Message::default())).collect();
        let mut own = None;
        if let Some(share) = &self.share {
            let helpers = self.helpers.iter().map(|helper| identifier(*helper)).collect::<Result<Vec<_>, _>>()?;
            let target = identifier(self.target)?;
            let deltas: BTreeMap<Identifier, Delta> =
                repair_share_part1::<Ed25519Sha512, _>(&helpers, share.key(), &mut OsRng, target)
                    .map_err(|error| fault(&error, &self.peers))?;
            for helper in &self.helpers {
                let delta = deltas.get(&identifier(*helper)?).ok_or_else(|| Fault::local("a helper was left out"))?;
                if *helper == self.party {
                    own = Some(*delta);
                } else {
                    let direct = Zeroizing::new(write(delta)?);
                    outbound.insert(*helper, Message { direct, ..Message::default() });
                }
            }
        }
        self.state = Some(State::Split(own));
        Ok(Progress::Send(outbound))
    }

    fn sum(&mut self, own: Option<Delta>, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let mut outbound: BTreeMap<u8, Message> = self.peers.iter().map(|peer| (*peer, Message::default())).collect();
        if let (Some(share), Some(own)) = (&self.share, own) {
            let mut parts = vec![own];
            for (_, message) in inbound.iter().filter(|(from, _)| **from != self.target) {
                parts.push(read(&message.direct)?);
            }
            let sigma = repair_share_part2(&parts);
            let direct = Zeroizing::new(write(&(&sigma, share.package()))?);
            outbound.insert(self.target, Message { direct, ..Message::default() });
        }
        self.state = Some(State::Summed);
        Ok(Progress::Send(outbound))
    }

    fn assemble(&self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if self.share.is_some() {
            return Ok(Progress::Done(Output::Nothing));
        }
        let mut sums = Vec::new();
        let mut agreed: Option<PublicKeyPackage> = None;
        for message in inbound.values() {
            let (sigma, package): (Sigma, PublicKeyPackage) = read(&message.direct)?;
            sums.push(sigma);
            if agreed.get_or_insert_with(|| package.clone()) != &package {
                return Err(Fault::local("the helpers do not agree on the key"));
            }
        }
        let package = agreed.ok_or_else(|| Fault::local("nobody helps"))?;
        let key =
            repair_share_part3(&sums, identifier(self.party)?, &package).map_err(|error| fault(&error, &self.peers))?;
        // Sums that are wrong give a share that does not fit the public side the helpers agree on.
        let share = Share::new(&self.wallet, self.epoch, self.party, key, package)?;
        Ok(Progress::Done(Output::Ed25519Share(Box::new(share))))
    }
}

impl Machine for Repair {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.split(),
            Some(State::Split(own)) => self.sum(own, inbound),
            Some(State::Summed) => self.assemble(inbound),
            None => Err(Fault::local("the repair was finished or given up")),
        }
    }
}
