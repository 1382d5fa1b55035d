//! A recorded market on two timelines, and the engine in the middle.
//!
//! ```text
//!  venue's time   feed ──> Exchange <── commands, a latency after they were given
//!                             │
//!                             └── reports, a latency after they happened
//!  local time     reports, feed, timers ──> Engine ──> commands
//! ```
//!
//! Each venue walks the recorded events by `time_exchange_ns`, the engine walks the same array by `time_local_ns`; no
//! event is copied and none goes through a queue. Before the engine takes anything of local time `t`, every venue has
//! taken everything up to `t` of its own time.
//!
//! **Order.** At one venue: by time; the feed before commands, commands as they were sent. Locally: by time; what venues
//! and chain report (venues in the order given, then the chain; each in the order it happened), then the feed, then the
//! regular tick, then timers in the order they were asked for. A time that lies before its predecessor's in the array
//! counts as its predecessor's.
//!
//! **End.** The run is over when the feed is, every command has arrived and every report is taken. Ticks and timers after
//! the feed's last local time (and the settling time asked for) do not come any more, or a resting order would keep them
//! coming for ever.

use super::account::Overflow;
use super::chain::Chain;
use super::drive::is_on_venue;
use super::exchange::Exchange;
use super::in_flight::InFlight;
use crate::broken::Broken;
use crate::command::{ClientId, Command, Kind as Ask};
use crate::engine::Engine;
use crate::event::{as_bytes, Event, Kind, EXCHANGE, LAST, LOCAL, PAYLOAD, SIDE_NONE};
use crate::payload::{Malformed, SwapRequest};
use bytemuck::Zeroable;

/// Where everything the kernel takes is written, in the order in which it takes it.
pub trait Journal: Send {
    fn event(&mut self, event: &Event, payload: &[u8]);

    /// Told what the kernel decided, for those who count it: a replay gives it again.
    fn command(&mut self, _command: &Command) {}

    /// Told that the run is over; says how the writing went.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Why a run ended before its feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    Kernel(Broken),
    /// A venue's account no longer fits its integers.
    Account,
    /// The chain could not read a payload.
    Chain(Malformed),
    /// The feed's record at this index announces a payload that is not there.
    Feed(usize),
    /// What was to be written down was not.
    Journal(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kernel(broken) => broken.fmt(f),
            Self::Account => f.write_str("a venue's account no longer fits its integers"),
            Self::Chain(Malformed(why)) => write!(f, "chain: {why}"),
            Self::Journal(why) => write!(f, "the journal: {why}"),
            Self::Feed(at) => write!(f, "record {at} of the feed announces a payload that is not there"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        Self::Kernel(broken)
    }
}

impl From<Overflow> for Failed {
    fn from(_: Overflow) -> Self {
        Self::Account
    }
}

impl From<Malformed> for Failed {
    fn from(malformed: Malformed) -> Self {
        Self::Chain(malformed)
    }
}

/// Why control came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A strategy of the mask subscribes to what the kernel has just taken: let it act through the kernel, run on.
    Wake,
    /// As many records of the feed were taken as were asked for.
    Budget,
    /// There is no more.
    End,
}

/// A venue and how far it is.
#[derive(Debug)]
struct Place {
    exchange: Exchange,
    cursor: usize,
    /// Time of the record at the cursor; the greatest when there is none.
    next_ns: i64,
    now_ns: i64,
}

/// One run.
pub struct Backtest {
    pub engine: Engine,
    places: Vec<Place>,
    chain: Option<Chain>,
    cursor: usize,
    now_ns: i64,
    timers: InFlight<(u8, i64)>,
    tick_ns: i64,
    next_tick_ns: i64,
    settle_ns: i64,
    /// Neither ticks nor timers come after this.
    end_ns: i64,
    commands: Vec<Command>,
    journal: Option<Box<dyn Journal>>,
    started: bool,
}

