//! The simulated venue for Python: paper trading drives one by hand, backtests read their settings here.

use capstan_engine::command::Command;
use capstan_engine::event::Event;
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::replica::PoolSpec;
use capstan_engine::sim::pool_venue::{BlockOrder, ChainModel};
use capstan_engine::sim::{
    BadSettings, Exchange, ExchangeSettings, FaultSettings, FeeAsset, FeeSettings, Impact, Latencies, Latency,
    Liquidation, MessageLimit, Overflow, QueueModel, Sample, Tier,
};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::cell::RefCell;

/// A dict that is read key by key; what was not asked for is an error.
struct Table<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    name: &'static str,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a, 'py> Table<'a, 'py> {
    fn new(dict: &'a Bound<'py, PyDict>, name: &'static str) -> Self {
        Self { dict, name, asked: RefCell::default() }
    }

    fn get<T: for<'x> FromPyObject<'x>>(&self, key: &'static str, default: T) -> PyResult<T> {
        self.asked.borrow_mut().push(key);
        self.dict.get_item(key)?.map_or(Ok(default), |value| value.extract())
    }

    fn table(&self, key: &'static str) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.asked.borrow_mut().push(key);
        self.dict.get_item(key)?.map(|value| Ok(value.downcast_into::<PyDict>()?)).transpose()
    }

    fn done(self) -> PyResult<()> {
        let asked = self.asked.into_inner();
        for key in self.dict.keys() {
            let key: String = key.extract()?;
            if !asked.contains(&key.as_str()) {
                return Err(PyValueError::new_err(format!("{}: unknown setting {key:?}", self.name)));
            }
        }
        Ok(())
    }
}

fn bad(e: BadSettings) -> PyErr {
    PyValueError::new_err(e.to_string())
}

pub(crate) fn overflow(_: Overflow) -> PyErr {
    PyOverflowError::new_err("a sum of money no longer fits: the run is over")
}

fn samples(rows: Vec<(i64, i64, i64)>) -> Vec<Sample> {
    rows.into_iter().map(|(time_ns, entry_ns, response_ns)| Sample { time_ns, entry_ns, response_ns }).collect()
}

fn latency(value: &Bound<'_, PyAny>) -> PyResult<Latency> {
    if let Ok((entry_ns, response_ns)) = value.extract() {
        return Ok(Latency::Constant { entry_ns, response_ns });
    }
    let table = Table::new(value.downcast::<PyDict>()?, "latency");
    let recorded: Vec<_> = table.get("recorded", Vec::new())?;
    let drawn: Vec<_> = table.get("drawn", Vec::new())?;
    table.done()?;
    match (recorded.is_empty(), drawn.is_empty()) {
        (false, true) => Ok(Latency::Recorded(samples(recorded))),
        (true, false) => Ok(Latency::Drawn(samples(drawn))),
        _ => Err(PyValueError::new_err("latency: either recorded or drawn samples")),
    }
}

fn latencies(dict: &Bound<'_, PyDict>) -> PyResult<Latencies> {
    let mut all = Latencies::constant(0, 0);
    let table = Table::new(dict, "latency");
    let asked = ["place", "amend", "cancel", "ask"];
    table.asked.borrow_mut().extend(asked);
    if let Some(place) = dict.get_item("place")? {
        let same = latency(&place)?;
        all = Latencies { amend: same.clone(), cancel: same.clone(), ask: same.clone(), place: same, ..all };
    }
    for (key, slot) in asked[1..].iter().zip([&mut all.amend, &mut all.cancel, &mut all.ask]) {
        if let Some(value) = dict.get_item(key)? {
            *slot = latency(&value)?;
        }
    }
    all.per_message_ns = table.get("per_message_ns", 0)?;
    all.in_order = table.get("in_order", true)?;
    table.done()?;
    Ok(all)
}

fn fees(dict: &Bound<'_, PyDict>) -> PyResult<FeeSettings> {
    let table = Table::new(dict, "fees");
    let tiers: Vec<(i128, i64, i64)> = table.get("tiers", Vec::new())?;
    let price: (i64, i64) = table.get("other_price", (0, 0))?;
    let name: String = table.get("asset", "settlement".into())?;
    let asset = match name.as_str() {
        "settlement" => FeeAsset::Settlement,
        "base" => FeeAsset::Base,
        "received" => FeeAsset::Received,
        "other" => FeeAsset::Other { units: price.0, per_quote_units: price.1 },
        _ => return Err(PyValueError::new_err(format!("fees: unknown asset {name:?}"))),
    };
    let volume_before = table.get("volume_before", 0)?;
    table.done()?;
    let tiers = tiers.into_iter().map(|(volume_from, maker, taker)| Tier { volume_from, maker, taker }).collect();
    Ok(FeeSettings { tiers, asset, volume_before })
}

fn queue(name: &str) -> PyResult<QueueModel> {
    Ok(match name {
        "risk_averse" => QueueModel::RiskAverse,
        "log" => QueueModel::Log,
        "fifo" => QueueModel::Fifo,
        "power1" => QueueModel::Power(1),
        "power2" => QueueModel::Power(2),
        "power3" => QueueModel::Power(3),
        "power4" => QueueModel::Power(4),
        _ => return Err(PyValueError::new_err(format!("unknown queue model {name:?}"))),
    })
}

