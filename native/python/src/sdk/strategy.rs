//! A Python strategy as one of the engine's: it decides without Python whether Python has to be called.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use capstan_engine::event::{Event, Kind, LAST, SIDE_NONE};
use capstan_engine::kernel::Kernel;
use capstan_engine::strategies::{Interval, TimeBar, TimeBars};
use capstan_engine::{wakes, Strategy};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::context::{Context, Info, TRADES_MAX};
use super::pools::Pools;
use super::signals::Signals;
use super::views::EventView;

/// The first error a callback raised; after it the strategy is not called again. And how often Python was called.
#[derive(Default)]
pub struct Failure {
    happened: AtomicBool,
    wakes: AtomicU64,
    error: Mutex<Option<PyErr>>,
}

impl Failure {
    /// Returns whether a callback raised; cheap.
    #[inline]
    pub fn happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    /// Raises what the callback raised.
    #[inline]
    pub fn check(&self) -> PyResult<()> {
        if !self.happened() {
            return Ok(());
        }
        let error = self.error.lock().ok().and_then(|mut error| error.take());
        Err(error.unwrap_or_else(|| PyRuntimeError::new_err("a strategy failed before")))
    }

    /// Returns how often Python was called so far.
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    fn set(&self, error: PyErr) {
        if let Ok(mut kept) = self.error.lock() {
            kept.get_or_insert(error);
        }
        self.happened.store(true, Ordering::Relaxed);
    }
}

/// A callback with its arguments, made once.
struct Call {
    method: Py<PyAny>,
    arguments: Py<PyTuple>,
}

impl Call {
    #[inline]
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.method.bind(py).call1(self.arguments.bind(py).clone()).map(drop)
    }
}

/// See the module.
pub struct PyStrategy {
    id: u8,
    object: Py<PyAny>,
    context: Py<Context>,
    event: Py<EventView>,
    failure: Arc<Failure>,
    started: bool,
    on_start: Option<Call>,
    on_event: Option<Call>,
    /// By instrument.
    on_book: Vec<Option<Call>>,
    on_trades: Option<Py<PyAny>>,
    on_bar: Option<Call>,
    on_fill: Option<Call>,
    on_order: Option<Call>,
    on_timer: Option<Call>,
    on_block: Option<Call>,
    on_settled: Option<Call>,
    on_stop: Option<Call>,
    /// By instrument.
    books_due: Vec<Interval>,
    trades_due: Interval,
    /// By instrument; empty where none are built.
    bars: Vec<TimeBars>,
    stopped: bool,
    /// Reasons, besides books, trades and records, that a callback is there for.
    handled: u16,
}

