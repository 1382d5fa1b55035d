//! Signing a digest with exactly t parties: three exchanges, then everyone holds the signature.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23_secp256k1::protocols::signing::{Broadcast3to4, SignData};
use dkls23_secp256k1::Party;

use crate::keys::{digest, index, Curve};
use crate::machine::{broadcast, read_broadcast, write};
use crate::nonce::{Nonce, Step};
use crate::{Fault, Machine, Message, Output, Progress, Roster, Session, Share};

/// What is signed, with whom, and in which attempt.
pub struct SignRequest<'a> {
    pub path: &'a str,
    /// The digest of a pre-image that this party has parsed and judged itself.
    pub digest: [u8; 32],
    /// The caller's choice, never used twice for the same digest and parties.
    pub attempt: &'a [u8],
}

/// One party's side of a signature.
pub struct Sign {
    peers: Vec<u8>,
    nonce: Nonce,
    last: Option<LastRound>,
}

impl Sign {
    /// Returns a session that signs for a share; the roster names exactly the t signers.
    ///
    /// # Errors
    /// The path is not derivable, or the roster does not fit the share.
    pub fn session(share: &Share, roster: Roster, request: &SignRequest<'_>) -> Result<Session, Fault> {
        check_signers(share, &roster)?;
        let party = share.derive(request.path)?;
        let id = digest(
            "capstan-mpc/sign/1",
            &[
                share.wallet.as_bytes(),
                &share.epoch.to_be_bytes(),
                request.path.as_bytes(),
                &request.digest,
                &roster.parties(),
                request.attempt,
            ],
        );
        let data = sign_data(&id, &roster, request.digest)?;
        let peers = roster.peers.keys().copied().collect();
        let machine = Self { peers, nonce: Nonce::new(party, data), last: None };
        Session::new(id, roster, Box::new(machine))
    }
}

impl Machine for Sign {
    fn step(&mut self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        if let Some(last) = self.last.take() {
            return last.finish(inbound);
        }
        match self.nonce.step(inbound)? {
            Step::Send(progress) => Ok(progress),
            Step::Summed(summed) => {
                let message = write(&summed.ours)?;
                self.last = Some(LastRound {
                    party: self.nonce.party.clone(),
                    data: self.nonce.data.clone(),
                    x_coord: summed.x_coord.clone(),
                    ours: summed.ours.clone(),
                });
                Ok(broadcast(message, &self.peers))
            }
        }
    }
}

/// This party has told its terms and waits for the others'.
pub(crate) struct LastRound {
    pub party: Arc<Party>,
    pub data: SignData,
    pub x_coord: String,
    pub ours: Broadcast3to4<Curve>,
}

impl LastRound {
    /// Adds up everyone's terms.
    pub fn finish(self, inbound: &BTreeMap<u8, Message>) -> Result<Progress, Fault> {
        let mut sums: Vec<Broadcast3to4<Curve>> = read_broadcast(inbound)?.into_values().collect();
        sums.push(self.ours);
        // Verifies against the public key before it answers.
        let (s, recovery) = self.party.sign_phase4(&self.data, &self.x_coord, &sums, true)?;
        if recovery > 1 {
            // r was reduced by the order (one in 2^128): Ethereum cannot express it.
            return Err(Fault::local("the signature has no y parity"));
        }
        let mut signature = [0; 65];
        from_hex(&self.x_coord, &mut signature[..32])?;
        from_hex(&s, &mut signature[32..64])?;
        signature[64] = recovery;
        Ok(Progress::Done(Output::Signature(signature)))
    }
}

/// Checks that a roster names exactly the t signers, this share's party among them.
pub(crate) fn check_signers(share: &Share, roster: &Roster) -> Result<(), Fault> {
    let parties = roster.parties();
    if roster.party != share.index()
        || parties.len() != usize::from(share.threshold())
        || parties.iter().any(|party| *party > share.parties())
    {
        return Err(Fault::local("the signers do not fit the share"));
    }
    Ok(())
}

pub(crate) fn sign_data(id: &[u8; 32], roster: &Roster, message_hash: [u8; 32]) -> Result<SignData, Fault> {
    Ok(SignData {
        sign_id: id.to_vec(),
        counterparties: roster.peers.keys().map(|peer| index(*peer)).collect::<Result<_, _>>()?,
        message_hash,
    })
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
