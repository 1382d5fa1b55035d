//! Key generation without a dealer: three exchanges and a last one in which everyone confirms the same key.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::dkg::{
    BroadcastDerivationPhase2to4, BroadcastDerivationPhase3to4, ProofCommitment, TransmitInitMulPhase3to4,
    TransmitInitZeroSharePhase2to4, TransmitInitZeroSharePhase3to4,
};
use dkls23_secp256k1::protocols::Parameters;
use dkls23_secp256k1::DkgSession;
use k256::Scalar;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::keys::{address_bytes, digest, index, public_bytes, Curve};
use crate::machine::{broadcast, confirmed, read_broadcast, read_direct, write};
use crate::nonce::check_senders;
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

/// What everyone hears in the second round; the proof itself follows in the third.
#[derive(Serialize, Deserialize)]
struct Committed {
    proof_commitment: [u8; 32],
    derivation: BroadcastDerivationPhase2to4,
}

#[derive(Serialize, Deserialize)]
struct Opened {
    proof: ProofCommitment<Curve>,
    derivation: BroadcastDerivationPhase3to4,
}

enum State {
    New,
    Dealt(Zeroizing<Vec<Scalar>>),
    Committed(Kept),
    Opened(Kept, Box<Received>),
    Confirming(Box<Share>, [u8; 32]),
}

/// This party's own broadcasts, which the last phase wants beside the others'.
struct Kept {
    proof: ProofCommitment<Curve>,
    derivation: BroadcastDerivationPhase2to4,
    opening: Option<BroadcastDerivationPhase3to4>,
}

/// The second round, as the others told it.
struct Received {
    commitments: BTreeMap<u8, Committed>,
    zero: Vec<TransmitInitZeroSharePhase2to4>,
}

/// One party's side of key generation.
pub struct Generate {
    wallet: String,
    peers: Vec<u8>,
    party: u8,
    dkg: Option<DkgSession<Curve>>,
    state: Option<State>,
}

impl Generate {
    /// Returns a session that makes a new key, t of the roster's n parties. `attempt` is never used twice.
    ///
    /// # Errors
    /// The threshold is below 2 or above n, or the parties are not numbered 1 to n.
    pub fn session(wallet: &str, threshold: u8, roster: Roster, attempt: &[u8]) -> Result<Session, Fault> {
        let parties = roster.parties();
        let count = parties.len() as u8;
        if parties != (1..=count).collect::<Vec<_>>() {
            return Err(Fault::local("the parties are not numbered 1 to n"));
        }
        let parameters = Parameters::new(threshold, count)
            .map_err(|_| Fault::local("the threshold must be at least 2 and at most n"))?;
        let id = digest("capstan-mpc/generate/1", &[wallet.as_bytes(), &[threshold], &parties, attempt]);
        let machine = Self {
            wallet: wallet.to_owned(),
            peers: roster.peers.keys().copied().collect(),
            party: roster.party,
            dkg: Some(DkgSession::new(parameters, index(roster.party)?, id.to_vec())),
            state: Some(State::New),
        };
        Session::new(id, roster, Box::new(machine))
    }

    fn dkg(&mut self) -> Result<&mut DkgSession<Curve>, Fault> {
        self.dkg.as_mut().ok_or_else(|| Fault::local("key generation was finished"))
    }

    fn deal(&mut self) -> Result<Progress, Fault> {
        let fragments = Zeroizing::new(self.dkg()?.phase1());
        let outbound = deal_fragments(&self.peers, &fragments)?;
        self.state = Some(State::Dealt(fragments));
        Ok(Progress::Send(outbound))
    }

    fn commit(&mut self, own: &[Scalar], inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let fragments = collect_fragments(self.party, own, inbound)?;
        let (proof, zero, derivation) = self.dkg()?.phase2(&fragments)?;
        let broadcast = write(&Committed { proof_commitment: proof.commitment, derivation: derivation.clone() })?;
        let mut outbound = BTreeMap::new();
        for item in &zero {
            let direct = Zeroizing::new(write(item)?);
            outbound.insert(item.parties.receiver.as_u8(), Message { broadcast: broadcast.clone(), direct });
        }
        self.state = Some(State::Committed(Kept { proof, derivation, opening: None }));
        Ok(Progress::Send(outbound))
    }

    fn open(&mut self, mut kept: Kept, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let commitments: BTreeMap<u8, Committed> = read_broadcast(inbound)?;
        let zero: BTreeMap<u8, TransmitInitZeroSharePhase2to4> = read_direct(inbound)?;
        check_senders(zero.iter().map(|(from, item)| (*from, &item.parties)))?;
        let received = Received { commitments, zero: zero.into_values().collect() };
        let (zero, mul, derivation) = self.dkg()?.phase3()?;
        let broadcast = write(&Opened { proof: kept.proof.clone(), derivation: derivation.clone() })?;
        kept.opening = Some(derivation);
        let outbound = pair_up(&zero, &mul, &broadcast)?;
        self.state = Some(State::Opened(kept, Box::new(received)));
        Ok(Progress::Send(outbound))
    }

