//! The venue's order desk: what each command does when it arrives.

use super::account::Overflow;
use super::exchange::{Exchange, Known, Saying};
use super::limits::passes;
use super::own::{End, Happening, Order, Taking};
use super::queue::Place;
use crate::command::{Command, Kind, OrderType, TimeInForce};
use crate::event::{Event, Kind as EventKind, Reason, ReportState, ASKED, BUY, LAST, LOCAL, SELL, SIDE_NONE};
use bytemuck::Zeroable;
use capstan_core::orders::LIMIT_MAX;

/// A command as desks know it.
fn kind_of(command: &Command) -> Option<Kind> {
    [Kind::Place, Kind::Amend, Kind::Cancel, Kind::CancelAll, Kind::Ask]
        .into_iter()
        .find(|kind| *kind as u8 == command.kind)
}

impl Exchange {
    /// Sends a command to the venue at a local time. Kinds that are no venue's business are not taken: returns false.
    pub fn submit(&mut self, command: &Command, now_ns: i64) -> bool {
        if kind_of(command).is_none() {
            return false;
        }
        let fault = self.faults.sending();
        let is_down = self.down.0 <= now_ns && now_ns < self.down.1;
        let arrival_ns = self.lines.arrival(command.kind, now_ns);
        if fault.disconnect && !is_down {
            let up_ns = now_ns.saturating_add(self.settings.faults.down_ns);
            self.down = (now_ns, up_ns);
            if self.settings.faults.cancel_on_disconnect {
                self.commands.push(arrival_ns, Command { kind: Kind::CancelAll as u8, ..Command::zeroed() });
            }
            // Once the line is up, whoever holds it asks for everything.
            let asked_ns = self.lines.arrival(Kind::Ask as u8, up_ns);
            let ask = Command { kind: Kind::Ask as u8, time_ns: up_ns, ..Command::zeroed() };
            self.commands.push(asked_ns, ask);
        } else if !is_down && !fault.lost {
            self.commands.push(arrival_ns, *command);
        }
        true
    }

    /// Lets the command that arrives first arrive.
    pub fn arrive(&mut self) -> Result<(), Overflow> {
        let Some((time_ns, command)) = self.commands.pop() else { return Ok(()) };
        self.now_ns = self.now_ns.max(time_ns);
        let Some(kind) = kind_of(&command) else { return Ok(()) };
        let passes = passes(&mut self.windows, kind, self.now_ns);
        match kind {
            Kind::Place => self.place(&command, passes),
            Kind::Amend => self.amend(&command, passes),
            Kind::Cancel => self.cancel(&command, passes),
            Kind::CancelAll => self.cancel_all(passes),
            _ if command.client_id == 0 => {
                self.tell_all(command.time_ns);
                Ok(())
            }
            _ => {
                self.tell(&command);
                Ok(())
            }
        }
    }

    fn place(&mut self, command: &Command, passes: bool) -> Result<(), Overflow> {
        self.orders_made += 1;
        let is_maker = command.order_type == OrderType::LimitMaker as u8;
        let order = Order {
            id: command.client_id,
            venue_id: self.orders_made,
            side: command.side,
            price: command.price,
            size: command.size,
            filled: 0,
            place: Place::default(),
            joined: 0,
            maker_only: is_maker,
            reduce_only: command.reduce_only != 0,
        };
        let slot = match self.objection(command, &order, passes) {
            Ok(slot) => slot,
            Err(reason) => {
                let saying = Saying::new(ReportState::Rejected, reason, command.kind);
                self.say_of(command.instrument, &order, saying);
                return Ok(());
            }
        };
        let known = Known { slot, side: order.side, state: ReportState::Accepted, filled: 0, venue_id: order.venue_id };
        self.known.insert(order.id, known);
        self.open += 1;
        self.say(slot, &order, Saying::new(ReportState::Accepted, Reason::None, command.kind));
        let is_market = command.order_type == OrderType::Market as u8;
        let taking = Taking {
            is_market,
            rests: !is_market && command.time_in_force == TimeInForce::Gtc as u8,
            all_or_nothing: command.time_in_force == TimeInForce::Fok as u8,
        };
        self.markets[usize::from(slot)].arrive(order, taking, self.now_ns, &mut self.happenings);
        self.publish(slot, command.kind, command.client_id)
    }

