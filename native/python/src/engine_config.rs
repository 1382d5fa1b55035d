//! A run's configuration from Python dictionaries of plain values. What each key means is told in `config.rs` and
//! `risk/limits.rs` of the engine, by the same names; keys with a default may be left out, unknown ones are refused.

use capstan_engine::config::{Asset, Blacklist, Config, Economic, Patience, StrategySettings, Subscription, Venue};
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::replica::PoolSpec;
use capstan_engine::risk::{KillLimits, Limits, LossLimit, LossLimits, OwnLimits, Stage};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A dictionary of which every key is asked for once.
struct Table<'py> {
    what: String,
    given: Bound<'py, PyDict>,
}

impl<'py> Table<'py> {
    /// Takes a copy: the keys that are read are taken out of it.
    fn new(what: impl Into<String>, given: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { what: what.into(), given: given.downcast::<PyDict>()?.copy()? })
    }

    fn find<T: FromPyObject<'py>>(&self, key: &str) -> PyResult<Option<T>> {
        let Some(value) = self.given.get_item(key)? else { return Ok(None) };
        self.given.del_item(key)?;
        value.extract().map(Some).map_err(|e| PyValueError::new_err(format!("{}: {key}: {e}", self.what)))
    }

    fn take<T: FromPyObject<'py>>(&self, key: &str) -> PyResult<T> {
        self.find(key)?.ok_or_else(|| PyKeyError::new_err(format!("{}: {key} is missing", self.what)))
    }

    fn or<T: FromPyObject<'py>>(&self, key: &str, default: T) -> PyResult<T> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    fn tables(&self, key: &str) -> PyResult<Vec<Self>> {
        let given: Vec<Bound<'py, PyAny>> = self.or(key, Vec::new())?;
        given.iter().enumerate().map(|(at, table)| Self::new(format!("{key}[{at}]"), table)).collect()
    }

    fn table(&self, key: &str) -> PyResult<Option<Self>> {
        let given: Option<Bound<'py, PyAny>> = self.find::<Option<_>>(key)?.flatten();
        given.map(|table| Self::new(key, &table)).transpose()
    }

    fn end(self) -> PyResult<()> {
        if self.given.is_empty() {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("{}: unknown keys {}", self.what, self.given.keys())))
    }
}

/// Two values in a tuple or a list.
struct Pair<A, B>(A, B);

impl<'py, A: FromPyObject<'py>, B: FromPyObject<'py>> FromPyObject<'py> for Pair<A, B> {
    fn extract_bound(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if given.len()? != 2 {
            return Err(PyValueError::new_err(format!("expected two values, found {}", given.len()?)));
        }
        Ok(Self(given.get_item(0)?.extract()?, given.get_item(1)?.extract()?))
    }
}

fn decimal(Pair(digits, scale): Pair<i64, u8>) -> Decimal {
    Decimal { digits, scale }
}

