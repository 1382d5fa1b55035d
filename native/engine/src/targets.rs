//! Target quotes: a strategy says what it wants to have in the book, and the difference to what it has becomes the fewest
//! messages.
//!
//! What rests at a wanted price stays where it is, in its place in the queue, as long as it is not more than wanted; what
//! is missing there is placed beside it. An order at a price nobody wants any more is moved to one that is missing
//! something, in one message where the venue can, else cancelled. An order whose amend is under way is waited for, and
//! what was wanted is looked at again when its answer comes.

use crate::command::{ClientId, OrderType, TimeInForce};
use crate::event::{BUY, SELL};
use crate::kernel::Kernel;
use crate::order_state::State;
use crate::orders::NewOrder;
use crate::risk::Stage;

/// A quote that is wanted: open lots at a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub price: i64,
    pub size: i64,
}

/// What one strategy last wanted in one instrument.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub bids: Vec<Target>,
    pub asks: Vec<Target>,
    /// Part of it waits for an answer of the venue.
    pub deferred: bool,
}

/// An own order as the difference sees it.
#[derive(Debug, Clone, Copy)]
struct Own {
    id: ClientId,
    price: i64,
    open: i64,
    filled: i64,
    /// The venue has confirmed it and nothing is under way.
    is_settled: bool,
    is_amending: bool,
    used: bool,
}

#[derive(Debug, Clone, Default)]
struct Plan {
    own: Vec<Own>,
    surplus: Vec<Own>,
    missing: Vec<Target>,
    cancels: Vec<ClientId>,
    amends: Vec<(ClientId, Target)>,
    places: Vec<(u8, Target)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    instruments: usize,
    pub(crate) slots: Vec<Wish>,
    plan: Plan,
}

impl Wishes {
    pub fn new(strategies: usize, instruments: usize) -> Self {
        Self { instruments, slots: vec![Wish::default(); strategies * instruments], plan: Plan::default() }
    }

    fn at(&self, strategy: u8, instrument: u32) -> usize {
        usize::from(strategy) * self.instruments + instrument as usize
    }
}

impl Kernel {
    /// Makes a strategy's open orders in an instrument what it wants them to be. Orders that take are left alone.
    pub fn set_targets(&mut self, strategy: u8, instrument: u32, bids: &[Target], asks: &[Target]) {
        if usize::from(strategy) >= self.config.strategies.len() || instrument as usize >= self.books.len() {
            return;
        }
        let at = self.wishes.at(strategy, instrument);
        let wish = &mut self.wishes.slots[at];
        wish.bids.clear();
        wish.bids.extend_from_slice(bids);
        wish.asks.clear();
        wish.asks.extend_from_slice(asks);
        self.fulfil(strategy, instrument);
    }

    /// Looks again at what was wanted, if part of it waited for an answer.
    pub(crate) fn wish_again(&mut self, strategy: u8, instrument: u32) {
        if usize::from(strategy) < self.config.strategies.len() {
            let at = self.wishes.at(strategy, instrument);
            if self.wishes.slots[at].deferred && self.gate.stage(strategy) < Stage::Cancel {
                self.fulfil(strategy, instrument);
            }
        }
    }

    fn fulfil(&mut self, strategy: u8, instrument: u32) {
        let at = self.wishes.at(strategy, instrument);
        let mut plan = std::mem::take(&mut self.wishes.plan);
        let mut deferred = false;
        for side in [BUY, SELL] {
            self.list_own(&mut plan.own, strategy, instrument, side);
            let wish = &self.wishes.slots[at];
            let targets = if side == BUY { &wish.bids } else { &wish.asks };
            deferred |= self.compare(&mut plan, instrument, side, targets);
        }
        self.wishes.slots[at].deferred = deferred;
        for id in plan.cancels.drain(..) {
            self.cancel(id);
        }
        for (id, target) in plan.amends.drain(..) {
            if self.amend(id, target.price, target.size).is_err() {
                self.cancel(id); // Refused where it should go, and unwanted where it is.
            }
        }
        for (side, target) in plan.places.drain(..) {
            let request = NewOrder {
                instrument,
                side,
                price: target.price,
                size: target.size,
                order_type: OrderType::LimitMaker,
                time_in_force: TimeInForce::Gtc,
                reduce_only: false,
            };
            // A refusal is a command of its own; the strategy sees that the quote is not there.
            let _ = self.place(strategy, request);
        }
        self.wishes.plan = plan;
    }

    fn list_own(&self, own: &mut Vec<Own>, strategy: u8, instrument: u32, side: u8) {
        own.clear();
        for order in self.orders.open_of(instrument) {
            if order.strategy == strategy && order.side == side && order.is_wanted() {
                let (price, size) = order.amend.map_or((order.price, order.size), |a| (a.price, a.size));
                own.push(Own {
                    id: order.id,
                    price,
                    open: size - order.filled,
                    filled: order.filled,
                    is_settled: matches!(order.state, State::Accepted | State::PartiallyFilled)
                        && order.amend.is_none()
                        && order.ending.is_none(),
                    is_amending: order.amend.is_some(),
                    used: false,
                });
            }
        }
    }

    /// Plans one side; returns whether something has to wait.
    fn compare(&self, plan: &mut Plan, instrument: u32, side: u8, targets: &[Target]) -> bool {
        let terms = &self.config.instruments[instrument as usize];
        let can_amend = self.config.venues[usize::from(terms.venue)].can_amend;
        let mut deferred = false;
        plan.surplus.clear();
        plan.missing.clear();
        for target in targets.iter().filter(|t| t.size > 0) {
            let mut wanted = target.size;
            let mut has_some = false;
            for own in plan.own.iter_mut().filter(|o| !o.used && o.price == target.price) {
                own.used = true;
                if own.open <= wanted {
                    wanted -= own.open;
                    has_some = true;
                } else if wanted == 0 {
                    plan.surplus.push(*own);
                } else if own.is_amending || (can_amend && !own.is_settled) {
                    deferred = true;
                    wanted = 0;
                } else if can_amend {
                    plan.amends.push((own.id, Target { price: own.price, size: own.filled + wanted }));
                    wanted = 0;
                } else {
                    plan.surplus.push(*own);
                }
            }
            // A rest too small to be an order of its own is not placed beside what is there.
            if wanted > 0 && !(has_some && self.is_below_minimum(instrument, target.price, wanted)) {
                plan.missing.push(Target { price: target.price, size: wanted });
            }
        }
        let (own, surplus) = (&plan.own, &mut plan.surplus);
        surplus.extend(own.iter().filter(|o| !o.used));
        let mut missing = plan.missing.drain(..);
        for own in plan.surplus.drain(..) {
            let is_movable = can_amend && (own.is_settled || own.is_amending);
            match if is_movable { missing.next() } else { None } {
                Some(target) if own.is_settled => {
                    plan.amends.push((own.id, Target { price: target.price, size: own.filled + target.size }));
                }
                Some(_) => deferred = true, // It is on its way elsewhere; it will be moved on from there.
                None => plan.cancels.push(own.id),
            }
        }
        plan.places.extend(missing.map(|target| (side, target)));
        deferred
    }

    fn is_below_minimum(&self, instrument: u32, price: i64, lots: i64) -> bool {
        let terms = &self.config.instruments[instrument as usize];
        let scale = &self.scales[instrument as usize];
        let value = match terms.contract {
            crate::instrument::Contract::Inverse { .. } => i128::from(lots) * scale.quote_per_lot,
            _ => i128::from(lots) * i128::from(price) * scale.quote_per_tick_lot,
        };
        value < terms.notional_min
    }
}
