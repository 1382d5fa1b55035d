//! A machine behind envelopes: one session, its rounds counted, its senders known, its broadcasts compared.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::envelope::Header;
use crate::keys::digest;
use crate::machine::{read, write};
use crate::{Fault, Identity, Machine, Message, Output, Progress};

/// Who takes part in a session: this party and the pinned envelope keys of its peers.
pub struct Roster {
    pub identity: Identity,
    pub party: u8,
    pub peers: BTreeMap<u8, [u8; 32]>,
}

impl Roster {
    /// Returns every party's index in order, this party's included.
    pub fn parties(&self) -> Vec<u8> {
        let mut all: Vec<u8> = self.peers.keys().copied().chain([self.party]).collect();
        all.sort_unstable();
        all
    }
}

/// What an envelope holds.
#[derive(Serialize, Deserialize)]
struct Letter {
    /// Hash over everything that was broadcast in the round before, as the sender saw it.
    echo: [u8; 32],
    broadcast: Vec<u8>,
    direct: Vec<u8>,
}

/// One party's side of one run.
pub struct Session {
    id: [u8; 32],
    roster: Roster,
    machine: Option<Box<dyn Machine>>,
    round: u8,
    echo: [u8; 32],
    sent: Vec<u8>,
    output: Option<Output>,
}

impl Session {
    /// Returns a session that has not begun. `id` must name everything the parties have to agree on beforehand.
    pub fn new(id: [u8; 32], roster: Roster, machine: Box<dyn Machine>) -> Result<Self, Fault> {
        if roster.peers.is_empty() || roster.peers.contains_key(&roster.party) {
            return Err(Fault::local("a session has peers, and this party is none of them"));
        }
        Ok(Self { id, roster, machine: Some(machine), round: 0, echo: [0; 32], sent: Vec::new(), output: None })
    }

    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    pub fn is_done(&self) -> bool {
        self.output.is_some()
    }

    /// Takes the result, once.
    pub fn take_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    /// Takes a round's envelopes (none to begin with) and returns the next round's, each with its recipient.
    ///
    /// # Errors
    /// Any fault ends the session for good.
    pub fn step(&mut self, inbound: &[Vec<u8>]) -> Result<Vec<(u8, Vec<u8>)>, Fault> {
        // Out of the session while it works: whatever goes wrong, there is no machine left to ask again.
        let mut machine = self.machine.take().ok_or_else(|| Fault::local("the session has ended"))?;
        let letters = self.open(inbound)?;
        // The library checks its inputs; a panic for one it forgot must not cross into Python as more than an abort.
        let progress = catch_unwind(AssertUnwindSafe(|| machine.step(&letters)))
            .map_err(|_| Fault::local("the protocol library gave up on a message"))??;
        match progress {
            Progress::Done(output) => {
                self.output = Some(output);
                Ok(Vec::new())
            }
            Progress::Send(outbound) => {
                let envelopes = self.close(outbound)?;
                self.machine = Some(machine);
                Ok(envelopes)
            }
        }
    }

    fn open(&mut self, inbound: &[Vec<u8>]) -> Result<BTreeMap<u8, Message>, Fault> {
        if self.round == 0 {
            return if inbound.is_empty() {
                Ok(BTreeMap::new())
            } else {
                Err(Fault::local("a session begins without messages"))
            };
        }
        let mut letters = BTreeMap::new();
        for envelope in inbound {
            let header = Header::of(envelope)?;
            let expected =
                Header { session: self.id, round: self.round, sender: header.sender, recipient: self.roster.party };
            let peer = self.roster.peers.get(&header.sender);
            let (true, Some(peer)) = (header == expected, peer) else {
                return Err(Fault::local("an envelope belongs to another session, round or party"));
            };
            let plain = self.roster.identity.open_envelope(peer, header, envelope)?;
            let letter: Letter = read(&plain)?;
            if letter.echo != self.echo {
                return Err(Fault::local(format!("party {} saw other broadcasts than this party", header.sender)));
            }
            let message = Message { broadcast: letter.broadcast, direct: Zeroizing::new(letter.direct) };
            if letters.insert(header.sender, message).is_some() {
                return Err(Fault::local("a party spoke twice in one round"));
            }
        }
        if letters.len() != self.roster.peers.len() {
            return Err(Fault::local("a round needs one message from every peer"));
        }
        self.echo = self.hash_broadcasts(&letters);
        Ok(letters)
    }

    fn hash_broadcasts(&self, letters: &BTreeMap<u8, Message>) -> [u8; 32] {
        let mut broadcasts: BTreeMap<u8, &[u8]> =
            letters.iter().map(|(from, message)| (*from, message.broadcast.as_slice())).collect();
        broadcasts.insert(self.roster.party, &self.sent);
        let fields: Vec<&[u8]> = broadcasts.values().copied().collect();
        digest("capstan-mpc/echo/1", &fields)
    }

    fn close(&mut self, outbound: BTreeMap<u8, Message>) -> Result<Vec<(u8, Vec<u8>)>, Fault> {
        self.round += 1;
        self.sent = outbound.values().next().map(|message| message.broadcast.clone()).unwrap_or_default();
        let mut envelopes = Vec::with_capacity(outbound.len());
        for (to, message) in outbound {
            let peer =
                self.roster.peers.get(&to).ok_or_else(|| Fault::local("a message for a party outside the session"))?;
            let header = Header { session: self.id, round: self.round, sender: self.roster.party, recipient: to };
            let plain = Zeroizing::new(write(&Letter {
                echo: self.echo,
                broadcast: message.broadcast,
                direct: message.direct.to_vec(),
            })?);
            envelopes.push((to, self.roster.identity.close(peer, header, &plain)?));
        }
        Ok(envelopes)
    }
}
