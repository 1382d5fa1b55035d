//! The context: the kernel as one Python strategy sees it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use capstan_engine::command::{ClientId, OrderType, TimeInForce};
use capstan_engine::kernel::Kernel;
use capstan_engine::orders::{NewOrder, Order};
use capstan_engine::payload::SwapRequest;
use capstan_engine::risk::{Stage, SwapChange};
use capstan_engine::targets::Target;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::memory::{GilCell, Window};
use super::pools::Pools;
use super::signals::Signals;
use super::views::{BookView, OpenOrder, Slot};
use crate::amm::Word;

/// Trades that can wait for `on_trades`; when they are so many it runs, whatever its interval.
pub const TRADES_MAX: usize = 4096;

/// What a strategy needs to know of an instrument besides its market.
pub struct Info {
    pub name: String,
    pub tick: f64,
    pub lot: f64,
    /// A `domain.Instrument`, where the configuration carries one.
    pub terms: Option<Py<PyAny>>,
}

/// One strategy's context, used for its whole life.
#[pyclass(frozen, subclass, module = "capstan_native", name = "StrategyContext")]
pub struct Context {
    pub(super) slot: Arc<Slot>,
    id: u8,
    instruments: Vec<Info>,
    books: Vec<Py<BookView>>,
    pools: Arc<Pools>,
    pub(super) trades: Window,
    pub(super) waiting: AtomicUsize,
    quotes: GilCell<[Vec<Target>; 2]>,
    signals: Arc<Signals>,
}

impl Context {
    pub fn new(
        py: Python<'_>,
        id: u8,
        instruments: Vec<Info>,
        pools: Arc<Pools>,
        signals: Arc<Signals>,
    ) -> PyResult<Self> {
        let slot = Arc::new(Slot::default());
        let dtype = py.import("engine.records")?.getattr("EVENT")?;
        let books = (0..instruments.len() as u32)
            .map(|at| Py::new(py, BookView::new(py, slot.clone(), at)?))
            .collect::<PyResult<_>>()?;
        Ok(Self {
            trades: Window::new::<capstan_engine::event::Event>(py, TRADES_MAX, &dtype, 1)?,
            slot,
            id,
            instruments,
            books,
            pools,
            waiting: AtomicUsize::new(0),
            quotes: GilCell::new(Default::default()),
            signals,
        })
    }

    pub fn book_view(&self, instrument: u32) -> Option<&Py<BookView>> {
        self.books.get(instrument as usize)
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> PyResult<R> {
        self.slot.with(f)
    }

    fn known(&self, instrument: u32) -> PyResult<&Info> {
        self.instruments.get(instrument as usize).ok_or_else(|| {
            PyIndexError::new_err(format!("instrument {instrument}: there are {}", self.instruments.len()))
        })
    }

    fn side(side: u8) -> PyResult<u8> {
        if side <= 1 {
            Ok(side)
        } else {
            Err(PyValueError::new_err(format!("side {side}: 0 buys, 1 sells")))
        }
    }
}

/// Returns what a strategy sees of an order.
fn seen(order: &Order) -> OpenOrder {
    OpenOrder {
        client_id: order.id.0,
        side: order.side,
        price: order.price,
        size: order.size,
        filled: order.filled,
        is_cancelling: order.cancel_ns != 0,
        is_open: order.state.is_open(),
    }
}

fn unit(decimals: u8) -> f64 {
    10f64.powi(i32::from(decimals))
}

/// Reads price and size of each wanted order.
#[inline]
fn read_quotes(given: &Bound<'_, PyAny>, into: &mut Vec<Target>) -> PyResult<()> {
    into.clear();
    let mut read = |pair: Bound<'_, PyAny>| -> PyResult<()> {
        let (price, size) = match pair.downcast::<PyTuple>() {
            Ok(pair) if pair.len() == 2 => {
                (pair.get_borrowed_item(0)?.extract()?, pair.get_borrowed_item(1)?.extract()?)
            }
            _ => pair.extract::<(i64, i64)>()?,
        };
        into.push(Target { price, size });
        Ok(())
    };
    if let Ok(tuple) = given.downcast::<PyTuple>() {
        for at in 0..tuple.len() {
            read(tuple.get_item(at)?)?;
        }
    } else if let Ok(list) = given.downcast::<PyList>() {
        for at in 0..list.len() {
            read(list.get_item(at)?)?;
        }
    } else {
        for pair in given.try_iter()? {
            read(pair?)?;
        }
    }
    Ok(())
}

