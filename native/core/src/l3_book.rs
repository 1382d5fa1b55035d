//! Every order of a market by its id, first come first served: the truth that models of queue position are scored against.
//!
//! It only records what a venue says of each order; it matches nothing.

use crate::flat_book::{FlatBook, Level};
use crate::orders::Side;
use std::collections::{BTreeMap, HashMap};

/// One order in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    pub side: Side,
    pub price: i64,
    pub size: i64,
    /// Its place: lower is earlier. Places are never used twice.
    place: u64,
}

/// Says why an event contradicts what is known; nothing is changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum L3Error {
    DuplicateId,
    UnknownId,
    /// A size must be positive, and an execution no larger than what is left.
    BadSize,
}

/// The orders. See the module.
#[derive(Debug, Clone, Default)]
pub struct L3Book {
    orders: HashMap<u64, Resting>,
    /// Queues by side and price: ids by place.
    queues: [HashMap<i64, BTreeMap<u64, u64>>; 2],
    levels: FlatBook,
    next_place: u64,
}

impl L3Book {
    /// Returns an empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// An order joins the end of its level.
    pub fn add(&mut self, id: u64, side: Side, price: i64, size: i64) -> Result<(), L3Error> {
        if size <= 0 {
            return Err(L3Error::BadSize);
        }
        if self.orders.contains_key(&id) {
            return Err(L3Error::DuplicateId);
        }
        let total = self.levels.size_at(side, price).checked_add(size).ok_or(L3Error::BadSize)?;
        let place = self.next_place;
        self.next_place += 1;
        self.orders.insert(id, Resting { side, price, size, place });
        self.queues[side as usize].entry(price).or_default().insert(place, id);
        self.levels.set(side, price, total);
        Ok(())
    }

    /// An order's open size is now `size`: it keeps its place when that is less, and goes to the end when it is more.
    pub fn modify(&mut self, id: u64, size: i64) -> Result<(), L3Error> {
        let order = *self.orders.get(&id).ok_or(L3Error::UnknownId)?;
        if size <= 0 {
            return Err(L3Error::BadSize);
        }
        let others = self.levels.size_at(order.side, order.price) - order.size;
        let total = others.checked_add(size).ok_or(L3Error::BadSize)?;
        let mut changed = Resting { size, ..order };
        if size > order.size {
            changed.place = self.next_place;
            self.next_place += 1;
            if let Some(queue) = self.queues[order.side as usize].get_mut(&order.price) {
                queue.remove(&order.place);
                queue.insert(changed.place, id);
            }
        }
        self.orders.insert(id, changed);
        self.levels.set(order.side, order.price, total);
        Ok(())
    }

    /// An order leaves without a trade.
    pub fn delete(&mut self, id: u64) -> Result<(), L3Error> {
        let order = *self.orders.get(&id).ok_or(L3Error::UnknownId)?;
        self.take(id, order, order.size);
        Ok(())
    }

    /// `size` lots of an order trade. Returns what it has left.
    pub fn execute(&mut self, id: u64, size: i64) -> Result<i64, L3Error> {
        let order = *self.orders.get(&id).ok_or(L3Error::UnknownId)?;
        if size <= 0 || size > order.size {
            return Err(L3Error::BadSize);
        }
        self.take(id, order, size);
        Ok(order.size - size)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { next_place: self.next_place, ..Self::default() };
    }

    fn take(&mut self, id: u64, order: Resting, size: i64) {
        let total = self.levels.size_at(order.side, order.price) - size;
        self.levels.set(order.side, order.price, total);
        if size < order.size {
            self.orders.insert(id, Resting { size: order.size - size, ..order });
            return;
        }
        self.orders.remove(&id);
        let queues = &mut self.queues[order.side as usize];
        if let Some(queue) = queues.get_mut(&order.price) {
            queue.remove(&order.place);
            if queue.is_empty() {
                queues.remove(&order.price);
            }
        }
    }

    pub fn get(&self, id: u64) -> Option<&Resting> {
        self.orders.get(&id)
    }

    /// Returns the lots before an order in its queue.
    pub fn ahead(&self, id: u64) -> Option<i64> {
        let order = self.orders.get(&id)?;
        let queue = self.queues[order.side as usize].get(&order.price)?;
        Some(queue.range(..order.place).filter_map(|(_, id)| self.orders.get(id)).map(|order| order.size).sum())
    }

