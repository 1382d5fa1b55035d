//! The rules of `engine/signals/rules.py`, with the same sums in the same order.

use super::Bars;

/// What decides at a bar's close: long 1, flat 0, short -1.
pub trait Rule {
    /// Takes bar `at`; bars come one by one from `first` on.
    fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> i8;
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AverageTerms {
    pub fast: usize,
    pub slow: usize,
    pub band: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacdTerms {
    pub fast: usize,
    pub slow: usize,
    pub signal: usize,
    pub band: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RsiTerms {
    pub length: usize,
    pub low: f64,
    pub high: f64,
    pub reverts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakoutTerms {
    pub enter: usize,
    pub leave: usize,
}

/// Which rule, with which parameters. Bands are shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Terms {
    Sma(AverageTerms),
    Ema(AverageTerms),
    Macd(MacdTerms),
    Rsi(RsiTerms),
    Breakout(BreakoutTerms),
}

impl Terms {
    /// Returns the longest length in it.
    pub fn longest(&self) -> usize {
        match self {
            Self::Sma(t) | Self::Ema(t) => t.fast.max(t.slow),
            Self::Macd(t) => t.fast.max(t.slow).max(t.signal),
            Self::Rsi(t) => t.length,
            Self::Breakout(t) => t.enter.max(t.leave),
        }
    }

    /// Returns whether every length is positive and the numbers are numbers.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Sma(t) | Self::Ema(t) => t.fast > 0 && t.fast < t.slow && t.band >= 0.0,
            Self::Macd(t) => t.fast > 0 && t.fast < t.slow && t.signal > 0 && t.band >= 0.0,
            Self::Rsi(t) => t.length > 0 && t.low <= 50.0 && t.high >= 50.0,
            Self::Breakout(t) => t.leave > 0 && t.leave <= t.enter,
        }
    }
}

/// A mean of closes.
pub trait Mean {
    fn new(length: usize) -> Self;
    fn update(&mut self, close: &[f64], at: usize, first: usize) -> f64;
}

#[derive(Debug)]
pub struct Sma {
    length: usize,
    total: f64,
}

impl Mean for Sma {
    fn new(length: usize) -> Self {
        Self { length, total: 0.0 }
    }

    /// Returns the sum over the length, also before there are enough: nobody looks until then.
    #[inline]
    fn update(&mut self, close: &[f64], at: usize, first: usize) -> f64 {
        if at - first < self.length {
            self.total += close[at];
        } else {
            self.total += close[at] - close[at - self.length];
        }
        self.total / self.length as f64
    }
}

#[derive(Debug)]
pub struct Ema {
    weight: f64,
    value: f64,
}

impl Ema {
    #[inline]
    fn step(&mut self, value: f64, is_first: bool) -> f64 {
        self.value = if is_first { value } else { self.value + self.weight * (value - self.value) };
        self.value
    }
}

impl Mean for Ema {
    fn new(length: usize) -> Self {
        Self { weight: 2.0 / (length as f64 + 1.0), value: 0.0 }
    }

    #[inline]
    fn update(&mut self, close: &[f64], at: usize, first: usize) -> f64 {
        self.step(close[at], at == first)
    }
}

pub struct Averages<M> {
    fast: M,
    slow: M,
    terms: AverageTerms,
    side: i8,
}

impl<M: Mean> Averages<M> {
    pub fn new(terms: AverageTerms) -> Self {
        Self { fast: M::new(terms.fast), slow: M::new(terms.slow), terms, side: 0 }
    }
}

impl<M: Mean> Rule for Averages<M> {
    #[inline]
    fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> i8 {
        let (fast, slow) = (self.fast.update(bars.close, at, first), self.slow.update(bars.close, at, first));
        if at - first + 1 >= self.terms.slow.max(self.terms.fast) {
            let band = slow * self.terms.band;
            if fast > slow + band {
                self.side = 1;
            } else if fast < slow - band {
                self.side = -1;
            }
        }
        self.side
    }
}

pub struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
    terms: MacdTerms,
    side: i8,
}

impl Macd {
    pub fn new(terms: MacdTerms) -> Self {
        let mean = <Ema as Mean>::new;
        Self { fast: mean(terms.fast), slow: mean(terms.slow), signal: mean(terms.signal), terms, side: 0 }
    }
}