#[pymethods]
impl Context {
    #[getter]
    fn now_ns(&self) -> PyResult<i64> {
        self.with(|kernel| kernel.now_ns())
    }

    #[getter]
    fn stopping(&self) -> PyResult<bool> {
        self.with(|kernel| kernel.is_stopping())
    }

    #[getter]
    fn halted(&self) -> PyResult<bool> {
        self.with(|kernel| kernel.stage_of(self.id) != Stage::Running)
    }

    #[getter]
    fn instruments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.instruments.iter().map(|i| i.name.as_str()))
    }

    fn instrument(&self, name: &str) -> PyResult<u32> {
        let found = self.instruments.iter().position(|i| i.name == name);
        found.map(|at| at as u32).ok_or_else(|| PyKeyError::new_err(format!("no instrument {name} in this run")))
    }

    fn tick(&self, instrument: u32) -> PyResult<f64> {
        Ok(self.known(instrument)?.tick)
    }

    fn lot(&self, instrument: u32) -> PyResult<f64> {
        Ok(self.known(instrument)?.lot)
    }

    fn terms(&self, py: Python<'_>, instrument: u32) -> PyResult<Py<PyAny>> {
        let info = self.known(instrument)?;
        let terms = info.terms.as_ref().map(|terms| terms.clone_ref(py));
        terms.ok_or_else(|| PyKeyError::new_err(format!("the terms of {} are not known in this run", info.name)))
    }

    fn book(&self, py: Python<'_>, instrument: u32) -> PyResult<Py<BookView>> {
        self.known(instrument)?;
        Ok(self.books[instrument as usize].clone_ref(py))
    }

    fn trades<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.trades.head(py, self.waiting.load(Ordering::Relaxed))
    }

    fn position(&self, instrument: u32) -> PyResult<i64> {
        self.known(instrument)?;
        self.with(|kernel| kernel.position(self.id, instrument))
    }

    /// Returns the lots that another strategy of the run gained or owes.
    fn position_of(&self, strategy: &str, instrument: u32) -> PyResult<i64> {
        self.known(instrument)?;
        self.with(|kernel| {
            let at = kernel.config().strategies.iter().position(|s| s.name == strategy)?;
            Some(kernel.position(at as u8, instrument))
        })?
        .ok_or_else(|| PyKeyError::new_err(format!("no strategy {strategy} in this run")))
    }

    /// Returns the whole units of an economic asset that the strategy gained or owes, over all its forms.
    fn units(&self, symbol: &str) -> PyResult<f64> {
        self.with(|kernel| {
            let config = kernel.config();
            let economic = config.economics.iter().position(|e| e.symbol == symbol)?;
            let members = config.assets.iter().enumerate().filter(|(_, a)| a.economic == Some(economic as u16));
            let moved = |(at, asset): (usize, &capstan_engine::config::Asset)| {
                kernel.portfolio().moved(self.id, at as u16) as f64 / unit(asset.decimals)
            };
            Some(members.map(moved).sum())
        })?
        .ok_or_else(|| PyKeyError::new_err(format!("no economic asset {symbol} in this run")))
    }

    fn balance(&self, asset: &str) -> PyResult<i128> {
        self.with(|kernel| {
            let at = kernel.config().assets.iter().position(|a| a.id == asset)?;
            Some(kernel.portfolio().balance(at as u16))
        })?
        .ok_or_else(|| PyKeyError::new_err(format!("no asset {asset} in this run")))
    }

    fn symbol_of(&self, asset: &str) -> PyResult<String> {
        self.with(|kernel| {
            let config = kernel.config();
            let economic = config.assets.iter().find(|a| a.id == asset)?.economic?;
            config.economics.get(usize::from(economic)).map(|e| e.symbol.clone())
        })?
        .ok_or_else(|| PyKeyError::new_err(format!("asset {asset} is a form of nothing in this run")))
    }

    /// Returns the last price of an economic asset in the unit of account; 0 before there is one.
    fn mark(&self, symbol: &str) -> PyResult<f64> {
        self.with(|kernel| {
            let economic = kernel.config().economics.iter().find(|e| e.symbol == symbol)?;
            let Some(instrument) = economic.mark else { return Some(1.0) };
            Some(kernel.portfolio().mark(instrument) as f64 / 2.0 * self.instruments[instrument as usize].tick)
        })?
        .ok_or_else(|| PyKeyError::new_err(format!("no economic asset {symbol} in this run")))
    }

    fn pool(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        self.pools.market(py, &self.slot, name)
    }

    /// Asks for a swap as `engine.host` does in live runs.
    fn swap(
        &self,
        py: Python<'_>,
        pool: &str,
        token_in: &str,
        amount_in: Word,
        min_amount_out: Word,
        deadline_s: i64,
    ) -> PyResult<Option<u64>> {
        let tokens = self.with(|kernel| {
            let config = kernel.config();
            let at = config.pools.iter().position(|p| p.id == pool)?;
            let is_in = |token: u16| config.assets.get(usize::from(token)).is_some_and(|asset| asset.id == token_in);
            let (zero, one) = (config.pools[at].token0, config.pools[at].token1);
            Some((at as u32, zero, one, is_in(zero), is_in(one)))
        })?;
        let Some((pool_at, zero, one, is_zero, is_one)) = tokens else {
            return Err(PyKeyError::new_err(format!("no pool {pool} in this run")));
        };
        if !is_zero && !is_one {
            let why = format!("{token_in} is none of pool {pool}'s tokens");
            return Err(PyErr::from_value(py.import("domain")?.getattr("InputError")?.call1((why,))?));
        }
        let (asset_in, asset_out) = if is_zero { (zero, one) } else { (one, zero) };
        let raw = |amount: &Word| {
            i128::try_from(amount.0).map_err(|_| PyOverflowError::new_err("an amount does not fit 128 bits"))
        };
        let change = SwapChange {
            pool: pool_at,
            asset_in,
            amount_in: raw(&amount_in)?,
            asset_out,
            amount_out: raw(&min_amount_out)?,
        };
        let request = SwapRequest {
            pool: pool_at,
            zero_for_one: is_zero,
            amount_in: amount_in.0,
            amount_out_min: min_amount_out.0,
            deadline_s,
        };
        self.with(|kernel| kernel.swap(self.id, &request.bytes(), change).ok().map(|id| id.0))
    }

    #[getter]
    fn base_fee_wei(&self) -> PyResult<i64> {
        self.with(|kernel| kernel.head().base_fee_wei)
    }

    #[getter]
    fn block_time_s(&self) -> PyResult<i64> {
        self.with(|kernel| kernel.head().time_s)
    }

    fn is_open(&self, client_id: u64) -> PyResult<bool> {
        self.with(|kernel| kernel.orders().get(ClientId(client_id)).is_some_and(|order| order.state.is_open()))
    }

    fn open_orders(&self, instrument: u32) -> PyResult<Vec<OpenOrder>> {
        self.known(instrument)?;
        self.with(|kernel| {
            let open = kernel.orders().open_of(instrument).filter(|order| order.strategy == self.id);
            open.map(seen).collect()
        })
    }

    /// Returns an order of this strategy's own, also one that has ended while it is remembered.
    fn order(&self, client_id: u64) -> PyResult<Option<OpenOrder>> {
        let id = ClientId(client_id);
        self.with(|kernel| kernel.orders().get(id).filter(|order| order.strategy == self.id).map(seen))
    }

    /// Places one order; `engine.host` reads the words alike.
    #[pyo3(signature = (instrument, side, price, size, *, order_type = "limit", time_in_force = "gtc", reduce_only = false))]
    #[allow(clippy::too_many_arguments)] // They are keywords in Python.
    fn place(
        &self,
        instrument: u32,
        side: u8,
        price: i64,
        size: i64,
        order_type: &str,
        time_in_force: &str,
        reduce_only: bool,
    ) -> PyResult<Option<u64>> {
        self.known(instrument)?;
        let time_in_force = match time_in_force {
            "gtc" => TimeInForce::Gtc,
            "ioc" => TimeInForce::Ioc,
            "fok" => TimeInForce::Fok,
            other => return Err(PyValueError::new_err(format!("time in force {other:?}: gtc, ioc or fok"))),
        };
        let (order_type, time_in_force) = match (order_type, time_in_force) {
            ("limit", _) => (OrderType::Limit, time_in_force),
            ("limit_maker", TimeInForce::Gtc) => (OrderType::LimitMaker, time_in_force),
            ("limit_maker", _) => return Err(PyValueError::new_err("a maker order is good till cancelled")),
            // Nothing leaves without a bound: it takes at once what there is down to its price, and is over.
            ("market", _) if price <= 0 => (OrderType::Market, TimeInForce::Ioc), // For the gate to refuse.
            ("market", TimeInForce::Gtc) => (OrderType::Limit, TimeInForce::Ioc),
            ("market", _) => (OrderType::Limit, time_in_force),
            (other, _) => {
                return Err(PyValueError::new_err(format!("order type {other:?}: limit, limit_maker or market")))
            }
        };
        let side = Self::side(side)?;
        let request = NewOrder { instrument, side, price, size, order_type, time_in_force, reduce_only };
        self.with(|kernel| kernel.place(self.id, request).ok().map(|id| id.0))
    }

    fn quote(&self, instrument: u32, bids: &Bound<'_, PyAny>, asks: &Bound<'_, PyAny>) -> PyResult<()> {
        self.known(instrument)?;
        // Reading may run Python (an iterator of the strategy's): the vectors are taken out meanwhile.
        let [mut low, mut high] = self.quotes.with(std::mem::take);
        read_quotes(bids, &mut low)?;
        read_quotes(asks, &mut high)?;
        self.with(|kernel| kernel.set_targets(self.id, instrument, &low, &high))?;
        self.quotes.with(|kept| *kept = [low, high]);
        Ok(())
    }

    fn take(&self, instrument: u32, side: u8, limit: i64, size: i64) -> PyResult<Option<u64>> {
        self.known(instrument)?;
        let request = NewOrder {
            instrument,
            side: Self::side(side)?,
            price: limit,
            size,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Ioc,
            reduce_only: false,
        };
        self.with(|kernel| kernel.place(self.id, request).ok().map(|id| id.0))
    }

    /// Cancels an order of this strategy's own; another's is none of its business.
    fn cancel(&self, client_id: u64) -> PyResult<()> {
        let id = ClientId(client_id);
        if id.strategy() != self.id {
            return Err(PyValueError::new_err(format!("order {client_id:#018x} is not this strategy's")));
        }
        self.with(|kernel| kernel.cancel(id))
    }

    fn cancel_all(&self, instrument: u32) -> PyResult<()> {
        self.known(instrument)?;
        self.with(|kernel| {
            kernel.set_targets(self.id, instrument, &[], &[]);
            let open = kernel.orders().open_of(instrument).filter(|order| order.strategy == self.id);
            let ids: Vec<ClientId> = open.map(|order| order.id).collect();
            for id in ids {
                kernel.cancel(id);
            }
        })
    }

    #[pyo3(signature = (at_ns, tag = 1))]
    fn timer(&self, at_ns: i64, tag: i64) -> PyResult<()> {
        if tag == 0 {
            return Err(PyValueError::new_err("tag 0 is the regular tick"));
        }
        self.with(|kernel| kernel.timer(self.id, at_ns, tag))
    }

    /// Keeps what the strategy saw and what it made of it, for people; nothing is decided by it.
    #[pyo3(signature = (name, value, /, **inputs))]
    fn signal(&self, name: String, value: f64, inputs: Option<Bound<'_, PyDict>>) -> PyResult<()> {
        let now_ns = self.with(|kernel| kernel.now_ns())?;
        self.signals.keep(now_ns, self.id, name, value, inputs)
    }
}
