//! Class `Kernel`: the native kernel for the shell, for Python strategies without the SDK, and for tests.

use bytemuck::Zeroable;
use capstan_core::orders::Side;
use capstan_engine::command::{ClientId, Command, OrderType, TimeInForce};
use capstan_engine::event::{Event, PAYLOAD};
use capstan_engine::order_state::State;
use capstan_engine::orders::{NewOrder, Order};
use capstan_engine::reconcile::Finding;
use capstan_engine::risk::SwapChange;
use capstan_engine::Target;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::engine_config;

pyo3::create_exception!(capstan_native, KernelBroken, pyo3::exceptions::PyException);

const RECORD: usize = 64;

/// Price and size.
type Level = (i64, i64);

#[pyclass(module = "capstan_native")]
pub struct Kernel {
    inner: capstan_engine::Kernel,
    commands: Vec<Command>,
}

/// Splits bytes into records with their payloads, and calls `take` with each.
pub fn each_event(bytes: &[u8], mut take: impl FnMut(&Event, &[u8]) -> PyResult<()>) -> PyResult<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((record, after)) = rest.split_first_chunk::<RECORD>() else {
            return Err(PyValueError::new_err(format!("{} bytes are no whole record", rest.len())));
        };
        let mut event = Event::zeroed();
        bytemuck::bytes_of_mut(&mut event).copy_from_slice(record);
        let length = if event.flags & PAYLOAD == 0 { 0 } else { usize::try_from(event.aux[1]).unwrap_or(usize::MAX) };
        let padded = length.checked_next_multiple_of(RECORD).filter(|p| *p <= after.len());
        let Some(padded) = padded else {
            return Err(PyValueError::new_err(format!("a payload of {} bytes is cut off", event.aux[1])));
        };
        take(&event, &after[..length])?;
        rest = &after[padded..];
    }
    Ok(())
}

pub fn with_bytes<R>(given: &Bound<'_, PyAny>, f: impl FnOnce(&[u8]) -> PyResult<R>) -> PyResult<R> {
    if let Ok(bytes) = given.downcast::<PyBytes>() {
        return f(bytes.as_bytes());
    }
    let buffer = PyBuffer::<u8>::get(given)?;
    f(&buffer.to_vec(given.py())?)
}

fn order_type(number: u8) -> PyResult<OrderType> {
    [OrderType::Limit, OrderType::LimitMaker, OrderType::Market]
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| PyValueError::new_err(format!("{number} is no order type")))
}

fn time_in_force(number: u8) -> PyResult<TimeInForce> {
    [TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok]
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| PyValueError::new_err(format!("{number} is no time in force")))
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Unknown => "unknown",
        State::Accepted => "accepted",
        State::PartiallyFilled => "partially_filled",
        State::Filled => "filled",
        State::Canceled => "canceled",
        State::Expired => "expired",
        State::Rejected => "rejected",
    }
}

fn described<'py>(py: Python<'py>, order: &Order) -> PyResult<Bound<'py, PyDict>> {
    let told = PyDict::new(py);
    told.set_item("client_id", order.id.0)?;
    told.set_item("strategy", order.strategy)?;
    told.set_item("instrument", order.instrument)?;
    told.set_item("side", order.side)?;
    told.set_item("order_type", order.order_type as u8)?;
    told.set_item("time_in_force", order.time_in_force as u8)?;
    told.set_item("state", state_name(order.state))?;
    told.set_item("is_open", order.state.is_open())?;
    told.set_item("reason", order.reason as u8)?;
    told.set_item("price", order.price)?;
    told.set_item("size", order.size)?;
    told.set_item("filled", order.filled)?;
    told.set_item("venue_order", order.venue_order)?;
    told.set_item("sent_ns", order.sent_ns)?;
    told.set_item("cancel_ns", order.cancel_ns)?;
    told.set_item("amend", order.amend.map(|a| (a.price, a.size)))?;
    Ok(told)
}

fn finding<'py>(py: Python<'py>, found: &Finding) -> PyResult<Bound<'py, PyDict>> {
    let told = PyDict::new(py);
    told.set_item("code", found.code())?;
    match *found {
        Finding::Lost { venue, id, venue_order } | Finding::ForeignOrder { venue, id, venue_order } => {
            told.set_item("venue", venue)?;
            told.set_item("client_id", id)?;
            told.set_item("venue_order", venue_order)?;
        }
        Finding::Risen { venue, id } => {
            told.set_item("venue", venue)?;
            told.set_item("client_id", id)?;
        }
        Finding::Balance { venue, asset, theirs, ours } => {
            told.set_item("venue", venue)?;
            told.set_item("asset", asset)?;
            told.set_item("theirs", theirs)?;
            told.set_item("ours", ours)?;
        }
        Finding::Position { venue, instrument, theirs, ours } => {
            told.set_item("venue", venue)?;
            told.set_item("instrument", instrument)?;
            told.set_item("theirs", theirs)?;
            told.set_item("ours", ours)?;
        }
        Finding::MissingTrades { venue, id, lots } => {
            told.set_item("venue", venue)?;
            told.set_item("client_id", id)?;
            told.set_item("lots", lots)?;
        }
    }
    Ok(told)
}

