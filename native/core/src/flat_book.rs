//! Price levels of one instrument in a flat window of ticks around the touch.
//!
//! ```text
//!  far (ordered map)  │ window: one slot per tick, a bit per slot, a bit per word of bits │
//!  every worse level  │ base ............................ best ........ base + SLOTS - 1  │
//! ```
//!
//! Both sides are kept as *keys* in which greater is better: a bid's key is its price, an ask's is `!price`, which turns
//! the order round without overflow. Then one code serves both, the best level is the highest bit, and whatever lies
//! outside the window is worse than all in it. When the best level leaves the upper part of the window, the window is laid anew
//! around it ("re-centring"); it has to move by thousands of ticks for that.
//!
//! Setting a level in the window and reading the best one take constant time. Nothing is checked here: no sequence, no
//! crossing, no staleness.

use crate::orders::Side;
use std::collections::btree_map;
use std::collections::BTreeMap;

/// Price in ticks and size in lots.
pub type Level = (i64, i64);

/// Ticks in a window: 128 KiB a side, of which the busy part stays in the first-level cache.
const SLOTS: usize = 1 << 14;
const WORDS: usize = SLOTS / 64;
/// Where the best level is put when the window is laid: most of a book lies behind it, and it may improve by a quarter.
const HOME: usize = SLOTS / 4 * 3;
/// A best level below this slot has too little behind it.
const LOW: usize = SLOTS / 8;

/// Bids and asks by price. Sizes are positive; setting zero or less takes a level away.
#[derive(Debug, Clone)]
pub struct FlatBook {
    bids: Half,
    asks: Half,
}

impl Default for FlatBook {
    fn default() -> Self {
        Self::new()
    }
}

impl FlatBook {
    /// Returns an empty book.
    pub fn new() -> Self {
        Self { bids: Half::new(0), asks: Half::new(-1) }
    }

    /// Sets the size at a price; zero or less takes the level away.
    #[inline]
    pub fn set(&mut self, side: Side, price: i64, size: i64) {
        match side {
            Side::Buy => self.bids.set(price, size),
            Side::Sell => self.asks.set(price, size),
        }
    }

    /// Forgets a side.
    pub fn clear(&mut self, side: Side) {
        match side {
            Side::Buy => self.bids.clear(),
            Side::Sell => self.asks.clear(),
        }
    }

    /// Returns the best level of a side.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.half(side).best()
    }

    /// Returns the size at a price; zero where there is no level.
    #[inline]
    pub fn size_at(&self, side: Side, price: i64) -> i64 {
        self.half(side).size_at(price)
    }

    /// Returns a side's levels, best first.
    pub fn levels(&self, side: Side) -> Levels<'_> {
        let half = self.half(side);
        Levels { half, below: SLOTS, far: half.far.iter().rev() }
    }

    /// Returns the lots of a side at this price and better: what an order with this limit finds. Saturates.
    pub fn depth_until(&self, side: Side, price: i64) -> i64 {
        let half = self.half(side);
        let worst = price ^ half.flip;
        self.levels(side)
            .take_while(|(price, _)| price ^ half.flip >= worst)
            .fold(0, |sum, (_, size)| sum.saturating_add(size))
    }

    /// Returns how many levels a side has.
    pub fn count(&self, side: Side) -> usize {
        let half = self.half(side);
        half.near + half.far.len()
    }

    /// Returns whether a bid is at or above an ask.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        matches!((self.bids.best(), self.asks.best()), (Some((bid, _)), Some((ask, _))) if bid >= ask)
    }

    #[inline]
    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }
}

#[derive(Debug, Clone)]
struct Half {
    /// `price ^ flip` is the key and back.
    flip: i64,
    /// Key of slot 0.
    base: i64,
    /// Slot of the best level; means nothing while `near` is 0.
    best: usize,
    /// Levels in the window. It is 0 only when the half is empty: then `far` is empty too.
    near: usize,
    sizes: Box<[i64]>,
    bits: Box<[u64]>,
    /// A bit per word of `bits` that is not zero.
    words: [u64; WORDS / 64],
    /// Levels whose keys are below `base`.
    far: BTreeMap<i64, i64>,
}

impl Half {
    fn new(flip: i64) -> Self {
        Self {
            flip,
            base: 0,
            best: 0,
            near: 0,
            sizes: vec![0; SLOTS].into_boxed_slice(),
            bits: vec![0; WORDS].into_boxed_slice(),
            words: [0; WORDS / 64],
            far: BTreeMap::new(),
        }
    }

    #[inline]
    fn best(&self) -> Option<Level> {
        (self.near > 0).then(|| (self.price(self.best), self.sizes[self.best]))
    }

    #[inline]
    fn price(&self, slot: usize) -> i64 {
        (self.base + slot as i64) ^ self.flip
    }