impl PyStrategy {
    /// Binds an `engine.sdk.Strategy` to a place in the configuration.
    pub fn new(
        py: Python<'_>,
        id: u8,
        object: Bound<'_, PyAny>,
        instruments: Vec<Info>,
        pools: Arc<Pools>,
        failure: Arc<Failure>,
        signals: Arc<Signals>,
    ) -> PyResult<Self> {
        let names: Vec<String> = py.import("engine.sdk")?.call_method1("callbacks", (&object,))?.extract()?;
        let wanted: Vec<String> = object.getattr("instruments")?.extract()?;
        let count = instruments.len();
        let is_wanted: Vec<bool> = instruments.iter().map(|i| wanted.is_empty() || wanted.contains(&i.name)).collect();
        let context = Py::new(py, Context::new(py, id, instruments, pools, signals)?)?;
        let event = Py::new(py, EventView::new())?;
        let method = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            if names.iter().any(|n| n == name) {
                Ok(Some(object.getattr(name)?.unbind()))
            } else {
                Ok(None)
            }
        };
        let with_event = |name: &str| -> PyResult<Option<Call>> {
            let Some(method) = method(name)? else { return Ok(None) };
            let arguments = PyTuple::new(py, [context.bind(py).as_any(), event.bind(py).as_any()])?.unbind();
            Ok(Some(Call { method, arguments }))
        };
        let alone = |name: &str| -> PyResult<Option<Call>> {
            let Some(method) = method(name)? else { return Ok(None) };
            Ok(Some(Call { method, arguments: PyTuple::new(py, [context.bind(py)])?.unbind() }))
        };
        let mut on_book = Vec::with_capacity(count);
        for (at, is_wanted) in is_wanted.iter().enumerate() {
            let made = match (method("on_book")?, context.get().book_view(at as u32)) {
                (Some(method), Some(view)) if *is_wanted => {
                    let arguments = PyTuple::new(py, [context.bind(py).as_any(), view.bind(py).as_any()])?.unbind();
                    Some(Call { method, arguments })
                }
                _ => None,
            };
            on_book.push(made);
        }
        let has = |name: &str| names.iter().any(|n| n == name);
        let bar_interval: i64 = object.getattr("bar_interval_ns")?.extract()?;
        let builds_bars = has("on_bar") && bar_interval > 0;
        let built = |is_wanted: &bool| TimeBars::new(if *is_wanted { bar_interval } else { 0 });
        let bars = if builds_bars { is_wanted.iter().map(built).collect() } else { Vec::new() };
        let handled = [
            (has("on_bar"), wakes::BAR),
            (has("on_fill"), wakes::FILL),
            (has("on_order") || has("on_settled"), wakes::REPORT),
            (has("on_timer"), wakes::TIMER),
            (has("on_block"), wakes::BLOCK | wakes::POOL),
        ];
        let handled = handled.iter().filter(|(is_there, _)| *is_there).fold(0, |all, (_, why)| all | why);
        let book_interval: i64 = object.getattr("book_interval_ns")?.extract()?;
        let trades_interval: i64 = object.getattr("trades_interval_ns")?.extract()?;
        Ok(Self {
            id,
            on_start: alone("on_start")?,
            on_event: with_event("on_event")?,
            on_book,
            on_trades: method("on_trades")?,
            on_bar: with_event("on_bar")?,
            on_fill: with_event("on_fill")?,
            on_order: with_event("on_order")?,
            on_timer: with_event("on_timer")?,
            on_block: with_event("on_block")?,
            on_settled: with_event("on_settled")?,
            on_stop: alone("on_stop")?,
            books_due: vec![Interval::new(book_interval); count],
            trades_due: Interval::new(trades_interval),
            bars,
            object: object.unbind(),
            context,
            event,
            failure,
            started: false,
            stopped: false,
            handled,
        })
    }

    /// Returns the callbacks that this event asks for; runs without the interpreter lock.
    #[inline]
    fn due(&mut self, why: u16, event: &Event, is_stopping: bool) -> Due {
        let mut due = Due::default();
        let market = event.instrument as usize;
        if why & (wakes::BOOK | wakes::STALE) != 0 {
            if let (Some(Some(_)), Some(interval)) = (self.on_book.get(market), self.books_due.get_mut(market)) {
                due.book = why & wakes::STALE != 0 || interval.is_due(event.time_local_ns);
            }
        }
        if why & wakes::TRADE != 0 && self.on_trades.is_some() && self.on_book.len() > market {
            let context = self.context.get();
            let waiting = context.waiting.load(Ordering::Relaxed);
            context.trades.fill(|trades: &mut [Event]| trades[waiting] = *event);
            context.waiting.store(waiting + 1, Ordering::Relaxed);
            due.trades = waiting + 1 == TRADES_MAX || (event.is_last() && self.trades_due.is_due(event.time_local_ns));
        }
        due.bars = !self.bars.is_empty() && self.bars_change(why, event);
        due.event = self.on_event.is_some();
        due.other = why & self.handled != 0;
        due.stop = is_stopping && !self.stopped && self.on_stop.is_some();
        due
    }

    /// Takes what bars are built of; returns whether one is over. Then the trade is taken once they are told.
    fn bars_change(&mut self, why: u16, event: &Event) -> bool {
        if let (true, Some(bars)) = (why & wakes::BAR != 0, self.bars.get_mut(event.instrument as usize)) {
            bars.come_from_outside();
        }
        if why & (wakes::TRADE | wakes::TIMER) == 0 {
            return false;
        }
        let is_over = self.bars.iter().any(|bars| bars.is_over(event.time_local_ns));
        if !is_over {
            self.build_bar(why, event);
        }
        is_over
    }

    fn build_bar(&mut self, why: u16, event: &Event) {
        if let (true, Some(bars)) = (why & wakes::TRADE != 0, self.bars.get_mut(event.instrument as usize)) {
            bars.trade(event.time_local_ns, event.price, event.size);
        }
    }

    /// Tells the bars that are over at this event, of every instrument, then takes the event's trade.
    fn tell_bars(&mut self, py: Python<'_>, why: u16, event: &Event) -> PyResult<()> {
        for at in 0..self.bars.len() {
            while let Some(bar) = self.bars[at].over(event.time_local_ns) {
                self.event.get().set(&record_of(bar, at as u32, event.time_local_ns));
                if let Some(call) = &self.on_bar {
                    call.run(py)?;
                }
            }
        }
        self.build_bar(why, event);
        self.event.get().set(event);
        Ok(())
    }

    /// Calls Python. The event view holds the record.
    fn call(&mut self, py: Python<'_>, due: Due, why: u16, event: &Event) -> PyResult<()> {
        self.event.get().set(event);
        let run = |call: &Option<Call>| call.as_ref().map_or(Ok(()), |call| call.run(py));
        if !self.started {
            self.started = true;
            run(&self.on_start)?;
        }
        if due.bars {
            self.tell_bars(py, why, event)?;
        }
        let run = |call: &Option<Call>| call.as_ref().map_or(Ok(()), |call| call.run(py));
        if due.event {
            run(&self.on_event)?;
        }
        if due.book {
            run(&self.on_book[event.instrument as usize])?;
        }
        if due.trades {
            if let Some(method) = &self.on_trades {
                let context = self.context.get();
                let trades = context.trades.head(py, context.waiting.load(Ordering::Relaxed))?;
                let result = method.bind(py).call1((&self.context, trades));
                context.waiting.store(0, Ordering::Relaxed);
                result?;
            }
        }
        if due.other {
            if why & wakes::BAR != 0 {
                run(&self.on_bar)?;
            }
            if why & wakes::FILL != 0 {
                run(&self.on_fill)?;
            }
            if why & wakes::REPORT != 0 {
                run(if event.kind == Kind::Settled as u8 { &self.on_settled } else { &self.on_order })?;
            }
            if why & wakes::TIMER != 0 {
                run(&self.on_timer)?;
            }
            if why & (wakes::BLOCK | wakes::POOL) != 0 {
                run(&self.on_block)?;
            }
        }
        if due.stop {
            self.stopped = true;
            run(&self.on_stop)?;
        }
        Ok(())
    }
}

