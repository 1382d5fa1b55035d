//! One instrument at a venue, on the venue's time: what the feed shows, what of it we took, and our own orders.
//!
//! The feed is what happened without us; our orders never change it. So that nothing is sold twice, what we take of a
//! shown level is remembered until the feed tells the level's size anew with another size, and what one trade brings is
//! given to our orders once. docs/simulation.md is the contract this file keeps; tests/reference/simulator.py is its
//! plain twin.

use super::impact::{Impact, Pressure};
use super::l3::L3;
use super::own::{reaches, End, Happening, Order, Own, Taking};
use super::queue::{fixed, Place, QueueModel};
use crate::event::{Event, Kind, Reason, BUY, SELL, SIDE_NONE};
use capstan_core::flat_book::FlatBook;
use capstan_core::orders::Side;

/// The instrument.
#[derive(Debug, Clone)]
pub(super) struct Market {
    pub book: FlatBook,
    /// Bids, asks.
    pub own: [Own; 2],
    /// What we took of shown levels since they were last told anew, by side: (price, lots).
    used: [Vec<(i64, i64)>; 2],
    pressure: [Pressure; 2],
    pub position: i64,
    reduce_only: usize,
    model: QueueModel,
    impact: Impact,
    l3: Option<L3>,
    pub mark: i64,
}

fn side_of(side: u8) -> Side {
    if side == BUY {
        Side::Buy
    } else {
        Side::Sell
    }
}

impl Market {
    pub fn new(model: QueueModel, impact: Impact, position: i64) -> Self {
        Self {
            book: FlatBook::new(),
            own: [Own::new(), Own::new()],
            used: [Vec::new(), Vec::new()],
            pressure: [Pressure::default(); 2],
            position,
            reduce_only: 0,
            model,
            impact,
            l3: (model == QueueModel::Fifo).then(L3::default),
            mark: 0,
        }
    }

    // --- the feed

    /// Takes a market event.
    #[inline]
    pub fn feed(&mut self, event: &Event, out: &mut Vec<Happening>) {
        const LEVEL: u8 = Kind::Level as u8;
        const TRADE: u8 = Kind::Trade as u8;
        match event.kind {
            LEVEL => self.level(event.side & 1, event.price, event.size.max(0), out),
            TRADE if self.l3.is_none() && event.side != SIDE_NONE => {
                self.trade(event.side & 1, event.price, event.size, out);
            }
            _ => self.other(event, out),
        }
    }

    fn other(&mut self, event: &Event, out: &mut Vec<Happening>) {
        match event.kind() {
            Some(Kind::Clear) => {
                for side in [BUY, SELL] {
                    if event.side == side || event.side == SIDE_NONE {
                        self.book.clear(side_of(side));
                        self.used[usize::from(side)].clear();
                        if let Some(l3) = &mut self.l3 {
                            l3.clear(side);
                        }
                    }
                }
            }
            Some(Kind::Mark) => self.mark = event.price,
            Some(kind @ (Kind::Add | Kind::Modify | Kind::Delete | Kind::Execute)) => self.each(event, kind, out),
            _ => {}
        }
    }

    #[inline]
    fn level(&mut self, side: u8, price: i64, lots: i64, out: &mut Vec<Happening>) {
        let at = usize::from(side);
        if self.own[at].covers(price) || !self.used[at].is_empty() {
            let before = self.book.size_at(side_of(side), price);
            if before != lots {
                self.used[at].retain(|(used, _)| *used != price);
            }
            let model = self.model;
            for order in self.own[at].orders.iter_mut().filter(|order| order.price == price) {
                model.resize(&mut order.place, before, lots);
            }
        }
        self.book.set(side_of(side), price, lots);
        let own = &self.own[at ^ 1];
        let crossed = if side == BUY { own.low <= price } else { own.high >= price };
        if lots > 0 && crossed {
            self.cross(side, price, out);
        }
    }

    /// A level of the other side came to where our orders rest: it would have traded with them.
    #[cold]
    fn cross(&mut self, side: u8, price: i64, out: &mut Vec<Happening>) {
        let mut available = self.left_at(side, price);
        for at in 0..self.own[usize::from(side ^ 1)].orders.len() {
            let order = self.own[usize::from(side ^ 1)].orders[at];
            if available <= 0 || !reaches(order.side, order.price, price) {
                break;
            }
            let lots = self.fill(side ^ 1, at, available, out);
            available -= lots;
            self.use_up(side, price, lots);
        }
        self.settle(side ^ 1, out);
    }

    /// A public trade: first our orders at better prices, then those at its price whose turn it is.
    #[inline]
    fn trade(&mut self, taker: u8, price: i64, lots: i64, out: &mut Vec<Happening>) {
        let own = &self.own[usize::from(taker ^ 1)];
        // Our bids are hit by a sell at or below the highest of them.
        let reached = if taker == SELL { own.high >= price } else { own.low <= price };
        if reached && lots > 0 {
            self.hit(taker ^ 1, price, lots, out);
        }
    }

