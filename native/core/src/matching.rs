//! Price-time priority matching for one instrument, on ticks and lots.
//!
//! The engine knows orders and owners, nothing of money, names or clocks: commands in, events out, the same for the
//! same commands. Each command's events come in the order things happened: executions and preventions first, level by
//! level with the level's new size after them, then what became of the command's own order.
//!
//! An iceberg shows a part of itself. When that is gone it shows the next part, behind all others at its price.

use crate::orders::{Command, Event, Kind, NewOrder, Reject, Resting, SelfTrade, Side, Size, TimeInForce};
use crate::queues::{Front, Queues};

/// The book of one instrument.
#[derive(Default)]
pub struct Engine {
    queues: Queues,
}

impl Engine {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs one command and appends its events.
    pub fn run(&mut self, command: Command, events: &mut Vec<Event>) {
        match command {
            Command::Submit(order) => self.submit(order, events),
            Command::Cancel(id) => self.cancel(id, events),
            Command::Reduce(id, lots) => self.reduce(id, lots, events),
            Command::Replace(id, order) => self.replace(id, order, events),
        }
    }

    pub fn submit(&mut self, order: NewOrder, events: &mut Vec<Event>) {
        if let Some(why) = self.objection(&order) {
            events.push(Event::Rejected { id: order.id, why });
            return;
        }
        if order.time_in_force == TimeInForce::Fok && !self.fills_whole(&order) {
            let lots = if let Size::Lots(lots) = order.size { lots } else { 0 };
            events.push(Event::Expired { id: order.id, lots });
            return;
        }
        let Some(left) = self.take(&order, events) else { return };
        match left {
            Size::Lots(0) => {}
            Size::Lots(lots) if order.kind == Kind::Market || order.time_in_force != TimeInForce::Gtc => {
                events.push(Event::Expired { id: order.id, lots });
            }
            Size::Lots(lots) => {
                let NewOrder { id, owner, side, price, display, .. } = order;
                let shown = if display == 0 { lots } else { display.min(lots) };
                self.rest(Resting { id, owner, side, price, lots: shown, hidden: lots - shown, display }, events);
            }
            // What is left of a budget that bought something is change, unless the book ran out.
            Size::Quote(_) if left == order.size || self.queues.best(order.side.opposite()).is_none() => {
                events.push(Event::Expired { id: order.id, lots: 0 });
            }
            Size::Quote(_) => {}
        }
    }

    pub fn cancel(&mut self, id: u64, events: &mut Vec<Event>) {
        let Some((order, lots)) = self.queues.remove(id) else {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        };
        let Resting { side, price, .. } = order;
        events.push(Event::Canceled { id, price, lots: order.left() });
        events.push(Event::Level { side, price, lots });
    }

    /// Takes an order's open size down to `left`, keeping its priority; what is hidden goes first.
    pub fn reduce(&mut self, id: u64, left: i64, events: &mut Vec<Event>) {
        let Some(order) = self.queues.order(id) else {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        };
        if left < 1 || left >= order.left() {
            events.push(Event::Rejected { id, why: Reject::BadSize });
            return;
        }
        let Resting { side, price, .. } = order;
        if let Some(lots) = self.queues.reduce(id, left) {
            events.push(Event::Reduced { id, price, left });
            events.push(Event::Level { side, price, lots });
        }
    }

    /// Cancels one order and submits another in its stead. The other is checked first: if it is unfit, or the first is
    /// unknown, nothing happens. (A post-only order may still be rejected after the cancel.)
    pub fn replace(&mut self, id: u64, order: NewOrder, events: &mut Vec<Event>) {
        if !self.queues.contains(id) {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        }
        let is_taken = order.id != id && self.queues.contains(order.id);
        if let Some(why) = is_taken.then_some(Reject::DuplicateId).or_else(|| order.unfit()) {
            events.push(Event::Rejected { id: order.id, why });
            return;
        }
        self.cancel(id, events);
        self.submit(order, events);
    }

    /// Puts an order back that waited in an engine before this one; called in the order of the queues.
    pub fn put_back(&mut self, order: Resting, events: &mut Vec<Event>) {
        let best = self.queues.best(order.side.opposite());
        let objection = if self.queues.contains(order.id) {
            Some(Reject::DuplicateId)
        } else if let Some(why) = order.unfit() {
            Some(why)
        } else {
            best.is_some_and(|best| order.side.reaches(order.price, best)).then_some(Reject::WouldTake)
        };
        match objection {
            Some(why) => events.push(Event::Rejected { id: order.id, why }),
            None => self.rest(order, events),
        }
    }

