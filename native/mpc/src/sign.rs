//! Signing a digest with exactly t parties: three exchanges, then everyone holds the signature.

use std::collections::BTreeMap;

use dkls23_secp256k1::protocols::signing::{
    Broadcast3to4, KeepPhase1to2, KeepPhase2to3, SignData, TransmitPhase1to2, TransmitPhase2to3, UniqueKeep1to2,
    UniqueKeep2to3,
};
use dkls23_secp256k1::protocols::{PartiesMessage, PartyIndex};
use dkls23_secp256k1::Party;
use zeroize::Zeroizing;

use crate::keys::{digest, index, Curve};
use crate::machine::{read_broadcast, read_direct, write};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

/// What is signed, with whom, and in which attempt.
pub struct SignRequest<'a> {
    pub path: &'a str,
    /// The digest of a pre-image that this party has parsed and judged itself.
    pub digest: [u8; 32],
    /// The caller's choice, never used twice for the same digest and parties.
    pub attempt: &'a [u8],
}

enum State {
    New,
    Multiplied(UniqueKeep1to2<Curve>, BTreeMap<PartyIndex, KeepPhase1to2<Curve>>),
    Revealed(UniqueKeep2to3<Curve>, BTreeMap<PartyIndex, KeepPhase2to3<Curve>>),
    Summed(String, Broadcast3to4<Curve>),
}

/// One party's side of a signature.
pub struct Sign {
    party: Party,
    data: SignData,
    state: Option<State>,
}

impl Sign {
    /// Returns a session that signs for a share; the roster names exactly the t signers.
    ///
    /// # Errors
    /// The path is not derivable, or the roster does not fit the share.
    pub fn session(share: &Share, roster: Roster, request: &SignRequest<'_>) -> Result<Session, Fault> {
        let parties = roster.parties();
        if roster.party != share.index()
            || parties.len() != usize::from(share.threshold())
            || parties.iter().any(|party| *party > share.parties())
        {
            return Err(Fault::local("the signers do not fit the share"));
        }
        let party = share.derive(request.path)?;
        let id = digest(
            "capstan-mpc/sign/1",
            &[
                share.wallet.as_bytes(),
                &share.epoch.to_be_bytes(),
                request.path.as_bytes(),
                &request.digest,
                &parties,
                request.attempt,
            ],
        );
        let data = SignData {
            sign_id: id.to_vec(),
            counterparties: roster.peers.keys().map(|peer| index(*peer)).collect::<Result<_, _>>()?,
            message_hash: request.digest,
        };
        let machine = Self { party, data, state: Some(State::New) };
        Session::new(id, roster, Box::new(machine))
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
    ) -> Result<Progress, Fault> {
        let received: BTreeMap<u8, TransmitPhase2to3<Curve>> = read_direct(inbound)?;
        check_senders(received.iter().map(|(from, item)| (*from, &item.parties)))?;
        let received: Vec<_> = received.into_values().collect();
        let (x_coord, ours) = self.party.sign_phase3(&self.data, unique, kept, &received)?;
        let message = Message { broadcast: write(&ours)?, ..Message::default() };
        self.state = Some(State::Summed(x_coord, ours));
        Ok(Progress::Send(inbound.keys().map(|peer| (*peer, message.clone())).collect()))
    }

    fn finish(
        &self,
        x_coord: &str,
        ours: Broadcast3to4<Curve>,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let mut sums: Vec<Broadcast3to4<Curve>> = read_broadcast(inbound)?.into_values().collect();
        sums.push(ours);
        // Verifies against the public key before it answers.
        let (s, recovery) = self.party.sign_phase4(&self.data, x_coord, &sums, true)?;
        if recovery > 1 {
            // r was reduced by the order (one in 2^128): Ethereum cannot express it.
            return Err(Fault::local("the signature has no y parity"));
        }
        let mut signature = [0; 65];
        from_hex(x_coord, &mut signature[..32])?;
        from_hex(&s, &mut signature[32..64])?;
        signature[64] = recovery;
        Ok(Progress::Done(Output::Signature(signature)))
    }
}

impl Machine for Sign {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.begin(),
            Some(State::Multiplied(unique, kept)) => self.reveal(unique, kept, inbound),
            Some(State::Revealed(unique, kept)) => self.sum(unique, kept, inbound),
            Some(State::Summed(x_coord, ours)) => self.finish(&x_coord, ours, inbound),
            None => Err(Fault::local("the signature was finished or given up")),
        }
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

fn from_hex(text: &str, into: &mut [u8]) -> Result<(), Fault> {
    let wrong = || Fault::local("the library wrote a number in a way we cannot read");
    if text.len() != into.len() * 2 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, at) in into.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(())
}
