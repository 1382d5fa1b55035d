//! Proactive refresh: all n parties get new shares of the same key, and the old ones fit nothing any more.
//!
//! The complete form, which also renews the oblivious-transfer state: what a failed check may have told, it told of a
//! state that is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::dkg::{
    KeepInitMulPhase3to4, KeepInitZeroSharePhase2to3, KeepInitZeroSharePhase3to4, ProofCommitment,
    TransmitInitZeroSharePhase2to4,
};
use dkls23_secp256k1::protocols::PartyIndex;
use k256::Scalar;
use zeroize::Zeroizing;

use crate::generate::{check_proof, collect_fragments, confirm, deal_fragments, pair_up, split_pairs};
use crate::keys::{digest, Curve};
use crate::machine::{confirmed, read, read_broadcast, read_direct, write};
use crate::nonce::check_senders;
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

struct Kept {
    correction: Zeroizing<Scalar>,
    proof: ProofCommitment<Curve>,
}

type ZeroKept = BTreeMap<PartyIndex, KeepInitZeroSharePhase2to3>;
type ZeroKeptLast = BTreeMap<PartyIndex, KeepInitZeroSharePhase3to4>;
type MulKept = BTreeMap<PartyIndex, KeepInitMulPhase3to4<Curve>>;

/// The third round: what this party keeps for the last one, and what the others committed to.
struct Opened {
    kept: Box<Kept>,
    zero_kept: ZeroKeptLast,
    mul_kept: MulKept,
    commitments: BTreeMap<u8, [u8; 32]>,
    zero: Vec<TransmitInitZeroSharePhase2to4>,
}

enum State {
    New,
    Dealt(Zeroizing<Vec<Scalar>>),
    Committed(Box<Kept>, ZeroKept),
    Opened(Box<Opened>),
    Confirming(Box<Share>, [u8; 32]),
}

/// One party's side of a refresh.
pub struct Refresh {
    share: Share,
    id: [u8; 32],
    peers: Vec<u8>,
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
        let id = digest(
            "capstan-mpc/refresh/1",
            &[share.wallet.as_bytes(), &share.epoch.to_be_bytes(), &share.public_key("m")?, attempt],
        );
        let machine =
            Self { share: share.clone(), id, peers: roster.peers.keys().copied().collect(), state: Some(State::New) };
        Session::new(id, roster, Box::new(machine))
    }

    fn deal(&mut self) -> Result<Progress, Fault> {
        let fragments = Zeroizing::new(self.share.party.refresh_complete_phase1());
        let outbound = deal_fragments(&self.peers, &fragments)?;
        self.state = Some(State::Dealt(fragments));
        Ok(Progress::Send(outbound))
    }

    fn commit(&mut self, own: &[Scalar], inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let fragments = collect_fragments(self.share.index(), own, inbound)?;
        let (correction, proof, zero_kept, zero) = self.share.party.refresh_complete_phase2(&self.id, &fragments);
        let mut outbound = BTreeMap::new();
        for item in &zero {
            let direct = Zeroizing::new(write(item)?);
            outbound.insert(item.parties.receiver.as_u8(), Message { broadcast: proof.commitment.to_vec(), direct });
        }
        let kept = Box::new(Kept { correction: Zeroizing::new(correction), proof });
        self.state = Some(State::Committed(kept, zero_kept));
        Ok(Progress::Send(outbound))
    }

    fn open(
        &mut self,
        kept: Box<Kept>,
        zero_kept: &ZeroKept,
        inbound: &BTreeMap<u8, Message>,
    ) -> Result<Progress, Fault> {
        let commitments = read_broadcast(inbound)?;
        let zero: BTreeMap<u8, TransmitInitZeroSharePhase2to4> = read_direct(inbound)?;
        check_senders(zero.iter().map(|(from, item)| (*from, &item.parties)))?;
        let (zero_kept, zero_sent, mul_kept, mul_sent) = self.share.party.refresh_complete_phase3(&self.id, zero_kept);
        let outbound = pair_up(&zero_sent, &mul_sent, &write(&kept.proof)?)?;
        self.state = Some(State::Opened(Box::new(Opened {
            kept,
            zero_kept,
            mul_kept,
            commitments,
            zero: zero.into_values().collect(),
        })));
        Ok(Progress::Send(outbound))
    }

    fn renew(&mut self, opened: &Opened, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let mut proofs = BTreeMap::from([(self.share.index(), opened.kept.proof.clone())]);
        for (from, message) in inbound {
            let proof: ProofCommitment<Curve> = read(&message.broadcast)?;
            check_proof(*from, &proof, &opened.commitments[from])?;
            proofs.insert(*from, proof);
        }
        let (zero, mul) = split_pairs(inbound)?;
        let proofs: Vec<_> = proofs.into_values().collect();
        let party = self.share.party.refresh_complete_phase4(
            &self.id,
            &opened.kept.correction,
            &proofs,
            &opened.zero_kept,
            &opened.zero,
            &zero,
            &opened.mul_kept,
            &mul,
        )?;
        let package =
            self.share.package.refresh(&self.id, &proofs).map_err(|reason| Fault::local(reason.to_string()))?;
        let share =
            Share { wallet: self.share.wallet.clone(), epoch: self.share.epoch + 1, party: Arc::new(party), package };
        let (progress, mark) = confirm(&share, &self.peers)?;
        self.state = Some(State::Confirming(Box::new(share), mark));
        Ok(progress)
    }
}

impl Machine for Refresh {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        match self.state.take() {
            Some(State::New) => self.deal(),
            Some(State::Dealt(own)) => self.commit(&own, inbound),
            Some(State::Committed(kept, zero)) => self.open(kept, &zero, inbound),
            Some(State::Opened(opened)) => self.renew(&opened, inbound),
            Some(State::Confirming(share, mark)) => confirmed(Output::Share(share), mark, inbound),
            None => Err(Fault::local("the refresh was finished or given up")),
        }
    }
}
