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
