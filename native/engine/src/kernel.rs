//! The kernel: one run's whole decision state. Takes events, holds books, orders and portfolio, and passes what
//! strategies want through the gate into commands.

use std::collections::BTreeMap;

use capstan_core::orders::Side;

use crate::book::{Book, Staleness};
use crate::broken::Broken;
use crate::command::{ClientId, Command};
use crate::config::{Config, ConfigError, FOREIGN};
use crate::digest::Digest;
use crate::event::{self, operator, Event, Kind};
use crate::gate::risk_config;
use crate::instrument::Scale;
use crate::orders::{Order, Orders};
use crate::payload::PoolUpdate;
use crate::portfolio::Portfolio;
use crate::reconcile::Reconciliation;
use crate::replica::Replica;
use crate::reservations::{reserved_by, Reservations};
use crate::risk::{Action, Breach, Moved, RiskGate, Stage};
use crate::swaps::Swap;
use crate::targets::Wishes;
use crate::trades::Trades;
use crate::wakes::{self, Subscribers, Wakes};

/// The newest block seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    pub number: u64,
    pub time_s: i64,
    pub base_fee_wei: i64,
}

/// An instant a strategy asked to be woken at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    pub at_ns: i64,
    pub strategy: u8,
    pub tag: i64,
}

/// One run's state. Not shared: one owner feeds it.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub(crate) config: Config,
    pub(crate) scales: Vec<Scale>,
    pub(crate) subscribers: Subscribers,
    pub(crate) books: Vec<Book>,
    pub(crate) orders: Orders,
    pub(crate) reservations: Reservations,
    pub(crate) portfolio: Portfolio,
    pub(crate) trades: Trades,
    pub(crate) swaps: BTreeMap<u64, Swap>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) wishes: Wishes,
    pub(crate) reconciliation: Reconciliation,
    pub(crate) digest: Digest,
    pub(crate) head: Head,
    pub(crate) gate: RiskGate,
    /// What unsettled swaps may still move, by row and asset.
    pub(crate) under_way: Vec<Moved>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) stopping: bool,
    /// A strategy joined, or limits are others than the configuration's that it was made of.
    pub(crate) is_changed: bool,
    pub(crate) epoch: u16,
    pub(crate) sequence: u32,
    pub(crate) now_ns: i64,
    pub(crate) events: u64,
    /// Nothing is due before this instant.
    pub(crate) due_ns: i64,
    pub(crate) wakes: Wakes,
    /// Books in the middle of a message.
    pub(crate) unfinished: Vec<bool>,
    pub(crate) commands: Vec<Command>,
    // Room that is used again.
    pub(crate) results: Vec<i128>,
    pub(crate) breaches: Vec<Breach>,
    pub(crate) actions: Vec<Action>,
}

