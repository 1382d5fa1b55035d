//! What a run is made of. Everything is named once and numbered by its place here; the numbers are what events carry.

use crate::command::ClientId;
use crate::gate::loose_limits;
use crate::instrument::{Contract, Instrument, Scale};
use crate::replica::PoolSpec;
use crate::risk::Limits;

/// A thing that is held somewhere, counted in smallest units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Unique, `binance/ETH`.
    pub id: String,
    pub decimals: u8,
    /// Which economic asset it is a form of; none: it is counted but has no value here (a venue's own fee coin).
    pub economic: Option<u16>,
}

/// One thing in all its forms: ETH at an exchange, ETH and WETH on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Economic {
    pub symbol: String,
    /// The instrument whose mid prices it, or none where it is the unit of account.
    pub mark: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Venue {
    pub name: String,
    /// The asset of fills flagged `FEE_OTHER`.
    pub fee_asset: Option<u16>,
    /// Whether price and size of a resting order can be changed in one message.
    pub can_amend: bool,
}

/// What a strategy is woken by, see [`crate::wakes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// None: whatever the instrument, and what has none (timers, blocks).
    pub instrument: Option<u32>,
    /// Bits of [`crate::wakes`].
    pub why: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategySettings {
    pub name: String,
    pub subscriptions: Vec<Subscription>,
    /// Its share of the capital, in values; the shares sum to no more than `limits.capital`.
    pub capital: i128,
}

/// How long things may take before they are asked about or repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// An order without an answer is asked about after this long, and again every so long.
    pub ask_after_ns: i64,
    /// A cancel that did not end its order is sent again after this long: it, or the order before it, got lost.
    pub cancel_again_ns: i64,
    /// Ended orders that are kept for late reports; older ones are known by their id alone.
    pub ended_kept: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { ask_after_ns: 3_000_000_000, cancel_again_ns: 2_000_000_000, ended_kept: 4096 }
    }
}

/// What must not be traded, by index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blacklist {
    pub instruments: Vec<u32>,
    pub assets: Vec<u16>,
    pub pools: Vec<u32>,
}

/// One run. Two kernels with equal configurations and equal events give equal commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Part of every client id: what is found at a venue names the run it belongs to.
    pub run: u16,
    /// In the journal's header; the kernel draws nothing.
    pub seed: u64,
    /// Values (results, exposure) are integers of `10^-value_decimals` units of account.
    pub value_decimals: u8,
    pub assets: Vec<Asset>,
    pub economics: Vec<Economic>,
    pub venues: Vec<Venue>,
    pub instruments: Vec<Instrument>,
    pub pools: Vec<PoolSpec>,
    pub strategies: Vec<StrategySettings>,
    /// Largest order of each instrument in lots; 0, or none: bounded by value only.
    pub order_lots_max: Vec<i64>,
    pub blacklist: Blacklist,
    /// The asset that gas of swaps is paid in.
    pub gas_asset: Option<u16>,
    pub patience: Patience,
    pub limits: Limits,
}

/// Why a configuration is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Strategies are bits of a `u64` in wakes, and the last row of sub-ledgers is for what nobody ordered.
pub const STRATEGIES_MAX: usize = 63;
/// The strategy that trades nobody ordered are booked under.
pub const FOREIGN: u8 = 255;

impl Config {
    /// Returns a run without anything in it, and without limits.
    pub fn empty(run: u16) -> Self {
        Self {
            run,
            seed: 0,
            value_decimals: 8,
            assets: Vec::new(),
            economics: Vec::new(),
            venues: Vec::new(),
            instruments: Vec::new(),
            pools: Vec::new(),
            strategies: Vec::new(),
            order_lots_max: Vec::new(),
            blacklist: Blacklist::default(),
            gas_asset: None,
            patience: Patience::default(),
            limits: loose_limits(),
        }
    }

    /// Returns each instrument's factors, or what is wrong with the configuration.
    pub fn check(&self) -> Result<Vec<Scale>, ConfigError> {
        let wrong = |text: String| Err(ConfigError(text));
        if self.strategies.len() > STRATEGIES_MAX {
            return wrong(format!("{} strategies, at most {STRATEGIES_MAX} are possible", self.strategies.len()));
        }
        if self.value_decimals > 12 {
            return wrong(format!("value_decimals is {}, at most 12 are possible", self.value_decimals));
        }
        for (at, strategy) in self.strategies.iter().enumerate() {
            if self.strategies[..at].iter().any(|s| s.name == strategy.name) {
                return wrong(format!("two strategies have the name {}", strategy.name));
            }
            for subscription in &strategy.subscriptions {
                if subscription.instrument.is_some_and(|i| i as usize >= self.instruments.len()) {
                    return wrong(format!("strategy {} subscribes to an instrument there is not", strategy.name));
                }
            }
        }
        for (at, asset) in self.assets.iter().enumerate() {
            if self.assets[..at].iter().any(|a| a.id == asset.id) {
                return wrong(format!("two assets have the id {}", asset.id));
            }
            if asset.decimals > 18 || asset.economic.is_some_and(|e| usize::from(e) >= self.economics.len()) {
                return wrong(format!("asset {}: more than 18 decimals, or no such economic asset", asset.id));
            }
        }
        for economic in &self.economics {
            if economic.mark.is_some_and(|i| self.instruments.get(i as usize).is_none()) {
                return wrong(format!("economic asset {}: its mark is no instrument", economic.symbol));
            }
        }
        let is_asset = |index: u16| usize::from(index) < self.assets.len();
        if self.gas_asset.is_some_and(|a| !is_asset(a)) {
            return wrong("the gas asset is none of the assets".into());
        }
        for venue in &self.venues {
            if venue.fee_asset.is_some_and(|a| !is_asset(a)) {
                return wrong(format!("venue {}: its fee asset is none of the assets", venue.name));
            }
        }
        for pool in &self.pools {
            if !is_asset(pool.token0) || !is_asset(pool.token1) || pool.token0 == pool.token1 {
                return wrong(format!("pool {}: its tokens are no two assets", pool.id));
            }
        }
        let mut scales = Vec::with_capacity(self.instruments.len());
        for instrument in &self.instruments {
            let symbol = &instrument.symbol;
            if !is_asset(instrument.base) || !is_asset(instrument.quote) {
                return wrong(format!("instrument {symbol}: base or quote is none of the assets"));
            }
            if usize::from(instrument.venue) >= self.venues.len() {
                return wrong(format!("instrument {symbol}: no such venue"));
            }
            let (base, quote) =
                (&self.assets[usize::from(instrument.base)], &self.assets[usize::from(instrument.quote)]);
            if (base.decimals, quote.decimals) != (instrument.base_decimals, instrument.quote_decimals) {
                return wrong(format!("instrument {symbol}: other decimals than its assets"));
            }
            if instrument.contract != Contract::Spot && instrument.base == instrument.quote {
                return wrong(format!("instrument {symbol}: base and quote are one asset"));
            }
            match instrument.scale() {
                Ok(scale) => scales.push(scale),
                Err(why) => return wrong(format!("instrument {symbol}: {}", why.0)),
            }
        }
        Ok(scales)
    }

    /// Returns the strategy an id names: one of this run, else [`FOREIGN`].
    pub fn strategy_of(&self, id: ClientId) -> u8 {
        let is_ours = id.run() == self.run && usize::from(id.strategy()) < self.strategies.len();
        if is_ours {
            id.strategy()
        } else {
            FOREIGN
        }
    }
}
