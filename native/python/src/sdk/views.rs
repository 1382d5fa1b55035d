//! The reusable objects a strategy reads from: the record at hand and the books.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Arc;

use bytemuck::Zeroable;
use capstan_core::orders::Side;
use capstan_engine::book::Book;
use capstan_engine::event::{Event, MAKER};
use capstan_engine::kernel::Kernel;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::memory::{GilCell, Window};

/// Where the kernel is while one of a strategy's callbacks runs; nowhere at other times.
#[derive(Default)]
pub struct Slot(AtomicPtr<Kernel>);

impl Slot {
    /// Lets views and context see the kernel while `f` runs.
    #[inline]
    pub fn lend<R>(&self, kernel: &mut Kernel, f: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a AtomicPtr<Kernel>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.store(std::ptr::null_mut(), Ordering::Relaxed);
            }
        }
        self.0.store(kernel, Ordering::Relaxed);
        let _back = Back(&self.0);
        f()
    }

    /// Returns what `f` makes of the kernel.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut Kernel) -> R) -> PyResult<R> {
        let kernel = self.0.load(Ordering::Relaxed);
        if kernel.is_null() {
            return Err(PyRuntimeError::new_err("context and views are for use inside the strategy's callbacks"));
        }
        // SAFETY: `lend` holds the only reference and waits for the callback; the interpreter lock lets one caller in at
        // a time, and no `f` in this crate calls Python.
        Ok(f(unsafe { &mut *kernel }))
    }
}

/// The record at hand.
#[pyclass(frozen, module = "capstan_native")]
pub struct EventView(GilCell<Event>);

impl EventView {
    pub fn new() -> Self {
        Self(GilCell::new(Event::zeroed()))
    }

    #[inline]
    pub fn set(&self, event: &Event) {
        self.0.with(|held| *held = *event);
    }

    #[inline]
    fn get(&self) -> Event {
        self.0.get()
    }
}

#[pymethods]
impl EventView {
    #[getter]
    fn time_exchange_ns(&self) -> i64 {
        self.get().time_exchange_ns
    }

    #[getter]
    fn time_ns(&self) -> i64 {
        self.get().time_local_ns
    }

    #[getter]
    fn instrument(&self) -> u32 {
        self.get().instrument
    }

    #[getter]
    fn kind(&self) -> u8 {
        self.get().kind
    }

    #[getter]
    fn side(&self) -> u8 {
        self.get().side
    }

    #[getter]
    fn flags(&self) -> u16 {
        self.get().flags
    }

    #[getter]
    fn price(&self) -> i64 {
        self.get().price
    }

    #[getter]
    fn size(&self) -> i64 {
        self.get().size
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.get().sequence
    }

    #[getter]
    fn aux0(&self) -> i64 {
        self.get().aux[0]
    }

    #[getter]
    fn aux1(&self) -> i64 {
        self.get().aux[1]
    }

    #[getter]
    fn client_id(&self) -> u64 {
        self.get().aux[0] as u64
    }

    #[getter]
    fn is_maker(&self) -> bool {
        self.get().flags & MAKER != 0
    }
}

/// Levels a side that `BookView.levels` can show.
const DEPTH_MAX: usize = 1024;

/// One instrument's book.
#[pyclass(frozen, module = "capstan_native")]
pub struct BookView {
    slot: Arc<Slot>,
    instrument: u32,
    bids: Window,
    asks: Window,
}

impl BookView {
    pub fn new(py: Python<'_>, slot: Arc<Slot>, instrument: u32) -> PyResult<Self> {
        let dtype = py.import("numpy")?.getattr("int64")?;
        Ok(Self {
            slot,
            instrument,
            bids: Window::new::<i64>(py, 2 * DEPTH_MAX, &dtype, 2)?,
            asks: Window::new::<i64>(py, 2 * DEPTH_MAX, &dtype, 2)?,
        })
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&Book) -> R) -> PyResult<R> {
        self.slot.with(|kernel| f(kernel.book(self.instrument)))
    }

    fn side<'py>(&self, py: Python<'py>, side: Side, window: &Window, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let depth = depth.min(DEPTH_MAX);
        let rows = self.with(|book| {
            if !book.is_valid() {
                return 0;
            }
            window.fill(|cells: &mut [i64]| {
                let mut rows = 0;
                for (price, size) in book.levels(side).take(depth) {
                    cells[2 * rows] = price;
                    cells[2 * rows + 1] = size;
                    rows += 1;
                }
                rows
            })
        })?;
        window.head(py, rows)
    }
}

#[pymethods]
impl BookView {
    #[getter]
    fn instrument(&self) -> u32 {
        self.instrument
    }

    #[getter]
    fn is_valid(&self) -> PyResult<bool> {
        self.with(|book| book.best(Side::Buy).is_some() && book.best(Side::Sell).is_some())
    }

    #[getter]
    fn bid(&self) -> PyResult<i64> {
        self.with(|book| book.best(Side::Buy).map_or(0, |best| best.0))
    }

    #[getter]
    fn ask(&self) -> PyResult<i64> {
        self.with(|book| book.best(Side::Sell).map_or(0, |best| best.0))
    }

    #[getter]
    fn bid_size(&self) -> PyResult<i64> {
        self.with(|book| book.best(Side::Buy).map_or(0, |best| best.1))
    }

    #[getter]
    fn ask_size(&self) -> PyResult<i64> {
        self.with(|book| book.best(Side::Sell).map_or(0, |best| best.1))
    }

    #[getter]
    fn changed_ns(&self) -> PyResult<i64> {
        self.with(|book| book.times_ns().1)
    }

    fn levels<'py>(&self, py: Python<'py>, depth: usize) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        Ok((self.side(py, Side::Buy, &self.bids, depth)?, self.side(py, Side::Sell, &self.asks, depth)?))
    }
}

/// An order as it stood when it was asked for.
#[pyclass(frozen, get_all, module = "capstan_native")]
pub struct OpenOrder {
    pub client_id: u64,
    pub side: u8,
    pub price: i64,
    pub size: i64,
    pub filled: i64,
    pub is_cancelling: bool,
    pub is_open: bool,
}