impl Backtest {
    /// Returns a run that stands before its first event. The engine is as its configuration made it, or warmed up.
    pub fn new(engine: Engine, exchanges: Vec<Exchange>) -> Self {
        let place = |exchange| Place { exchange, cursor: 0, next_ns: i64::MIN, now_ns: i64::MIN };
        Self {
            engine,
            places: exchanges.into_iter().map(place).collect(),
            chain: None,
            cursor: 0,
            now_ns: i64::MIN,
            timers: InFlight::default(),
            tick_ns: 0,
            next_tick_ns: i64::MAX,
            settle_ns: 0,
            end_ns: i64::MAX,
            commands: Vec::new(),
            journal: None,
            started: false,
        }
    }

    /// Adds a chain that executes swaps.
    pub fn with_chain(mut self, chain: Chain) -> Self {
        self.chain = Some(chain);
        self
    }

    /// Sends the regular tick at every multiple of so much local time; 0 for none.
    pub fn with_tick(mut self, tick_ns: i64) -> Self {
        self.tick_ns = tick_ns.max(0);
        self
    }

    /// Lets ticks and timers come for so long after the feed's end, so that the kernel can ask after what got lost.
    pub fn with_settling(mut self, settle_ns: i64) -> Self {
        self.settle_ns = settle_ns.max(0);
        self
    }

    /// Writes down what the kernel takes.
    pub fn with_journal(mut self, journal: Box<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Returns how many records of the feed the engine has passed.
    pub fn position(&self) -> usize {
        self.cursor
    }

    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.places.iter().map(|place| &place.exchange)
    }

    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// Has the engine take an event that is not in the feed, such as what is held at the start.
    pub fn tell(&mut self, event: &Event, payload: &[u8]) -> Result<(), Failed> {
        self.step(event, payload)
    }

    /// Runs until a strategy of the mask is to be asked, `records` more of the feed are taken, or everything is over.
    /// The feed must be the same array in every call.
    pub fn run(&mut self, feed: &[Event], wake: u64, records: usize) -> Result<Stop, Failed> {
        if !self.started {
            self.start(feed);
        }
        self.route()?;
        let end = self.cursor.saturating_add(records).min(feed.len());
        loop {
            if self.feed_until(feed, end, wake)? {
                return Ok(Stop::Wake);
            }
            if self.cursor == feed.len() && self.end_ns == i64::MAX {
                self.end_ns = self.now_ns.saturating_add(self.settle_ns);
            }
            let feed_ns = feed.get(self.cursor).map_or(i64::MAX, |event| event.time_local_ns.max(self.now_ns));
            // A payload may reach beyond what was asked for.
            if self.cursor >= end && self.cursor < feed.len() && !self.comes_before_feed(feed_ns) {
                return Ok(Stop::Budget);
            }
            let other_ns = self.next_other_ns();
            if other_ns == i64::MAX && self.cursor == feed.len() {
                // The last commands and whatever the feed still does to what rests.
                self.advance(feed, i64::MAX)?;
                if self.next_other_ns() == i64::MAX {
                    if self.chain.as_mut().is_some_and(Chain::close) {
                        continue;
                    }
                    self.journal.as_mut().map_or(Ok(()), |journal| journal.end()).map_err(Failed::Journal)?;
                    return Ok(Stop::End);
                }
                continue;
            }
            if other_ns < i64::MAX && self.other(feed, other_ns, wake)? {
                return Ok(Stop::Wake);
            }
        }
    }

    fn start(&mut self, feed: &[Event]) {
        self.started = true;
        for place in &mut self.places {
            place.seek(feed);
        }
        if let Some(chain) = &mut self.chain {
            chain.seek(feed);
        }
        if let (Some(first), true) = (feed.first(), self.tick_ns > 0) {
            self.next_tick_ns = (first.time_local_ns.div_euclid(self.tick_ns) + 1).saturating_mul(self.tick_ns);
        }
    }

