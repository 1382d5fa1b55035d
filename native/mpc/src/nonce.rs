//! The first three phases of a signature, which make its nonce and say nothing yet of what is signed.
//!
//! The library hashes `message_hash` into the names of its multiplications and, in the last lines of its third phase,
//! multiplies it by a mask to this party's term w. So the phases run for a stand-in as well as for a digest, and what
//! they leave - the mask phi, the terms u and v, the nonce point R - signs any digest once (`crate::presign`).

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::signing::{
    Broadcast3to4, KeepPhase1to2, KeepPhase2to3, SignData, TransmitPhase1to2, TransmitPhase2to3, UniqueKeep1to2,
    UniqueKeep2to3,
};
use dkls23_secp256k1::protocols::{PartiesMessage, PartyIndex};
use dkls23_secp256k1::Party;
use k256::{ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use crate::keys::Curve;
use crate::machine::{read_direct, write};
use crate::{Fault, Message, Progress};

enum State {
    New,
    Multiplied(UniqueKeep1to2<Curve>, BTreeMap<PartyIndex, KeepPhase1to2<Curve>>),
    Revealed(UniqueKeep2to3<Curve>, BTreeMap<PartyIndex, KeepPhase2to3<Curve>>),
}

/// What a step of the three gives.
pub(crate) enum Step {
    Send(Progress),
    Summed(Box<Summed>),
}

/// What the three leave at this party.
pub(crate) struct Summed {
    /// The nonce point's x as the library writes it.
    pub x_coord: String,
    /// The point itself, all parties' together.
    pub point: ProjectivePoint,
    /// This party's terms for `message_hash`.
    pub ours: Broadcast3to4<Curve>,
    /// This party's part of the mask. Whoever had all parts, and two uses of one nonce, had the key.
    pub phi: Zeroizing<Scalar>,
}

/// One party's side of the three.
pub(crate) struct Nonce {
    pub party: Arc<Party>,
    pub data: SignData,
    state: Option<State>,
}

impl Nonce {
    pub fn new(party: Arc<Party>, data: SignData) -> Self {
        Self { party, data, state: Some(State::New) }
    }

    pub fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Step, Fault> {
        match self.state.take() {
            Some(State::New) => self.begin().map(Step::Send),
            Some(State::Multiplied(unique, kept)) => self.reveal(unique, kept, inbound).map(Step::Send),
            Some(State::Revealed(unique, kept)) => self.sum(unique, kept, inbound).map(Step::Summed),
            None => Err(Fault::local("the nonce was finished or given up")),
        }
    }

    fn begin(&mut self) -> Result<Progress, Fault> {
        let (unique, kept, transmit) = self.party.sign_phase1(&self.data)?;
        self.state = Some(State::Multiplied(unique, kept));
        send_direct(transmit.iter().map(|item| (&item.parties, item)))
    }

    fn reveal(
        &mut self,
        unique: UniqueKeep1to2<Curve>,
        kept: BTreeMap<PartyIndex, KeepPhase1to2<Curve>>,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let received: BTreeMap<u8, TransmitPhase1to2> = read_direct(inbound)?;
        check_senders(received.iter().map(|(from, item)| (*from, &item.parties)))?;
        let received: Vec<_> = received.into_values().collect();
        let (unique, kept, transmit) = self.party.sign_phase2(&self.data, unique, kept, &received)?;
        self.state = Some(State::Revealed(unique, kept));
        send_direct(transmit.iter().map(|item| (&item.parties, item)))
    }

    fn sum(
        &mut self,
        unique: UniqueKeep2to3<Curve>,
        kept: BTreeMap<PartyIndex, KeepPhase2to3<Curve>>,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Box<Summed>, Fault> {
        let received: BTreeMap<u8, TransmitPhase2to3<Curve>> = read_direct(inbound)?;
        check_senders(received.iter().map(|(from, item)| (*from, &item.parties)))?;
        let received: Vec<_> = received.into_values().collect();
        let phi = Zeroizing::new(unique.inversion_mask);
        let point =
            received.iter().fold(ProjectivePoint::from(unique.instance_point), |sum, item| sum + item.instance_point);
        let (x_coord, ours) = self.party.sign_phase3(&self.data, unique, kept, &received)?;
        Ok(Box::new(Summed { x_coord, point, ours, phi }))
    }
}

/// Checks that what a message says of its sender is what its envelope proved.
pub(crate) fn check_senders<'a>(named: impl Iterator<Item = (u8, &'a PartiesMessage)>) -> Result<(), Fault> {
    for (from, parties) in named {
        if parties.sender.as_u8() != from {
            return Err(Fault::local(format!("party {from} spoke for another")));
        }
    }
    Ok(())
}

fn send_direct<'a, T: serde::Serialize + 'a>(
    items: impl Iterator<Item = (&'a PartiesMessage, &'a T)>,
) -> Result<Progress, Fault> {
    let mut outbound = BTreeMap::new();
    for (parties, item) in items {
        let direct = Zeroizing::new(write(item)?);
        let message = Message { direct, ..Message::default() };
        outbound.insert(parties.receiver.as_u8(), message);
    }
    Ok(Progress::Send(outbound))
}
