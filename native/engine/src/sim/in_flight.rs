//! What is on its way: taken out in the order of time, and at equal times in the order it was put in.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug, Clone)]
struct Due<T> {
    time_ns: i64,
    number: u64,
    what: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time_ns, self.number).cmp(&(other.time_ns, other.number))
    }
}

/// A queue by time.
#[derive(Debug, Clone)]
pub(super) struct InFlight<T> {
    heap: BinaryHeap<Reverse<Due<T>>>,
    next_ns: i64,
    number: u64,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next_ns: i64::MAX, number: 0 }
    }
}

impl<T> InFlight<T> {
    pub fn push(&mut self, time_ns: i64, what: T) {
        self.heap.push(Reverse(Due { time_ns, number: self.number, what }));
        self.number += 1;
        self.next_ns = self.next_ns.min(time_ns);
    }

    pub fn pop(&mut self) -> Option<(i64, T)> {
        let Reverse(due) = self.heap.pop()?;
        self.next_ns = self.heap.peek().map_or(i64::MAX, |next| next.0.time_ns);
        Some((due.time_ns, due.what))
    }

    /// Returns the first time, or the greatest when nothing is on its way.
    #[inline]
    pub fn next_ns(&self) -> i64 {
        self.next_ns
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
