//! Which trades are booked: each counts once, however often and by whatever order's name it is told.

use crate::event::Event;

/// A set of trades, by instrument, side and the venue's trade id. (A trade between two orders of ours is told once a
/// side.) Looked up and added to, never walked except in sorted order: its layout decides nothing.
#[derive(Debug, Clone)]
pub struct Trades {
    /// Open addressing; `(0, 0)` is empty: side and instrument are stored plus one.
    slots: Vec<(u64, u64)>,
    count: usize,
}

impl Default for Trades {
    fn default() -> Self {
        Self { slots: vec![(0, 0); 1024], count: 0 }
    }
}

fn key(fill: &Event) -> (u64, u64) {
    (fill.sequence, (u64::from(fill.instrument) << 1 | u64::from(fill.side & 1)) + 1)
}

impl Trades {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn contains(&self, fill: &Event) -> bool {
        self.slots[self.find(key(fill))] != (0, 0)
    }

    /// Adds a trade; returns whether it was new.
    pub fn insert(&mut self, fill: &Event) -> bool {
        self.insert_key(key(fill))
    }

    pub(crate) fn insert_key(&mut self, key: (u64, u64)) -> bool {
        let at = self.find(key);
        if self.slots[at] != (0, 0) {
            return false;
        }
        self.slots[at] = key;
        self.count += 1;
        if self.count * 4 > self.slots.len() * 3 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![(0, 0); old.len() * 2];
            for key in old.into_iter().filter(|k| *k != (0, 0)) {
                let at = self.find(key);
                self.slots[at] = key;
            }
        }
        true
    }

    /// Returns the keys in order.
    pub(crate) fn sorted(&self) -> Vec<(u64, u64)> {
        let mut keys: Vec<_> = self.slots.iter().copied().filter(|k| *k != (0, 0)).collect();
        keys.sort_unstable();
        keys
    }

    fn find(&self, key: (u64, u64)) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (key.0 ^ key.1 << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 20 & mask;
        while self.slots[at] != (0, 0) && self.slots[at] != key {
            at = (at + 1) & mask;
        }
        at
    }
}
