//! Where a resting order stands in its level's queue, when the feed shows sizes and not orders.
//!
//! What trades at the level comes off the front: that much is certain. What goes without a trade was cancelled, in front
//! of us or behind us, and that is what models differ in: with `a` lots ahead and `b` behind, a cancel of `c` takes
//! `c * f(a) / (f(a) + f(b))` from the front. Expected values, no dice: places are counted in 1/65,536 lots, so that
//! many small cancels add up to what one large one takes.

/// Sizes above this (2^46 lots) count as this much.
const LOTS_MAX: i64 = 1 << 46;

/// Who is assumed to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueModel {
    /// Only those behind us, as long as there are any: the front advances by trades alone.
    RiskAverse,
    /// `f(x) = x^n`, n from 1 to 4. 1: everybody alike, by size. More: rather those on the longer side of us.
    Power(u8),
    /// `f(x) = log2(1 + x)`, x in lots: the shorter side cancels more than its share.
    Log,
    /// Nothing is assumed: the feed is L3 and tells each order. Level and trade events do not move places.
    Fifo,
}

/// The one that errs least against synthetic L3 truth when nothing is known of who cancels, see docs/simulation.md.
impl Default for QueueModel {
    fn default() -> Self {
        Self::Power(2)
    }
}

/// One order's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// What others hold in front of us, in 1/65,536 lots.
    pub ahead: i64,
    /// Lots that traded at the level since the feed last told its size: they explain part of the next decrease.
    pub traded: i64,
}

/// Returns lots in the units of places.
#[inline]
pub fn fixed(lots: i64) -> i64 {
    lots.clamp(0, LOTS_MAX) << 16
}

impl Place {
    /// Returns the place at the end of a level that shows so many lots.
    pub fn behind(shown: i64) -> Self {
        Self { ahead: fixed(shown), traded: 0 }
    }
}

impl QueueModel {
    /// Returns whether the model can be used.
    pub fn is_valid(self) -> bool {
        !matches!(self, Self::Power(n) if !(1..=4).contains(&n))
    }

    /// The feed told the level's size anew.
    pub fn resize(self, place: &mut Place, before: i64, after: i64) {
        if self == Self::Fifo {
            return;
        }
        let (before, after) = (fixed(before), fixed(after));
        let stood = (before - fixed(std::mem::take(&mut place.traded))).max(0);
        let gone = stood - after;
        if gone > 0 && self != Self::RiskAverse {
            let behind = (stood - place.ahead).max(0);
            let share = self.share(place.ahead, behind, gone);
            place.ahead -= share.max(gone - behind).min(place.ahead);
        }
        place.ahead = place.ahead.min(after);
    }

    /// Returns the part of what is gone that was ahead.
    fn share(self, ahead: i64, behind: i64, gone: i64) -> i64 {
        let (front, back) = match self {
            Self::Power(n) => {
                // Sixteen bits of each: the fourth power times 2^62 still fits.
                let shift = (64 - (ahead | behind).leading_zeros()).saturating_sub(16);
                let power = |x: i64| (x >> shift).unsigned_abs().pow(u32::from(n)) as u128;
                (power(ahead), power(behind))
            }
            Self::Log => (log2(ahead), log2(behind)),
            Self::RiskAverse | Self::Fifo => (0, 1),
        };
        match front + back {
            0 => 0,
            whole => (gone.unsigned_abs() as u128 * front / whole) as i64,
        }
    }
}

/// Returns `log2(1 + x)` in 1/65,536, x in the units of places; straight between powers of two.
fn log2(x: i64) -> u128 {
    let y = (x >> 16).unsigned_abs() + 1;
    let whole = y.ilog2();
    let rest = u128::from(y - (1 << whole));
    (u128::from(whole) << 16) + ((rest << 16) >> whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: i64 = 1 << 16;

    fn after(model: QueueModel, ahead: i64, traded: i64, before: i64, after: i64) -> i64 {
        let mut place = Place { ahead: fixed(ahead), traded };
        model.resize(&mut place, before, after);
        assert_eq!(place.traded, 0);
        place.ahead
    }

    #[test]
    fn risk_averse_cancels_come_from_behind_while_there_are_any() {
        assert_eq!(after(QueueModel::RiskAverse, 60, 0, 100, 70), fixed(60));
        assert_eq!(after(QueueModel::RiskAverse, 60, 0, 100, 50), fixed(50));
    }

    #[test]
    fn a_power_of_one_takes_cancels_in_proportion() {
        assert_eq!(after(QueueModel::Power(1), 25, 0, 100, 60), fixed(15));
        assert_eq!(after(QueueModel::Power(2), 50, 0, 100, 60), fixed(30));
        assert_eq!(after(QueueModel::Power(3), 0, 0, 100, 60), 0);
    }

    #[test]
    fn more_than_stands_behind_cannot_be_cancelled_behind() {
        assert_eq!(after(QueueModel::Power(4), 10, 0, 100, 5), fixed(5));
        assert_eq!(after(QueueModel::Log, 90, 0, 100, 40), fixed(40), "all ten behind and fifty ahead are gone");
    }

    #[test]
    fn what_traded_is_no_cancel() {
        assert_eq!(after(QueueModel::Power(1), 40, 30, 100, 70), fixed(40));
        assert_eq!(after(QueueModel::Power(1), 35, 30, 100, 50), fixed(25));
        assert_eq!(
            after(QueueModel::Power(1), 40, 300, 100, 70),
            fixed(40),
            "more traded than stood there: replenished"
        );
    }

    #[test]
    fn small_cancels_add_up_to_what_a_large_one_takes() {
        let mut place = Place::behind(500);
        for left in (500..1000).rev() {
            QueueModel::Power(1).resize(&mut place, left + 1, left);
        }
        assert!((fixed(250) - place.ahead).abs() < UNIT, "{}", place.ahead);
    }

    #[test]
    fn logarithms_are_right_at_powers_of_two() {
        assert_eq!([0, 1, 3, 7].map(|x| log2(x << 16)), [0, 1 << 16, 2 << 16, 3 << 16]);
        assert_eq!(log2(2 << 16), (1 << 16) + (1 << 15));
    }

    #[test]
    fn the_greatest_sizes_do_not_overflow() {
        for model in [QueueModel::RiskAverse, QueueModel::Power(4), QueueModel::Log] {
            assert!(after(model, i64::MAX, 0, i64::MAX, 1) <= fixed(1));
        }
    }
}