impl Rule for Macd {
    #[inline]
    fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> i8 {
        let (close, is_first) = (bars.close[at], at == first);
        let difference = self.fast.step(close, is_first) - self.slow.step(close, is_first);
        let histogram = difference - self.signal.step(difference, is_first);
        if at - first + 1 >= self.terms.slow + self.terms.signal {
            let band = close * self.terms.band;
            if histogram > band {
                self.side = 1;
            } else if histogram < -band {
                self.side = -1;
            }
        }
        self.side
    }
}

/// Wilder's mean; NaN until there are enough values.
#[derive(Debug)]
pub(super) struct Wilder {
    length: usize,
    count: usize,
    value: f64,
}

impl Wilder {
    pub fn new(length: usize) -> Self {
        Self { length, count: 0, value: 0.0 }
    }

    #[inline]
    pub fn update(&mut self, value: f64) -> f64 {
        if self.count < self.length {
            self.count += 1;
            self.value += value;
            if self.count < self.length {
                return f64::NAN;
            }
            self.value /= self.length as f64;
        } else {
            self.value += 1.0 / self.length as f64 * (value - self.value);
        }
        self.value
    }
}

/// The relative strength index and its levels.
pub struct Levels {
    rises: Wilder,
    falls: Wilder,
    terms: RsiTerms,
    side: i8,
}

impl Levels {
    pub fn new(terms: RsiTerms) -> Self {
        Self { rises: Wilder::new(terms.length), falls: Wilder::new(terms.length), terms, side: 0 }
    }
}

impl Rule for Levels {
    #[inline]
    fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> i8 {
        if at == first {
            return 0;
        }
        let change = bars.close[at] - bars.close[at - 1];
        let (rise, fall) = (self.rises.update(change.max(0.0)), self.falls.update((-change).max(0.0)));
        let moved = rise + fall;
        let index = if moved == 0.0 { 50.0 } else { 100.0 * rise / moved };
        let (with, against) = if self.terms.reverts { (-1, 1) } else { (1, -1) };
        if index > self.terms.high {
            self.side = with;
        } else if index < self.terms.low {
            self.side = against;
        } else if self.terms.reverts && ((self.side > 0 && index >= 50.0) || (self.side < 0 && index <= 50.0)) {
            self.side = 0;
        }
        self.side
    }
}

/// The greatest (or, `LOW`, the least) of the last `length` values: those that may still be, each behind the one before.
#[derive(Debug)]
struct Edge<const LOW: bool> {
    length: usize,
    /// Numbers and values, from `head` on; as long as a power of two.
    ring: Vec<(usize, f64)>,
    head: usize,
    tail: usize,
}

impl<const LOW: bool> Edge<LOW> {
    fn new(length: usize) -> Self {
        Self { length, ring: vec![(0, 0.0); length.next_power_of_two()], head: 0, tail: 0 }
    }

    #[inline]
    fn update(&mut self, value: f64, at: usize) -> f64 {
        let Self { length, ring, head, tail } = self;
        let mask = ring.len() - 1;
        if *tail > *head && ring[*head & mask].0 + *length <= at {
            *head += 1;
        }
        while *tail > *head {
            let last = ring[(*tail - 1) & mask].1;
            if if LOW { last < value } else { last > value } {
                break;
            }
            *tail -= 1;
        }
        ring[*tail & mask] = (at, value);
        *tail += 1;
        ring[*head & mask].1
    }
}

pub struct Breakout {
    above: Edge<false>,
    below: Edge<true>,
    leave_above: Edge<false>,
    leave_below: Edge<true>,
    edges: [f64; 4],
    enter: usize,
    side: i8,
}

impl Breakout {
    pub fn new(terms: BreakoutTerms) -> Self {
        Self {
            above: Edge::new(terms.enter),
            below: Edge::new(terms.enter),
            leave_above: Edge::new(terms.leave),
            leave_below: Edge::new(terms.leave),
            edges: [f64::NAN; 4],
            enter: terms.enter,
            side: 0,
        }
    }
}

impl Rule for Breakout {
    #[inline]
    fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> i8 {
        let close = bars.close[at];
        if at - first >= self.enter {
            let [above, below, leave_above, leave_below] = self.edges;
            if close > above {
                self.side = 1;
            } else if close < below {
                self.side = -1;
            } else if (self.side > 0 && close < leave_below) || (self.side < 0 && close > leave_above) {
                self.side = 0;
            }
        }
        self.edges = [
            self.above.update(bars.high[at], at),
            self.below.update(bars.low[at], at),
            self.leave_above.update(bars.high[at], at),
            self.leave_below.update(bars.low[at], at),
        ];
        self.side
    }
}