fn impact(dict: &Bound<'_, PyDict>) -> PyResult<Impact> {
    let table = Table::new(dict, "impact");
    let impact = Impact {
        slippage_ticks: table.get("slippage_ticks", 0)?,
        coefficient: table.get("coefficient", 0)?,
        half_life_ns: table.get("half_life_ns", 0)?,
    };
    table.done()?;
    Ok(impact)
}

fn limit(dict: &Bound<'_, PyDict>) -> PyResult<MessageLimit> {
    let table = Table::new(dict, "limits");
    let limit = MessageLimit {
        window_ns: table.get("window_ns", 0)?,
        max: table.get("max", 0)?,
        place: table.get("place", 1)?,
        amend: table.get("amend", 1)?,
        cancel: table.get("cancel", 0)?,
    };
    table.done()?;
    Ok(limit)
}

fn faults(dict: &Bound<'_, PyDict>) -> PyResult<FaultSettings> {
    let table = Table::new(dict, "faults");
    let faults = FaultSettings {
        seed: table.get("seed", 0)?,
        request_lost: table.get("request_lost_ppm", 0)?,
        report_lost: table.get("report_lost_ppm", 0)?,
        duplicate: table.get("duplicate_ppm", 0)?,
        delayed: table.get("delayed_ppm", 0)?,
        delay_ns: table.get("delay_ns", 0)?,
        disconnect: table.get("disconnect_ppm", 0)?,
        down_ns: table.get("down_ns", 0)?,
        cancel_on_disconnect: table.get("cancel_on_disconnect", false)?,
    };
    table.done()?;
    Ok(faults)
}

/// Reads a venue's settings; what is left out is as in `ExchangeSettings::plain`.
pub(crate) fn settings(dict: &Bound<'_, PyDict>) -> PyResult<ExchangeSettings> {
    let table = Table::new(dict, "venue");
    let mut all = ExchangeSettings::plain(table.get("venue", 0)?);
    let model: Option<String> = table.get("queue", None)?;
    if let Some(name) = model {
        all.queue = queue(&name)?;
    }
    if let Some(dict) = table.table("latency")? {
        all.latencies = latencies(&dict)?;
    }
    if let Some(dict) = table.table("fees")? {
        all.fees = fees(&dict)?;
    }
    if let Some(dict) = table.table("impact")? {
        all.impact = impact(&dict)?;
    }
    table.asked.borrow_mut().push("limits");
    if let Some(list) = dict.get_item("limits")? {
        all.limits = list.try_iter()?.map(|it| limit(it?.downcast::<PyDict>()?)).collect::<PyResult<_>>()?;
    }
    all.open_max = table.get("open_max", all.open_max)?;
    if let Some(dict) = table.table("faults")? {
        all.faults = faults(&dict)?;
    }
    if let Some(dict) = table.table("liquidation")? {
        let table = Table::new(&dict, "liquidation");
        all.liquidation = Some(Liquidation {
            collateral: table.get("collateral", 0)?,
            maintenance: table.get("maintenance", 0)?,
            fee: table.get("fee", 0)?,
        });
        table.done()?;
    }
    all.positions = table.get("positions", Vec::new())?;
    table.done()?;
    Ok(all)
}

/// Reads how a chain treats swaps; what is left out is nothing, or the least.
pub(crate) fn chain(dict: &Bound<'_, PyDict>, pools: Vec<PoolSpec>) -> PyResult<ChainModel> {
    let table = Table::new(dict, "chain");
    let order: String = table.get("order", "first".into())?;
    let share = |key: &'static str| -> PyResult<u32> {
        let ppm = table.get(key, 0)?;
        if ppm > 1_000_000 {
            return Err(PyValueError::new_err(format!("chain: {key} is at most 1000000, found {ppm}")));
        }
        Ok(ppm)
    };
    let delay = |key: &'static str| -> PyResult<i64> {
        let delay_ns = table.get(key, 0)?;
        if delay_ns < 0 {
            return Err(PyValueError::new_err(format!("chain: {key} is not negative, found {delay_ns}")));
        }
        Ok(delay_ns)
    };
    let model = ChainModel {
        pools,
        reach_ns: delay("reach_ns")?,
        tell_ns: delay("tell_ns")?,
        order: match order.as_str() {
            "first" => BlockOrder::First,
            "last" => BlockOrder::Last,
            _ => return Err(PyValueError::new_err(format!("chain: order is first or last, found {order:?}"))),
        },
        gas_swap: table.get("gas_swap", 0)?,
        gas_reverted: table.get("gas_reverted", 0)?,
        tip_wei: table.get("tip_wei", 0)?,
        missed_ppm: share("missed_ppm")?,
        sandwiched_ppm: share("sandwiched_ppm")?,
        seed: table.get("seed", 0)?,
    };
    table.done()?;
    Ok(model)
}

