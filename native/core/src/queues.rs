//! Orders that wait, by side, price and time: first come, first served at each price.
//!
//! One slab holds every order, and a level links its own into a queue: any of them leaves in constant time. What an
//! order hides is not in its level's lots.

use crate::orders::{Resting, Side};
use std::collections::btree_map::{Entry, OccupiedEntry};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    order: Resting,
    prev: u32,
    next: u32,
}

/// The orders at one price: a doubly linked list through the slab.
#[derive(Debug)]
struct Level {
    head: u32,
    tail: u32,
    lots: i64,
}

/// Levels of one side, keyed so that the best price comes first: bids by the negated price.
type Half = BTreeMap<i64, Level>;

fn key(side: Side, price: i64) -> i64 {
    match side {
        Side::Buy => -price,
        Side::Sell => price,
    }
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

/// Every waiting order by its id, with its neighbours.
#[derive(Default)]
struct Slab {
    nodes: Vec<Node>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32, BuildHasherDefault<IdHasher>>,
}

impl Slab {
    fn insert(&mut self, order: Resting, prev: u32) -> u32 {
        let node = Node { order, prev, next: NONE };
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
        slot
    }

    fn remove(&mut self, id: u64) -> Option<Node> {
        let slot = self.by_id.remove(&id)?;
        self.free.push(slot);
        Some(self.nodes[slot as usize])
    }

    fn node(&mut self, slot: u32) -> &mut Node {
        &mut self.nodes[slot as usize]
    }
}

/// The queues of both sides.
#[derive(Default)]
pub(crate) struct Queues {
    bids: Half,
    asks: Half,
    slab: Slab,
}

impl Queues {
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.slab.by_id.contains_key(&id)
    }

    pub(crate) fn order(&self, id: u64) -> Option<Resting> {
        self.slab.by_id.get(&id).map(|&slot| self.slab.nodes[slot as usize].order)
    }

    pub(crate) fn best(&self, side: Side) -> Option<i64> {
        self.half(side).first_key_value().map(|(key, _)| key.abs())
    }

    /// Returns the lots shown at a price.
    pub(crate) fn lots_at(&self, side: Side, price: i64) -> i64 {
        self.half(side).get(&key(side, price)).map_or(0, |level| level.lots)
    }

    /// Returns one side's levels, best first: the price, the lots shown, and the orders in the order of their queue.
    pub(crate) fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64, Queue<'_>)> + '_ {
        let nodes = &self.slab.nodes;
        self.half(side).iter().map(move |(key, level)| (key.abs(), level.lots, Queue { nodes, at: level.head }))
    }

    /// Lets an order wait behind all others at its price. Returns the lots shown there now.
    pub(crate) fn push(&mut self, order: Resting) -> i64 {
        let Self { bids, asks, slab } = self;
        match half_mut(bids, asks, order.side).entry(key(order.side, order.price)) {
            Entry::Vacant(entry) => {
                let slot = slab.insert(order, NONE);
                entry.insert(Level { head: slot, tail: slot, lots: order.lots }).lots
            }
            Entry::Occupied(mut entry) => {
                let level = entry.get_mut();
                let slot = slab.insert(order, level.tail);
                slab.node(level.tail).next = slot;
                level.tail = slot;
                level.lots += order.lots;
                level.lots
            }
        }
    }

    /// Takes an order out. Returns it, and the lots still shown at its price.
    pub(crate) fn remove(&mut self, id: u64) -> Option<(Resting, i64)> {
        let Self { bids, asks, slab } = self;
        let Node { order, prev, next } = slab.remove(id)?;
        let Entry::Occupied(mut entry) = half_mut(bids, asks, order.side).entry(key(order.side, order.price)) else {
            return Some((order, 0));
        };
        let level = entry.get_mut();
        level.lots -= order.lots;
        if prev == NONE {
            level.head = next;
        } else {
            slab.node(prev).next = next;
        }
        if next == NONE {
            level.tail = prev;
        } else {
            slab.node(next).prev = prev;
        }
        let lots = level.lots;
        if level.head == NONE {
            entry.remove();
        }
        Some((order, lots))
    }

    /// Takes an order down to `left` lots where it stands; what is hidden goes first. Returns the lots shown at its
    /// price now.
    pub(crate) fn reduce(&mut self, id: u64, left: i64) -> Option<i64> {
        let Self { bids, asks, slab } = self;
        let order = &mut slab.nodes[*slab.by_id.get(&id)? as usize].order;
        let less = (order.lots - left).max(0);
        order.lots -= less;
        order.hidden = left - order.lots;
        let level = half_mut(bids, asks, order.side).get_mut(&key(order.side, order.price))?;
        level.lots -= less;
        Some(level.lots)
    }

    /// Returns the best level of a side, to trade with.
    pub(crate) fn front(&mut self, side: Side) -> Option<Front<'_>> {
        let Self { bids, asks, slab } = self;
        Some(Front { entry: half_mut(bids, asks, side).first_entry()?, slab })
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }
}