    /// Returns the key's slot, or a number of at least SLOTS when it is outside. `base` is so chosen that no key that is
    /// outside wraps into the window.
    #[inline]
    fn slot(&self, key: i64) -> usize {
        key.wrapping_sub(self.base) as usize
    }

    #[inline]
    fn size_at(&self, price: i64) -> i64 {
        let key = price ^ self.flip;
        match self.sizes.get(self.slot(key)) {
            Some(size) => *size,
            None => self.far.get(&key).copied().unwrap_or(0),
        }
    }

    #[inline]
    fn set(&mut self, price: i64, size: i64) {
        let key = price ^ self.flip;
        let slot = self.slot(key);
        if slot >= SLOTS {
            return self.set_outside(key, size);
        }
        let old = std::mem::replace(&mut self.sizes[slot], size.max(0));
        if size > 0 {
            if old == 0 {
                self.mark(slot);
            }
        } else if old != 0 {
            self.unmark(slot);
        }
    }

    #[inline]
    fn mark(&mut self, slot: usize) {
        let word = slot / 64;
        self.bits[word] |= 1 << (slot % 64);
        self.words[word / 64] |= 1 << (word % 64);
        if self.near == 0 || slot > self.best {
            self.best = slot;
        }
        self.near += 1;
    }

    #[inline]
    fn unmark(&mut self, slot: usize) {
        let word = slot / 64;
        self.bits[word] &= !(1 << (slot % 64));
        if self.bits[word] == 0 {
            self.words[word / 64] &= !(1 << (word % 64));
        }
        self.near -= 1;
        if slot == self.best {
            self.find_best();
        }
    }

    /// Finds the best level after the best one went.
    fn find_best(&mut self) {
        match self.highest_below(self.best) {
            Some(slot) => {
                self.best = slot;
                if slot < LOW {
                    self.lay_around(self.base + slot as i64);
                }
            }
            None => {
                if let Some((&key, _)) = self.far.last_key_value() {
                    self.lay_around(key);
                }
            }
        }
    }

    /// Returns the highest occupied slot below this one.
    #[inline]
    fn highest_below(&self, slot: usize) -> Option<usize> {
        let (word, bit) = (slot / 64, slot % 64);
        if let Some(bits) = self.bits.get(word) {
            let bits = bits & ((1 << bit) - 1);
            if bits != 0 {
                return Some(word * 64 + highest(bits));
            }
        }
        let (group, bit) = (word / 64, word % 64);
        let here = self.words.get(group).map_or(0, |words| words & ((1 << bit) - 1));
        let (group, words) = if here != 0 {
            (group, here)
        } else {
            (0..group).rev().map(|group| (group, self.words[group])).find(|(_, words)| *words != 0)?
        };
        let word = group * 64 + highest(words);
        Some(word * 64 + highest(self.bits[word]))
    }

    #[cold]
    fn set_outside(&mut self, key: i64, size: i64) {
        if size <= 0 {
            self.far.remove(&key);
        } else if key < self.base && self.near > 0 {
            self.far.insert(key, size);
        } else {
            self.lay_around(key);
            let slot = self.slot(key);
            self.sizes[slot] = size;
            self.mark(slot);
        }
    }

    /// Lays the window anew so that this key, which is at least as good as every level, is at HOME.
    #[cold]
    fn lay_around(&mut self, key: i64) {
        let mut at = SLOTS;
        while let Some(slot) = self.highest_below(at) {
            self.far.insert(self.base + slot as i64, self.sizes[slot]);
            at = slot;
        }
        self.empty_window();
        // The greatest base is the one whose last slot is the greatest key.
        self.base = key.saturating_sub(HOME as i64).min(i64::MAX - (SLOTS as i64 - 1));
        for (key, size) in self.far.split_off(&self.base) {
            let slot = self.slot(key);
            self.sizes[slot] = size;
            self.mark(slot);
        }
    }

    fn clear(&mut self) {
        self.empty_window();
        self.far.clear();
    }

    fn empty_window(&mut self) {
        let mut at = SLOTS;
        while let Some(slot) = self.highest_below(at) {
            self.sizes[slot] = 0;
            at = slot;
        }
        self.bits.fill(0);
        self.words.fill(0);
        self.near = 0;
    }
}

#[inline]
fn highest(bits: u64) -> usize {
    63 - bits.leading_zeros() as usize
}

/// A side's levels, best first.
#[derive(Debug, Clone)]
pub struct Levels<'a> {
    half: &'a Half,
    below: usize,
    far: std::iter::Rev<btree_map::Iter<'a, i64, i64>>,
}