fn decimal(text: &str) -> PyResult<Decimal> {
    let bad = || PyValueError::new_err(format!("not a plain decimal: {text:?}"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part}");
    if whole.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let scale = u8::try_from(part.len()).map_err(|_| bad())?;
    Ok(Decimal { digits: digits.parse().map_err(|_| bad())?, scale })
}

/// Reads an instrument: tick, lot and face as decimal text, fees in 1e-8.
pub(crate) fn instrument(dict: &Bound<'_, PyDict>) -> PyResult<Instrument> {
    let table = Table::new(dict, "instrument");
    let kind: String = table.get("contract", "spot".into())?;
    let face: String = table.get("face", "1".into())?;
    let contract = match kind.as_str() {
        "spot" => Contract::Spot,
        "linear" => Contract::Linear,
        "inverse" => Contract::Inverse { face: decimal(&face)? },
        _ => return Err(PyValueError::new_err(format!("unknown contract {kind:?}"))),
    };
    let instrument = Instrument {
        symbol: table.get("symbol", String::new())?,
        venue: table.get("venue", 0)?,
        base: table.get("base", 0)?,
        quote: table.get("quote", 1)?,
        tick: decimal(&table.get::<String>("tick", "1".into())?)?,
        lot: decimal(&table.get::<String>("lot", "1".into())?)?,
        contract,
        notional_min: table.get("notional_min", 0)?,
        maker_fee: table.get("maker_fee", 0)?,
        taker_fee: table.get("taker_fee", 0)?,
        base_decimals: table.get("base_decimals", 8)?,
        quote_decimals: table.get("quote_decimals", 8)?,
    };
    table.done()?;
    Ok(instrument)
}

/// Returns the records in bytes; copies when they do not lie on a multiple of eight.
fn records<T: bytemuck::Pod>(bytes: &[u8]) -> PyResult<Vec<T>> {
    if !bytes.len().is_multiple_of(std::mem::size_of::<T>()) {
        return Err(PyValueError::new_err(format!("{} bytes are not whole 64-byte records", bytes.len())));
    }
    Ok(bytes.chunks_exact(std::mem::size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

#[pyclass]
struct SimulatedVenue(Exchange);

/// (client id, side, price, size, filled, 1/65,536 lots ahead).
type OrderRow = (u64, u8, i64, i64, i64, i64);

#[pymethods]
impl SimulatedVenue {
    #[new]
    fn new(settings_: &Bound<'_, PyDict>, instruments: Vec<Bound<'_, PyDict>>) -> PyResult<Self> {
        let instruments = instruments.iter().map(instrument).collect::<PyResult<Vec<_>>>()?;
        Ok(Self(Exchange::new(settings(settings_)?, &instruments).map_err(bad)?))
    }

    fn feed(&mut self, events: &[u8]) -> PyResult<()> {
        for event in records::<Event>(events)? {
            self.0.take(&event).map_err(overflow)?;
        }
        Ok(())
    }

    fn submit(&mut self, commands: &[u8], now_ns: i64) -> PyResult<usize> {
        let commands = records::<Command>(commands)?;
        Ok(commands.iter().filter(|command| self.0.submit(command, now_ns)).count())
    }

    fn advance(&mut self, now_ns: i64) -> PyResult<()> {
        self.0.advance(now_ns).map_err(overflow)
    }

    fn reports<'py>(&mut self, py: Python<'py>, now_ns: i64) -> Bound<'py, PyBytes> {
        let mut reports = Vec::new();
        self.0.reports_until(now_ns, &mut reports);
        let mut bytes = Vec::with_capacity(64 * reports.len());
        for report in &reports {
            bytes.extend_from_slice(bytemuck::bytes_of(&report.event));
            bytes.extend_from_slice(report.payload());
            bytes.resize(bytes.len().next_multiple_of(64), 0);
        }
        PyBytes::new(py, &bytes)
    }

    /// Feeds events and submits commands in the order of their times, then lets everything happen.
    fn run<'py>(&mut self, py: Python<'py>, events: &[u8], commands: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let (events, commands) = (records::<Event>(events)?, records::<Command>(commands)?);
        let mut rest = events.iter().peekable();
        for command in &commands {
            while let Some(event) = rest.next_if(|event| event.time_exchange_ns <= command.time_ns) {
                self.0.take(event).map_err(overflow)?;
            }
            self.0.submit(command, command.time_ns);
        }
        for event in rest {
            self.0.take(event).map_err(overflow)?;
        }
        self.0.advance(i64::MAX - 1).map_err(overflow)?;
        Ok(self.reports(py, i64::MAX - 1))
    }

    fn next_ns(&self) -> Option<i64> {
        Some(self.0.next_arrival_ns().min(self.0.next_report_ns())).filter(|at| *at < i64::MAX)
    }

    fn account(&self, instrument: u32) -> Option<(i64, i128, [i128; 3], i128)> {
        self.0.account(instrument).map(|a| (a.position, a.cash, a.fees, a.funding))
    }

    fn orders(&self, instrument: u32) -> Vec<OrderRow> {
        self.0.orders(instrument).map(|o| (o.id, o.side, o.price, o.size, o.filled, o.place.ahead)).collect()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SimulatedVenue>()
}
