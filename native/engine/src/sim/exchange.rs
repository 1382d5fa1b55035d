//! One venue: commands arrive, the feed happens, answers leave, each at its time.
//!
//! ```text
//!  submit (local time) ──latency, faults──> arrive (venue's time) ──> markets ──> report (local time) ──> take_report
//!                                              feed (venue's time) ──┘
//! ```
//!
//! Whoever drives it (a backtest, paper trading) calls `feed` and `arrive` in the order of the venue's time, the feed
//! first at equal times, and takes reports in the order of local time. Commands and reports of equal times keep the
//! order in which they were made.

use super::account::{Account, Books, Fee, Overflow};
use super::faults::Faults;
use super::fees::{fee_up, Fees};
use super::in_flight::InFlight;
use super::l3::ById;
use super::latency::Lines;
use super::limits::Window;
use super::market::Market;
use super::own::{End, Happening, Order};
use super::settings::{BadSettings, ExchangeSettings};
use crate::command::{Command, Kind as Ask};
use crate::event::{Answer, Event, Kind, Reason, ReportState, ASKED, BUY, EXCHANGE, LAST, LOCAL, MAKER, PAYLOAD, SELL};
use crate::instrument::Instrument;
use bytemuck::Zeroable;
use std::collections::VecDeque;

/// Ended orders that are remembered for questions.
const ENDED_KEPT: usize = 1 << 16;
const NOBODYS: u16 = u16::MAX;

/// An answer on its way: a record and, for what was asked, the order's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub event: Event,
    terms: [i64; 2],
}

impl Report {
    /// Returns what follows the record.
    pub fn payload(&self) -> &[u8] {
        if self.event.flags & PAYLOAD == 0 {
            return &[];
        }
        bytemuck::bytes_of(&self.terms)
    }
}

/// What a report says of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saying {
    pub state: ReportState,
    pub reason: Reason,
    /// The kind of the command that is answered, 0 for none.
    pub answers: u8,
    /// The order's terms as they are, for who asked.
    pub terms: Option<(i64, i64)>,
}

impl Saying {
    pub fn new(state: ReportState, reason: Reason, answers: u8) -> Self {
        Self { state, reason, answers, terms: None }
    }
}

/// Where an order of ours is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub slot: u16,
    pub side: u8,
    /// [`ReportState::Accepted`] while it is open.
    pub state: ReportState,
    pub filled: i64,
    pub venue_id: u64,
}

/// What never changes about an instrument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub instrument: u32,
    pub books: Books,
    pub notional_min: i128,
    rates: (i64, i64),
}

/// The venue.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub(super) settings: ExchangeSettings,
    /// Slot by instrument.
    slots: Vec<u16>,
    pub(super) markets: Vec<Market>,
    pub(super) terms: Vec<Terms>,
    accounts: Vec<Account>,
    pub(super) known: ById<Known>,
    ended: VecDeque<u64>,
    pub(super) open: usize,
    pub(super) lines: Lines,
    pub(super) faults: Faults,
    fees: Fees,
    pub(super) windows: Vec<Window>,
    pub(super) commands: InFlight<Command>,
    reports: InFlight<Report>,
    pub(super) now_ns: i64,
    pub(super) orders_made: u64,
    trades_made: u64,
    /// The line is down in this interval of local time.
    pub(super) down: (i64, i64),
    /// Trades that were told into a dead line.
    pub(super) untold: Vec<Event>,
    pub(super) happenings: Vec<Happening>,
}

