//! What venues say of our orders: reports in any order, trades once each, ends that wait for their trades.

use crate::broken::Broken;
use crate::command::{ClientId, Kind as Ask, TimeInForce};
use crate::event::{Answer, Event, Reason, ReportState, ASKED};
use crate::kernel::Kernel;
use crate::order_state::{next, Becomes, State, Told};
use crate::wakes;

impl Kernel {
    pub(crate) fn on_report(&mut self, event: &Event, payload: &[u8]) -> Result<(), Broken> {
        let id = ClientId(event.aux[0] as u64);
        let answer = Answer::unpack(event.price).ok_or(Broken::Answer { id, found: event.price })?;
        let Some(handle) = self.orders.handle(id) else {
            self.found_unknown_order(event, answer.state);
            return Ok(());
        };
        self.note_seen(handle, event, answer.state);
        if event.sequence != 0 {
            self.orders.at_mut(handle).venue_order = event.sequence;
        }
        let is_refusal = answer.reason != Reason::None || answer.state == ReportState::Unknown;
        let mut changed = false;
        if answer.answers == Ask::Amend as u8 && answer.state != ReportState::Lost {
            changed |= self.amend_answered(handle, is_refusal);
        }
        if event.flags & ASKED != 0 {
            if let Some((price, size)) = terms(payload) {
                changed |= self.has_terms(handle, price, size);
            }
        }
        if answer.answers == Ask::Cancel as u8 && answer.state == ReportState::Unknown {
            if self.orders.at(handle).state.is_open() {
                self.ask(handle); // It ended, or is still on its way there; the answer says which.
            }
        } else {
            changed |= self.told_state(handle, answer, event);
        }
        if changed {
            self.count_change();
            self.order_changed(handle);
        }
        self.act_if_needed();
        Ok(())
    }

    /// Takes a venue's word on an order's state; returns whether it changed anything.
    fn told_state(&mut self, handle: u32, answer: Answer, event: &Event) -> bool {
        let state = State::told(answer.state);
        let order = *self.orders.at(handle);
        if !order.state.is_open() {
            if state.is_open() && order.presumed && state > State::Unknown {
                // The venue did not know it when asked, and has it now: nobody here watches it.
                self.push_cancel(handle);
            }
            return false;
        }
        if state == State::Unknown {
            // The outcome of what was last sent is open: of an amend or a cancel, when the order itself is known.
            if order.state > State::Unknown && order.amend.is_some() {
                self.ask(handle);
            }
        }
        let filled = match state {
            State::Filled if event.size < 0 => match order.amend {
                Some(amend) => amend.size.min(order.size),
                None => order.size,
            },
            _ => event.size.max(0),
        };
        let lacks_trades = !state.is_open() && filled > order.filled;
        let reason = answer.reason;
        let is_presumed = answer.state == ReportState::Unknown;
        match next(order.state, Told::State { state, lacks_trades }) {
            Becomes::Same => false,
            Becomes::Ending(end) => {
                self.change(handle, |order| {
                    order.ending = Some((end, filled));
                    order.reason = reason;
                });
                self.due(self.now_ns);
                false
            }
            Becomes::To(to) => {
                self.change(handle, |order| {
                    order.state = to;
                    order.reason = if reason == Reason::None { order.reason } else { reason };
                    order.presumed = is_presumed;
                });
                if to == State::Unknown {
                    self.due(self.now_ns);
                }
                true
            }
        }
    }

    /// Takes the answer to an amend: the terms are what it asked for, or stay what they were.
    fn amend_answered(&mut self, handle: u32, is_refusal: bool) -> bool {
        match self.orders.at(handle).amend {
            Some(_) if is_refusal => self.set_terms(handle, None),
            Some(amend) => self.set_terms(handle, Some((amend.price, amend.size))),
            None => false,
        }
    }

    /// Takes the terms the venue has for an order when asked: those of an amend whose answer was lost, or of a hand that
    /// is not ours.
    fn has_terms(&mut self, handle: u32, price: i64, size: i64) -> bool {
        let order = self.orders.at(handle);
        let (is_same, is_amending) = ((order.price, order.size) == (price, size), order.amend.is_some());
        if price <= 0 || size <= 0 || (is_same && !is_amending) {
            return false;
        }
        self.set_terms(handle, Some((price, size)))
    }

    fn set_terms(&mut self, handle: u32, terms: Option<(i64, i64)>) -> bool {
        if !self.orders.at(handle).state.is_open() {
            return false;
        }
        self.change(handle, |order| {
            if let Some((price, size)) = terms {
                (order.price, order.size) = (price, size.max(order.filled));
            }
            order.amend = None;
            if order.filled >= order.size {
                order.state = State::Filled;
            }
        });
        true
    }

