//! The initialised ticks of a V3 pool, and the boundaries its swaps stop at.

use crate::tick_math::{MAX_TICK, MIN_TICK};
use crate::AmmError;
use std::collections::BTreeMap;

/// Liquidity that a tick adds when it is crossed upwards (net), and all that refers to it (gross).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    pub net: i128,
    pub gross: u128,
}

/// Ticks by number. One is initialised while its gross liquidity is positive, even where the net is zero.
#[derive(Debug, Clone)]
pub struct Ticks {
    spacing: i32,
    table: BTreeMap<i32, Tick>,
}

impl Ticks {
    /// Returns an empty table.
    pub fn new(spacing: i32) -> Result<Self, AmmError> {
        if !(1..=16_384).contains(&spacing) {
            return Err(AmmError::State("the tick spacing must lie in 1..16384"));
        }
        Ok(Self { spacing, table: BTreeMap::new() })
    }

    pub fn spacing(&self) -> i32 {
        self.spacing
    }

    /// Returns all of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Tick)> + '_ {
        self.table.iter().map(|(number, tick)| (*number, *tick))
    }

    /// Sets a tick as a snapshot tells it.
    pub fn load(&mut self, number: i32, tick: Tick) -> Result<(), AmmError> {
        self.check(number)?;
        if tick.gross == 0 || tick.net.unsigned_abs() > tick.gross {
            return Err(AmmError::State("a tick's net liquidity exceeds its gross"));
        }
        if self.table.insert(number, tick).is_some() {
            return Err(AmmError::State("a tick is named twice"));
        }
        Ok(())
    }

    /// Adds or takes the liquidity of one range. Nothing has changed on an error.
    pub fn change(&mut self, lower: i32, upper: i32, delta: i128) -> Result<(), AmmError> {
        self.check(lower)?;
        self.check(upper)?;
        if lower >= upper {
            return Err(AmmError::State("a range must not be empty"));
        }
        let moved = |tick: Option<&Tick>, net: i128| -> Result<Tick, AmmError> {
            let tick = tick.copied().unwrap_or(Tick { net: 0, gross: 0 });
            let gross = tick.gross.checked_add_signed(delta).ok_or(AmmError::State("a burn exceeds what is there"))?;
            let net = tick.net.checked_add(net).ok_or(AmmError::State("liquidity overflows"))?;
            Ok(Tick { net, gross })
        };
        let negated = delta.checked_neg().ok_or(AmmError::State("liquidity overflows"))?;
        let ends = [(lower, moved(self.table.get(&lower), delta)?), (upper, moved(self.table.get(&upper), negated)?)];
        for (number, tick) in ends {
            if tick.gross == 0 {
                self.table.remove(&number);
            } else {
                self.table.insert(number, tick);
            }
        }
        Ok(())
    }

    /// Returns the liquidity in force at a tick, or nothing when the nets do not add up to one.
    pub fn liquidity_at(&self, number: i32) -> Option<u128> {
        let total = self.table.range(..=number).try_fold(0i128, |sum, (_, tick)| sum.checked_add(tick.net))?;
        u128::try_from(total).ok()
    }

    /// Returns the next boundary in the direction of travel, and its net liquidity if it is initialised.
    ///
    /// Boundaries are initialised ticks and the edges of the bitmap's 256-tick words: the contract rounds at both.
    pub fn next(&self, number: i32, zero_for_one: bool) -> (i32, Option<i128>) {
        let compressed = number.div_euclid(self.spacing);
        if zero_for_one {
            let edge = (compressed & !255).saturating_mul(self.spacing);
            match self.table.range(edge.min(number)..=number).next_back() {
                Some((found, tick)) => (*found, Some(tick.net)),
                None => (edge.max(MIN_TICK), None),
            }
        } else {
            let edge = ((compressed + 1) | 255).saturating_mul(self.spacing);
            match self.table.range(number + 1..=edge).next() {
                Some((found, tick)) => (*found, Some(tick.net)),
                None => (edge.min(MAX_TICK), None),
            }
        }
    }

    /// Returns whether no initialised tick lies ahead.
    pub fn is_last(&self, number: i32, zero_for_one: bool) -> bool {
        if zero_for_one {
            self.table.range(..=number).next_back().is_none()
        } else {
            self.table.range(number + 1..).next().is_none()
        }
    }

    fn check(&self, number: i32) -> Result<(), AmmError> {
        if number % self.spacing != 0 || !(MIN_TICK..=MAX_TICK).contains(&number) {
            return Err(AmmError::State("a tick lies off its spacing or beyond 887272"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_edge_is_a_boundary_in_both_directions() {
        let mut ticks = Ticks::new(10).unwrap();
        ticks.change(-50, 5_000, 7).unwrap();
        assert_eq!(ticks.next(5, true), (0, None));
        assert_eq!(ticks.next(-1, true), (-50, Some(7)));
        assert_eq!(ticks.next(-50, true), (-50, Some(7)));
        assert_eq!(ticks.next(-51, true), (-2_560, None));
        assert_eq!(ticks.next(-60, false), (-50, Some(7)));
        assert_eq!(ticks.next(-50, false), (-10, None));
        assert_eq!(ticks.next(0, false), (2_550, None));
        assert_eq!(ticks.next(4_999, false), (5_000, Some(-7)));
        assert_eq!(ticks.next(MAX_TICK - 1, false).0, MAX_TICK);
        assert_eq!(ticks.liquidity_at(4_999), Some(7));
        assert_eq!(ticks.liquidity_at(5_000), Some(0));
    }

    #[test]
    fn a_burn_of_more_than_is_there_changes_nothing() {
        let mut ticks = Ticks::new(1).unwrap();
        ticks.change(-1, 1, 5).unwrap();
        ticks.change(1, 3, 5).unwrap();
        assert_eq!(ticks.iter().nth(1), Some((1, Tick { net: 0, gross: 10 })));
        assert!(ticks.change(-1, 3, -6).is_err());
        assert!(ticks.change(3, -1, 1).is_err());
        ticks.change(-1, 1, -5).unwrap();
        ticks.change(1, 3, -5).unwrap();
        assert_eq!(ticks.iter().count(), 0);
    }
}
