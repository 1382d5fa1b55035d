//! Repair: t helpers rebuild a lost party's share without any of them learning it.
//!
//! Each helper sends the target one masked term, sealed to the envelope key that the committee has pinned for it, so
//! that nobody else can take the share. What the target gets cannot sign yet: a complete refresh by all parties has to
//! follow, and makes the lost share worthless wherever it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::repair::{repair_assemble, RepairTerm};
use dkls23_secp256k1::{Party, PublicKeyPackage};
use zeroize::Zeroizing;

use crate::keys::{address_bytes, digest, index, Curve};
use crate::machine::{read, write};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

/// One party's side of a repair: a helper, who has the share it helps from, or the target, who has none.
pub struct Repair {
    share: Option<Share>,
    wallet: String,
    epoch: u32,
    party: u8,
    target: u8,
    parties: Vec<u8>,
    id: [u8; 32],
    has_begun: bool,
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
        let fits =
            share.is_none_or(|share| share.wallet == wallet && share.epoch == epoch && share.index() == roster.party);
        if !fits || share.is_none() != (roster.party == target) || !parties.contains(&target) {
            return Err(Fault::local("a repair has one target without a share, and helpers with theirs"));
        }
        let id =
            digest("capstan-mpc/repair/1", &[wallet.as_bytes(), &epoch.to_be_bytes(), &[target], &parties, attempt]);
        let machine = Self {
            share: share.cloned(),
            wallet: wallet.to_owned(),
            epoch,
            party: roster.party,
            target,
            parties,
            id,
            has_begun: false,
        };
        Session::new(id, roster, Box::new(machine))
    }

    fn help(&self) -> Result<Progress, Fault> {
        let mut outbound: BTreeMap<u8, Message> = self
            .parties
            .iter()
            .filter(|party| **party != self.party)
            .map(|party| (*party, Message::default()))
            .collect();
        if let Some(share) = &self.share {
            let helpers = self
                .parties
                .iter()
                .filter(|party| **party != self.target)
                .map(|party| index(*party))
                .collect::<Result<Vec<_>, _>>()?;
            let term = share
                .party
                .repair_term(&helpers, index(self.target)?, &self.id)
                .map_err(|error| Fault::local(error.to_string()))?;
            let direct = Zeroizing::new(write(&(&term, &share.package))?);
            outbound.insert(self.target, Message { direct, ..Message::default() });
        }
        Ok(Progress::Send(outbound))
    }

    fn assemble(&self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if self.share.is_some() {
            return Ok(Progress::Done(Output::Nothing));
        }
        let mut terms: Vec<RepairTerm<Curve>> = Vec::new();
        let mut packages: Vec<Vec<u8>> = Vec::new();
        for (from, message) in inbound {
            let (term, package): (RepairTerm<Curve>, PublicKeyPackage) = read(&message.direct)?;
            if term.helper.as_u8() != *from {
                return Err(Fault::local(format!("party {from} spoke for another")));
            }
            packages.push(write(&package)?);
            terms.push(term);
        }
        if packages.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Fault::local("the helpers do not agree on the key"));
        }
        let package: PublicKeyPackage = read(packages.first().ok_or_else(|| Fault::local("nobody helps"))?)?;
        let party: Party = repair_assemble(&package, index(self.party)?, &terms, address_bytes)
            .map_err(|error| Fault::local(error.to_string()))?;
        Ok(Progress::Done(Output::Share(Box::new(Share {
            wallet: self.wallet.clone(),
            epoch: self.epoch,
            party: Arc::new(party),
            package,
        }))))
    }
}

impl Machine for Repair {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if self.has_begun {
            return self.assemble(inbound);
        }
        self.has_begun = true;
        self.help()
    }
}
