//! The live path: bytes of a socket in, signed bytes out, in one call.
//!
//! ```text
//!  bytes ── decode ──> events ──> journal ──> kernel ──> strategies ──> gate ──> commands ──> encode, sign ──> frames
//!                        ^                                                          │ refused
//!                        └───────────── a report, with the next input ──────────────┘
//! ```
//!
//! Sockets, clocks and files are the shell's. It writes what [`LivePath::journal`] holds before it sends the frames: what
//! was sent is then always what a replay sends.

use std::sync::{Arc, Mutex, PoisonError};

use capstan_engine::command::{Command, Kind as Ask};
use capstan_engine::event::{as_bytes, Answer, Event, Kind, Reason, ReportState, LAST, PAYLOAD, SIDE_NONE};
use capstan_engine::feed::{Decoder, FeedError, Outcome};
use capstan_engine::{Broken, Engine};

use crate::guard::Encoder;
use crate::{Frames, Refusal};

/// Why an input was not taken.
#[derive(Debug)]
pub enum LiveError {
    /// The message is none; nothing was changed by it.
    Feed(FeedError),
    /// The kernel is broken: stop, and replay the journal.
    Broken(Broken),
    /// An event's payload is not as long as it says.
    Payload,
}

/// What an encoder said no to. The kernel is told with the next input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub command: Command,
    pub why: Refusal,
}

/// One connection's decoder, one engine, an encoder per venue.
pub struct LivePath {
    pub engine: Engine,
    decoder: Decoder,
    /// By venue of the configuration.
    encoders: Vec<Option<Arc<Mutex<dyn Encoder>>>>,
    events: Vec<Event>,
    commands: Vec<Command>,
    journal: Vec<u8>,
    frames: Frames,
    /// The venue of each frame.
    venues: Vec<u16>,
    refused: Vec<Refused>,
}

impl LivePath {
    pub fn new(engine: Engine, decoder: Decoder) -> Self {
        let encoders = engine.kernel.config().venues.iter().map(|_| None).collect();
        Self {
            engine,
            decoder,
            encoders,
            events: Vec::with_capacity(4_096),
            commands: Vec::with_capacity(256),
            journal: Vec::with_capacity(1 << 20),
            frames: Frames::new(),
            venues: Vec::with_capacity(64),
            refused: Vec::new(),
        }
    }

    /// Orders of this venue are encoded here. Those of others are commands for the shell. Returns whether there is such a
    /// venue.
    pub fn set_encoder(&mut self, venue: u16, encoder: Arc<Mutex<dyn Encoder>>) -> bool {
        match self.encoders.get_mut(usize::from(venue)) {
            Some(place) => {
                *place = Some(encoder);
                true
            }
            None => false,
        }
    }

    /// Takes one message of the connection, received at `now_ns`; see [`Decoder::decode`].
    ///
    /// Commands and frames of the input before are forgotten, the journal is not.
    pub fn on_message(&mut self, message: &[u8], now_ns: i64, asked: Option<u32>) -> Result<Outcome, LiveError> {
        self.begin(now_ns)?;
        self.events.clear();
        let outcome = self.decoder.decode(message, now_ns, asked, &mut self.events).map_err(LiveError::Feed)?;
        self.step_all()?;
        self.encode(now_ns);
        Ok(outcome)
    }

    /// Takes one event that is no market data: a report, a fill, a timer, a person's word.
    pub fn on_event(&mut self, event: &Event, payload: &[u8]) -> Result<(), LiveError> {
        self.begin(event.time_local_ns)?;
        self.step(event, payload)?;
        self.encode(event.time_local_ns);
        Ok(())
    }

    /// Takes that the connection was lost.
    pub fn on_disconnected(&mut self, now_ns: i64) -> Result<(), LiveError> {
        self.begin(now_ns)?;
        self.events.clear();
        self.decoder.disconnected(now_ns, &mut self.events);
        self.step_all()?;
        self.encode(now_ns);
        Ok(())
    }

