//! Bars of equal time, built from an instrument's public trades. `engine/sdk/time_bars.py` builds the same.
//!
//! Intervals are counted from 1970 by our own clock. A bar is over at the first trade or tick at or after its end; a
//! price is needed for the first, and the interval in which the first trade came is not told: its beginning was not seen.
//! Without trades the price stands: such bars have no volume. Where bars come from outside, none are built.

/// Bars without a trade that are told in a row; after more the series begins anew.
const FLAT_BARS_MAX: i64 = 1_440;

/// One finished bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeBar {
    pub end_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub size: i64,
}

/// One instrument's bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBars {
    every_ns: i64,
    /// As it stands; its end is 0 before the first trade.
    bar: TimeBar,
    /// Its beginning was seen.
    is_whole: bool,
    is_outside: bool,
}

impl TimeBars {
    /// Returns bars of `every_ns`; 0 or less builds none.
    pub fn new(every_ns: i64) -> Self {
        Self { every_ns, bar: TimeBar::default(), is_whole: false, is_outside: every_ns <= 0 }
    }

    /// Says that bars of this instrument come from outside.
    pub fn come_from_outside(&mut self) {
        self.is_outside = true;
    }

    /// Returns whether `over` has something to do.
    #[inline]
    pub fn is_over(&self, now_ns: i64) -> bool {
        !self.is_outside && self.bar.end_ns != 0 && now_ns >= self.bar.end_ns
    }

    /// Returns the oldest bar that is over, until none is.
    pub fn over(&mut self, now_ns: i64) -> Option<TimeBar> {
        while self.is_over(now_ns) {
            let (done, was_whole) = (self.bar, self.is_whole);
            let next = self.bar.end_ns.saturating_add(self.every_ns);
            self.is_whole = true;
            self.bar = TimeBar { end_ns: next, open: done.close, high: done.close, low: done.close, size: 0, ..done };
            if (now_ns - done.end_ns) / self.every_ns > FLAT_BARS_MAX {
                self.bar.end_ns = 0;
                self.is_whole = false;
            }
            if was_whole {
                return Some(done);
            }
        }
        None
    }

    /// Takes one trade, once `over` gives no more.
    pub fn trade(&mut self, now_ns: i64, price: i64, size: i64) {
        if self.is_outside {
            return;
        }
        let bar = &mut self.bar;
        if bar.end_ns == 0 {
            bar.end_ns = (now_ns.div_euclid(self.every_ns) + 1).saturating_mul(self.every_ns);
            bar.size = 0;
        }
        if bar.size == 0 {
            (bar.open, bar.high, bar.low) = (price, price, price);
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.size = bar.size.saturating_add(size);
    }

    /// Returns what a snapshot keeps of it.
    pub fn state(&self) -> [i64; 8] {
        let TimeBar { end_ns, open, high, low, close, size } = self.bar;
        [end_ns, open, high, low, close, size, self.is_whole.into(), self.is_outside.into()]
    }

    /// Takes up what a snapshot kept.
    pub fn resume(&mut self, state: [i64; 8]) {
        let [end_ns, open, high, low, close, size, is_whole, is_outside] = state;
        self.bar = TimeBar { end_ns, open, high, low, close, size };
        (self.is_whole, self.is_outside) = (is_whole != 0, is_outside != 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bars: &mut TimeBars, now_ns: i64) -> Vec<TimeBar> {
        std::iter::from_fn(|| bars.over(now_ns)).collect()
    }

    #[test]
    fn the_first_interval_is_not_told_and_the_second_is_whole() {
        let mut bars = TimeBars::new(10);
        bars.trade(105, 50, 1);
        assert_eq!(told(&mut bars, 112), []);
        for (at, price) in [(112, 52), (113, 47), (119, 51)] {
            bars.trade(at, price, 2);
        }
        assert_eq!(told(&mut bars, 119), []);
        let expected = TimeBar { end_ns: 120, open: 52, high: 52, low: 47, close: 51, size: 6 };
        assert_eq!(told(&mut bars, 120), [expected]);
    }

    #[test]
    fn without_trades_the_price_stands_until_too_much_time_passed() {
        let mut bars = TimeBars::new(10);
        bars.trade(100, 50, 1);
        let flat = told(&mut bars, 140);
        assert_eq!(flat.iter().map(|bar| bar.end_ns).collect::<Vec<_>>(), [120, 130, 140]);
        assert!(flat.iter().all(|bar| (bar.open, bar.high, bar.low, bar.close, bar.size) == (50, 50, 50, 50, 0)));
        bars.trade(141, 60, 3);
        let late = told(&mut bars, 10 * (FLAT_BARS_MAX + 100));
        assert_eq!(late, [TimeBar { end_ns: 150, open: 60, high: 60, low: 60, close: 60, size: 3 }]);
        bars.trade(20_001, 70, 1);
        assert_eq!(told(&mut bars, 20_010), []);
    }

    #[test]
    fn a_snapshot_goes_on_and_outside_bars_end_ours() {
        let mut bars = TimeBars::new(10);
        bars.trade(95, 50, 1);
        assert_eq!(told(&mut bars, 101), []);
        bars.trade(101, 51, 2);
        let mut other = TimeBars::new(10);
        other.resume(bars.state());
        assert_eq!(other, bars);
        other.come_from_outside();
        assert_eq!(told(&mut other, 500), []);
        assert_eq!(told(&mut TimeBars::new(0), 500), []);
    }
}
