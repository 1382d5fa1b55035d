//! Bars from trades: by time, by number of trades, by lots, by value. Integers throughout, one pass, no look ahead.
//!
//! A trade belongs to one bar. Time bars are aligned to multiples of their period and none is made for a period without
//! trades; a bar is known to be over when a later trade, or the clock, shows it. The others are over with the trade that
//! reaches the threshold, which counts in whole: bars hold at least the threshold, and what exceeds it is not carried
//! into the next.

use crate::orders::Side;

/// What closes a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nanoseconds.
    Time(i64),
    /// Trades.
    Ticks(u64),
    /// Lots.
    Volume(i128),
    /// Ticks times lots.
    Value(i128),
}

/// One bar. Prices in ticks, sizes in lots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Time bars: when the period begins and ends. Others: first and last trade.
    pub begin_ns: i64,
    pub end_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i128,
    /// Of which takers bought.
    pub bought: i128,
    /// Ticks times lots.
    pub value: i128,
    pub trades: u64,
}

/// Says that a rule could never close a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotPositive;

/// Collects trades of one instrument, in the order of their times.
#[derive(Debug, Clone)]
pub struct Builder {
    rule: Rule,
    open: Option<Bar>,
}

impl Builder {
    /// Returns a builder without trades.
    pub fn new(rule: Rule) -> Result<Self, NotPositive> {
        let positive = match rule {
            Rule::Time(period) => period > 0,
            Rule::Ticks(count) => count > 0,
            Rule::Volume(least) | Rule::Value(least) => least > 0,
        };
        positive.then_some(Self { rule, open: None }).ok_or(NotPositive)
    }

    /// Takes a trade. Returns the bar that is over now: a time bar before this trade, or another that it completes.
    pub fn trade(&mut self, time_ns: i64, price: i64, size: i64, taker: Side) -> Option<Bar> {
        let over = self.clock(time_ns);
        let (volume, value) = (i128::from(size), i128::from(price) * i128::from(size));
        let (begin_ns, end_ns) = match self.rule {
            Rule::Time(period) => period_of(time_ns, period),
            _ => (time_ns, time_ns),
        };
        let bar = self.open.get_or_insert(Bar {
            begin_ns,
            end_ns,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            bought: 0,
            value: 0,
            trades: 0,
        });
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume += volume;
        bar.value += value;
        bar.trades += 1;
        if taker == Side::Buy {
            bar.bought += volume;
        }
        let complete = match self.rule {
            Rule::Time(_) => return over,
            Rule::Ticks(count) => bar.trades >= count,
            Rule::Volume(least) => bar.volume >= least,
            Rule::Value(least) => bar.value >= least,
        };
        bar.end_ns = time_ns;
        if complete {
            return self.open.take();
        }
        None
    }

    /// Tells the time. Returns the time bar that is over by now.
    pub fn clock(&mut self, time_ns: i64) -> Option<Bar> {
        match (self.rule, &self.open) {
            (Rule::Time(_), Some(bar)) if time_ns >= bar.end_ns => self.open.take(),
            _ => None,
        }
    }

    /// Returns the bar that is not over yet.
    pub fn unfinished(&self) -> Option<&Bar> {
        self.open.as_ref()
    }
}

/// Returns the period that a time falls into; saturates at the ends of time.
fn period_of(time_ns: i64, period: i64) -> (i64, i64) {
    let begin = time_ns.saturating_sub(time_ns.rem_euclid(period));
    (begin, begin.saturating_add(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(rule: Rule, trades: &[(i64, i64, i64)]) -> Vec<(i64, i64, [i64; 4], i128, u64)> {
        let mut builder = Builder::new(rule).unwrap();
        trades
            .iter()
            .filter_map(|(time, price, size)| builder.trade(*time, *price, *size, Side::Buy))
            .map(|bar| (bar.begin_ns, bar.end_ns, [bar.open, bar.high, bar.low, bar.close], bar.volume, bar.trades))
            .collect()
    }

    #[test]
    fn a_time_bar_is_over_with_the_first_trade_after_it() {
        let trades = [(3, 50, 1), (9, 70, 2), (7, 40, 3), (10, 60, 4), (35, 65, 5), (40, 1, 1)];
        let expected = [(0, 10, [50, 70, 40, 40], 6, 3), (10, 20, [60, 60, 60, 60], 4, 1), (30, 40, [65; 4], 5, 1)];
        assert_eq!(bars(Rule::Time(10), &trades), expected);
        assert_eq!(bars(Rule::Time(10), &[(-1, 5, 1), (0, 5, 1)]), [(-10, 0, [5; 4], 1, 1)]);
    }

    #[test]
    fn the_clock_ends_a_time_bar_without_a_trade_and_no_other() {
        let mut time = Builder::new(Rule::Time(10)).unwrap();
        time.trade(3, 50, 1, Side::Sell);
        assert_eq!(time.clock(9), None);
        let bar = time.clock(10).unwrap();
        assert_eq!((bar.close, bar.bought, bar.value), (50, 0, 50));
        assert_eq!(time.clock(10), None);
        let mut ticks = Builder::new(Rule::Ticks(2)).unwrap();
        ticks.trade(3, 50, 1, Side::Buy);
        assert_eq!(ticks.clock(i64::MAX), None);
        assert_eq!(ticks.unfinished().map(|bar| bar.bought), Some(1));
    }

    #[test]
    fn the_trade_that_reaches_a_threshold_ends_the_bar() {
        let trades = [(1, 10, 3), (2, 12, 3), (3, 9, 20), (4, 10, 1)];
        assert_eq!(
            bars(Rule::Ticks(2), &trades).iter().map(|bar| (bar.0, bar.1)).collect::<Vec<_>>(),
            [(1, 2), (3, 4)]
        );
        assert_eq!(bars(Rule::Volume(5), &trades).iter().map(|bar| bar.3).collect::<Vec<_>>(), [6, 20]);
        assert_eq!(bars(Rule::Value(66), &trades).len(), 2);
        assert_eq!(bars(Rule::Value(67), &trades).len(), 1);
    }

    #[test]
    fn rules_that_never_close_are_refused_and_large_numbers_are_counted() {
        for rule in [Rule::Time(0), Rule::Time(-1), Rule::Ticks(0), Rule::Volume(0), Rule::Value(-5)] {
            assert_eq!(Builder::new(rule).err(), Some(NotPositive));
        }
        let mut builder = Builder::new(Rule::Value(i128::MAX)).unwrap();
        for time in [i64::MIN, i64::MAX] {
            assert_eq!(builder.trade(time, i64::MAX, i64::MAX, Side::Buy), None);
        }
        assert_eq!(builder.unfinished().unwrap().volume, 2 * i128::from(i64::MAX));
        let mut ends = Builder::new(Rule::Time(i64::MAX)).unwrap();
        assert_eq!(ends.trade(i64::MAX, 1, 1, Side::Buy), None);
        assert!(ends.trade(i64::MIN, 1, 1, Side::Buy).is_none());
    }
}
