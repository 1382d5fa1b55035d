//! How often: messages to a venue, executions of a strategy. Integers over nanoseconds of event time.

use std::collections::VecDeque;

const SECOND_NS: i64 = 1_000_000_000;

/// A token bucket that holds one second's worth of messages. One message is 10^9; time fills it at `rate` a nanosecond.
///
/// Cancels are charged without being asked, so the level may fall below nothing, by at most one bucket: then orders wait
/// until the debt is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    rate: i64,
    level: i64,
    at_ns: i64,
}

impl Bucket {
    pub fn new(per_second: u32) -> Self {
        let rate = i64::from(per_second);
        Self { rate, level: rate * SECOND_NS, at_ns: i64::MIN }
    }

    fn fill(&mut self, now_ns: i64) {
        let full = self.rate * SECOND_NS;
        // Time that goes back fills nothing and takes nothing.
        let elapsed = now_ns.saturating_sub(self.at_ns);
        if elapsed > 0 {
            self.level = self.level.saturating_add(elapsed.saturating_mul(self.rate)).min(full);
            self.at_ns = now_ns;
        }
    }

    /// Returns 0 and takes a token, or takes nothing and returns the nanoseconds until there is one.
    pub fn take(&mut self, now_ns: i64) -> i64 {
        let wait = self.wait(now_ns);
        if wait == 0 {
            self.level -= SECOND_NS;
        }
        wait
    }

    /// Returns the nanoseconds until there is a token.
    pub fn wait(&mut self, now_ns: i64) -> i64 {
        self.fill(now_ns);
        let missing = SECOND_NS - self.level;
        if missing <= 0 {
            0
        } else {
            (missing + self.rate - 1) / self.rate
        }
    }

    /// Charges what leaves whatever the level.
    pub fn charge(&mut self, now_ns: i64) {
        self.fill(now_ns);
        self.level = (self.level - SECOND_NS).max(-self.rate * SECOND_NS);
    }

    pub(crate) fn parts(&mut self) -> [&mut i64; 2] {
        [&mut self.level, &mut self.at_ns]
    }
}

/// One strategy's executed orders: the times of the last few that followed one another without a pause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Executions {
    pub(crate) times_ns: VecDeque<i64>,
}

impl Executions {
    /// Counts one. Returns how many fell into the window, when that is more than `max`.
    pub fn count(&mut self, now_ns: i64, max: u32, window_ns: i64, pause_ns: i64) -> Option<usize> {
        if self.times_ns.back().is_some_and(|last| now_ns.saturating_sub(*last) >= pause_ns) {
            self.times_ns.clear();
        }
        while self.times_ns.front().is_some_and(|first| now_ns.saturating_sub(*first) >= window_ns) {
            self.times_ns.pop_front();
        }
        self.times_ns.push_back(now_ns);
        if self.times_ns.len() <= max as usize {
            return None;
        }
        let count = self.times_ns.len();
        self.times_ns.pop_front(); // Bounded: what counts is that it is more.
        Some(count)
    }

    pub fn clear(&mut self) {
        self.times_ns.clear();
    }
}
