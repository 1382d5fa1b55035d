//! How many units a position has: the rules of `engine/sizing` that need nothing but bars.

use super::rules::Wilder;
use super::Bars;

/// A rule of size. Shares are of equity, and so is the bound on the position's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sizing {
    /// A position worth a share.
    Fraction { share: f64 },
    /// The volatility of so many returns makes equity swing by the target.
    Volatility { target: f64, length: usize, leverage_max: f64 },
    /// A move of so many average true ranges loses a share.
    Atr { risk: f64, multiple: f64, length: usize, leverage_max: f64 },
}

impl Sizing {
    /// Returns the number of bars it looks back.
    pub fn longest(&self) -> usize {
        match self {
            Self::Fraction { .. } => 0,
            Self::Volatility { length, .. } | Self::Atr { length, .. } => *length,
        }
    }

    /// Returns whether the numbers are what they should be.
    pub fn is_sound(&self) -> bool {
        match *self {
            Self::Fraction { share } => share > 0.0,
            Self::Volatility { target, length, leverage_max } => target > 0.0 && length > 0 && leverage_max > 0.0,
            Self::Atr { risk, multiple, length, leverage_max } => {
                risk > 0.0 && multiple > 0.0 && length > 0 && leverage_max > 0.0
            }
        }
    }

    pub(super) fn begin(self, equity: f64) -> Sized {
        let length = if let Self::Atr { length, .. } = self { length } else { 1 };
        Sized { terms: self, equity, squares: 0.0, range: Wilder::new(length) }
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Sized {
    terms: Sizing,
    equity: f64,
    squares: f64,
    range: Wilder,
}

fn square(close: &[f64], at: usize) -> f64 {
    let change = close[at] / close[at - 1] - 1.0;
    change * change
}

impl Sized {
    /// Takes a bar and returns units; 0 while something is not known.
    #[inline]
    pub fn update(&mut self, bars: &Bars<'_>, at: usize, first: usize) -> f64 {
        let close = bars.close[at];
        match self.terms {
            Sizing::Fraction { share } => self.equity * share / close,
            Sizing::Volatility { target, length, leverage_max } => {
                if at == first {
                    return 0.0;
                }
                let returns = at - first;
                if returns <= length {
                    self.squares += square(bars.close, at);
                } else {
                    self.squares += square(bars.close, at) - square(bars.close, at - length);
                }
                let volatility = (self.squares.max(0.0) / length as f64).sqrt();
                if returns < length || volatility <= 0.0 {
                    return 0.0;
                }
                self.equity * (target / volatility).min(leverage_max) / close
            }
            Sizing::Atr { risk, multiple, leverage_max, .. } => {
                let (mut high, mut low) = (bars.high[at], bars.low[at]);
                if at > first {
                    let last = bars.close[at - 1];
                    (high, low) = (high.max(last), low.min(last));
                }
                let stop = self.range.update(high - low) * multiple;
                if stop > 0.0 {
                    (self.equity * risk / stop).min(self.equity * leverage_max / close)
                } else {
                    0.0
                }
            }
        }
    }
}