/// Returns the kernel's configuration. It is checked when the kernel is made.
pub fn config(given: &Bound<'_, PyAny>) -> PyResult<Config> {
    let table = Table::new("config", given)?;
    let mut config = Config::empty(table.take("run")?);
    config.seed = table.or("seed", 0)?;
    config.value_decimals = table.or("value_decimals", config.value_decimals)?;
    config.gas_asset = table.or("gas_asset", None)?;
    config.order_lots_max = table.or("order_lots_max", Vec::new())?;
    for table in table.tables("assets")? {
        config.assets.push(Asset {
            id: table.take("id")?,
            decimals: table.take("decimals")?,
            economic: table.take("economic")?,
        });
        table.end()?;
    }
    for table in table.tables("economics")? {
        config.economics.push(Economic { symbol: table.take("symbol")?, mark: table.take("mark")? });
        table.end()?;
    }
    for table in table.tables("venues")? {
        config.venues.push(Venue {
            name: table.take("name")?,
            fee_asset: table.or("fee_asset", None)?,
            can_amend: table.or("can_amend", false)?,
        });
        table.end()?;
    }
    for table in table.tables("instruments")? {
        let read = instrument(&table, &config.assets)?;
        config.instruments.push(read);
        table.end()?;
    }
    for table in table.tables("pools")? {
        config.pools.push(PoolSpec {
            id: table.take("id")?,
            token0: table.take("token0")?,
            token1: table.take("token1")?,
            fee_pips: table.take("fee_pips")?,
        });
        table.end()?;
    }
    for table in table.tables("strategies")? {
        config.strategies.push(strategy(table)?);
    }
    if let Some(table) = table.table("blacklist")? {
        config.blacklist = Blacklist {
            instruments: table.or("instruments", Vec::new())?,
            assets: table.or("assets", Vec::new())?,
            pools: table.or("pools", Vec::new())?,
        };
        table.end()?;
    }
    if let Some(table) = table.table("patience")? {
        let default = Patience::default();
        config.patience = Patience {
            ask_after_ns: table.or("ask_after_ns", default.ask_after_ns)?,
            cancel_again_ns: table.or("cancel_again_ns", default.cancel_again_ns)?,
            ended_kept: table.or("ended_kept", default.ended_kept)?,
        };
        table.end()?;
    }
    if let Some(table) = table.table("limits")? {
        config.limits = limits(&table, config.limits)?;
        table.end()?;
    }
    table.end()?;
    Ok(config)
}

fn strategy(table: Table<'_>) -> PyResult<StrategySettings> {
    let subscriptions: Vec<Pair<Option<u32>, u16>> = table.or("subscriptions", Vec::new())?;
    let read = StrategySettings {
        name: table.take("name")?,
        capital: table.or("capital", 10i128.pow(30))?,
        subscriptions: subscriptions
            .into_iter()
            .map(|Pair(instrument, why)| Subscription { instrument, why })
            .collect(),
    };
    table.end()?;
    Ok(read)
}

/// Returns one strategy's configuration, for one that joins.
pub fn joining(given: &Bound<'_, PyAny>) -> PyResult<StrategySettings> {
    strategy(Table::new("strategy", given)?)
}

/// Returns other limits for a run; what is left out stays as it is.
pub fn new_limits(given: &Bound<'_, PyAny>, default: Limits) -> PyResult<Limits> {
    let table = Table::new("limits", given)?;
    let read = limits(&table, default)?;
    table.end()?;
    Ok(read)
}

/// Returns what is to hold for each strategy; what is left out is as for all.
pub fn own_limits(given: Vec<Bound<'_, PyAny>>, all: &Limits) -> PyResult<Vec<OwnLimits>> {
    let default = OwnLimits::from(all);
    let read = |(at, given): (usize, Bound<'_, PyAny>)| {
        let table = Table::new(format!("own[{at}]"), &given)?;
        let own = OwnLimits {
            order_value_max: table.or("order_value_max", default.order_value_max)?,
            swap_value_max: table.or("swap_value_max", default.swap_value_max)?,
            position_value_max: table.or("position_value_max", default.position_value_max)?,
            open_orders_max: table.or("open_orders_max", default.open_orders_max)?,
            losses: losses(&table, "losses", default.losses)?,
        };
        table.end()?;
        Ok(own)
    };
    given.into_iter().enumerate().map(read).collect()
}