    /// Books one of our trades, once, whoever ordered it.
    pub(crate) fn on_fill(&mut self, event: &Event) -> Result<(), Broken> {
        self.instrument_is_known(event)?;
        let id = ClientId(event.aux[0] as u64);
        if event.size <= 0 || event.price <= 0 {
            return Err(Broken::Fill { id });
        }
        if self.trades.contains(event) {
            return Ok(());
        }
        let Some(handle) = self.orders.handle(id) else {
            self.trades.insert(event);
            if self.predates(event) {
                return Ok(()); // The opening balances contain it.
            }
            // Ordered by a person, another run, or a stretch of journal a power cut took: booked once, by its name.
            let strategy = self.strategy_row(id);
            self.portfolio.fill(strategy, event)?;
            self.booked(strategy, event);
            return Ok(());
        };
        let order = *self.orders.at(handle);
        if (order.instrument, order.side) != (event.instrument, event.side) {
            return Err(Broken::Fill { id });
        }
        let most = order.amend.map_or(order.size, |a| a.size.max(order.size));
        let filled = order.filled.checked_add(event.size).ok_or(Broken::Overflow)?;
        if filled > most {
            return Err(Broken::Overfilled { id, left: most - order.filled, found: event.size });
        }
        self.portfolio.fill(order.strategy, event)?;
        self.trades.insert(event);
        let awaited = order.ending.filter(|(_, until)| filled >= *until).map(|(end, _)| end);
        let becomes = next(order.state, Told::Trade { completes: filled == most, awaited });
        self.change(handle, |order| {
            order.filled = filled;
            order.size = order.size.max(filled);
            if let Becomes::To(state) = becomes {
                order.state = state;
            }
        });
        if let Some(breach) = self.gate.on_fill(self.now_ns, order.strategy, order.filled == 0) {
            self.reached(&breach);
        }
        self.booked(order.strategy, event);
        self.order_changed(handle);
        Ok(())
    }

    fn booked(&mut self, strategy: u8, event: &Event) {
        self.digest.fill(event);
        self.count_change();
        self.wake_owner(strategy, wakes::FILL);
        self.marked();
        self.act_if_needed();
    }

    fn order_changed(&mut self, handle: u32) {
        let (strategy, instrument) = (self.orders.at(handle).strategy, self.orders.at(handle).instrument);
        self.wake_owner(strategy, wakes::REPORT);
        self.wish_again(strategy, instrument);
    }

    /// Asks what became of an order.
    pub(crate) fn ask(&mut self, handle: u32) {
        let now_ns = self.now_ns;
        let order = self.orders.at_mut(handle);
        order.asked_ns = now_ns.max(1);
        let (id, instrument, strategy) = (order.id, order.instrument, order.strategy);
        self.due(now_ns + self.config.patience.ask_after_ns);
        self.gate.count_message(self.config.instruments[instrument as usize].venue, now_ns);
        let mut command = self.command(Ask::Ask);
        (command.client_id, command.instrument, command.strategy) = (id.0, instrument, strategy);
        self.commands.push(command);
    }

    /// Says that something is due at an instant.
    #[inline]
    pub(crate) fn due(&mut self, at_ns: i64) {
        self.due_ns = self.due_ns.min(at_ns);
    }

    /// Asks about what is overdue and repeats cancels that ended nothing.
    ///
    /// Only a resting order may stay accepted; the end of an immediate one that has not come was lost on the way.
    pub(crate) fn sweep(&mut self) {
        self.due_ns = i64::MAX;
        let patience = self.config.patience;
        for instrument in 0..self.books.len() as u32 {
            for at in 0..self.orders.open_handles(instrument).len() {
                let handle = self.orders.open_handles(instrument)[at];
                let order = *self.orders.at(handle);
                let is_known = order.state > State::Unknown;
                let rests = is_known && order.time_in_force == TimeInForce::Gtc;
                if !rests || order.ending.is_some() || order.amend.is_some() {
                    let sent = order.amend.map_or(order.sent_ns, |a| a.sent_ns);
                    let is_first = order.asked_ns < sent || order.asked_ns == 0;
                    let from = match (is_first, order.state) {
                        (true, State::Unknown) => self.now_ns - patience.ask_after_ns,
                        (true, _) => sent,
                        (false, _) => order.asked_ns,
                    };
                    if self.now_ns - from >= patience.ask_after_ns {
                        self.ask(handle);
                    } else {
                        self.due(from + patience.ask_after_ns);
                    }
                }
                if order.cancel_ns != 0 {
                    if is_known && self.now_ns - order.cancel_ns >= patience.cancel_again_ns {
                        let venue = self.config.instruments[instrument as usize].venue;
                        self.gate.count_message(venue, self.now_ns);
                        self.push_cancel(handle);
                    } else {
                        let again = order.cancel_ns + patience.cancel_again_ns;
                        self.due(if is_known { again } else { again.max(self.now_ns) });
                    }
                }
            }
        }
    }
}

/// Returns price and size in a report's payload, if it has them.
fn terms(payload: &[u8]) -> Option<(i64, i64)> {
    let (price, size) = payload.split_at_checked(8)?;
    Some((i64::from_le_bytes(price.try_into().ok()?), i64::from_le_bytes(size.try_into().ok()?)))
}