impl Kernel {
    fn known(&self, instrument: u32) -> PyResult<u32> {
        let count = self.inner.config().instruments.len();
        if (instrument as usize) < count {
            Ok(instrument)
        } else {
            Err(PyIndexError::new_err(format!("instrument {instrument}: there are {count}")))
        }
    }

    fn asset(&self, asset: u16) -> PyResult<u16> {
        let count = self.inner.config().assets.len();
        if usize::from(asset) < count {
            Ok(asset)
        } else {
            Err(PyIndexError::new_err(format!("asset {asset}: there are {count}")))
        }
    }

    fn taken<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.commands.clear();
        self.inner.take_commands(&mut self.commands);
        PyBytes::new(py, bytemuck::cast_slice(&self.commands))
    }
}

#[pymethods]
impl Kernel {
    #[new]
    fn new(config: &Bound<'_, PyAny>) -> PyResult<Self> {
        let inner = capstan_engine::Kernel::new(engine_config::config(config)?);
        let inner = inner.map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Self { inner, commands: Vec::with_capacity(64) })
    }

    fn ingest(&mut self, events: &Bound<'_, PyAny>) -> PyResult<(u64, u16)> {
        let inner = &mut self.inner;
        let (mut strategies, mut why) = (0, 0);
        with_bytes(events, |bytes| {
            each_event(bytes, |event, payload| {
                inner.ingest(event, payload).map_err(|e| KernelBroken::new_err(e.to_string()))?;
                strategies |= inner.wakes().strategies;
                why |= inner.wakes().why;
                Ok(())
            })
        })?;
        Ok((strategies, why))
    }

    fn take_commands<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.taken(py)
    }

    fn step<'py>(&mut self, py: Python<'py>, events: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        self.ingest(events)?;
        Ok(self.taken(py))
    }

    // --- actions

    #[pyo3(signature = (strategy, instrument, side, price, size, *, order_type = 1, time_in_force = 0, reduce_only = false))]
    #[allow(clippy::too_many_arguments)] // They are keywords in Python.
    fn place(
        &mut self,
        strategy: u8,
        instrument: u32,
        side: u8,
        price: i64,
        size: i64,
        order_type: u8,
        time_in_force: u8,
        reduce_only: bool,
    ) -> PyResult<Option<u64>> {
        let request = NewOrder {
            instrument,
            side,
            price,
            size,
            order_type: self::order_type(order_type)?,
            time_in_force: self::time_in_force(time_in_force)?,
            reduce_only,
        };
        Ok(self.inner.place(strategy, request).ok().map(|id| id.0))
    }

    fn amend(&mut self, client_id: u64, price: i64, size: i64) -> bool {
        self.inner.amend(ClientId(client_id), price, size).is_ok()
    }

    fn cancel(&mut self, client_id: u64) {
        self.inner.cancel(ClientId(client_id));
    }

    fn set_targets(&mut self, strategy: u8, instrument: u32, bids: Vec<(i64, i64)>, asks: Vec<(i64, i64)>) {
        let targets = |given: Vec<(i64, i64)>| -> Vec<Target> {
            given.into_iter().map(|(price, size)| Target { price, size }).collect()
        };
        self.inner.set_targets(strategy, instrument, &targets(bids), &targets(asks));
    }

    fn timer(&mut self, strategy: u8, at_ns: i64, tag: i64) {
        self.inner.timer(strategy, at_ns, tag);
    }

    #[allow(clippy::too_many_arguments)] // One swap in Python's words.
    fn swap(
        &mut self,
        strategy: u8,
        payload: &[u8],
        pool: u32,
        asset_in: u16,
        amount_in: i128,
        asset_out: u16,
        amount_out: i128,
    ) -> Option<u64> {
        let change = SwapChange { pool, asset_in, amount_in, asset_out, amount_out };
        self.inner.swap(strategy, payload, change).ok().map(|id| id.0)
    }

    // --- what changes while the run goes on

    fn join(&mut self, strategy: &Bound<'_, PyAny>, shares: Vec<i128>) -> PyResult<()> {
        let joined = self.inner.join(engine_config::joining(strategy)?, shares);
        joined.map_err(|e| PyValueError::new_err(e.to_string()))
    }

    fn set_limits(&mut self, limits: &Bound<'_, PyAny>, own: Vec<Bound<'_, PyAny>>, shares: Vec<i128>) -> PyResult<()> {
        let limits = engine_config::new_limits(limits, self.inner.config().limits.clone())?;
        let own = engine_config::own_limits(own, &limits)?;
        self.inner.set_limits(limits, own, shares).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let told = |used: &capstan_engine::risk::Usage| {
            let told = PyDict::new(py);
            told.set_item("position", used.position)?;
            told.set_item("exposure", used.exposure)?;
            told.set_item("drawdown", used.falls.drawdown)?;
            told.set_item("total", used.falls.total)?;
            told.set_item("daily", used.falls.daily)?;
            told.set_item("velocity", used.falls.velocity)?;
            Ok(told)
        };
        self.inner.usage().iter().map(told).collect()
    }

    // --- what is known

    #[getter]
    fn now_ns(&self) -> i64 {
        self.inner.now_ns()
    }

    #[getter]
    fn events(&self) -> u64 {
        self.inner.events()
    }

    #[getter]
    fn epoch(&self) -> u16 {
        self.inner.epoch()
    }

    #[getter]
    fn stage(&self) -> u8 {
        self.inner.stage() as u8
    }

    fn stage_of(&self, strategy: u8) -> u8 {
        self.inner.stage_of(strategy) as u8
    }

    #[getter]
    fn is_stopping(&self) -> bool {
        self.inner.is_stopping()
    }

    #[getter]
    fn is_idle(&self) -> bool {
        self.inner.is_idle()
    }

    #[getter]
    fn head(&self) -> (u64, i64, i64) {
        let head = self.inner.head();
        (head.number, head.time_s, head.base_fee_wei)
    }

    fn best(&self, instrument: u32) -> PyResult<Option<(Level, Level)>> {
        let book = self.inner.book(self.known(instrument)?);
        Ok(book.best(Side::Buy).zip(book.best(Side::Sell)))
    }

    fn book_is_valid(&self, instrument: u32) -> PyResult<bool> {
        Ok(self.inner.book(self.known(instrument)?).is_valid())
    }

    fn mark(&self, instrument: u32) -> PyResult<i64> {
        Ok(self.inner.portfolio().mark(self.known(instrument)?))
    }

    fn position(&self, strategy: u8, instrument: u32) -> PyResult<i64> {
        Ok(self.inner.position(strategy, self.known(instrument)?))
    }

    fn balance(&self, asset: u16) -> PyResult<i128> {
        Ok(self.inner.portfolio().balance(self.asset(asset)?))
    }

    fn moved(&self, strategy: u8, asset: u16) -> PyResult<i128> {
        Ok(self.inner.portfolio().moved(strategy, self.asset(asset)?))
    }

    fn value(&self, asset: u16, raw: i128) -> PyResult<Option<i128>> {
        Ok(self.inner.portfolio().value(self.asset(asset)?, raw))
    }

    #[pyo3(signature = (strategy = None))]
    fn result(&self, strategy: Option<u8>) -> Option<i128> {
        self.inner.portfolio().result(strategy)
    }

    fn reserved(&self, strategy: u8, instrument: u32) -> PyResult<(i64, i64, i128)> {
        let reserved = self.inner.reservations().of(strategy, self.known(instrument)?);
        Ok((reserved.buying, reserved.selling, reserved.cost))
    }

    fn order<'py>(&self, py: Python<'py>, client_id: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.inner.orders().get(ClientId(client_id)).map(|order| described(py, order)).transpose()
    }

    fn orders<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.inner.orders().all().map(|order| described(py, order)).collect()
    }

    fn open_orders<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.inner.orders().open().map(|order| described(py, order)).collect()
    }

    fn swaps(&self) -> Vec<(u64, u8)> {
        self.inner.swaps().map(|(id, swap)| (id.0, swap.strategy)).collect()
    }

    fn swap_payload<'py>(&self, py: Python<'py>, client_id: u64) -> Option<Bound<'py, PyBytes>> {
        self.inner.swap_payload(ClientId(client_id)).map(|payload| PyBytes::new(py, payload))
    }

    fn timers(&self) -> Vec<(u8, i64, i64)> {
        self.inner.timers().iter().map(|t| (t.strategy, t.at_ns, t.tag)).collect()
    }

    fn knows_trade(&self, fill: &[u8]) -> PyResult<bool> {
        let mut known = false;
        each_event(fill, |event, _| {
            known = self.inner.knows_trade(event);
            Ok(())
        })?;
        Ok(known)
    }

    #[getter]
    fn trades(&self) -> usize {
        self.inner.trades().len()
    }

    #[getter]
    fn reconciliation<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let reconciliation = self.inner.reconciliation();
        let told = PyDict::new(py);
        told.set_item("passes", reconciliation.passes())?;
        told.set_item("changes", reconciliation.changes())?;
        let findings = reconciliation.findings().map(|found| finding(py, found));
        told.set_item("findings", findings.collect::<PyResult<Vec<_>>>()?)?;
        Ok(told)
    }

    fn state_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.state_hash())
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.inner.snapshot().map(|state| PyBytes::new(py, &state))
    }

    fn restore(&mut self, state: &[u8]) -> PyResult<()> {
        self.inner.restore(state).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.digest())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("KernelBroken", m.py().get_type::<KernelBroken>())?;
    m.add_class::<Kernel>()
}