impl Exchange {
    /// Returns the venue of those of a run's instruments that are its own.
    pub fn new(settings: ExchangeSettings, instruments: &[Instrument]) -> Result<Self, BadSettings> {
        settings.check(instruments)?;
        let bad = |why: String| BadSettings(format!("venue {}: {why}", settings.venue));
        let mut slots = vec![NOBODYS; instruments.len()];
        let (mut markets, mut terms, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for (at, instrument) in instruments.iter().enumerate() {
            if instrument.venue != settings.venue {
                continue;
            }
            let books = Books::new(instrument).map_err(|e| bad(format!("{}: {}", instrument.symbol, e.0)))?;
            let start = settings.positions.iter().filter(|(of, _)| *of as usize == at).map(|(_, lots)| *lots).sum();
            slots[at] = markets.len() as u16;
            markets.push(Market::new(settings.queue, settings.impact, start));
            accounts.push(Account { position: start, ..Account::default() });
            terms.push(Terms {
                instrument: at as u32,
                books,
                notional_min: instrument.notional_min,
                rates: (instrument.maker_fee, instrument.taker_fee),
            });
        }
        if markets.len() >= usize::from(NOBODYS) {
            return Err(bad("too many instruments".into()));
        }
        Ok(Self {
            slots,
            markets,
            terms,
            accounts,
            known: ById::default(),
            ended: VecDeque::new(),
            open: 0,
            lines: Lines::new(settings.latencies.clone()).map_err(|e| bad(e.0.into()))?,
            faults: Faults::new(settings.faults),
            fees: Fees::new(settings.fees.clone()).ok_or_else(|| bad("fee tiers start at 0 and grow".into()))?,
            windows: settings.limits.iter().copied().map(Window::new).collect(),
            commands: InFlight::default(),
            reports: InFlight::default(),
            now_ns: i64::MIN,
            orders_made: 0,
            trades_made: 0,
            down: (i64::MAX, i64::MIN),
            untold: Vec::new(),
            happenings: Vec::new(),
            settings,
        })
    }

    // --- what drives it

    /// Takes a market event at its time on the venue. Events of other venues change nothing.
    #[inline]
    pub fn feed(&mut self, event: &Event) -> Result<(), Overflow> {
        let Some(&slot) = self.slots.get(event.instrument as usize) else { return Ok(()) };
        let Some(market) = self.markets.get_mut(usize::from(slot)) else { return Ok(()) };
        self.now_ns = self.now_ns.max(event.time_exchange_ns);
        market.feed(event, &mut self.happenings);
        if self.happenings.is_empty() && event.kind <= Kind::Best as u8 {
            return Ok(());
        }
        self.react(slot, event)
    }

    #[cold]
    fn react(&mut self, slot: u16, event: &Event) -> Result<(), Overflow> {
        self.publish(slot, 0, 0)?;
        let at = usize::from(slot);
        match event.kind() {
            Some(Kind::Funding) => {
                let books = self.terms[at].books;
                books.fund(&mut self.accounts[at], event.aux[0], event.price)
            }
            Some(Kind::Mark) => self.liquidate(slot),
            _ => Ok(()),
        }
    }

    /// Returns when the next report will be known, or the greatest time.
    #[inline]
    pub fn next_report_ns(&self) -> i64 {
        self.reports.next_ns()
    }

    /// Returns when the next command arrives, or the greatest time.
    #[inline]
    pub fn next_arrival_ns(&self) -> i64 {
        self.commands.next_ns()
    }

    /// Takes the report that is known first, unless it went into a dead line.
    pub fn take_report(&mut self) -> Option<Report> {
        let (time_ns, mut report) = self.reports.pop()?;
        report.event.time_local_ns = time_ns;
        if self.down.0 <= time_ns && time_ns < self.down.1 {
            if report.event.kind == Kind::Fill as u8 {
                self.untold.push(report.event);
            }
            return None;
        }
        Some(report)
    }

    // --- what is known

    /// Returns an instrument's account, or nothing for another venue's.
    pub fn account(&self, instrument: u32) -> Option<&Account> {
        self.accounts.get(usize::from(*self.slots.get(instrument as usize)?))
    }

    /// Returns our open orders in an instrument: bids, then asks, best first.
    pub fn orders(&self, instrument: u32) -> impl Iterator<Item = &Order> {
        let slot = self.slots.get(instrument as usize).map(|slot| usize::from(*slot));
        let market = slot.and_then(|slot| self.markets.get(slot));
        market.into_iter().flat_map(|market| market.own.iter().flat_map(|own| own.orders.iter()))
    }

    pub fn venue(&self) -> u16 {
        self.settings.venue
    }

    /// Returns whether an instrument is this venue's.
    pub fn has(&self, instrument: u32) -> bool {
        self.slot_of(instrument).is_some()
    }

    /// Returns whether nothing of ours is under way or open.
    pub fn is_idle(&self) -> bool {
        self.open == 0 && self.commands.is_empty() && self.reports.is_empty()
    }

    pub(super) fn slot_of(&self, instrument: u32) -> Option<u16> {
        self.slots.get(instrument as usize).copied().filter(|slot| *slot != NOBODYS)
    }

    // --- what happened

    /// Books what happened in a market and tells it: as the answer to a command about one order or (0) all, else to none.
    pub(super) fn publish(&mut self, slot: u16, kind: u8, about: u64) -> Result<(), Overflow> {
        if self.happenings.is_empty() {
            return Ok(());
        }
        let mut happenings = std::mem::take(&mut self.happenings);
        let answers = |order: &Order| if about == 0 || order.id == about { kind } else { 0 };
        for happening in happenings.drain(..) {
            match happening {
                Happening::Trade { order, price, lots, is_maker } => {
                    self.trade(slot, &order, price, lots, is_maker, answers(&order))?;
                }
                Happening::Ended { order, end, reason } => {
                    let state = match end {
                        End::Canceled => ReportState::Canceled,
                        End::Expired => ReportState::Expired,
                    };
                    self.end(&order, state);
                    self.say(slot, &order, Saying::new(state, reason, answers(&order)));
                }
            }
        }
        self.happenings = happenings;
        Ok(())
    }

    fn trade(
        &mut self,
        slot: u16,
        order: &Order,
        price: i64,
        lots: i64,
        is_maker: bool,
        answers: u8,
    ) -> Result<(), Overflow> {
        let terms = self.terms[usize::from(slot)];
        let rates = self.fees.rates(self.now_ns, terms.rates);
        let rate = if is_maker { rates.0 } else { rates.1 };
        let is_buy = order.side == BUY;
        let fee = terms.books.fee(&self.fees.settings, rate, is_buy, lots, price).ok_or(Overflow)?;
        terms.books.trade(&mut self.accounts[usize::from(slot)], is_buy, lots, price, fee)?;
        self.fees.traded(terms.books.quote_value(lots, price).ok_or(Overflow)?);
        if let Some(known) = self.known.get_mut(&order.id) {
            known.filled = order.filled;
        }
        if order.left() == 0 {
            self.end(order, ReportState::Filled);
        }
        self.tell_trade(slot, order.id, order.side, price, lots, fee, if is_maker { MAKER } else { 0 }, answers);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // One record's fields.
    fn tell_trade(&mut self, slot: u16, id: u64, side: u8, price: i64, lots: i64, fee: Fee, flags: u16, answers: u8) {
        self.trades_made += 1;
        let event = Event {
            time_exchange_ns: self.now_ns,
            instrument: self.terms[usize::from(slot)].instrument,
            kind: Kind::Fill as u8,
            side,
            flags: LAST | LOCAL | fee.flag | flags,
            price,
            size: lots,
            sequence: self.trades_made,
            aux: [id as i64, fee.raw],
            ..Event::zeroed()
        };
        self.send(event, answers);
    }

    /// Tells an order's state.
    pub(super) fn say(&mut self, slot: u16, order: &Order, saying: Saying) {
        self.say_of(self.terms[usize::from(slot)].instrument, order, saying);
    }

    pub(super) fn say_of(&mut self, instrument: u32, order: &Order, saying: Saying) {
        let Saying { state, reason, answers, terms } = saying;
        let asked = if answers == Ask::Ask as u8 { ASKED } else { 0 };
        let event = Event {
            time_exchange_ns: self.now_ns,
            instrument,
            kind: Kind::Report as u8,
            side: order.side,
            flags: LAST | LOCAL | asked | if terms.is_some() { PAYLOAD } else { 0 },
            price: Answer { state, answers, reason }.pack(),
            size: order.filled,
            sequence: order.venue_id,
            aux: [order.id as i64, if terms.is_some() { 16 } else { 0 }],
            ..Event::zeroed()
        };
        let terms = terms.map_or([0; 2], |(price, size)| [price.to_le(), size.to_le()]);
        self.put(Report { event, terms }, answers);
    }

    /// Puts an answer on the line.
    pub(super) fn send(&mut self, event: Event, answers: u8) {
        self.put(Report { event, terms: [0; 2] }, answers);
    }

    fn put(&mut self, report: Report, answers: u8) {
        let fault = self.faults.returning(report.event.kind == Kind::Fill as u8);
        let time_ns = self.lines.return_time(answers, self.now_ns, fault.extra_ns);
        if !fault.lost {
            self.reports.push(time_ns, report);
        }
        if fault.duplicate {
            self.reports.push(time_ns, report);
        }
    }

    /// Notes how an open order ended.
    pub(super) fn end(&mut self, order: &Order, state: ReportState) {
        if let Some(known) = self.known.get_mut(&order.id) {
            (known.state, known.filled) = (state, order.filled);
            self.open -= 1;
            self.ended.push_back(order.id);
        }
        if self.ended.len() > ENDED_KEPT {
            if let Some(oldest) = self.ended.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Closes a position that its collateral no longer carries, at the mark; its orders go first.
    fn liquidate(&mut self, slot: u16) -> Result<(), Overflow> {
        let at = usize::from(slot);
        let (Some(rule), mark) = (self.settings.liquidation, self.markets[at].mark) else { return Ok(()) };
        let account = self.accounts[at];
        if account.position == 0 || mark <= 0 {
            return Ok(());
        }
        let books = self.terms[at].books;
        let (worth, size) = books.worth(&account, mark).ok_or(Overflow)?;
        let equity = rule.collateral + account.cash + account.funding - account.fees[0] + worth;
        if equity >= fee_up(size, rule.maintenance).ok_or(Overflow)? {
            return Ok(());
        }
        for side in [BUY, SELL] {
            while let Some(order) = self.markets[at].own[usize::from(side)].orders.first().copied() {
                self.markets[at].remove(side, order.id);
                self.happenings.push(Happening::Ended { order, end: End::Canceled, reason: Reason::Liquidated });
            }
        }
        self.publish(slot, 0, 0)?;
        let (side, lots) = if account.position > 0 { (SELL, account.position) } else { (BUY, -account.position) };
        let fee = i64::try_from(fee_up(size, rule.fee).ok_or(Overflow)?).map_err(|_| Overflow)?;
        let fee = Fee { raw: fee, flag: 0 };
        books.trade(&mut self.accounts[at], side == BUY, lots, mark, fee)?;
        self.markets[at].position = 0;
        self.tell_trade(slot, 0, side, mark, lots, fee, EXCHANGE, 0);
        Ok(())
    }
}
