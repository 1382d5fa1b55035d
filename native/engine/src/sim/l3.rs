//! The market's own orders, where the feed tells each of them: the truth queue models are measured against.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// One order of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Other {
    pub side: u8,
    pub price: i64,
    pub size: i64,
    /// Its place in time among all orders.
    pub joined: u64,
}

/// Ids are venue numbers: one multiplication spreads them. Nothing here depends on the map's order.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ids(u64);

impl Hasher for Ids {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}

pub(super) type ById<T> = HashMap<u64, T, BuildHasherDefault<Ids>>;

/// All of them, by id.
#[derive(Debug, Clone, Default)]
pub(super) struct L3 {
    orders: ById<Other>,
    joined: u64,
}

impl L3 {
    pub fn get(&self, id: u64) -> Option<Other> {
        self.orders.get(&id).copied()
    }

    /// Returns the place in time of whoever comes now.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    pub fn add(&mut self, id: u64, side: u8, price: i64, size: i64) {
        let joined = self.joined;
        self.joined += 1;
        self.orders.insert(id, Other { side, price, size, joined });
    }

    /// Gives an order another size, and a place at the end if it lost its own; without lots it is gone.
    pub fn resize(&mut self, id: u64, size: i64, to_end: bool) {
        if size == 0 {
            self.orders.remove(&id);
        } else if let Some(order) = self.orders.get_mut(&id) {
            order.size = size;
            if to_end {
                order.joined = self.joined;
                self.joined += 1;
            }
        }
    }

    pub fn clear(&mut self, side: u8) {
        self.orders.retain(|_, order| order.side != side);
    }
}