impl Iterator for Levels<'_> {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        if let Some(slot) = self.half.highest_below(self.below) {
            self.below = slot;
            return Some((self.half.price(slot), self.half.sizes[slot]));
        }
        self.below = 0;
        self.far.next().map(|(key, size)| (key ^ self.half.flip, *size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same book as a map per side, to compare with.
    #[derive(Default)]
    struct Plain([BTreeMap<i64, i64>; 2]);

    impl Plain {
        fn set(&mut self, side: Side, price: i64, size: i64) {
            let map = &mut self.0[side as usize];
            if size > 0 {
                map.insert(price, size);
            } else {
                map.remove(&price);
            }
        }

        fn levels(&self, side: Side) -> Vec<Level> {
            let levels = self.0[side as usize].iter().map(|(p, s)| (*p, *s));
            if side == Side::Buy {
                levels.rev().collect()
            } else {
                levels.collect()
            }
        }
    }

    fn assert_same(book: &FlatBook, plain: &Plain) {
        for side in [Side::Buy, Side::Sell] {
            let expected = plain.levels(side);
            assert_eq!(book.best(side), expected.first().copied());
            assert_eq!(book.count(side), expected.len());
            assert_eq!(book.levels(side).collect::<Vec<_>>(), expected);
        }
    }

    /// xorshift64: seeded, so that a failure repeats.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn walks_like_a_sorted_map_through_far_levels_and_re_centrings() {
        for seed in 1..=8u64 {
            let (mut book, mut plain) = (FlatBook::new(), Plain::default());
            let mut state = 0x9E37_79B9_7F4A_7C15 ^ seed;
            let mut mid = 600_000i64;
            for step in 0..20_000 {
                let r = next(&mut state);
                // Mostly near the middle, sometimes thousands of ticks off, and the middle itself jumps.
                let spread = if r.is_multiple_of(10) { 60_000 } else { 40 };
                if r.is_multiple_of(997) {
                    mid += (next(&mut state) % 40_000) as i64 - 20_000;
                }
                let side = if r & 1024 == 0 { Side::Buy } else { Side::Sell };
                let price = mid + (next(&mut state) % (2 * spread)) as i64 - spread as i64;
                let size = (next(&mut state) % 3) as i64;
                book.set(side, price, size);
                plain.set(side, price, size);
                assert_eq!(book.size_at(side, price), size);
                if step % 500 == 0 {
                    assert_same(&book, &plain);
                }
            }
            assert_same(&book, &plain);
            for side in [Side::Buy, Side::Sell] {
                while let Some((price, _)) = book.best(side) {
                    assert_eq!(Some(price), plain.levels(side).first().map(|l| l.0));
                    book.set(side, price, 0);
                    plain.set(side, price, 0);
                }
                assert_eq!(book.count(side), 0);
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_range_are_prices_like_others() {
        let (mut book, mut plain) = (FlatBook::new(), Plain::default());
        for price in [i64::MAX, i64::MIN, 0, -1, i64::MAX - 1, i64::MIN + 1, i64::MAX - SLOTS as i64, 1 << 62] {
            for side in [Side::Buy, Side::Sell] {
                book.set(side, price, 5);
                plain.set(side, price, 5);
                assert_same(&book, &plain);
            }
        }
        for price in [i64::MIN, i64::MAX, i64::MAX - 1] {
            for side in [Side::Buy, Side::Sell] {
                book.set(side, price, 0);
                plain.set(side, price, 0);
                assert_same(&book, &plain);
            }
        }
    }

    #[test]
    fn depth_is_counted_up_to_a_limit() {
        let mut book = FlatBook::new();
        for (price, size) in [(100, 5), (101, 7), (90_000, 11)] {
            book.set(Side::Sell, price, size);
            book.set(Side::Buy, -price, size);
        }
        for (limit, lots) in [(99, 0), (100, 5), (101, 12), (89_999, 12), (90_000, 23), (i64::MAX, 23)] {
            assert_eq!(book.depth_until(Side::Sell, limit), lots);
            assert_eq!(book.depth_until(Side::Buy, -limit), lots);
        }
    }

    #[test]
    fn a_cleared_side_is_empty_and_the_other_is_not() {
        let mut book = FlatBook::new();
        for price in [1, 5, 100_000, -100_000] {
            book.set(Side::Buy, price, 1);
            book.set(Side::Sell, price, 1);
        }
        assert!(book.is_crossed());
        book.clear(Side::Buy);
        assert_eq!((book.best(Side::Buy), book.count(Side::Buy)), (None, 0));
        assert_eq!(book.levels(Side::Buy).count(), 0);
        assert_eq!(book.best(Side::Sell), Some((-100_000, 1)));
        assert!(!book.is_crossed());
        book.set(Side::Buy, 7, 2);
        assert_eq!(book.levels(Side::Buy).collect::<Vec<_>>(), [(7, 2)]);
    }
}