    #[cold]
    fn hit(&mut self, maker: u8, price: i64, lots: i64, out: &mut Vec<Happening>) {
        let side = usize::from(maker);
        let mut budget = fixed(lots);
        let mut passed = 0; // What went to others at this price.
        for at in 0..self.own[side].orders.len() {
            let order = &mut self.own[side].orders[at];
            if !reaches(maker, order.price, price) {
                break;
            }
            if order.price == price {
                let ahead = (order.place.ahead - passed).max(0).min(budget);
                passed += ahead;
                budget -= ahead;
                order.place.ahead = (order.place.ahead - passed).max(0);
                order.place.traded = order.place.traded.saturating_add(lots);
            }
            if budget >> 16 > 0 {
                budget -= self.fill(maker, at, budget >> 16, out) << 16;
            }
        }
        self.settle(maker, out);
    }

    /// L3: one order of the market joins, changes, leaves or trades.
    fn each(&mut self, event: &Event, kind: Kind, out: &mut Vec<Happening>) {
        let Some(mut l3) = self.l3.take() else { return };
        let known = l3.get(event.sequence);
        match kind {
            Kind::Add if known.is_none() && event.size > 0 => {
                let side = event.side & 1;
                let shown = self.book.size_at(side_of(side), event.price);
                l3.add(event.sequence, side, event.price, event.size);
                self.level(side, event.price, shown.saturating_add(event.size), out);
            }
            Kind::Execute => {
                if let Some(order) = known {
                    self.execute(order.side, order.price, event.size.min(order.size), order.joined, out);
                    self.leave(&mut l3, event.sequence, order.size - event.size.min(order.size), false, out);
                }
            }
            Kind::Delete => self.leave(&mut l3, event.sequence, 0, false, out),
            Kind::Modify => self.leave(&mut l3, event.sequence, event.size.max(0), true, out),
            _ => {}
        }
        self.l3 = Some(l3);
    }

    /// An L3 order has `left` lots from now on; it goes to the end when that is more than it had.
    fn leave(&mut self, l3: &mut L3, id: u64, left: i64, rejoins: bool, out: &mut Vec<Happening>) {
        let Some(order) = l3.get(id) else { return };
        let end = rejoins && left > order.size;
        let less = if end { order.size } else { order.size - left };
        for own in &mut self.own[usize::from(order.side)].orders {
            if own.price == order.price && order.joined < own.joined {
                own.place.ahead = (own.place.ahead - fixed(less)).max(0);
            }
        }
        l3.resize(id, left, end);
        let shown = self.book.size_at(side_of(order.side), order.price);
        self.level(order.side, order.price, (shown - order.size).saturating_add(left).max(0), out);
    }

    /// An L3 order trades: our orders at better prices, and those that came to its price before it, go first.
    fn execute(&mut self, maker: u8, price: i64, lots: i64, joined: u64, out: &mut Vec<Happening>) {
        let mut budget = lots;
        for at in 0..self.own[usize::from(maker)].orders.len() {
            let order = self.own[usize::from(maker)].orders[at];
            let first = order.price != price || order.joined <= joined;
            if budget <= 0 || !reaches(maker, order.price, price) {
                break;
            }
            if first {
                budget -= self.fill(maker, at, budget, out);
            }
        }
        self.settle(maker, out);
    }

    // --- our orders

    /// Returns whether an order at this price would take something.
    pub fn would_take(&self, side: u8, price: i64) -> bool {
        self.book
            .levels(side_of(side ^ 1))
            .take_while(|(level, _)| reaches(side, price, *level))
            .any(|(level, lots)| lots > self.used_at(side ^ 1, level))
    }

    /// Returns whether an order of this side makes the position smaller.
    pub fn reduces(&self, side: u8) -> bool {
        if side == BUY {
            self.position < 0
        } else {
            self.position > 0
        }
    }

    /// Lets an order take what it may and rest or expire with the rest.
    pub fn arrive(&mut self, mut order: Order, taking: Taking, now_ns: i64, out: &mut Vec<Happening>) {
        let maker = order.side ^ 1;
        if taking.all_or_nothing && !self.fills_whole(&order, taking) {
            out.push(Happening::Ended { order, end: End::Expired, reason: Reason::Unfilled });
            return;
        }
        let mut found = std::mem::take(&mut self.pressure[usize::from(order.side)]);
        while !order.maker_only && self.room(&order) > 0 {
            let level = self.book.levels(side_of(maker)).find(|(price, lots)| *lots > self.used_at(maker, *price));
            let Some((price, shown)) = level else { break };
            if !taking.is_market && !reaches(order.side, order.price, price) {
                break;
            }
            let lots = self.room(&order).min(shown - self.used_at(maker, price));
            let worse = self.impact.ticks(&mut found, lots, now_ns);
            let limit = if taking.is_market { None } else { Some(order.price) };
            let paid = worsened(order.side, price, worse, limit);
            self.use_up(maker, price, lots);
            order.filled += lots;
            self.position += if order.side == BUY { lots } else { -lots };
            out.push(Happening::Trade { order, price: paid, lots, is_maker: false });
        }
        self.pressure[usize::from(order.side)] = found;
        let spent = order.reduce_only && !self.reduces(order.side);
        if order.left() == 0 {
            // Its last trade says so.
        } else if !taking.rests || spent {
            let reason = if spent { Reason::ReduceOnly } else { Reason::Unfilled };
            out.push(Happening::Ended { order, end: End::Expired, reason });
        } else {
            order.place = Place::behind(self.book.size_at(side_of(order.side), order.price));
            order.joined = self.l3.as_ref().map_or(0, L3::joined);
            self.reduce_only += usize::from(order.reduce_only);
            self.own[usize::from(order.side)].add(order);
        }
        self.expire_reduce_only(out);
    }

