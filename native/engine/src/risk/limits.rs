//! What the gate enforces, in integers. `engine/settings.py` says the same in units of account and defaults small.

use super::stage::Stage;
use crate::instrument::{Contract, Instrument, Scale};

/// A loss that is too much, and what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossLimit {
    pub max: i128,
    pub stage: Stage,
}

/// The four ways to lose too much; what is `None` is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LossLimits {
    /// Fall below the peak.
    pub drawdown: Option<LossLimit>,
    /// Since the start, or since an operator lowered the stage.
    pub total: Option<LossLimit>,
    /// Since midnight UTC of event time.
    pub daily: Option<LossLimit>,
    /// Within `velocity_window_ns`.
    pub velocity: Option<LossLimit>,
    pub velocity_window_ns: i64,
}

/// Limits of one run. Values are in the unit of account's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub order_value_max: i128,
    pub swap_value_max: i128,
    /// How far a limit may lie beyond the mid in the direction that costs us, in millionths of the mid.
    pub collar_ppm: i64,
    /// Per strategy and asset.
    pub position_value_max: i128,
    /// All strategies together, sum over assets.
    pub exposure_value_max: i128,
    /// Per strategy.
    pub open_orders_max: u32,
    pub open_orders_total_max: u32,
    /// Per venue; a bucket holds one second's worth.
    pub messages_per_second_max: u32,
    pub book_age_ns_max: i64,
    /// Of all strategies; their shares sum to no more.
    pub capital: i128,
    /// Orders of one strategy that may be executed within the window without a pause.
    pub executions_max: u32,
    pub executions_window_ns: i64,
    /// A strategy without an execution for this long starts to count from nothing.
    pub executions_pause_ns: i64,
    pub executions_stage: Stage,
    /// Each strategy's own.
    pub strategy_losses: LossLimits,
    /// The whole run's.
    pub losses: LossLimits,
    pub kill: KillLimits,
}

/// What holds for one strategy: what every strategy may, or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnLimits {
    pub order_value_max: i128,
    pub swap_value_max: i128,
    pub position_value_max: i128,
    pub open_orders_max: u32,
    pub losses: LossLimits,
}

impl From<&Limits> for OwnLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            order_value_max: limits.order_value_max,
            swap_value_max: limits.swap_value_max,
            position_value_max: limits.position_value_max,
            open_orders_max: limits.open_orders_max,
            losses: limits.strategy_losses,
        }
    }
}

/// How the staged kill proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KillLimits {
    /// A cancel that did not end its order is sent again after this long.
    pub cancel_again_ns: i64,
    /// What CANCEL or FLATTEN may take before the next stage comes by itself; 0: however long.
    pub cancel_ns_max: i64,
    pub flatten_ns_max: i64,
    /// How far beyond the mid a closing order may execute.
    pub flatten_collar_ppm: i64,
    /// Between two closing orders of one strategy and instrument.
    pub flatten_again_ns: i64,
    /// Closing orders per strategy and instrument before FREEZE.
    pub flatten_attempts_max: u32,
    /// Whether FREEZE follows when everything is flat.
    pub freeze_when_flat: bool,
}

/// What the gate has to know of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub venue: u16,
    pub base: u16,
    /// What it is valued in: a form of the unit of account.
    pub quote: u16,
    /// Inverse: lots are worth quote directly.
    pub inverse: bool,
    /// Whether a position is closed where it was opened (contracts), not anywhere its asset trades (spot).
    pub contract: bool,
    /// Base units in a lot (not inverse).
    pub base_per_lot: i128,
    /// Quote units in a tick times a lot (not inverse).
    pub quote_per_tick_lot: i128,
    /// Quote units in a lot (inverse).
    pub quote_per_lot: i128,
    /// Largest order, in lots; 0: bounded by value only.
    pub order_lots_max: i64,
    /// In quote units.
    pub value_min: i128,
    pub blacklisted: bool,
}

impl Terms {
    pub fn new(instrument: &Instrument, scale: &Scale, order_lots_max: i64, blacklisted: bool) -> Self {
        Self {
            venue: instrument.venue,
            base: instrument.base,
            quote: instrument.quote,
            inverse: matches!(instrument.contract, Contract::Inverse { .. }),
            contract: instrument.contract != Contract::Spot,
            base_per_lot: scale.base_per_lot,
            quote_per_tick_lot: scale.quote_per_tick_lot,
            quote_per_lot: scale.quote_per_lot,
            order_lots_max,
            value_min: instrument.notional_min,
            blacklisted,
        }
    }
}