fn instrument(table: &Table<'_>, assets: &[Asset]) -> PyResult<Instrument> {
    let symbol: String = table.take("symbol")?;
    let (kind, face): (String, Option<Pair<i64, u8>>) = (table.or("contract", "spot".into())?, table.or("face", None)?);
    let contract = match (kind.as_str(), face) {
        ("spot", _) => Contract::Spot,
        ("linear", _) => Contract::Linear,
        ("inverse", Some(face)) => Contract::Inverse { face: decimal(face) },
        _ => return Err(PyValueError::new_err(format!("{symbol}: contract {kind} or its face"))),
    };
    let (base, quote): (u16, u16) = (table.take("base")?, table.take("quote")?);
    let decimals = |asset: u16| assets.get(usize::from(asset)).map_or(0, |a| a.decimals);
    // What strategies are told of it is theirs: `sdk::run` hands it on.
    let _: Option<Bound<'_, PyAny>> = table.find("terms")?;
    Ok(Instrument {
        symbol,
        venue: table.take("venue")?,
        base,
        quote,
        tick: decimal(table.take("tick")?),
        lot: decimal(table.take("lot")?),
        contract,
        notional_min: table.or("notional_min", 0)?,
        maker_fee: table.or("maker_fee", 0)?,
        taker_fee: table.or("taker_fee", 0)?,
        base_decimals: decimals(base),
        quote_decimals: decimals(quote),
    })
}

fn stage(number: u8) -> PyResult<Stage> {
    Stage::from_number(number).ok_or_else(|| PyValueError::new_err(format!("{number} is no stage")))
}

fn losses(table: &Table<'_>, key: &str, default: LossLimits) -> PyResult<LossLimits> {
    let Some(table) = table.table(key)? else { return Ok(default) };
    let limit = |key: &str| -> PyResult<Option<LossLimit>> {
        let given: Option<Pair<i128, u8>> = table.or(key, None)?;
        given.map(|Pair(max, number)| Ok(LossLimit { max, stage: stage(number)? })).transpose()
    };
    let read = LossLimits {
        drawdown: limit("drawdown")?,
        total: limit("total")?,
        daily: limit("daily")?,
        velocity: limit("velocity")?,
        velocity_window_ns: table.or("velocity_window_ns", 0)?,
    };
    table.end()?;
    Ok(read)
}

fn limits(table: &Table<'_>, default: Limits) -> PyResult<Limits> {
    let kill = match table.table("kill")? {
        None => default.kill,
        Some(table) => {
            let kill = default.kill;
            let read = KillLimits {
                cancel_again_ns: table.or("cancel_again_ns", kill.cancel_again_ns)?,
                cancel_ns_max: table.or("cancel_ns_max", kill.cancel_ns_max)?,
                flatten_ns_max: table.or("flatten_ns_max", kill.flatten_ns_max)?,
                flatten_collar_ppm: table.or("flatten_collar_ppm", kill.flatten_collar_ppm)?,
                flatten_again_ns: table.or("flatten_again_ns", kill.flatten_again_ns)?,
                flatten_attempts_max: table.or("flatten_attempts_max", kill.flatten_attempts_max)?,
                freeze_when_flat: table.or("freeze_when_flat", kill.freeze_when_flat)?,
            };
            table.end()?;
            read
        }
    };
    Ok(Limits {
        order_value_max: table.or("order_value_max", default.order_value_max)?,
        swap_value_max: table.or("swap_value_max", default.swap_value_max)?,
        collar_ppm: table.or("collar_ppm", default.collar_ppm)?,
        position_value_max: table.or("position_value_max", default.position_value_max)?,
        exposure_value_max: table.or("exposure_value_max", default.exposure_value_max)?,
        open_orders_max: table.or("open_orders_max", default.open_orders_max)?,
        open_orders_total_max: table.or("open_orders_total_max", default.open_orders_total_max)?,
        messages_per_second_max: table.or("messages_per_second_max", default.messages_per_second_max)?,
        book_age_ns_max: table.or("book_age_ns_max", default.book_age_ns_max)?,
        capital: table.or("capital", default.capital)?,
        executions_max: table.or("executions_max", default.executions_max)?,
        executions_window_ns: table.or("executions_window_ns", default.executions_window_ns)?,
        executions_pause_ns: table.or("executions_pause_ns", default.executions_pause_ns)?,
        executions_stage: stage(table.or("executions_stage", default.executions_stage as u8)?)?,
        strategy_losses: losses(table, "strategy_losses", default.strategy_losses)?,
        losses: losses(table, "losses", default.losses)?,
        kill,
    })
}
