//! Reconciliation: one routine for a start, a gap and a crash.
//!
//! The venue's whole answer comes between `Reconcile` begin and end: its open orders with their terms, the trades, the
//! balances. Reports and fills in it are taken like any others. What the answer does not contain is judged at its end:
//! an order that it had to contain is gone. What it contains and nobody here ordered is named, never adopted. A second
//! pass over the same answer changes nothing.

use std::collections::BTreeSet;

use crate::broken::Broken;
use crate::command::{ClientId, Command, Kind};
use crate::event::{Event, ReportState, ASKED};
use crate::kernel::Kernel;
use crate::order_state::State;
use crate::wakes;

/// What an answer contains that nobody here ordered, or lacks. Sorted and unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// An open order of this run that this process does not know: from a stretch of journal that was lost. It is
    /// cancelled.
    Lost { venue: u16, id: u64, venue_order: u64 },
    /// An open order of another run, or of a person. It is left alone.
    ForeignOrder { venue: u16, id: u64, venue_order: u64 },
    /// An order that is over here (the venue did not know it when asked) and open there. It is cancelled.
    Risen { venue: u16, id: u64 },
    /// The venue holds another amount than the books say: somebody else moved it, or trades are missing.
    Balance { venue: u16, asset: u16, theirs: i128, ours: i128 },
    /// The venue shows other lots than the books.
    Position { venue: u16, instrument: u32, theirs: i64, ours: i64 },
    /// The venue named an end with more lots filled than the trades it told.
    MissingTrades { venue: u16, id: u64, lots: i64 },
}

impl Finding {
    pub fn code(&self) -> u8 {
        match self {
            Self::Lost { .. } => 1,
            Self::ForeignOrder { .. } => 2,
            Self::Risen { .. } => 3,
            Self::Balance { .. } => 4,
            Self::Position { .. } => 5,
            Self::MissingTrades { .. } => 6,
        }
    }

    pub(crate) fn venue(&self) -> u16 {
        match *self {
            Self::Lost { venue, .. }
            | Self::ForeignOrder { venue, .. }
            | Self::Risen { venue, .. }
            | Self::Balance { venue, .. }
            | Self::Position { venue, .. }
            | Self::MissingTrades { venue, .. } => venue,
        }
    }
}

impl Finding {
    /// Returns what a finding is about (an order's id, an asset, an instrument) and its two figures.
    pub(crate) fn figures(&self) -> (u64, [i128; 2]) {
        match *self {
            Self::Lost { id, venue_order, .. } | Self::ForeignOrder { id, venue_order, .. } => {
                (id, [venue_order.into(), 0])
            }
            Self::Risen { id, .. } => (id, [0; 2]),
            Self::Balance { asset, theirs, ours, .. } => (asset.into(), [theirs, ours]),
            Self::Position { instrument, theirs, ours, .. } => (instrument.into(), [theirs.into(), ours.into()]),
            Self::MissingTrades { id, lots, .. } => (id, [lots.into(), 0]),
        }
    }

    /// Returns the finding that has these, or nothing.
    pub(crate) fn from_figures(code: u8, venue: u16, number: u64, figures: [i128; 2]) -> Option<Self> {
        let id = number;
        let [first, second] = figures;
        Some(match code {
            1 => Self::Lost { venue, id, venue_order: u64::try_from(first).ok()? },
            2 => Self::ForeignOrder { venue, id, venue_order: u64::try_from(first).ok()? },
            3 => Self::Risen { venue, id },
            4 => Self::Balance { venue, asset: u16::try_from(number).ok()?, theirs: first, ours: second },
            5 => {
                let instrument = u32::try_from(number).ok()?;
                let (theirs, ours) = (i64::try_from(first).ok()?, i64::try_from(second).ok()?);
                Self::Position { venue, instrument, theirs, ours }
            }
            6 => Self::MissingTrades { venue, id, lots: i64::try_from(first).ok()? },
            _ => return None,
        })
    }
}

/// An answer that is being taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answering {
    pub venue: u16,
    pub asked_ns: i64,
    pub changes: u32,
    pub findings: BTreeSet<Finding>,
    pub balances: Vec<(u16, i128)>,
    pub positions: Vec<(u32, i64)>,
}

