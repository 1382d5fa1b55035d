//! What is held and what it is worth: sums of one economic asset over its forms and instruments, in checked integers.

use super::limits::Terms;
use super::view::Holdings;

/// The best of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Top {
    /// Ticks; 0: no such side.
    pub bid: i64,
    pub ask: i64,
    /// Local time of its last change.
    pub changed_ns: i64,
    /// May be wrong until the next snapshot.
    pub stale: bool,
}

impl Top {
    /// Returns whether both sides are there and do not cross.
    pub fn is_whole(&self) -> bool {
        !self.stale && self.bid > 0 && self.ask > self.bid
    }
}

/// What one row has of one instrument, in lots; `buying` and `selling` are what open orders may still execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lots {
    /// Of contracts. A spot instrument's lots are in the ledger, as base asset.
    pub held: i64,
    pub buying: i64,
    pub selling: i64,
}

/// What one row has of one asset, in its smallest unit; `coming` and `going` are what unsettled swaps may still move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub held: i128,
    pub coming: i128,
    pub going: i128,
}

impl Moved {
    pub(crate) fn add(&mut self, other: Self) -> Option<()> {
        self.held = self.held.checked_add(other.held)?;
        self.coming = self.coming.checked_add(other.coming)?;
        self.going = self.going.checked_add(other.going)?;
        Some(())
    }

    /// Returns lots as amounts of `factor` units each.
    pub(crate) fn of(lots: &Lots, factor: i128, contract: bool) -> Option<Self> {
        let units = |lots: i64| i128::from(lots).checked_mul(factor);
        let held = if contract { units(lots.held)? } else { 0 };
        Some(Self { held, coming: units(lots.buying)?, going: units(lots.selling)? })
    }
}

/// A position's value now, and the least and most it can become by what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub held: i128,
    pub low: i128,
    pub high: i128,
}

impl Span {
    /// Adds amounts of one asset at its price. Outer nothing: out of range; `Some(false)`: no price.
    pub fn add(&mut self, asset: u16, moved: &Moved, holdings: &impl Holdings) -> Option<bool> {
        if *moved == Moved::default() {
            return Some(true);
        }
        let low = moved.held.checked_sub(moved.going)?;
        let high = moved.held.checked_add(moved.coming)?;
        let value = |units: i128| if units == 0 { Some(0) } else { holdings.value(asset, units) };
        let (Some(held), Some(low), Some(high)) = (value(moved.held), value(low), value(high)) else {
            return Some(false);
        };
        self.held = self.held.checked_add(held)?;
        self.low = self.low.checked_add(low)?;
        self.high = self.high.checked_add(high)?;
        Some(true)
    }

    /// Returns the larger of the two ends, without its sign.
    pub fn worst(&self) -> Option<i128> {
        Some(self.low.checked_abs()?.max(self.high.checked_abs()?))
    }
}

/// Returns what lots of an instrument are as an amount of an asset: base units, or quote where it is inverse.
pub(crate) fn as_asset(terms: &Terms, lots: &Lots) -> Option<(u16, Moved)> {
    if terms.inverse {
        Some((terms.quote, Moved::of(lots, terms.quote_per_lot, true)?))
    } else {
        Some((terms.base, Moved::of(lots, terms.base_per_lot, terms.contract)?))
    }
}