    /// Takes an order out, or nothing when none is open by this id.
    pub fn remove(&mut self, side: u8, id: u64) -> Option<Order> {
        let at = self.own[usize::from(side)].position(id)?;
        let order = self.own[usize::from(side)].remove(at);
        self.reduce_only -= usize::from(order.reduce_only);
        Some(order)
    }

    /// Returns an open order.
    pub fn order(&self, side: u8, id: u64) -> Option<Order> {
        let own = &self.own[usize::from(side)];
        own.position(id).map(|at| own.orders[at])
    }

    /// Gives an order another size in its place.
    pub fn shrink(&mut self, side: u8, id: u64, size: i64) {
        let own = &mut self.own[usize::from(side)];
        if let Some(at) = own.position(id) {
            own.orders[at].size = size;
        }
    }

    // --- parts

    /// Returns the lots an order may still trade: a reduce-only order no more than there is to reduce.
    fn room(&self, order: &Order) -> i64 {
        match order.reduce_only {
            true if !self.reduces(order.side) => 0,
            true => order.left().min(self.position.saturating_abs()),
            false => order.left(),
        }
    }

    fn fills_whole(&self, order: &Order, taking: Taking) -> bool {
        let mut found = 0i64;
        if self.room(order) < order.left() {
            return false;
        }
        for (price, lots) in self.book.levels(side_of(order.side ^ 1)) {
            if found >= order.left() || !(taking.is_market || reaches(order.side, order.price, price)) {
                break;
            }
            found = found.saturating_add((lots - self.used_at(order.side ^ 1, price)).max(0));
        }
        found >= order.left()
    }

    /// Trades at most so many lots with a resting order at its price. Returns how many.
    fn fill(&mut self, side: u8, at: usize, available: i64, out: &mut Vec<Happening>) -> i64 {
        let lots = self.room(&self.own[usize::from(side)].orders[at]).min(available);
        if lots <= 0 {
            return 0;
        }
        let order = &mut self.own[usize::from(side)].orders[at];
        order.filled += lots;
        self.position += if side == BUY { lots } else { -lots };
        out.push(Happening::Trade { order: *order, price: order.price, lots, is_maker: true });
        lots
    }

    fn settle(&mut self, side: u8, out: &mut Vec<Happening>) {
        let own = &mut self.own[usize::from(side)];
        let done = own.orders.iter().filter(|order| order.left() == 0 && order.reduce_only).count();
        self.reduce_only -= done;
        own.settle();
        self.expire_reduce_only(out);
    }

    /// Ends reduce-only orders that have nothing left to reduce.
    fn expire_reduce_only(&mut self, out: &mut Vec<Happening>) {
        if self.reduce_only == 0 {
            return;
        }
        for side in [BUY, SELL] {
            if self.reduces(side) {
                continue;
            }
            let own = &mut self.own[usize::from(side)];
            own.orders.retain(|order| {
                if order.reduce_only {
                    self.reduce_only -= 1;
                    out.push(Happening::Ended { order: *order, end: End::Expired, reason: Reason::ReduceOnly });
                }
                !order.reduce_only
            });
            own.bound();
        }
    }

    fn used_at(&self, side: u8, price: i64) -> i64 {
        self.used[usize::from(side)].iter().find(|(used, _)| *used == price).map_or(0, |(_, lots)| *lots)
    }

    fn left_at(&self, side: u8, price: i64) -> i64 {
        self.book.size_at(side_of(side), price) - self.used_at(side, price)
    }

    fn use_up(&mut self, side: u8, price: i64, lots: i64) {
        let used = &mut self.used[usize::from(side)];
        match used.iter_mut().find(|(used, _)| *used == price) {
            Some((_, sum)) => *sum += lots,
            None if lots > 0 => used.push((price, lots)),
            None => {}
        }
    }
}

/// Returns a taker's price: worse than the level's, but never worse than its limit nor below one tick.
fn worsened(side: u8, price: i64, worse: i64, limit: Option<i64>) -> i64 {
    if side == BUY {
        let paid = price.saturating_add(worse);
        limit.map_or(paid, |limit| paid.min(limit))
    } else {
        let got = price.saturating_sub(worse).max(1);
        limit.map_or(got, |limit| got.max(limit))
    }
}
