//! What taking costs beyond the shown levels: fixed slippage, and impact that grows with the square root of what we took
//! and fades.

/// Both are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Impact {
    /// Every taking trade is so many ticks worse than the level it takes.
    pub slippage_ticks: i64,
    /// Millionths of a tick per square root of a lot of pressure.
    pub coefficient: i64,
    /// Pressure halves in this time; 0: each level of each order counts alone.
    pub half_life_ns: i64,
}

/// What we took lately from one side, in 1/65,536 lots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pressure {
    taken: i128,
    at_ns: i64,
}

impl Impact {
    pub fn is_valid(&self) -> bool {
        self.slippage_ticks >= 0 && self.coefficient >= 0 && self.half_life_ns >= 0
    }

    /// Returns by how many ticks a trade of so many lots is worse than its level, and remembers the lots.
    pub(super) fn ticks(&self, pressure: &mut Pressure, lots: i64, now_ns: i64) -> i64 {
        if self.coefficient == 0 {
            return self.slippage_ticks;
        }
        pressure.taken = faded(pressure.taken, now_ns.saturating_sub(pressure.at_ns).max(0), self.half_life_ns);
        pressure.taken += i128::from(lots) << 16;
        pressure.at_ns = now_ns;
        // sqrt(taken / 2^16) * coefficient / 10^6, the root with sixteen bits behind the point.
        let root = (pressure.taken << 16).isqrt();
        let ticks = ((root * i128::from(self.coefficient)) >> 16) / 1_000_000;
        self.slippage_ticks.saturating_add(i64::try_from(ticks).unwrap_or(i64::MAX))
    }
}

/// Halves per half-life, straight in between.
fn faded(taken: i128, passed_ns: i64, half_life_ns: i64) -> i128 {
    if half_life_ns == 0 || passed_ns / half_life_ns > 100 {
        return 0;
    }
    let left = taken >> (passed_ns / half_life_ns);
    left - left * i128::from(passed_ns % half_life_ns) / (2 * i128::from(half_life_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impact_grows_with_the_root_and_fades() {
        let impact = Impact { slippage_ticks: 1, coefficient: 2_000_000, half_life_ns: 1_000 };
        let mut pressure = Pressure::default();
        assert_eq!(impact.ticks(&mut pressure, 100, 0), 1 + 20);
        assert_eq!(impact.ticks(&mut pressure, 300, 0), 1 + 40);
        assert_eq!(impact.ticks(&mut pressure, 0, 2_000), 1 + 20);
        assert_eq!(impact.ticks(&mut pressure, 1, 1_000_000), 1 + 2);
    }

    #[test]
    fn without_memory_each_level_counts_alone() {
        let impact = Impact { slippage_ticks: 0, coefficient: 1_000_000, half_life_ns: 0 };
        let mut pressure = Pressure::default();
        assert_eq!([9, 9].map(|lots| impact.ticks(&mut pressure, lots, 5)), [3, 3]);
    }

    #[test]
    fn what_fades_is_straight_between_halves() {
        assert_eq!([0, 50, 100, 150, 200].map(|t| faded(1_000, t, 100)), [1_000, 750, 500, 375, 250]);
    }
}