    /// Feeds the engine as long as nothing else comes first. Returns whether a strategy of the mask is to be asked.
    fn feed_until(&mut self, feed: &[Event], end: usize, wake: u64) -> Result<bool, Failed> {
        let mut other_ns = self.next_other_ns();
        let mut venue_ns = self.next_venue_ns();
        while self.cursor < end {
            let event = &feed[self.cursor];
            let time_ns = event.time_local_ns.max(self.now_ns);
            if venue_ns <= time_ns {
                self.advance(feed, time_ns)?;
                venue_ns = self.next_venue_ns();
                other_ns = self.next_other_ns();
            }
            if other_ns <= time_ns && self.comes_before_feed(time_ns) {
                return Ok(false);
            }
            let payload = if event.flags & PAYLOAD == 0 {
                self.cursor += 1;
                &[][..]
            } else {
                let (payload, next) = payload_of(feed, self.cursor).ok_or(Failed::Feed(self.cursor))?;
                self.cursor = next;
                payload
            };
            if event.flags & (EXCHANGE | LOCAL) == EXCHANGE {
                continue;
            }
            self.now_ns = time_ns;
            if event.time_local_ns == time_ns {
                self.step(event, payload)?;
            } else {
                self.step(&Event { time_local_ns: time_ns, ..*event }, payload)?;
            }
            if !self.commands.is_empty() {
                self.route()?;
                venue_ns = self.next_venue_ns();
                other_ns = self.next_other_ns();
            }
            if self.engine.kernel.wakes().strategies & wake != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[inline]
    fn step(&mut self, event: &Event, payload: &[u8]) -> Result<(), Failed> {
        if let Some(journal) = &mut self.journal {
            journal.event(event, payload);
        }
        Ok(self.engine.step(event, payload, &mut self.commands)?)
    }

    /// Returns whether something that is due goes before the feed at the same instant: reports do, timers do not.
    fn comes_before_feed(&self, time_ns: i64) -> bool {
        self.next_report_ns() <= time_ns || self.next_timer_ns() < time_ns
    }

    fn next_report_ns(&self) -> i64 {
        let venues = self.places.iter().map(|place| place.exchange.next_report_ns()).min().unwrap_or(i64::MAX);
        self.chain.as_ref().map_or(venues, |chain| venues.min(chain.next_told_ns()))
    }

    fn next_other_ns(&self) -> i64 {
        self.next_report_ns().min(self.next_timer_ns())
    }

    fn next_timer_ns(&self) -> i64 {
        let next_ns = self.next_tick_ns.min(self.timers.next_ns());
        if next_ns > self.end_ns {
            return i64::MAX;
        }
        next_ns
    }

    /// Returns when a venue or the chain has something to do next.
    fn next_venue_ns(&self) -> i64 {
        let due = |place: &Place| place.next_ns.min(place.exchange.next_arrival_ns());
        let venues = self.places.iter().map(due).min().unwrap_or(i64::MAX);
        self.chain.as_ref().map_or(venues, |chain| venues.min(chain.next_ns()))
    }

    /// Lets venues and chain take everything up to a time of theirs.
    fn advance(&mut self, feed: &[Event], until_ns: i64) -> Result<(), Failed> {
        for place in &mut self.places {
            place.advance(feed, until_ns)?;
        }
        if let Some(chain) = &mut self.chain {
            chain.advance(feed, until_ns)?;
        }
        Ok(())
    }

    /// Takes one report, tick or timer that is due first at `time_ns`, once the venues are there.
    fn other(&mut self, feed: &[Event], time_ns: i64, wake: u64) -> Result<bool, Failed> {
        if self.next_venue_ns() <= time_ns {
            self.advance(feed, time_ns)?;
        }
        let time_ns = self.next_other_ns();
        if self.next_report_ns() == time_ns {
            let told = self.places.iter_mut().find(|place| place.exchange.next_report_ns() == time_ns);
            if let Some(place) = told {
                let Some(mut report) = place.exchange.take_report() else { return Ok(false) };
                report.event.time_local_ns = self.at(time_ns);
                self.step(&report.event, report.payload())?;
            } else if let Some((mut event, payload)) = self.chain.as_mut().and_then(Chain::take_told) {
                event.time_local_ns = self.at(time_ns);
                self.step(&event, &payload)?;
            }
        } else {
            let (strategy, tag) = if self.next_tick_ns == time_ns {
                self.next_tick_ns = time_ns.saturating_add(self.tick_ns);
                (SIDE_NONE, 0)
            } else {
                self.timers.pop().map_or((SIDE_NONE, 0), |(_, timer)| timer)
            };
            let at_ns = self.at(time_ns);
            let event = Event {
                time_exchange_ns: at_ns,
                time_local_ns: at_ns,
                kind: Kind::Timer as u8,
                side: strategy,
                flags: LAST | LOCAL,
                aux: [tag, 0],
                ..Event::zeroed()
            };
            self.step(&event, &[])?;
        }
        self.route()?;
        Ok(self.engine.kernel.wakes().strategies & wake != 0)
    }

    fn at(&mut self, time_ns: i64) -> i64 {
        self.now_ns = self.now_ns.max(time_ns);
        self.now_ns
    }

    /// Sends what the kernel wants sent.
    fn route(&mut self) -> Result<(), Failed> {
        self.engine.kernel.take_commands(&mut self.commands);
        if self.commands.is_empty() {
            return Ok(());
        }
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            if let Some(journal) = &mut self.journal {
                journal.command(&command);
            }
            match command.kind {
                kind if kind == Ask::Timer as u8 => {
                    self.timers.push(command.aux[0].max(self.now_ns), (command.strategy, command.aux[1]));
                }
                kind if kind == Ask::CancelAll as u8 => {
                    for place in &mut self.places {
                        if i64::from(place.exchange.venue()) == command.aux[0] {
                            place.exchange.submit(&command, self.now_ns);
                        }
                    }
                }
                kind if kind == Ask::Swap as u8 => self.swap(command.client_id)?,
                _ => {
                    for place in &mut self.places {
                        if place.exchange.has(command.instrument) {
                            place.exchange.submit(&command, self.now_ns);
                        }
                    }
                }
            }
        }
        self.commands = commands;
        Ok(())
    }

    fn swap(&mut self, id: u64) -> Result<(), Failed> {
        if let (Some(chain), Some(payload)) = (&mut self.chain, self.engine.kernel.swap_payload(ClientId(id))) {
            chain.submit(id, SwapRequest::read(payload)?, self.now_ns);
        }
        Ok(())
    }
}

impl Place {
    /// Puts the cursor on the first record from here on that happens at this venue.
    fn seek(&mut self, feed: &[Event]) {
        while let Some(event) = feed.get(self.cursor) {
            if event.kind <= Kind::Execute as u8 && is_on_venue(event) && self.exchange.has(event.instrument) {
                self.next_ns = event.time_exchange_ns.max(self.now_ns);
                return;
            }
            self.cursor = after(feed, self.cursor);
        }
        self.next_ns = i64::MAX;
    }