/// Where reconciliation stands, by venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    pub(crate) answer: Option<Answering>,
    /// Venues whose first answer is complete: what they tell from now on happened during the run.
    pub(crate) opened: Vec<bool>,
    pub(crate) findings: BTreeSet<Finding>,
    pub(crate) pass: u32,
    pub(crate) changes: u32,
}

impl Reconciliation {
    pub fn new(venues: usize) -> Self {
        Self { answer: None, opened: vec![false; venues], findings: BTreeSet::new(), pass: 0, changes: 0 }
    }

    /// Returns how many answers were begun.
    pub fn passes(&self) -> u32 {
        self.pass
    }

    /// Returns how many things the last whole answer changed: 0 means that it had nothing new.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Returns what the newest answer of each venue contains that nobody here ordered.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter()
    }

    /// Forgets an answer that broke off.
    pub(crate) fn abandon(&mut self) {
        self.answer = None;
    }

    /// Keeps a balance of the answer under way; returns whether there is one.
    pub(crate) fn balance(&mut self, asset: u16, raw: i128) -> bool {
        self.answer.as_mut().map(|answer| answer.balances.push((asset, raw))).is_some()
    }

    /// Keeps a position of the answer under way.
    pub(crate) fn position(&mut self, instrument: u32, lots: i64) {
        if let Some(answer) = &mut self.answer {
            answer.positions.push((instrument, lots));
        }
    }
}

impl Kernel {
    pub(crate) fn on_reconcile(&mut self, event: &Event) -> Result<(), Broken> {
        let venue = u16::try_from(event.instrument).ok().filter(|v| usize::from(*v) < self.config.venues.len());
        let venue = venue.ok_or(Broken::Venue(event.instrument))?;
        if event.aux[0] == 0 {
            self.reconciliation.pass += 1;
            self.reconciliation.answer = Some(Answering {
                venue,
                asked_ns: if event.aux[1] > 0 { event.aux[1] } else { event.time_local_ns },
                changes: 0,
                findings: BTreeSet::new(),
                balances: Vec::new(),
                positions: Vec::new(),
            });
            return Ok(());
        }
        let Some(mut answer) = self.reconciliation.answer.take().filter(|a| a.venue == venue) else {
            return Ok(()); // An end without a beginning: the answer broke off.
        };
        self.end_the_absent(&mut answer);
        self.compare_holdings(&mut answer);
        let reconciliation = &mut self.reconciliation;
        reconciliation.opened[usize::from(venue)] = true;
        reconciliation.changes = answer.changes;
        let known = std::mem::take(&mut reconciliation.findings);
        reconciliation.findings =
            known.iter().filter(|f| f.venue() != venue).chain(&answer.findings).copied().collect();
        for finding in answer.findings.difference(&known) {
            self.notice(finding);
        }
        self.wakes.strategies |= self.subscribers.everywhere(wakes::CONTROL);
        self.wakes.why |= wakes::CONTROL;
        Ok(())
    }

    /// Judges what the answer had to contain and does not.
    fn end_the_absent(&mut self, answer: &mut Answering) {
        let pass = self.reconciliation.pass;
        for instrument in 0..self.books.len() as u32 {
            if self.config.instruments[instrument as usize].venue != answer.venue {
                continue;
            }
            let handles = self.orders.open_handles(instrument).to_vec();
            for handle in handles {
                let order = *self.orders.at(handle);
                let last_sent = order.amend.map_or(order.sent_ns, |a| a.sent_ns);
                if order.seen == pass {
                    if order.amend.is_some() && last_sent < answer.asked_ns && order.asked_ns < last_sent {
                        self.ask(handle);
                    }
                    continue;
                }
                if order.sent_ns >= answer.asked_ns {
                    continue; // The venue could not know it yet.
                }
                let is_known = order.state > State::Unknown;
                if !is_known && answer.asked_ns - order.sent_ns < self.config.patience.ask_after_ns {
                    if order.asked_ns < order.sent_ns || order.asked_ns == 0 {
                        self.ask(handle); // It may still be on its way there.
                    }
                    continue;
                }
                if let Some((_, until)) = order.ending.filter(|(_, until)| *until > order.filled) {
                    let lots = until - order.filled;
                    answer.findings.insert(Finding::MissingTrades { venue: answer.venue, id: order.id.0, lots });
                    continue;
                }
                self.change(handle, |order| {
                    order.state = match order.ending {
                        Some((end, _)) => end,
                        None if is_known => State::Canceled,
                        None => State::Rejected,
                    };
                    order.presumed = true;
                });
                answer.changes += 1;
                self.wake_owner(order.strategy, wakes::REPORT);
                self.wish_again(order.strategy, instrument);
            }
        }
    }