    /// Returns what is to be sent for the last input: the venue, and the bytes.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = (u16, &[u8])> {
        self.frames.iter().zip(&self.venues).map(|(frame, venue)| (*venue, frame))
    }

    /// Returns every command of the last input, also those that became frames.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Returns what encoders refused of the last input.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Returns the records taken since the journal was cleared last, payloads padded with zeros to whole records.
    pub fn journal(&self) -> &[u8] {
        &self.journal
    }

    /// Forgets records that the shell has written.
    pub fn clear_journal(&mut self) {
        self.journal.clear();
    }

    fn begin(&mut self, now_ns: i64) -> Result<(), LiveError> {
        self.commands.clear();
        self.frames.clear();
        self.venues.clear();
        // What a signer refused is an input like others: journaled, and a replay without any signer decides the same.
        for at in 0..self.refused.len() {
            if let Some(event) = answer(&self.refused[at], now_ns) {
                self.step(&event, &[])?;
            }
        }
        self.refused.clear();
        Ok(())
    }

    /// Takes what was decoded; market data has no payloads. A message is journaled whole before any of it acts.
    fn step_all(&mut self) -> Result<(), LiveError> {
        self.journal.extend_from_slice(as_bytes(&self.events));
        for event in &self.events {
            self.engine.step(event, &[], &mut self.commands).map_err(LiveError::Broken)?;
        }
        Ok(())
    }

    fn step(&mut self, event: &Event, payload: &[u8]) -> Result<(), LiveError> {
        let said = if event.flags & PAYLOAD == 0 { 0 } else { usize::try_from(event.aux[1]).unwrap_or(usize::MAX) };
        if said != payload.len() {
            return Err(LiveError::Payload);
        }
        self.journal.extend_from_slice(bytemuck::bytes_of(event));
        if !payload.is_empty() {
            self.journal.extend_from_slice(payload);
            self.journal.resize(self.journal.len().next_multiple_of(std::mem::size_of::<Event>()), 0);
        }
        self.engine.step(event, payload, &mut self.commands).map_err(LiveError::Broken)
    }

    fn encode(&mut self, now_ns: i64) {
        let Self { engine, encoders, commands, frames, venues, refused, .. } = self;
        let config = engine.kernel.config();
        for command in commands.iter() {
            let venue = match command.kind {
                kind if kind == Ask::CancelAll as u8 => u16::try_from(command.aux[0]).ok(),
                kind if [Ask::Place as u8, Ask::Amend as u8, Ask::Cancel as u8].contains(&kind) => {
                    config.instruments.get(command.instrument as usize).map(|instrument| instrument.venue)
                }
                _ => None,
            };
            let Some(venue) = venue else { continue };
            let Some(Some(encoder)) = encoders.get(usize::from(venue)) else { continue };
            let mut encoder = encoder.lock().unwrap_or_else(PoisonError::into_inner);
            match encoder.encode(command, now_ns, frames) {
                Ok(()) => venues.resize(frames.len(), venue),
                Err(why) => {
                    // A cancel-all may have written some of its frames: those go out.
                    venues.resize(frames.len(), venue);
                    refused.push(Refused { command: *command, why });
                }
            }
        }
    }
}

/// Returns what the kernel is told of a command that was not signed: of a place that it was rejected, of an amend or a
/// cancel that it was refused and the order stands. Of a cancel-all there is nobody to tell.
fn answer(refused: &Refused, now_ns: i64) -> Option<Event> {
    let Command { client_id, instrument, kind, .. } = refused.command;
    let state = match kind {
        kind if kind == Ask::Place as u8 => ReportState::Rejected,
        kind if kind == Ask::Amend as u8 || kind == Ask::Cancel as u8 => ReportState::Accepted,
        _ => return None,
    };
    let reason = match refused.why {
        Refusal::Malformed(_) | Refusal::Unsupported(_) => Reason::Invalid,
        Refusal::WindowLimit | Refusal::WindowCount | Refusal::NoAllotment => Reason::Throttled,
        Refusal::Closed | Refusal::Frozen => Reason::Disconnected,
        _ => Reason::Other,
    };
    Some(Event {
        time_exchange_ns: now_ns,
        time_local_ns: now_ns,
        instrument,
        kind: Kind::Report as u8,
        side: SIDE_NONE,
        flags: LAST,
        price: Answer { state, answers: kind, reason }.pack(),
        size: -1,
        sequence: 0,
        aux: [client_id as i64, 0],
    })
}