/// Which callbacks an event asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Due {
    event: bool,
    book: bool,
    trades: bool,
    other: bool,
    stop: bool,
    bars: bool,
}

/// A bar as the record that bars from outside are.
fn record_of(bar: TimeBar, instrument: u32, now_ns: i64) -> Event {
    Event {
        time_exchange_ns: bar.end_ns,
        time_local_ns: now_ns,
        instrument,
        kind: Kind::Bar as u8,
        side: SIDE_NONE,
        flags: LAST,
        price: bar.close,
        size: bar.size,
        sequence: bar.low as u64,
        aux: [bar.open, bar.high],
    }
}

impl Strategy for PyStrategy {
    fn id(&self) -> u8 {
        self.id
    }

    #[inline]
    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        let wakes = kernel.wakes();
        if !wakes.has(self.id) || self.failure.happened() {
            return;
        }
        let due = self.due(wakes.why, event, kernel.is_stopping());
        if due == Due::default() {
            return;
        }
        self.failure.wakes.store(self.failure.wakes() + 1, Ordering::Relaxed);
        Python::attach(|py| {
            let context = self.context.clone_ref(py);
            if let Err(error) = context.get().slot.lend(kernel, || self.call(py, due, wakes.why, event)) {
                self.failure.set(error);
            }
        });
    }

    fn is_idle(&self) -> bool {
        Python::attach(|py| self.object.bind(py).getattr("is_idle").and_then(|idle| idle.extract())).unwrap_or(false)
    }

    /// The conflation's own state first, then the strategy's.
    fn state(&self) -> Vec<u8> {
        let object = Python::attach(|py| self.object.bind(py).call_method0("state").and_then(|state| state.extract()));
        let object: Vec<u8> = object.unwrap_or_else(|error| {
            self.failure.set(error);
            Vec::new()
        });
        let mut state = vec![u8::from(self.started), u8::from(self.stopped)];
        for interval in self.books_due.iter().chain([&self.trades_due]) {
            state.extend(interval.next_ns().to_le_bytes());
        }
        for bars in &self.bars {
            state.extend(bars.state().iter().flat_map(|value| value.to_le_bytes()));
        }
        let context = self.context.get();
        let waiting = context.waiting.load(Ordering::Relaxed);
        state.extend((waiting as u32).to_le_bytes());
        context.trades.fill(|trades: &mut [Event]| state.extend(capstan_engine::event::as_bytes(&trades[..waiting])));
        state.extend(object);
        state
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        let intervals = 2 + 8 * (self.books_due.len() + 1);
        let head = intervals + 64 * self.bars.len();
        let Some((conflation, rest)) = state.split_at_checked(head) else { return false };
        let Some((count, rest)) = rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest))
        else {
            return false;
        };
        if count > TRADES_MAX || rest.len() < 64 * count {
            return false;
        }
        let (waiting, object) = rest.split_at(64 * count);
        let restored = Python::attach(|py| self.object.bind(py).call_method1("restore", (object,)).map(drop));
        if let Err(error) = restored {
            self.failure.set(error);
            return false;
        }
        (self.started, self.stopped) = (false, conflation[1] != 0);
        for (at, interval) in self.books_due.iter_mut().chain([&mut self.trades_due]).enumerate() {
            interval.resume(conflation[2 + 8 * at..].first_chunk().map_or(i64::MIN, |next| i64::from_le_bytes(*next)));
        }
        for (at, bars) in self.bars.iter_mut().enumerate() {
            let kept = &conflation[intervals + 64 * at..][..64];
            bars.resume(std::array::from_fn(|i| kept[8 * i..].first_chunk().map_or(0, |v| i64::from_le_bytes(*v))));
        }
        let context = self.context.get();
        context.trades.fill(|trades: &mut [u8]| trades[..waiting.len()].copy_from_slice(waiting));
        context.waiting.store(count, Ordering::Relaxed);
        true
    }
}
