//! Many sets of parameters over one array of bars: which side to be on, what it cost, what came of it.
//!
//! ```text
//!   bar i          open ──── high, low ──── close
//!                  │ trade towards the target   │ funding, result, decision: side × size
//!                  └ of the close before        └ target of bar i + 1
//! ```
//!
//! The sums are those of `engine/signals` and of `tests/reference/bar_runs.py`, operation by operation, so that results
//! are equal bit for bit. Floats on purpose: this is research, money is counted elsewhere. docs/research-bars.md tells
//! what the model says and leaves out.

mod ledger;
mod rules;
mod sizing;

pub use ledger::{Costs, Figures, COLUMNS};
pub use rules::{AverageTerms, BreakoutTerms, MacdTerms, RsiTerms, Rule, Terms};
pub use sizing::Sizing;

use ledger::Ledger;

/// Bars of one market, oldest first; all of one length.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    pub open: &'a [f64],
    pub high: &'a [f64],
    pub low: &'a [f64],
    pub close: &'a [f64],
    /// Rates that are due at the bar's close.
    pub funding: &'a [f64],
    /// How many units can be had at the bar's open.
    pub depth: &'a [f64],
    /// Slippage of one unit at the bar's open as a share of the price; it grows with the root of the size.
    pub slip: &'a [f64],
}

impl Bars<'_> {
    pub fn len(&self) -> usize {
        self.close.len()
    }

    pub fn is_empty(&self) -> bool {
        self.close.is_empty()
    }

    /// Returns whether all columns have one length.
    pub fn is_whole(&self) -> bool {
        let columns = [self.open, self.high, self.low, self.funding, self.depth, self.slip];
        columns.iter().all(|column| column.len() == self.len())
    }
}

/// One set of parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Set {
    pub terms: Terms,
    /// Whether it may be short; else it is flat then.
    pub shorts: bool,
    pub sizing: Sizing,
}

/// Which bars count. Signals are warmed up on bars from `first` on; trades happen in `begin .. end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: usize,
    pub begin: usize,
    pub end: usize,
}

/// What is told of each bar: units held after its open, result at its close.
pub trait Watch {
    fn bar(&mut self, units: f64, net: f64);
}

impl Watch for () {
    #[inline]
    fn bar(&mut self, _: f64, _: f64) {}
}

/// What was held and what came of it, bar by bar.
#[derive(Debug, Default, Clone)]
pub struct Curve {
    pub units: Vec<f64>,
    pub net: Vec<f64>,
}

impl Watch for Curve {
    fn bar(&mut self, units: f64, net: f64) {
        self.units.push(units);
        self.net.push(net);
    }
}

/// Runs one set; the span must lie in the bars.
pub fn run(bars: Bars<'_>, costs: Costs, set: &Set, span: Span, watch: &mut impl Watch) -> Figures {
    match set.terms {
        Terms::Sma(terms) => over(bars, costs, set, span, watch, rules::Averages::<rules::Sma>::new(terms)),
        Terms::Ema(terms) => over(bars, costs, set, span, watch, rules::Averages::<rules::Ema>::new(terms)),
        Terms::Macd(terms) => over(bars, costs, set, span, watch, rules::Macd::new(terms)),
        Terms::Rsi(terms) => over(bars, costs, set, span, watch, rules::Levels::new(terms)),
        Terms::Breakout(terms) => over(bars, costs, set, span, watch, rules::Breakout::new(terms)),
    }
}

fn over(bars: Bars<'_>, costs: Costs, set: &Set, span: Span, watch: &mut impl Watch, mut rule: impl Rule) -> Figures {
    let mut size = set.sizing.begin(costs.equity);
    let mut ledger = Ledger::new(costs);
    let mut held_side = 0i8;
    for at in span.first..span.end {
        if at >= span.begin {
            ledger.bar(&bars, at, at + 1 == span.end);
            watch.bar(ledger.units, ledger.net);
        }
        let side = rule.update(&bars, at, span.first);
        let side = if set.shorts { side } else { side.max(0) };
        let units = size.update(&bars, at, span.first);
        if side != held_side && (side == 0 || units > 0.0) {
            held_side = side;
            ledger.target = f64::from(side) * units;
            if side == 0 {
                ledger.target = 0.0;
            }
        }
    }
    ledger.figures
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { equity: 1_000.0, fee: 0.001, half_spread: 0.0005, closes: true };
    const SET: Set = Set {
        terms: Terms::Breakout(BreakoutTerms { enter: 2, leave: 1 }),
        shorts: true,
        sizing: Sizing::Fraction { share: 1.0 },
    };

    fn run_over(close: &[f64], funding: f64, depth: f64) -> (Figures, Curve) {
        let count = close.len();
        let (funding, depth, slip) = (vec![funding; count], vec![depth; count], vec![0.0; count]);
        let bars = Bars { open: close, high: close, low: close, close, funding: &funding, depth: &depth, slip: &slip };
        let mut curve = Curve::default();
        (run(bars, COSTS, &SET, Span { first: 0, begin: 0, end: count }, &mut curve), curve)
    }

    #[test]
    fn a_breakout_is_bought_at_the_next_open_and_sold_at_the_end() {
        // 12 is above 10 and 11: 1000 / 12 units at the open after it, which is 12 too.
        let (figures, curve) = run_over(&[10.0, 11.0, 12.0, 12.0, 15.0], 0.0, 1e9);
        let units = 1_000.0 / 12.0;
        assert_eq!(curve.units, [0.0, 0.0, 0.0, units, 0.0]);
        assert_eq!(figures.orders, 2.0);
        let costs = figures.fees + figures.spread;
        assert!((figures.net - (units * 3.0 - costs)).abs() < 1e-9);
        assert!((figures.spread - units * 27.0 * 0.0005).abs() < 1e-9);
        assert!((figures.fees - units * (12.006 + 14.9925) * 0.001).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_there_is_bought_later_and_longs_pay_funding() {
        let (figures, curve) = run_over(&[10.0, 11.0, 12.0, 12.0, 12.0, 12.0], 0.0001, 50.0);
        assert_eq!(curve.units[3], 50.0);
        assert_eq!(curve.units[4], 1_000.0 / 12.0);
        let held = 50.0 + 2.0 * 1_000.0 / 12.0;
        assert!((figures.funding - held * 12.0 * 0.0001).abs() < 1e-9);
        assert_eq!(figures.bars_held, 3.0);
    }

    #[test]
    fn contradictions_are_told() {
        let average = |fast, slow, band| Terms::Sma(AverageTerms { fast, slow, band });
        assert!(average(2, 3, 0.0).is_sound());
        for wrong in [average(3, 3, 0.0), average(0, 3, 0.0), average(2, 3, -1.0), average(2, 3, f64::NAN)] {
            assert!(!wrong.is_sound());
        }
        assert!(!Terms::Breakout(BreakoutTerms { enter: 2, leave: 3 }).is_sound());
        assert!(!Terms::Rsi(RsiTerms { length: 5, low: 60.0, high: 70.0, reverts: false }).is_sound());
        assert!(!Sizing::Fraction { share: 0.0 }.is_sound());
    }
}