fn half_mut<'a>(bids: &'a mut Half, asks: &'a mut Half, side: Side) -> &'a mut Half {
    match side {
        Side::Buy => bids,
        Side::Sell => asks,
    }
}

/// The orders of a level, in the order of their queue.
pub(crate) struct Queue<'a> {
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

/// The best level of a side while it is traded with; `close` it, so that an empty one does not stay.
pub(crate) struct Front<'a> {
    entry: OccupiedEntry<'a, i64, Level>,
    slab: &'a mut Slab,
}

impl Front<'_> {
    pub(crate) fn price(&self) -> i64 {
        self.entry.key().abs()
    }

    /// Returns the lots shown.
    pub(crate) fn lots(&self) -> i64 {
        self.entry.get().lots
    }

    /// Returns the first order, while there is one.
    #[inline]
    pub(crate) fn head(&self) -> Option<&Resting> {
        self.slab.nodes.get(self.entry.get().head as usize).map(|node| &node.order)
    }

    /// Takes lots off what the first order shows. With nothing left it is gone; one that hides more shows its next
    /// part, behind all others, and is returned.
    #[inline]
    pub(crate) fn fill(&mut self, lots: i64) -> Option<Resting> {
        let level = self.entry.get_mut();
        let order = &mut self.slab.node(level.head).order;
        if lots == order.left() {
            self.pop();
            return None;
        }
        order.lots -= lots;
        level.lots -= lots;
        (order.lots == 0).then(|| self.refill())
    }

    /// Takes the first order out, whatever it has left.
    #[inline]
    pub(crate) fn pop(&mut self) {
        let level = self.entry.get_mut();
        let Node { order, next, .. } = self.slab.nodes[level.head as usize];
        self.slab.remove(order.id);
        level.lots -= order.lots;
        level.head = next;
        if next == NONE {
            level.tail = NONE;
        } else {
            self.slab.node(next).prev = NONE;
        }
    }

    /// Ends the trading with this level.
    pub(crate) fn close(self) {
        if self.entry.get().head == NONE {
            self.entry.remove();
        }
    }

    /// Lets the iceberg at the head show its next part, at the tail.
    fn refill(&mut self) -> Resting {
        let (level, slab) = (self.entry.get_mut(), &mut *self.slab);
        let slot = level.head;
        let Node { order, next, .. } = slab.node(slot);
        order.lots = order.display.min(order.hidden);
        order.hidden -= order.lots;
        level.lots += order.lots;
        let (order, second) = (*order, std::mem::replace(next, NONE));
        if second != NONE {
            slab.node(second).prev = NONE;
            slab.node(slot).prev = level.tail;
            slab.node(level.tail).next = slot;
            level.head = second;
            level.tail = slot;
        }
        order
    }
}
