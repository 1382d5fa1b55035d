//! Price-time priority matching for one instrument, on ticks and lots.
//!
//! The engine knows orders and owners, nothing of money, names or clocks: commands in, events out, the same for the
//! same commands. Each command's events come in the order things happened: executions and preventions first, level by
//! level with the level's new size after them, then what became of the command's own order.
//!
//! An iceberg shows a part of itself. When that is gone it shows the next part, behind all others at its price.

use crate::orders::{Command, Event, Kind, NewOrder, Reject, Resting, SelfTrade, Side, Size, TimeInForce, LIMIT_MAX};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    order: Resting,
    prev: u32,
    next: u32,
}

/// A queue of orders at one price: a doubly linked list through the node slab.
#[derive(Debug)]
struct Level {
    head: u32,
    tail: u32,
    lots: i64,
}

/// Order ids are small, dense and ours: one multiplication spreads them, where SipHash would cost more than matching.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}

/// Levels of one side, keyed so that the best price comes first: bids by the negated price.
type Half = BTreeMap<i64, Level>;

fn key(side: Side, price: i64) -> i64 {
    match side {
        Side::Buy => -price,
        Side::Sell => price,
    }
}

/// The book of one instrument.
#[derive(Default)]
pub struct Engine {
    bids: Half,
    asks: Half,
    nodes: Vec<Node>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32, BuildHasherDefault<IdHasher>>,
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
            Size::Quote(_) if left == order.size || self.half(order.side.opposite()).is_empty() => {
                events.push(Event::Expired { id: order.id, lots: 0 });
            }
            Size::Quote(_) => {}
        }
    }

    pub fn cancel(&mut self, id: u64, events: &mut Vec<Event>) {
        let Some(&slot) = self.by_id.get(&id) else {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        };
        let order = self.nodes[slot as usize].order;
        let Resting { side, price, .. } = order;
        let level_lots = self.unlink(slot);
        events.push(Event::Canceled { id, price, lots: order.left() });
        events.push(Event::Level { side, price, lots: level_lots });
    }

    /// Takes an order's open size down to `left`, keeping its priority; what is hidden goes first.
    pub fn reduce(&mut self, id: u64, left: i64, events: &mut Vec<Event>) {
        let Some(&slot) = self.by_id.get(&id) else {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        };
        let order = &mut self.nodes[slot as usize].order;
        if left < 1 || left >= order.left() {
            events.push(Event::Rejected { id, why: Reject::BadSize });
            return;
        }
        let less = (order.lots - left).max(0);
        order.lots -= less;
        order.hidden = left - order.lots;
        let Resting { side, price, .. } = *order;
        if let Some(level) = self.half_mut(side).get_mut(&key(side, price)) {
            level.lots -= less;
            let lots = level.lots;
            events.push(Event::Reduced { id, price, left });
            events.push(Event::Level { side, price, lots });
        }
    }

    /// Cancels one order and submits another in its stead. The other is checked first: if it is unfit, or the first is
    /// unknown, nothing happens. (A post-only order may still be rejected after the cancel.)
    pub fn replace(&mut self, id: u64, order: NewOrder, events: &mut Vec<Event>) {
        if !self.by_id.contains_key(&id) {
            events.push(Event::Rejected { id, why: Reject::UnknownId });
            return;
        }
        if order.id != id {
            if let Some(why @ (Reject::DuplicateId | Reject::BadPrice | Reject::BadSize)) = self.objection(&order) {
                events.push(Event::Rejected { id: order.id, why });
                return;
            }
        } else if let Some(why) = unfit(&order) {
            events.push(Event::Rejected { id, why });
            return;
        }
        self.cancel(id, events);
        self.submit(order, events);
    }

    /// Puts an order back that waited in an engine before this one; called in the order of the queues.
    pub fn put_back(&mut self, order: Resting, events: &mut Vec<Event>) {
        let (id, total) = (order.id, i128::from(order.lots) + i128::from(order.hidden));
        let best = self.half(order.side.opposite()).keys().next().map(|key| key.abs());
        let crosses = best.is_some_and(|best| match order.side {
            Side::Buy => order.price >= best,
            Side::Sell => order.price <= best,
        });
        let is_unsized = order.lots < 1 || order.hidden < 0 || order.display < 0 || total > i128::from(LIMIT_MAX);
        let objection = if self.by_id.contains_key(&id) {
            Some(Reject::DuplicateId)
        } else if !(1..=LIMIT_MAX).contains(&order.price) {
            Some(Reject::BadPrice)
        } else if is_unsized || (order.hidden > 0 && order.display == 0) {
            Some(Reject::BadSize)
        } else {
            crosses.then_some(Reject::WouldTake)
        };
        match objection {
            Some(why) => events.push(Event::Rejected { id, why }),
            None => self.rest(order, events),
        }
    }

    /// Returns one side's levels, best first, as (price, lots).
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.half(side).iter().map(|(key, level)| (key.abs(), level.lots))
    }

    /// Returns the lots that wait at a price.
    pub fn lots_at(&self, side: Side, price: i64) -> i64 {
        self.half(side).get(&key(side, price)).map_or(0, |level| level.lots)
    }

    /// Returns one side's orders in priority order.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> + '_ {
        self.half(side).values().flat_map(move |level| Queue { nodes: &self.nodes, at: level.head })
    }

    /// Returns a waiting order.
    pub fn order(&self, id: u64) -> Option<Resting> {
        self.by_id.get(&id).map(|&slot| self.nodes[slot as usize].order)
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

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn objection(&self, order: &NewOrder) -> Option<Reject> {
        if self.by_id.contains_key(&order.id) {
            return Some(Reject::DuplicateId);
        }
        if let Some(why) = unfit(order) {
            return Some(why);
        }
        let best = self.half(order.side.opposite()).first_key_value();
        let takes = best.is_some_and(|(best, _)| reaches(order, best.abs()));
        (order.kind == Kind::LimitMaker && takes).then_some(Reject::WouldTake)
    }

    /// Whether others' orders within reach cover the lots, before any of the owner's own would end or lessen the order.
    fn fills_whole(&self, order: &NewOrder) -> bool {
        let Size::Lots(mut left) = order.size else { return false };
        for (key, level) in self.half(order.side.opposite()) {
            if !reaches(order, key.abs()) {
                break;
            }
            // What is hidden at a level comes after all that is shown there.
            let (mut shown, mut hidden) = (0, 0);
            for other in (Queue { nodes: &self.nodes, at: level.head }) {
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
        let Self { bids, asks, nodes, free, by_id } = self;
        let side = order.side.opposite();
        let half = if side == Side::Buy { bids } else { asks };
        let mut left = order.size;
        let mut ended = false;
        while let Some(mut entry) = half.first_entry() {
            let price = entry.key().abs();
            if ended || spent(left, price) || !reaches(order, price) {
                break;
            }
            let level = entry.get_mut();
            let before = level.lots;
            while level.head != NONE && !spent(left, price) {
                let slot = level.head;
                let maker = &mut nodes[slot as usize].order;
                let (maker_id, lots) = (maker.id, affordable(left, price).min(maker.lots));
                let is_own = maker.owner == order.owner && order.self_trade != SelfTrade::Allow;
                if is_own && order.self_trade != SelfTrade::Decrement {
                    let maker_left = maker.left();
                    if order.self_trade != SelfTrade::ExpireTaker {
                        let gone = Event::Prevented { id: maker_id, other: order.id, price, lots: maker_left, left: 0 };
                        events.push(gone);
                        level.lots -= maker.lots;
                        pop_head(level, nodes, free, by_id);
                    }
                    if order.self_trade != SelfTrade::ExpireMaker {
                        let lots = if let Size::Lots(lots) = left { lots } else { 0 };
                        events.push(Event::Prevented { id: order.id, other: maker_id, price, lots, left: 0 });
                        ended = true;
                        break;
                    }
                    continue;
                }
                maker.lots -= lots;
                level.lots -= lots;
                left = less(left, price, lots);
                let (shown, maker_left) = (maker.lots, maker.left());
                if is_own {
                    let taker_left = affordable(left, price);
                    events.push(Event::Prevented { id: maker_id, other: order.id, price, lots, left: maker_left });
                    events.push(Event::Prevented { id: order.id, other: maker_id, price, lots, left: taker_left });
                    ended = taker_left == 0;
                } else {
                    events.push(Event::Traded { taker: order.id, maker: maker_id, price, lots, maker_left });
                }
                if maker_left == 0 {
                    pop_head(level, nodes, free, by_id);
                } else if shown == 0 {
                    refill_head(level, nodes, events);
                }
                if ended {
                    break;
                }
            }
            // An expired taker may leave the level as it was: then there is no change to tell.
            if level.lots != before {
                events.push(Event::Level { side, price, lots: level.lots });
            }
            if level.head == NONE {
                entry.remove();
            }
        }
        (!ended).then_some(left)
    }

    fn rest(&mut self, order: Resting, events: &mut Vec<Event>) {
        let node = Node { order, prev: NONE, next: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        self.by_id.insert(order.id, slot);
        let Self { bids, asks, nodes, .. } = self;
        let half = if order.side == Side::Buy { bids } else { asks };
        let lots = match half.entry(key(order.side, order.price)) {
            Entry::Vacant(entry) => entry.insert(Level { head: slot, tail: slot, lots: order.lots }).lots,
            Entry::Occupied(mut entry) => {
                let level = entry.get_mut();
                nodes[slot as usize].prev = level.tail;
                nodes[level.tail as usize].next = slot;
                level.tail = slot;
                level.lots += order.lots;
                level.lots
            }
        };
        events.push(Event::Rested { id: order.id, price: order.price, lots: order.lots, left: order.left() });
        events.push(Event::Level { side: order.side, price: order.price, lots });
    }

    /// Takes an order out of the book. Returns what is left at its level.
    fn unlink(&mut self, slot: u32) -> i64 {
        let Self { bids, asks, nodes, free, by_id } = self;
        let Node { order, prev, next } = nodes[slot as usize];
        by_id.remove(&order.id);
        free.push(slot);
        let half = if order.side == Side::Buy { bids } else { asks };
        let Entry::Occupied(mut entry) = half.entry(key(order.side, order.price)) else { return 0 };
        let level = entry.get_mut();
        level.lots -= order.lots;
        if prev == NONE {
            level.head = next;
        } else {
            nodes[prev as usize].next = next;
        }
        if next == NONE {
            level.tail = prev;
        } else {
            nodes[next as usize].prev = prev;
        }
        let lots = level.lots;
        if level.head == NONE {
            entry.remove();
        }
        lots
    }
}

struct Queue<'a> {
    nodes: &'a [Node],
    at: u32,
}

impl Iterator for Queue<'_> {
    type Item = Resting;

    fn next(&mut self) -> Option<Resting> {
        let node = self.nodes.get(self.at as usize)?;
        self.at = node.next;
        Some(node.order)
    }
}

fn pop_head(
    level: &mut Level,
    nodes: &mut [Node],
    free: &mut Vec<u32>,
    by_id: &mut HashMap<u64, u32, BuildHasherDefault<IdHasher>>,
) {
    let slot = level.head;
    let Node { order, next, .. } = nodes[slot as usize];
    by_id.remove(&order.id);
    free.push(slot);
    level.head = next;
    if next == NONE {
        level.tail = NONE;
    } else {
        nodes[next as usize].prev = NONE;
    }
}

/// Lets an iceberg at the head of a level show its next part, at the tail.
fn refill_head(level: &mut Level, nodes: &mut [Node], events: &mut Vec<Event>) {
    let slot = level.head;
    let Node { order, next, .. } = &mut nodes[slot as usize];
    order.lots = order.display.min(order.hidden);
    order.hidden -= order.lots;
    level.lots += order.lots;
    events.push(Event::Refilled { id: order.id, price: order.price, lots: order.lots, left: order.left() });
    let second = std::mem::replace(next, NONE);
    if second == NONE {
        return;
    }
    nodes[second as usize].prev = NONE;
    nodes[slot as usize].prev = level.tail;
    nodes[level.tail as usize].next = slot;
    level.head = second;
    level.tail = slot;
}

fn unfit(order: &NewOrder) -> Option<Reject> {
    if order.kind != Kind::Market && !(1..=LIMIT_MAX).contains(&order.price) {
        return Some(Reject::BadPrice);
    }
    match order.size {
        Size::Lots(lots) if (1..=LIMIT_MAX).contains(&lots) && (0..=lots).contains(&order.display) => None,
        Size::Quote(budget) if budget > 0 && order.kind == Kind::Market && order.display == 0 => {
            (order.time_in_force == TimeInForce::Fok).then_some(Reject::BadSize)
        }
        _ => Some(Reject::BadSize),
    }
}

fn reaches(order: &NewOrder, price: i64) -> bool {
    match (order.kind, order.side) {
        (Kind::Market, _) => true,
        (_, Side::Buy) => price <= order.price,
        (_, Side::Sell) => price >= order.price,
    }
}

fn affordable(left: Size, price: i64) -> i64 {
    match left {
        Size::Lots(lots) => lots,
        Size::Quote(budget) => budget / price,
    }
}

fn spent(left: Size, price: i64) -> bool {
    affordable(left, price) == 0
}

fn less(left: Size, price: i64, lots: i64) -> Size {
    match left {
        Size::Lots(had) => Size::Lots(had - lots),
        // At most what `affordable` allowed, so the product fits.
        Size::Quote(had) => Size::Quote(had - lots * price),
    }
}
