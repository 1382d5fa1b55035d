//! What a venue charges: by the volume of thirty days, less for who rests, in the asset the venue takes it in.

/// Rates are in 1e-8 of the traded value; negative: a rebate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Thirty days' volume from which it holds, in the quote asset's smallest unit.
    pub volume_from: i128,
    pub maker: i64,
    pub taker: i64,
}

/// What the fee is paid in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeAsset {
    /// Quote, or what the contract settles in.
    Settlement,
    /// The base of a spot trade.
    Base,
    /// What the trade brings: base to buyers, quote to sellers (spot).
    Received,
    /// A third asset at a fixed price: so many of its smallest units for so many of the quote's.
    Other { units: i64, per_quote_units: i64 },
}

/// A venue's fees. Without tiers each instrument's own rates hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeSettings {
    pub tiers: Vec<Tier>,
    pub asset: FeeAsset,
    /// Volume of the thirty days before the run, all of it traded on the day before its first trade.
    pub volume_before: i128,
}

impl Default for FeeSettings {
    fn default() -> Self {
        Self { tiers: Vec::new(), asset: FeeAsset::Settlement, volume_before: 0 }
    }
}

const DAYS: usize = 30;
const DAY_NS: i64 = 86_400_000_000_000;

/// Volume by day, and the tier that holds today: the one that the thirty whole days before reached.
#[derive(Debug, Clone)]
pub(super) struct Fees {
    pub settings: FeeSettings,
    days: [i128; DAYS],
    day: Option<i64>,
    today: i128,
    tier: Option<Tier>,
}

impl Fees {
    /// Returns nothing when tiers are not in the order of their volume or do not start at 0.
    pub fn new(settings: FeeSettings) -> Option<Self> {
        let ordered = settings.tiers.windows(2).all(|pair| pair[0].volume_from < pair[1].volume_from);
        let starts = settings.tiers.first().is_none_or(|tier| tier.volume_from == 0);
        let priced =
            !matches!(settings.asset, FeeAsset::Other { units, per_quote_units } if units < 0 || per_quote_units <= 0);
        (ordered && starts && priced).then_some(Self { settings, days: [0; DAYS], day: None, today: 0, tier: None })
    }

    /// Returns (maker, taker) as they hold at a time, or an instrument's own.
    pub fn rates(&mut self, time_ns: i64, own: (i64, i64)) -> (i64, i64) {
        if self.settings.tiers.is_empty() {
            return own;
        }
        self.turn(time_ns.div_euclid(DAY_NS));
        self.tier.map_or(own, |tier| (tier.maker, tier.taker))
    }

    /// Counts volume; call after `rates` of the same time.
    pub fn traded(&mut self, volume: i128) {
        self.today = self.today.saturating_add(volume);
    }

    fn turn(&mut self, day: i64) {
        let past = match self.day {
            Some(known) if day <= known => return,
            Some(known) => usize::try_from(day - known).unwrap_or(DAYS).min(DAYS),
            None => {
                self.today = self.settings.volume_before;
                1
            }
        };
        self.days.rotate_right(past);
        self.days[..past].fill(0);
        self.days[past - 1] =
            if past == DAYS && self.day.is_some_and(|known| day - known > DAYS as i64) { 0 } else { self.today };
        self.today = 0;
        self.day = Some(day);
        let volume = self.days.iter().fold(0i128, |sum, day| sum.saturating_add(*day));
        self.tier = self.settings.tiers.iter().rev().find(|tier| tier.volume_from <= volume).copied();
    }
}

/// Returns `value * rate`, rounded against us: fees up, rebates down. Nothing when it does not fit.
pub(super) fn fee_up(value: i128, rate: i64) -> Option<i128> {
    ceil_div(value.checked_mul(i128::from(rate))?, 100_000_000)
}

pub(super) fn ceil_div(numerator: i128, denominator: i128) -> Option<i128> {
    let whole = numerator.checked_div_euclid(denominator)?;
    whole.checked_add(i128::from(numerator.checked_rem_euclid(denominator)? != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers() -> FeeSettings {
        let tier = |volume_from, maker, taker| Tier { volume_from, maker, taker };
        FeeSettings { tiers: vec![tier(0, 100, 200), tier(1_000, -50, 150)], ..FeeSettings::default() }
    }

    #[test]
    fn a_tier_holds_from_the_day_after_its_volume_until_thirty_days_later() {
        let mut fees = Fees::new(tiers()).unwrap();
        assert_eq!(fees.rates(5 * DAY_NS, (7, 7)), (100, 200));
        fees.traded(1_000);
        assert_eq!(fees.rates(5 * DAY_NS + 1, (7, 7)), (100, 200), "today does not count");
        for day in [6, 7, 20, 35] {
            assert_eq!(fees.rates(day * DAY_NS, (7, 7)), (-50, 150), "day {day}");
        }
        assert_eq!(fees.rates(36 * DAY_NS, (7, 7)), (100, 200));
    }

    #[test]
    fn long_breaks_forget_everything_and_exactly_thirty_days_do_not() {
        for (days, expected) in [(30, -50), (31, 100), (1_000, 100)] {
            let mut fees = Fees::new(tiers()).unwrap();
            fees.rates(0, (0, 0));
            fees.traded(5_000);
            assert_eq!(fees.rates(days * DAY_NS, (0, 0)).0, expected, "{days} days later");
        }
    }

    #[test]
    fn volume_before_the_run_counts_from_its_first_day() {
        let mut fees = Fees::new(FeeSettings { volume_before: 1_000, ..tiers() }).unwrap();
        assert_eq!(fees.rates(77 * DAY_NS, (0, 0)).0, -50);
    }

    #[test]
    fn rounding_is_against_us() {
        assert_eq!(fee_up(1, 1), Some(1));
        assert_eq!(fee_up(100_000_000, 7), Some(7));
        assert_eq!(fee_up(1, -1), Some(0));
        assert_eq!(fee_up(150_000_000, -1), Some(-1));
        assert_eq!(fee_up(i128::MAX, 2), None);
    }

    #[test]
    fn tiers_out_of_order_are_refused() {
        let mut bad = tiers();
        bad.tiers.reverse();
        assert!(Fees::new(bad).is_none());
    }
}
