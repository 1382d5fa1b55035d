//! The risk gate by itself, for the test that compares it with the plain Python one. Products reach it through the
//! kernel.

use capstan_engine::command::{OrderType, TimeInForce};
use capstan_engine::risk::{
    AssetTerms, Breach, EconomicTerms, Holdings, KillLimits, Limits, LossLimit, LossLimits, Lots, Moved, NewOrder,
    Rejection, RiskConfig, RiskGate, RiskView, Rule, Stage, SwapChange, Terms, Top,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Told = Option<(u8, i64, i64)>;
type Reached = (u8, Option<u8>, i64, i64, u8);
type Triple<T> = (T, T, T);

fn stage(number: u8) -> PyResult<Stage> {
    Stage::from_number(number).ok_or_else(|| PyValueError::new_err(format!("{number} is no stage")))
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct LossTable {
    drawdown: Option<(i128, u8)>,
    total: Option<(i128, u8)>,
    daily: Option<(i128, u8)>,
    velocity: Option<(i128, u8)>,
    velocity_window_ns: i64,
}

impl LossTable {
    fn read(self) -> PyResult<LossLimits> {
        let limit = |given: Option<(i128, u8)>| -> PyResult<Option<LossLimit>> {
            given.map(|(max, number)| Ok(LossLimit { max, stage: stage(number)? })).transpose()
        };
        Ok(LossLimits {
            drawdown: limit(self.drawdown)?,
            total: limit(self.total)?,
            daily: limit(self.daily)?,
            velocity: limit(self.velocity)?,
            velocity_window_ns: self.velocity_window_ns,
        })
    }
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct KillTable {
    cancel_again_ns: i64,
    cancel_ns_max: i64,
    flatten_ns_max: i64,
    flatten_collar_ppm: i64,
    flatten_again_ns: i64,
    flatten_attempts_max: u32,
    freeze_when_flat: bool,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct LimitTable {
    order_value_max: i128,
    swap_value_max: i128,
    collar_ppm: i64,
    position_value_max: i128,
    exposure_value_max: i128,
    open_orders_max: u32,
    open_orders_total_max: u32,
    messages_per_second_max: u32,
    book_age_ns_max: i64,
    capital: i128,
    executions_max: u32,
    executions_window_ns: i64,
    executions_pause_ns: i64,
    executions_stage: u8,
    strategy_losses: LossTable,
    losses: LossTable,
    kill: KillTable,
}

impl LimitTable {
    fn read(self) -> PyResult<Limits> {
        let kill = self.kill;
        Ok(Limits {
            order_value_max: self.order_value_max,
            swap_value_max: self.swap_value_max,
            collar_ppm: self.collar_ppm,
            position_value_max: self.position_value_max,
            exposure_value_max: self.exposure_value_max,
            open_orders_max: self.open_orders_max,
            open_orders_total_max: self.open_orders_total_max,
            messages_per_second_max: self.messages_per_second_max,
            book_age_ns_max: self.book_age_ns_max,
            capital: self.capital,
            executions_max: self.executions_max,
            executions_window_ns: self.executions_window_ns,
            executions_pause_ns: self.executions_pause_ns,
            executions_stage: stage(self.executions_stage)?,
            strategy_losses: self.strategy_losses.read()?,
            losses: self.losses.read()?,
            kill: KillLimits {
                cancel_again_ns: kill.cancel_again_ns,
                cancel_ns_max: kill.cancel_ns_max,
                flatten_ns_max: kill.flatten_ns_max,
                flatten_collar_ppm: kill.flatten_collar_ppm,
                flatten_again_ns: kill.flatten_again_ns,
                flatten_attempts_max: kill.flatten_attempts_max,
                freeze_when_flat: kill.freeze_when_flat,
            },
        })
    }
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct TermTable {
    venue: u16,
    base: u16,
    quote: u16,
    inverse: bool,
    contract: bool,
    base_per_lot: i128,
    quote_per_tick_lot: i128,
    quote_per_lot: i128,
    order_lots_max: i64,
    value_min: i128,
    blacklisted: bool,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct ConfigTable {
    limits: LimitTable,
    /// Economic asset, decimals, blacklisted.
    assets: Vec<(Option<u16>, u8, bool)>,
    /// Whether the account is counted in it.
    economics: Vec<bool>,
    instruments: Vec<TermTable>,
    pools: Vec<bool>,
    venues: u16,
    shares: Vec<i128>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct AskTable {
    now_ns: i64,
    strategy: u8,
    /// Bid, ask, when changed, stale.
    top: (i64, i64, i64, bool),
    own_bid: i64,
    own_ask: i64,
    replaces: i64,
    open_orders: u32,
    open_orders_total: u32,
    /// By row and instrument: held, buying, selling.
    lots: Vec<Vec<Triple<i64>>>,
    /// By row and asset: held, coming, going.
    moved: Vec<Vec<Triple<i128>>>,
    /// By asset: what so many units are worth so much; none: no price.
    prices: Vec<Option<(i128, i128)>>,
}

impl Holdings for AskTable {
    fn rows(&self) -> usize {
        self.lots.len()
    }

    fn lots(&self, row: usize, instrument: usize) -> Lots {
        let (held, buying, selling) = self.lots[row][instrument];
        Lots { held, buying, selling }
    }

    fn moved(&self, row: usize, asset: usize) -> Moved {
        let (held, coming, going) = self.moved[row][asset];
        Moved { held, coming, going }
    }

    fn value(&self, asset: u16, units: i128) -> Option<i128> {
        let (value, per) = self.prices[usize::from(asset)]?;
        Some(units.checked_mul(value)?.div_euclid(per))
    }
}

impl AskTable {
    fn view(&self) -> RiskView<'_, Self> {
        let (bid, ask, changed_ns, stale) = self.top;
        RiskView {
            now_ns: self.now_ns,
            strategy: self.strategy,
            top: Top { bid, ask, changed_ns, stale },
            own_bid: self.own_bid,
            own_ask: self.own_ask,
            replaces: self.replaces,
            open_orders: self.open_orders,
            open_orders_total: self.open_orders_total,
            holdings: self,
        }
    }
}

fn told(judged: Result<(), Rejection>) -> Told {
    judged.err().map(|rejection| (rejection.rule as u8, rejection.figure, rejection.limit))
}

fn reached(breach: Breach) -> Reached {
    (breach.rule as u8, breach.strategy, breach.figure, breach.limit, breach.stage as u8)
}

#[pyclass(module = "capstan_native", name = "RiskGate")]
struct PyRiskGate(RiskGate);

#[pymethods]
impl PyRiskGate {
    #[new]
    fn new(config: ConfigTable) -> PyResult<Self> {
        let terms = |t: TermTable| Terms {
            venue: t.venue,
            base: t.base,
            quote: t.quote,
            inverse: t.inverse,
            contract: t.contract,
            base_per_lot: t.base_per_lot,
            quote_per_tick_lot: t.quote_per_tick_lot,
            quote_per_lot: t.quote_per_lot,
            order_lots_max: t.order_lots_max,
            value_min: t.value_min,
            blacklisted: t.blacklisted,
        };
        let asset = |(economic, decimals, blacklisted)| AssetTerms { economic, decimals, blacklisted };
        let config = RiskConfig {
            limits: config.limits.read()?,
            assets: config.assets.into_iter().map(asset).collect(),
            economics: config.economics.into_iter().map(|account| EconomicTerms { account }).collect(),
            instruments: config.instruments.into_iter().map(terms).collect(),
            pools: config.pools,
            venues: config.venues,
            shares: config.shares,
        };
        RiskGate::new(config).map(Self).map_err(|unsound| PyValueError::new_err(unsound.0))
    }

    #[pyo3(signature = (ask, *, instrument, side, price, size, market = false, reduce_only = false))]
    #[allow(clippy::too_many_arguments)] // They are keywords in Python.
    fn check(
        &mut self,
        ask: AskTable,
        instrument: u32,
        side: u8,
        price: i64,
        size: i64,
        market: bool,
        reduce_only: bool,
    ) -> Told {
        let order_type = if market { OrderType::Market } else { OrderType::Limit };
        let request =
            NewOrder { instrument, side, price, size, order_type, time_in_force: TimeInForce::Gtc, reduce_only };
        told(self.0.check(&ask.view(), &request))
    }

    #[pyo3(signature = (ask, *, pool, asset_in, amount_in, asset_out, amount_out))]
    fn check_swap(
        &mut self,
        ask: AskTable,
        pool: u32,
        asset_in: u16,
        amount_in: i128,
        asset_out: u16,
        amount_out: i128,
    ) -> Told {
        told(self.0.check_swap(&ask.view(), &SwapChange { pool, asset_in, amount_in, asset_out, amount_out }))
    }

    fn count_message(&mut self, venue: u16, now_ns: i64) {
        self.0.count_message(venue, now_ns);
    }

    fn wait_ns(&mut self, venue: u16, now_ns: i64) -> i64 {
        self.0.wait_ns(venue, now_ns)
    }

    fn on_fill(&mut self, now_ns: i64, strategy: u8, first: bool) -> Option<Reached> {
        self.0.on_fill(now_ns, strategy, first).map(reached)
    }

    fn on_mark(&mut self, now_ns: i64, results: Vec<i128>) -> Vec<Reached> {
        let mut breaches = Vec::new();
        self.0.on_mark(now_ns, &results, &mut breaches);
        breaches.into_iter().map(reached).collect()
    }

    #[pyo3(signature = (now_ns, strategy, to))]
    fn raise_stage(&mut self, now_ns: i64, strategy: Option<u8>, to: u8) -> PyResult<Option<Reached>> {
        Ok(self.0.raise(now_ns, Rule::Operator, strategy, 0, 0, stage(to)?).map(reached))
    }

    #[pyo3(signature = (now_ns, strategy, to))]
    fn lower_stage(&mut self, now_ns: i64, strategy: Option<u8>, to: u8) -> PyResult<bool> {
        Ok(self.0.lower(now_ns, strategy, stage(to)?))
    }

    fn stages(&self) -> (u8, Vec<u8>) {
        let strategies = 0..self.0.config().shares.len() as u8;
        (self.0.whole() as u8, strategies.map(|strategy| self.0.stage(strategy) as u8).collect())
    }

    /// Saves, makes a new gate of the same configuration, and goes on with what that one loads.
    fn restart(&mut self) -> PyResult<()> {
        let mut saved = Vec::new();
        self.0.save(&mut saved);
        let fresh = RiskGate::new(self.0.config().clone()).map_err(|unsound| PyValueError::new_err(unsound.0))?;
        self.0 = fresh;
        self.0.load(&saved).map_err(|_| PyValueError::new_err("what a gate saves, it loads"))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRiskGate>()
}