/// One form of something: a coin at an exchange, a token on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetTerms {
    /// Which economic asset it is a form of. Without one it has no value, and nothing that trades it passes.
    pub economic: Option<u16>,
    pub decimals: u8,
    pub blacklisted: bool,
}

/// One thing in all its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EconomicTerms {
    /// Whether the account is counted in it: holding it is no exposure.
    pub account: bool,
}

/// What a gate is made of. Everything is known by its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskConfig {
    pub limits: Limits,
    pub assets: Vec<AssetTerms>,
    pub economics: Vec<EconomicTerms>,
    pub instruments: Vec<Terms>,
    /// Whether a pool is blacklisted.
    pub pools: Vec<bool>,
    pub venues: u16,
    /// Each strategy's share of the capital.
    pub shares: Vec<i128>,
}

/// Why a configuration is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound(pub String);

impl RiskConfig {
    /// Fails unless every figure makes sense and every index leads somewhere.
    pub fn check(&self) -> Result<(), Unsound> {
        let sound = |holds: bool, what: &str| if holds { Ok(()) } else { Err(Unsound(what.into())) };
        let l = &self.limits;
        let values = [l.order_value_max, l.swap_value_max, l.position_value_max, l.exposure_value_max, l.capital];
        sound(values.iter().all(|v| *v >= 0), "a value limit is negative")?;
        sound((0..1_000_000).contains(&l.collar_ppm), "the collar must be below the whole price")?;
        sound((0..1_000_000).contains(&l.kill.flatten_collar_ppm), "the closing collar must be below the whole price")?;
        sound((1..=1_000_000).contains(&l.messages_per_second_max), "messages per second must be 1 to 1,000,000")?;
        sound((1..=65_536).contains(&l.executions_max), "executions must be 1 to 65,536")?;
        sound(l.executions_window_ns > 0 && l.executions_pause_ns > 0, "execution windows must be positive")?;
        sound(l.book_age_ns_max >= 0, "the age of a book is not negative")?;
        let k = &l.kill;
        sound(k.cancel_again_ns > 0 && k.flatten_again_ns > 0, "retries must be apart")?;
        sound(k.cancel_ns_max >= 0 && k.flatten_ns_max >= 0, "a stage's time is not negative")?;
        sound(k.flatten_attempts_max > 0, "at least one closing order is needed")?;
        for losses in [&l.losses, &l.strategy_losses] {
            let all = [losses.drawdown, losses.total, losses.daily, losses.velocity];
            sound(all.iter().flatten().all(|limit| limit.max >= 0), "a loss limit is negative")?;
            sound(all.iter().flatten().all(|limit| limit.stage > Stage::Running), "a loss limit must lead to a stage")?;
            sound(losses.velocity.is_none() || losses.velocity_window_ns >= 32, "the loss window must be positive")?;
        }
        sound(l.executions_stage > Stage::Running, "too many executions must lead to a stage")?;
        sound(self.shares.len() <= 255, "at most 255 strategies")?;
        sound(self.shares.iter().all(|share| *share >= 0), "a share is negative")?;
        let sum = self.shares.iter().try_fold(0i128, |sum, share| sum.checked_add(*share));
        sound(sum.is_some_and(|sum| sum <= l.capital), "the strategies' shares are more than the capital")?;
        for (at, asset) in self.assets.iter().enumerate() {
            let known = asset.economic.is_none_or(|economic| usize::from(economic) < self.economics.len());
            sound(known && asset.decimals <= 18, &format!("asset {at}: no such economic asset, or too many decimals"))?;
        }
        for (at, terms) in self.instruments.iter().enumerate() {
            sound(terms.venue < self.venues, &format!("instrument {at}: no such venue"))?;
            sound(self.economic(terms.base).is_some(), &format!("instrument {at}: its base has no value"))?;
            let quoted = self.economic(terms.quote).is_some_and(|economic| self.economics[economic].account);
            sound(quoted, &format!("instrument {at}: its quote is no form of the unit of account"))?;
            let factors = if terms.inverse {
                terms.quote_per_lot > 0
            } else {
                terms.base_per_lot > 0 && terms.quote_per_tick_lot > 0
            };
            sound(factors && terms.order_lots_max >= 0, &format!("instrument {at}: factors must be positive"))?;
        }
        Ok(())
    }

    /// Returns the economic asset that an asset is a form of.
    pub(crate) fn economic(&self, asset: u16) -> Option<usize> {
        self.assets.get(usize::from(asset))?.economic.map(usize::from)
    }
}