    /// Opens what was never told, and names what differs from the books.
    fn compare_holdings(&mut self, answer: &mut Answering) {
        let venue = answer.venue;
        for (asset, theirs) in std::mem::take(&mut answer.balances) {
            if !self.portfolio.is_opened(asset) {
                self.portfolio.open_balance(asset, theirs);
                answer.changes += 1;
            }
            let ours = self.portfolio.balance(asset);
            if ours != theirs {
                answer.findings.insert(Finding::Balance { venue, asset, theirs, ours });
            }
        }
        for (instrument, theirs) in std::mem::take(&mut answer.positions) {
            let ours = self.portfolio.lots_total(instrument);
            if ours != theirs {
                answer.findings.insert(Finding::Position { venue, instrument, theirs, ours });
            }
        }
    }

    /// Takes a report of an order this process does not know.
    pub(crate) fn found_unknown_order(&mut self, event: &Event, state: ReportState) {
        let is_open = matches!(state, ReportState::Accepted | ReportState::PartiallyFilled);
        let (instrument, id) = (event.instrument, ClientId(event.aux[0] as u64));
        if !is_open || instrument as usize >= self.books.len() {
            return;
        }
        let is_foreign = self.is_foreign(id);
        let venue = self.config.instruments[instrument as usize].venue;
        if let Some(answer) = &mut self.reconciliation.answer {
            let (id, venue_order) = (id.0, event.sequence);
            answer.findings.insert(if is_foreign {
                Finding::ForeignOrder { venue, id, venue_order }
            } else {
                Finding::Lost { venue, id, venue_order }
            });
        }
        if !is_foreign {
            self.commands.push(Command {
                client_id: id.0,
                instrument,
                strategy: id.strategy(),
                side: event.side,
                ..self.command(Kind::Cancel)
            });
        }
    }

    /// Notes that the answer under way contains an order.
    pub(crate) fn note_seen(&mut self, handle: u32, event: &Event, state: ReportState) {
        let Some(answer) = &mut self.reconciliation.answer else { return };
        if event.flags & ASKED == 0 {
            return; // The stream goes on beside the answer.
        }
        let order = self.orders.at_mut(handle);
        order.seen = self.reconciliation.pass;
        let is_open = matches!(state, ReportState::Accepted | ReportState::PartiallyFilled);
        if is_open && !order.state.is_open() && order.ended_ns < answer.asked_ns && order.presumed {
            answer.findings.insert(Finding::Risen { venue: answer.venue, id: order.id.0 });
        }
    }

    /// Counts a change that the answer under way made.
    pub(crate) fn count_change(&mut self) {
        if let Some(answer) = &mut self.reconciliation.answer {
            answer.changes += 1;
        }
    }

    /// Returns whether a trade is part of a venue's first answer: its opening balances contain it.
    pub(crate) fn predates(&self, fill: &Event) -> bool {
        let venue = usize::from(self.config.instruments[fill.instrument as usize].venue);
        let is_asked = fill.flags & ASKED != 0;
        is_asked && self.reconciliation.answer.is_some() && !self.reconciliation.opened[venue]
    }

    fn notice(&mut self, finding: &Finding) {
        let mut command = self.command(Kind::Notice);
        command.rule = finding.code();
        let cut = |figure: i128| figure.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        match *finding {
            Finding::Lost { id, venue_order, .. } | Finding::ForeignOrder { id, venue_order, .. } => {
                (command.client_id, command.aux[0]) = (id, venue_order as i64);
            }
            Finding::Risen { id, .. } => command.client_id = id,
            Finding::Balance { asset, theirs, ours, .. } => {
                (command.instrument, command.aux) = (asset.into(), [cut(theirs), cut(ours)]);
            }
            Finding::Position { instrument, theirs, ours, .. } => {
                (command.instrument, command.aux) = (instrument, [theirs, ours]);
            }
            Finding::MissingTrades { id, lots, .. } => (command.client_id, command.size) = (id, lots),
        }
        self.commands.push(command);
    }
}
