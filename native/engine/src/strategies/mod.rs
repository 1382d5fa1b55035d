//! Strategies as native kernels: the ones that Python has too decide the same, event for event.

pub mod avellaneda_stoikov;
pub mod floats;
pub mod quoting;
pub mod time_bars;

pub use avellaneda_stoikov::AvellanedaStoikov;
pub use quoting::Quoting;
pub use time_bars::{TimeBar, TimeBars};

use crate::event::BUY;
use crate::kernel::Kernel;

/// Lets the first event of each interval of event time through. Intervals are counted from 1970, so where a run begins
/// does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    every_ns: i64,
    next_ns: i64,
}

impl Interval {
    /// Returns one of `every_ns`; 0 or less lets everything through.
    pub fn new(every_ns: i64) -> Self {
        Self { every_ns, next_ns: i64::MIN }
    }

    /// Returns whether an event at this time is the first of its interval.
    #[inline]
    pub fn is_due(&mut self, now_ns: i64) -> bool {
        if now_ns < self.next_ns {
            return false;
        }
        if self.every_ns > 0 {
            self.next_ns = (now_ns.div_euclid(self.every_ns) + 1).saturating_mul(self.every_ns);
        }
        true
    }

    /// Returns what a snapshot keeps of it.
    pub fn next_ns(&self) -> i64 {
        self.next_ns
    }

    /// Takes up what a snapshot kept.
    pub fn resume(&mut self, next_ns: i64) {
        self.next_ns = next_ns;
    }
}

/// Forgets what was quoted on a side where nothing of ours is open any more, so that the next quote is a fresh one.
fn forget_done(kernel: &Kernel, strategy: u8, instrument: u32, quoted: &mut [Option<i64>; 2]) {
    let mut is_open = [false; 2];
    for order in kernel.orders().open_of(instrument).filter(|order| order.strategy == strategy && order.is_wanted()) {
        is_open[usize::from(order.side != BUY)] = true;
    }
    for (quoted, is_open) in quoted.iter_mut().zip(is_open) {
        if !is_open {
            *quoted = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_lets_its_first_event_through() {
        let mut interval = Interval::new(100);
        let due: Vec<i64> =
            [-150, -101, -100, 5, 99, 100, 450, 460, 500].into_iter().filter(|t| interval.is_due(*t)).collect();
        assert_eq!(due, [-150, -100, 5, 100, 450, 500]);
        assert!(Interval::new(0).is_due(7) && Interval::new(0).is_due(7));
    }
}