    /// Returns one side's levels, best first, as (price, lots).
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.queues.levels(side).map(|(price, lots, _)| (price, lots))
    }

    /// Returns the lots that wait at a price.
    pub fn lots_at(&self, side: Side, price: i64) -> i64 {
        self.queues.lots_at(side, price)
    }

    /// Returns one side's orders in priority order.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> + '_ {
        self.queues.levels(side).flat_map(|(_, _, queue)| queue)
    }

    /// Returns a waiting order.
    pub fn order(&self, id: u64) -> Option<Resting> {
        self.queues.order(id)
    }

    /// Returns what a market order for so many lots would take from others: (lots, ticks times lots).
    pub fn cost_of(&self, side: Side, lots: i64, owner: u64) -> (i64, i128) {
        let (mut left, mut cost) = (lots, 0_i128);
        for order in self.orders(side.opposite()) {
            if left <= 0 {
                break;
            }
            if order.owner != owner {
                let taken = left.min(order.left());
                left -= taken;
                cost += i128::from(taken) * i128::from(order.price);
            }
        }
        (lots - left, cost)
    }

    /// Returns how many lots a market order with such a budget (ticks times lots) would trade with others.
    pub fn lots_for(&self, side: Side, budget: i64, owner: u64) -> i64 {
        let (mut left, mut lots) = (budget, 0);
        for order in self.orders(side.opposite()) {
            let affordable = left / order.price;
            if affordable == 0 {
                break;
            }
            if order.owner != owner {
                let taken = affordable.min(order.left());
                left -= taken * order.price;
                lots += taken;
                if taken < order.left() {
                    break;
                }
            }
        }
        lots
    }

    fn objection(&self, order: &NewOrder) -> Option<Reject> {
        if self.queues.contains(order.id) {
            return Some(Reject::DuplicateId);
        }
        if let Some(why) = order.unfit() {
            return Some(why);
        }
        let takes = self.queues.best(order.side.opposite()).is_some_and(|best| order.reaches(best));
        (order.kind == Kind::LimitMaker && takes).then_some(Reject::WouldTake)
    }

    /// Whether others' orders within reach cover the lots, before any of the owner's own would end or lessen the order.
    fn fills_whole(&self, order: &NewOrder) -> bool {
        let Size::Lots(mut left) = order.size else { return false };
        for (price, _, queue) in self.queues.levels(order.side.opposite()) {
            if !order.reaches(price) {
                break;
            }
            // What is hidden at a level comes after all that is shown there.
            let (mut shown, mut hidden) = (0, 0);
            for other in queue {
                if left <= shown {
                    return true;
                }
                if other.owner == order.owner && order.self_trade != SelfTrade::Allow {
                    if order.self_trade == SelfTrade::ExpireMaker {
                        continue;
                    }
                    return false;
                }
                shown += other.lots;
                hidden += other.hidden;
            }
            left -= shown + hidden;
            if left <= 0 {
                return true;
            }
        }
        false
    }

    /// Trades against the other side. Returns what is left, or nothing if self-trade prevention ended the order.
    fn take(&mut self, order: &NewOrder, events: &mut Vec<Event>) -> Option<Size> {
        let side = order.side.opposite();
        let mut left = order.size;
        while let Some(mut front) = self.queues.front(side) {
            let price = front.price();
            if left.affords(price) == 0 || !order.reaches(price) {
                break;
            }
            let before = front.lots();
            let after = take_level(&mut front, order, left, events);
            // An expired taker may leave the level as it was: then there is no change to tell.
            if front.lots() != before {
                events.push(Event::Level { side, price, lots: front.lots() });
            }
            front.close();
            left = after?;
        }
        Some(left)
    }

    fn rest(&mut self, order: Resting, events: &mut Vec<Event>) {
        let Resting { id, side, price, .. } = order;
        let lots = self.queues.push(order);
        events.push(Event::Rested { id, price, lots: order.lots, left: order.left() });
        events.push(Event::Level { side, price, lots });
    }
}

/// Trades with the orders of one level. Returns what is left, or nothing if self-trade prevention ended the order.
fn take_level(front: &mut Front<'_>, order: &NewOrder, mut left: Size, events: &mut Vec<Event>) -> Option<Size> {
    let price = front.price();
    while let Some(maker) = front.head() {
        let lots = left.affords(price).min(maker.lots);
        if lots == 0 {
            break;
        }
        let prevention = if maker.owner == order.owner { order.self_trade } else { SelfTrade::Allow };
        let (taker, maker, maker_open) = (order.id, maker.id, maker.left());
        let maker_left = maker_open - lots;
        match prevention {
            SelfTrade::Allow => {
                left = left.less(price, lots);
                events.push(Event::Traded { taker, maker, price, lots, maker_left });
                fill(front, lots, events);
            }
            SelfTrade::Decrement => {
                left = left.less(price, lots);
                let taker_left = left.affords(price);
                events.push(Event::Prevented { id: maker, other: taker, price, lots, left: maker_left });
                events.push(Event::Prevented { id: taker, other: maker, price, lots, left: taker_left });
                fill(front, lots, events);
                if taker_left == 0 {
                    return None;
                }
            }
            SelfTrade::ExpireMaker | SelfTrade::ExpireTaker | SelfTrade::ExpireBoth => {
                if prevention != SelfTrade::ExpireTaker {
                    events.push(Event::Prevented { id: maker, other: taker, price, lots: maker_open, left: 0 });
                    front.pop();
                }
                if prevention != SelfTrade::ExpireMaker {
                    let lots = if let Size::Lots(lots) = left { lots } else { 0 };
                    events.push(Event::Prevented { id: taker, other: maker, price, lots, left: 0 });
                    return None;
                }
            }
        }
    }
    Some(left)
}

/// Takes lots off a level's first order, which may show its next part then.
fn fill(front: &mut Front<'_>, lots: i64, events: &mut Vec<Event>) {
    if let Some(order) = front.fill(lots) {
        events.push(Event::Refilled { id: order.id, price: order.price, lots: order.lots, left: order.left() });
    }
}