    fn advance(&mut self, feed: &[Event], until_ns: i64) -> Result<(), Overflow> {
        loop {
            let arrival_ns = self.exchange.next_arrival_ns();
            let limit_ns = until_ns.min(arrival_ns);
            while self.next_ns <= limit_ns && self.next_ns < i64::MAX {
                self.now_ns = self.next_ns;
                self.exchange.feed(&feed[self.cursor])?;
                self.cursor += 1;
                self.seek(feed);
            }
            if arrival_ns > until_ns || arrival_ns == i64::MAX {
                return Ok(());
            }
            self.exchange.arrive()?;
        }
    }
}

/// Returns the index of the record after one and its payload.
pub(super) fn after(feed: &[Event], at: usize) -> usize {
    match feed[at].flags & PAYLOAD {
        0 => at + 1,
        _ => payload_of(feed, at).map_or(feed.len(), |(_, next)| next),
    }
}

/// Returns a record's payload and the index after it; nothing when it reaches beyond the feed.
pub(super) fn payload_of(feed: &[Event], at: usize) -> Option<(&[u8], usize)> {
    let bytes = usize::try_from(feed[at].aux[1]).ok()?;
    let records = bytes.div_ceil(std::mem::size_of::<Event>());
    let next = at.checked_add(1)?.checked_add(records)?;
    Some((&as_bytes(feed.get(at + 1..next)?)[..bytes], next))
}
