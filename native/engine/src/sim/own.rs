//! Our own orders at a venue, by side and priority, and what can happen to them.

use super::queue::Place;
use crate::event::{Reason, BUY};

/// One of our orders at the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub id: u64,
    pub venue_id: u64,
    pub side: u8,
    pub price: i64,
    /// Lots in all, filled ones included.
    pub size: i64,
    pub filled: i64,
    pub place: Place,
    /// When it came to its level, in the count of L3 orders.
    pub joined: u64,
    pub maker_only: bool,
    pub reduce_only: bool,
}

impl Order {
    pub fn left(&self) -> i64 {
        self.size - self.filled
    }
}

/// How an arriving order takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taking {
    pub is_market: bool,
    /// What is left rests.
    pub rests: bool,
    pub all_or_nothing: bool,
}

/// Something that happened to one of our orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    Trade {
        order: Order,
        price: i64,
        lots: i64,
        is_maker: bool,
    },
    /// It is gone with `filled` of its lots traded.
    Ended {
        order: Order,
        end: End,
        reason: Reason,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Canceled,
    Expired,
}

/// Our orders of one side, best price first, older first at a price.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub orders: Vec<Order>,
    /// The interval of their prices; empty: from greatest to least.
    pub low: i64,
    pub high: i64,
}

impl Own {
    pub fn new() -> Self {
        Self { orders: Vec::new(), low: i64::MAX, high: i64::MIN }
    }

    pub fn bound(&mut self) {
        let (first, last) = match (self.orders.first(), self.orders.last()) {
            (Some(first), Some(last)) => (first.price, last.price),
            _ => (i64::MIN, i64::MAX),
        };
        (self.low, self.high) = if self.orders.is_empty() { (last, first) } else { (first.min(last), first.max(last)) };
    }

    pub fn add(&mut self, order: Order) {
        let better =
            |other: &Order| if order.side == BUY { other.price >= order.price } else { other.price <= order.price };
        let at = self.orders.partition_point(better);
        self.orders.insert(at, order);
        self.bound();
    }

    pub fn position(&self, id: u64) -> Option<usize> {
        self.orders.iter().position(|order| order.id == id)
    }

    pub fn remove(&mut self, at: usize) -> Order {
        let order = self.orders.remove(at);
        self.bound();
        order
    }

    /// Takes filled orders out.
    pub fn settle(&mut self) {
        self.orders.retain(|order| order.left() > 0);
        self.bound();
    }

    #[inline]
    pub fn covers(&self, price: i64) -> bool {
        self.low <= price && price <= self.high
    }
}

/// Returns whether a limit on one side reaches a price on the other.
#[inline]
pub(super) fn reaches(side: u8, limit: i64, price: i64) -> bool {
    if side == BUY {
        price <= limit
    } else {
        price >= limit
    }
}