    /// Returns a level's orders as (id, lots), first come first.
    pub fn queue(&self, side: Side, price: i64) -> impl Iterator<Item = (u64, i64)> + '_ {
        let queue = self.queues[side as usize].get(&price);
        queue.into_iter().flatten().filter_map(|(_, id)| self.orders.get(id).map(|order| (*id, order.size)))
    }

    /// Returns the best level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels.best(side)
    }

    /// Returns the levels that the orders add up to.
    pub fn levels(&self) -> &FlatBook {
        &self.levels
    }

    pub fn len(&self) -> usize {
        self.orders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_wait_in_the_order_they_came() {
        let mut book = L3Book::new();
        for (id, size) in [(7, 5), (3, 2), (9, 4)] {
            book.add(id, Side::Buy, 100, size).unwrap();
        }
        assert_eq!(book.queue(Side::Buy, 100).collect::<Vec<_>>(), [(7, 5), (3, 2), (9, 4)]);
        assert_eq!((book.ahead(7), book.ahead(3), book.ahead(9)), (Some(0), Some(5), Some(7)));
        book.modify(7, 1).unwrap();
        assert_eq!(book.ahead(9), Some(3), "less keeps its place");
        book.modify(7, 6).unwrap();
        assert_eq!(book.queue(Side::Buy, 100).collect::<Vec<_>>(), [(3, 2), (9, 4), (7, 6)], "more goes to the end");
        assert_eq!(book.execute(3, 1), Ok(1));
        assert_eq!(book.execute(3, 1), Ok(0));
        book.delete(9).unwrap();
        assert_eq!((book.best(Side::Buy), book.ahead(7), book.len()), (Some((100, 6)), Some(0), 1));
        book.delete(7).unwrap();
        assert!(book.is_empty() && book.best(Side::Buy).is_none());
    }

    #[test]
    fn contradictions_change_nothing() {
        let mut book = L3Book::new();
        book.add(1, Side::Sell, 50, 5).unwrap();
        assert_eq!(book.add(1, Side::Buy, 40, 1), Err(L3Error::DuplicateId));
        assert_eq!(book.add(2, Side::Buy, 40, 0), Err(L3Error::BadSize));
        assert_eq!(book.add(2, Side::Sell, 50, i64::MAX), Err(L3Error::BadSize));
        assert_eq!(book.modify(1, i64::MAX), Ok(()));
        assert_eq!(book.modify(1, 5), Ok(()));
        assert_eq!(book.modify(1, 0), Err(L3Error::BadSize));
        assert_eq!(book.modify(2, 1), Err(L3Error::UnknownId));
        assert_eq!(book.delete(2), Err(L3Error::UnknownId));
        assert_eq!(book.execute(1, 6), Err(L3Error::BadSize));
        assert_eq!(book.execute(2, 1), Err(L3Error::UnknownId));
        assert_eq!((book.best(Side::Sell), book.len()), (Some((50, 5)), 1));
    }

    #[test]
    fn levels_are_the_sum_of_their_orders() {
        let mut book = L3Book::new();
        let mut state = 88_172_645_463_325_252u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let (id, size) = (next() % 300, (next() % 9) as i64);
            let side = if next() % 2 == 0 { Side::Buy } else { Side::Sell };
            // Contradictions are part of it: they must leave no trace.
            let _ = match next() % 4 {
                0 | 1 => book.add(id, side, 100 + (next() % 5) as i64, size),
                2 => book.modify(id, size),
                _ => book.execute(id, size).map(|_| ()),
            };
        }
        assert!(book.len() > 100);
        for side in [Side::Buy, Side::Sell] {
            let mut orders = 0;
            for price in 100..105 {
                let queue: Vec<_> = book.queue(side, price).collect();
                orders += queue.len();
                assert_eq!(queue.iter().map(|(_, size)| size).sum::<i64>(), book.levels().size_at(side, price));
                let mut ahead = 0;
                for (id, size) in queue {
                    assert_eq!(book.ahead(id), Some(ahead));
                    ahead += size;
                }
            }
            assert_eq!(orders, book.orders.values().filter(|order| order.side == side).count());
        }
    }
}