    fn derive(&mut self, kept: Kept, received: Received, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let opened: BTreeMap<u8, Opened> = read_broadcast(inbound)?;
        let (zero, mul) = split_pairs(inbound)?;
        let own = index(self.party)?;
        let opening = kept.opening.ok_or_else(|| Fault::local("the derivation was never opened"))?;
        let mut proofs = BTreeMap::from([(self.party, kept.proof)]);
        let mut committed = BTreeMap::from([(own, kept.derivation)]);
        let mut derivations = BTreeMap::from([(own, opening)]);
        for (from, item) in opened {
            let before = &received.commitments[&from];
            check_proof(from, &item.proof, &before.proof_commitment)?;
            if before.derivation.sender_index.as_u8() != from || item.derivation.sender_index.as_u8() != from {
                return Err(Fault::local(format!("party {from} spoke for another")));
            }
            proofs.insert(from, item.proof);
            committed.insert(index(from)?, before.derivation.clone());
            derivations.insert(index(from)?, item.derivation);
        }
        let proofs: Vec<_> = proofs.into_values().collect();
        let dkg = self.dkg.take().ok_or_else(|| Fault::local("key generation was finished"))?;
        let (party, package) =
            dkg.phase4(&proofs, &received.zero, &zero, &mul, &committed, &derivations, address_bytes)?;
        let share = Share { wallet: self.wallet.clone(), epoch: 1, party: Arc::new(party), package };
        let (progress, mark) = confirm(&share, &self.peers)?;
        self.state = Some(State::Confirming(Box::new(share), mark));
        Ok(progress)
    }
}

impl Machine for Generate {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.deal(),
            Some(State::Dealt(own)) => self.commit(&own, inbound),
            Some(State::Committed(kept)) => self.open(kept, inbound),
            Some(State::Opened(kept, received)) => self.derive(kept, *received, inbound),
            Some(State::Confirming(share, mark)) => confirmed(Output::Share(share), mark, inbound),
            None => Err(Fault::local("key generation was finished or given up")),
        }
    }
}

pub(crate) fn deal_fragments(peers: &[u8], fragments: &[Scalar]) -> Result<BTreeMap<u8, Message>, Fault> {
    let mut outbound = BTreeMap::new();
    for peer in peers {
        let direct = Zeroizing::new(write(&fragments[usize::from(*peer) - 1])?);
        let message = Message { direct, ..Message::default() };
        outbound.insert(*peer, message);
    }
    Ok(outbound)
}

/// Returns every party's fragment for this one, in the order of the parties.
pub(crate) fn collect_fragments(
    party: u8,
    own: &[Scalar],
    inbound: &BTreeMap<u8, Message>,
) -> Result<Zeroizing<Vec<Scalar>>, Fault> {
    let mut fragments: BTreeMap<u8, Scalar> = read_direct(inbound)?;
    fragments.insert(party, own[usize::from(party) - 1]);
    let list = Zeroizing::new(fragments.values().copied().collect());
    fragments.values_mut().for_each(Zeroize::zeroize);
    Ok(list)
}

type Pairs = (Vec<TransmitInitZeroSharePhase3to4>, Vec<TransmitInitMulPhase3to4<Curve>>);

/// Puts the two secret messages for each peer into one.
pub(crate) fn pair_up(
    zero: &[TransmitInitZeroSharePhase3to4],
    mul: &[TransmitInitMulPhase3to4<Curve>],
    broadcast: &[u8],
) -> Result<BTreeMap<u8, Message>, Fault> {
    let mut outbound = BTreeMap::new();
    for first in zero {
        let second = mul
            .iter()
            .find(|item| item.parties.receiver == first.parties.receiver)
            .ok_or_else(|| Fault::local("the library left out a peer"))?;
        let direct = Zeroizing::new(write(&(first, second))?);
        let message = Message { broadcast: broadcast.to_vec(), direct };
        outbound.insert(first.parties.receiver.as_u8(), message);
    }
    Ok(outbound)
}

pub(crate) fn split_pairs(inbound: &BTreeMap<u8, Message>) -> Result<Pairs, Fault> {
    let pairs: BTreeMap<u8, (TransmitInitZeroSharePhase3to4, TransmitInitMulPhase3to4<Curve>)> = read_direct(inbound)?;
    check_senders(pairs.iter().map(|(from, pair)| (*from, &pair.0.parties)))?;
    check_senders(pairs.iter().map(|(from, pair)| (*from, &pair.1.parties)))?;
    Ok(pairs.into_values().unzip())
}

/// Checks that an opened proof is the one its party committed to a round earlier.
pub(crate) fn check_proof(from: u8, proof: &ProofCommitment<Curve>, committed: &[u8; 32]) -> Result<(), Fault> {
    if proof.index.as_u8() != from || proof.commitment != *committed {
        return Err(Fault::local(format!("party {from} opened another commitment than it made")));
    }
    Ok(())
}

/// Returns the last round: a hash of all that must be equal, so that nobody keeps a share the others do not match.
pub(crate) fn confirm(share: &Share, peers: &[u8]) -> Result<(Progress, [u8; 32]), Fault> {
    let mut fields = vec![
        share.wallet.as_bytes().to_vec(),
        share.epoch.to_be_bytes().to_vec(),
        public_bytes(&share.party.pk).to_vec(),
        share.chain_code().to_vec(),
        share.party.session_id.clone(),
    ];
    for party in 1..=share.parties() {
        let point = share
            .package
            .verifying_share(index(party)?)
            .ok_or_else(|| Fault::local("a party has no verifying share"))?;
        fields.push(public_bytes(point).to_vec());
    }
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let mark = digest("capstan-mpc/confirm/1", &fields);
    Ok((broadcast(mark.to_vec(), peers), mark))
}