    /// Returns the market an order may enter, or why it may not.
    fn objection(&self, command: &Command, order: &Order, passes: bool) -> Result<u16, Reason> {
        let slot = self.slot_of(command.instrument).ok_or(Reason::Invalid)?;
        let no = Err;
        let is_market = command.order_type == OrderType::Market as u8;
        let (market, terms) = (&self.markets[usize::from(slot)], &self.terms[usize::from(slot)]);
        if !passes {
            return no(Reason::Throttled);
        }
        if self.known.contains_key(&order.id) {
            return no(Reason::Duplicate);
        }
        let is_priced = is_market || (1..=LIMIT_MAX).contains(&order.price);
        let is_sized = (1..=LIMIT_MAX).contains(&order.size) && order.side <= SELL && order.id != 0;
        let is_known = command.order_type <= OrderType::Market as u8
            && command.time_in_force <= TimeInForce::Fok as u8
            && !(order.maker_only && command.time_in_force != TimeInForce::Gtc as u8);
        if !is_priced || !is_sized || !is_known {
            return no(Reason::Invalid);
        }
        if !is_market && terms.books.quote_value(order.size, order.price).is_none_or(|v| v < terms.notional_min) {
            return no(Reason::NotionalMin);
        }
        if self.open >= self.settings.open_max {
            return no(Reason::TooManyOrders);
        }
        if order.reduce_only && !market.reduces(order.side) {
            return no(Reason::ReduceOnly);
        }
        if order.maker_only && market.would_take(order.side, order.price) {
            return no(Reason::WouldTake);
        }
        Ok(slot)
    }

    /// Changes an order's price and size (filled lots included). Less at the same price keeps its place; everything else
    /// comes anew. A size that is filled already, or a post-only price that would take, ends the order.
    fn amend(&mut self, command: &Command, passes: bool) -> Result<(), Overflow> {
        let open = self.known.get(&command.client_id).copied().filter(|known| known.state == ReportState::Accepted);
        let refused = match open {
            None => Some(Reason::UnknownOrder),
            Some(_) if !passes => Some(Reason::Throttled),
            Some(_) if !(1..=LIMIT_MAX).contains(&command.price) || !(1..=LIMIT_MAX).contains(&command.size) => {
                Some(Reason::Invalid)
            }
            Some(_) => None,
        };
        let (Some(known), None) = (open, refused) else {
            self.refuse(command, refused.unwrap_or(Reason::Other));
            return Ok(());
        };
        let market = &mut self.markets[usize::from(known.slot)];
        let Some(mut order) = market.order(known.side, command.client_id) else { return Ok(()) };
        let keeps = command.price == order.price && command.size <= order.size;
        let end = if command.size <= order.filled {
            Some(Reason::None)
        } else if order.maker_only && !keeps && market.would_take(order.side, command.price) {
            Some(Reason::WouldTake)
        } else {
            None
        };
        if end.is_some() || !keeps {
            market.remove(known.side, order.id);
        }
        if let Some(reason) = end {
            self.happenings.push(Happening::Ended { order, end: End::Canceled, reason });
            return self.publish(known.slot, command.kind, command.client_id);
        }
        (order.price, order.size) = (command.price, command.size);
        if keeps {
            market.shrink(known.side, order.id, order.size);
        }
        self.say(known.slot, &order, Saying::new(open_state(&order), Reason::None, command.kind));
        if !keeps {
            let taking = Taking { is_market: false, rests: true, all_or_nothing: false };
            self.markets[usize::from(known.slot)].arrive(order, taking, self.now_ns, &mut self.happenings);
        }
        self.publish(known.slot, command.kind, command.client_id)
    }

    fn cancel(&mut self, command: &Command, passes: bool) -> Result<(), Overflow> {
        let open = self.known.get(&command.client_id).copied().filter(|known| known.state == ReportState::Accepted);
        let Some(known) = open.filter(|_| passes) else {
            let reason = if open.is_none() { Reason::UnknownOrder } else { Reason::Throttled };
            self.refuse(command, reason);
            return Ok(());
        };
        if let Some(order) = self.markets[usize::from(known.slot)].remove(known.side, command.client_id) {
            self.happenings.push(Happening::Ended { order, end: End::Canceled, reason: Reason::None });
        }
        self.publish(known.slot, command.kind, command.client_id)
    }