impl Kernel {
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let scales = config.check()?;
        let (instruments, strategies) = (config.instruments.len(), config.strategies.len());
        let gate = RiskGate::new(risk_config(&config, &scales)).map_err(|e| ConfigError(e.0))?;
        Ok(Self {
            subscribers: Subscribers::new(&config),
            books: vec![Book::default(); instruments],
            orders: Orders::new(instruments, config.patience.ended_kept),
            reservations: Reservations::new(strategies, instruments),
            portfolio: Portfolio::new(&config, &scales),
            scales,
            trades: Trades::default(),
            swaps: BTreeMap::new(),
            timers: Vec::new(),
            wishes: Wishes::new(strategies, instruments),
            reconciliation: Reconciliation::new(config.venues.len()),
            digest: Digest::default(),
            head: Head::default(),
            gate,
            under_way: vec![Moved::default(); (strategies + 1) * config.assets.len()],
            replicas: config.pools.iter().map(|pool| Replica::new(pool.fee_pips)).collect(),
            stopping: false,
            is_changed: false,
            epoch: 0,
            sequence: 0,
            now_ns: 0,
            events: 0,
            due_ns: i64::MAX,
            wakes: Wakes::default(),
            unfinished: vec![false; instruments],
            commands: Vec::with_capacity(64),
            results: Vec::with_capacity(strategies),
            breaches: Vec::new(),
            actions: Vec::new(),
            config,
        })
    }

    /// Takes one event into the state. Strategies act afterwards, then the commands are taken.
    #[inline]
    pub fn ingest(&mut self, event: &Event, payload: &[u8]) -> Result<(), Broken> {
        self.now_ns = event.time_local_ns;
        self.events += 1;
        self.wakes = Wakes::default();
        let Some(kind) = event.kind() else { return Err(Broken::Kind(event.kind)) };
        match kind {
            Kind::Level | Kind::Clear | Kind::Stale => self.on_book(event, kind),
            Kind::Trade => {
                self.show(event);
                self.wake(event, wakes::TRADE);
            }
            Kind::Best => self.show(event),
            Kind::Bar => self.wake(event, wakes::BAR),
            Kind::Add | Kind::Modify | Kind::Delete | Kind::Execute => {}
            Kind::Mark | Kind::Index => self.wake(event, wakes::MARK),
            Kind::Funding => {
                self.instrument_is_known(event)?;
                self.portfolio.fund(event)?;
                self.wake(event, wakes::MARK);
            }
            Kind::Report => self.on_report(event, payload)?,
            Kind::Fill => self.on_fill(event)?,
            Kind::Reconcile => self.on_reconcile(event)?,
            Kind::Timer => self.on_timer(event),
            Kind::Block => {
                self.head = Head { number: event.sequence, time_s: event.aux[0], base_fee_wei: event.aux[1] };
                self.wakes = self.everywhere(wakes::BLOCK);
            }
            Kind::Operator => self.on_operator(event),
            Kind::Restart => self.on_restart(event)?,
            Kind::Balance => self.on_balance(event, payload)?,
            Kind::Pool => self.on_pool(event, payload)?,
            Kind::Settled => self.on_settled(event, payload)?,
            Kind::Cursor => {}
        }
        if kind <= Kind::Execute {
            self.wake(event, wakes::RECORD);
        }
        Ok(())
    }

    /// Moves what the step led to into `out`.
    #[inline]
    pub fn take_commands(&mut self, out: &mut Vec<Command>) {
        if !self.commands.is_empty() {
            self.digest.commands(&self.commands);
            out.append(&mut self.commands);
        }
    }

    // --- what strategies see

    /// Returns who subscribes to what just happened.
    #[inline]
    pub fn wakes(&self) -> Wakes {
        self.wakes
    }

    #[inline]
    pub fn book(&self, instrument: u32) -> &Book {
        &self.books[instrument as usize]
    }

    /// Returns a strategy's lots in an instrument, gained (+) or owed (-) since the start.
    #[inline]
    pub fn position(&self, strategy: u8, instrument: u32) -> i64 {
        self.portfolio.position(strategy, instrument).lots
    }

    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    #[inline]
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    #[inline]
    pub fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }

    pub fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// Returns how far the whole run is stopped.
    #[inline]
    pub fn stage(&self) -> Stage {
        self.gate.whole()
    }

    /// Returns how far a strategy is stopped: its own stage or the run's, whichever went further.
    pub fn stage_of(&self, strategy: u8) -> Stage {
        self.gate.stage(strategy)
    }

    /// Returns the copy of a pool's state.
    pub fn pool(&self, pool: u32) -> &Replica {
        &self.replicas[pool as usize]
    }

    /// Returns whether the run winds down: start nothing new, withdraw quotes, finish what is in flight.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub fn head(&self) -> Head {
        self.head
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns how many events were taken.
    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Returns the last reconciliation: what it changed and what it found.
    pub fn reconciliation(&self) -> &Reconciliation {
        &self.reconciliation
    }

    /// Returns whether a trade is booked already, or predates the run.
    pub fn knows_trade(&self, fill: &Event) -> bool {
        self.trades.contains(fill)
    }

    /// Returns the trades booked and those that predate the run.
    pub fn trades(&self) -> &Trades {
        &self.trades
    }

    /// Returns whether nothing is in flight: no order open, no swap unsettled.
    pub fn is_idle(&self) -> bool {
        self.orders.open_count() == 0 && self.swaps.is_empty()
    }

    /// Returns the instants that strategies wait for.
    pub fn timers(&self) -> &[Timer] {
        &self.timers
    }

    /// Returns SHA-256 over every command and fill so far.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.value()
    }

    // --- events

    #[inline]
    fn on_book(&mut self, event: &Event, kind: Kind) {
        let Some(book) = self.books.get_mut(event.instrument as usize) else { return };
        let was_valid = book.is_valid();
        book.apply(event);
        self.unfinished[event.instrument as usize] = event.flags & event::LAST == 0 && kind != Kind::Stale;
        if event.flags & event::LAST == 0 && kind != Kind::Stale {
            return;
        }
        if !book.is_valid() {
            if was_valid {
                self.wake(event, wakes::STALE);
            }
            return;
        }
        if let (Some(bid), Some(ask)) = (book.best(Side::Buy), book.best(Side::Sell)) {
            let moved = self.portfolio.set_mark(event.instrument, bid.0 + ask.0);
            if moved && self.portfolio.is_mark(event.instrument) {
                self.marked();
            }
        }
        self.wake(event, wakes::BOOK);
    }

    /// Lets the book remember what does not change its levels.
    #[inline]
    fn show(&mut self, event: &Event) {
        if let Some(book) = self.books.get_mut(event.instrument as usize) {
            book.apply(event);
        }
    }

    fn on_pool(&mut self, event: &Event, payload: &[u8]) -> Result<(), Broken> {
        let update = PoolUpdate::read(payload).map_err(|e| Broken::Payload { kind: Kind::Pool, why: e.0 })?;
        if let Some(replica) = self.replicas.get_mut(event.instrument as usize) {
            replica.apply(event.sequence, update);
            self.wakes = self.everywhere(wakes::POOL);
        }
        Ok(())
    }

    fn on_timer(&mut self, event: &Event) {
        if event.aux[0] == 0 {
            self.wakes = self.everywhere(wakes::TIMER);
        } else {
            let due = Timer { at_ns: event.time_local_ns, strategy: event.side, tag: event.aux[0] };
            let mine = |t: &Timer| t.strategy == due.strategy && t.tag == due.tag && t.at_ns <= due.at_ns;
            if let Some(at) = self.timers.iter().position(mine) {
                self.timers.remove(at);
                self.wake_owner(due.strategy, wakes::TIMER);
            }
        }
        if self.now_ns >= self.due_ns {
            self.sweep();
        }
        self.marked();
        self.act_if_needed();
    }

    /// `price` is 0 for the whole run, else the strategy's place plus 1; one that does not exist is nobody.
    fn on_operator(&mut self, event: &Event) {
        let strategy = match event.price {
            0 => None,
            place => {
                let at = u8::try_from(place.saturating_sub(1)).ok();
                let Some(at) = at.filter(|at| usize::from(*at) < self.config.strategies.len()) else { return };
                Some(at)
            }
        };
        match event.aux[0] {
            operator::KILL => self.raise(strategy, Stage::Cancel),
            operator::STOP => self.stopping = true,
            operator::RESUME => self.resume(strategy),
            operator::RESUME_RUN => self.resume_run(),
            operator::STAGE => {
                if let Some(stage) = u8::try_from(event.aux[1]).ok().and_then(Stage::from_number) {
                    self.raise(strategy, stage);
                }
            }
            _ => {}
        }
        self.wakes = self.everywhere(wakes::CONTROL);
    }

    /// Another process died holding this state: every market is distrusted, every open order asked about.
    fn on_restart(&mut self, event: &Event) -> Result<(), Broken> {
        let epoch = u16::try_from(event.aux[0]).ok().filter(|e| *e <= ClientId::EPOCH_MAX);
        let Some(epoch) = epoch.filter(|e| *e >= self.epoch) else { return Err(Broken::Epoch(event.aux[0])) };
        self.epoch = epoch;
        // Stopping was a wish of the process that died, not a fact about the world; a stage is one.
        self.stopping = false;
        self.reconciliation.abandon();
        let stale = Event {
            time_local_ns: event.time_local_ns,
            kind: Kind::Stale as u8,
            aux: [Staleness::Disconnected as i64, 0],
            ..bytemuck::Zeroable::zeroed()
        };
        for book in &mut self.books {
            book.apply(&stale);
        }
        for replica in &mut self.replicas {
            replica.apply(0, PoolUpdate::Invalid("engine restarted".into()));
        }
        for instrument in 0..self.books.len() as u32 {
            for at in 0..self.orders.open_handles(instrument).len() {
                let handle = self.orders.open_handles(instrument)[at];
                self.ask(handle);
            }
        }
        self.resubmit_swaps();
        for at in 0..self.timers.len() {
            let timer = self.timers[at];
            self.push_timer(timer);
        }
        self.wakes = self.everywhere(wakes::CONTROL);
        Ok(())
    }

    fn on_balance(&mut self, event: &Event, payload: &[u8]) -> Result<(), Broken> {
        if event.aux[0] == -1 {
            self.instrument_is_known(event)?;
            self.reconciliation.position(event.instrument, event.size);
            return Ok(());
        }
        let asset = u16::try_from(event.aux[0]).ok().filter(|a| usize::from(*a) < self.config.assets.len());
        let Some(asset) = asset else { return Err(Broken::Asset(event.aux[0])) };
        let Some(raw) = i128_at(payload, 0) else {
            return Err(Broken::Payload { kind: Kind::Balance, why: "not an i128" });
        };
        if !self.reconciliation.balance(asset, raw) {
            self.portfolio.open_balance(asset, raw);
        }
        Ok(())
    }

    // --- shared by the parts

    /// Adds the subscribers of a reason about the event's instrument to those to be woken.
    #[inline]
    pub(crate) fn wake(&mut self, event: &Event, why: u16) {
        let strategies = self.subscribers.of(event.instrument, why);
        if strategies != 0 {
            self.wakes.strategies |= strategies;
            self.wakes.why |= why;
        }
    }

    /// Wakes the strategy that something of its own happened to, subscribed or not.
    pub(crate) fn wake_owner(&mut self, strategy: u8, why: u16) {
        if usize::from(strategy) < self.config.strategies.len() {
            self.wakes.strategies |= 1 << strategy;
            self.wakes.why |= why;
        }
    }

    fn everywhere(&self, why: u16) -> Wakes {
        let strategies = self.subscribers.everywhere(why);
        Wakes { strategies, why: if strategies == 0 { 0 } else { why } }
    }

    pub(crate) fn instrument_is_known(&self, event: &Event) -> Result<(), Broken> {
        if (event.instrument as usize) < self.books.len() {
            Ok(())
        } else {
            Err(Broken::Instrument(event.instrument))
        }
    }

    /// Changes an order and keeps reservations and the list of open ones in step with it.
    #[inline]
    pub(crate) fn change<R>(&mut self, handle: u32, change: impl FnOnce(&mut Order) -> R) -> R {
        let order = self.orders.at_mut(handle);
        let (before, was_open) = (reserved_by(order), order.state.is_open());
        let result = change(order);
        let is_open = order.state.is_open();
        if was_open && !is_open {
            order.ended_ns = self.now_ns;
            order.ending = None;
            order.amend = None;
        }
        self.reservations.change(before, order);
        if was_open && !is_open {
            self.orders.close(handle);
        }
        result
    }

    /// Carries the staged kill on, where one is under way.
    #[inline]
    pub(crate) fn act_if_needed(&mut self) {
        if self.gate.is_acting() {
            self.act();
        }
    }

    pub(crate) fn strategy_row(&self, id: ClientId) -> u8 {
        self.config.strategy_of(id)
    }

    pub(crate) fn is_foreign(&self, id: ClientId) -> bool {
        self.strategy_row(id) == FOREIGN
    }

    pub(crate) fn command(&self, kind: crate::command::Kind) -> Command {
        Command { kind: kind as u8, time_ns: self.now_ns, side: event::SIDE_NONE, ..bytemuck::Zeroable::zeroed() }
    }
}

/// Returns the i128 at an offset of a payload.
pub(crate) fn i128_at(payload: &[u8], at: usize) -> Option<i128> {
    Some(i128::from_le_bytes(payload.get(at..at + 16)?.try_into().ok()?))
}