    fn cancel_all(&mut self, passes: bool) -> Result<(), Overflow> {
        if !passes {
            return Ok(()); // Nobody in particular to answer; whoever sent it finds the orders open and repeats it.
        }
        for slot in 0..self.markets.len() {
            for side in [BUY, SELL] {
                while let Some(order) = self.markets[slot].own[usize::from(side)].orders.first().copied() {
                    self.markets[slot].remove(side, order.id);
                    self.happenings.push(Happening::Ended { order, end: End::Canceled, reason: Reason::None });
                }
            }
            self.publish(slot as u16, Kind::CancelAll as u8, 0)?;
        }
        Ok(())
    }

    /// Answers what became of an order: its terms while it is open, trades of it that were lost on the way, its state.
    fn tell(&mut self, command: &Command) {
        let Some(known) = self.known.get(&command.client_id).copied() else {
            self.refuse(command, Reason::UnknownOrder);
            return;
        };
        self.tell_untold(Some(command.client_id));
        match self.markets[usize::from(known.slot)].order(known.side, command.client_id) {
            Some(order) => self.tell_open(known.slot, &order),
            None => {
                let order = past(command, &known);
                self.say(known.slot, &order, Saying::new(known.state, Reason::None, command.kind));
            }
        }
    }

    fn tell_open(&mut self, slot: u16, order: &Order) {
        let saying = Saying::new(open_state(order), Reason::None, Kind::Ask as u8);
        self.say(slot, order, Saying { terms: Some((order.price, order.size)), ..saying });
    }

    /// Tells the whole account: lost trades, every open order, between a begin and an end.
    fn tell_all(&mut self, asked_ns: i64) {
        self.bracket(0, asked_ns);
        self.tell_untold(None);
        for slot in 0..self.markets.len() {
            for side in 0..2 {
                for at in 0..self.markets[slot].own[side].orders.len() {
                    let order = self.markets[slot].own[side].orders[at];
                    self.tell_open(slot as u16, &order);
                }
            }
        }
        self.bracket(1, asked_ns);
    }

    fn bracket(&mut self, end: i64, asked_ns: i64) {
        let event = Event {
            time_exchange_ns: self.now_ns,
            instrument: u32::from(self.settings.venue),
            kind: EventKind::Reconcile as u8,
            side: SIDE_NONE,
            flags: LAST | LOCAL | ASKED,
            aux: [end, asked_ns],
            ..Event::zeroed()
        };
        self.send(event, Kind::Ask as u8);
    }

    fn tell_untold(&mut self, id: Option<u64>) {
        let told: Vec<Event> =
            self.untold.iter().filter(|e| id.is_none_or(|id| e.aux[0] as u64 == id)).copied().collect();
        self.untold.retain(|event| id.is_some_and(|id| event.aux[0] as u64 != id));
        for event in told {
            self.send(Event { flags: event.flags | ASKED, ..event }, Kind::Ask as u8);
        }
    }

    /// Says no to a command about an order, with what the order is now.
    fn refuse(&mut self, command: &Command, reason: Reason) {
        let known = self.known.get(&command.client_id).copied();
        let order = known
            .map_or(Order { id: command.client_id, side: command.side, ..NO_ORDER }, |known| past(command, &known));
        let state = match known {
            Some(known) if known.state == ReportState::Accepted => open_state(&order),
            Some(known) => known.state,
            None => ReportState::Unknown,
        };
        self.say_of(command.instrument, &order, Saying::new(state, reason, command.kind));
    }
}

fn open_state(order: &Order) -> ReportState {
    if order.filled > 0 {
        ReportState::PartiallyFilled
    } else {
        ReportState::Accepted
    }
}

/// Returns what is remembered of an order that a command is about.
fn past(command: &Command, known: &Known) -> Order {
    let Known { side, filled, venue_id, .. } = *known;
    Order { id: command.client_id, venue_id, side, filled, ..NO_ORDER }
}

const NO_ORDER: Order = Order {
    id: 0,
    venue_id: 0,
    side: BUY,
    price: 0,
    size: 0,
    filled: 0,
    place: Place { ahead: 0, traded: 0 },
    joined: 0,
    maker_only: false,
    reduce_only: false,
};
