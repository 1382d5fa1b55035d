use capstan_core::book::L2Book as Core;
use capstan_core::depth::DepthError;
use capstan_core::flat_book::Level;
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

create_exception!(capstan_native, DecodeError, PyValueError, "A message that could not be read. Nothing was changed.");

fn decode_error(e: DepthError) -> PyErr {
    DecodeError::new_err(e.to_string())
}

#[pyclass]
struct L2Book(Core);

#[pymethods]
impl L2Book {
    #[new]
    #[pyo3(signature = (tick_size, lot_size, symbol=None))]
    fn new(tick_size: &str, lot_size: &str, symbol: Option<String>) -> PyResult<Self> {
        let core = Core::new(tick_size, lot_size, symbol)
            .map_err(|e| PyValueError::new_err(format!("tick size {tick_size:?}, lot size {lot_size:?}: {e}")))?;
        Ok(Self(core))
    }

    fn apply_snapshot(&mut self, message: &[u8]) -> PyResult<bool> {
        self.0.apply_snapshot(message).map_err(decode_error)
    }

    fn apply_diff(&mut self, message: &[u8]) -> PyResult<bool> {
        self.0.apply_diff(message).map_err(decode_error)
    }

    fn invalidate(&mut self, reason: &str) {
        self.0.invalidate(reason);
    }

    fn best_bid(&self) -> Option<Level> {
        self.0.best_bid()
    }

    fn best_ask(&self) -> Option<Level> {
        self.0.best_ask()
    }

    fn top(&self, n: usize) -> (Vec<Level>, Vec<Level>) {
        (self.0.bids().take(n).collect(), self.0.asks().take(n).collect())
    }

    #[getter]
    fn is_valid(&self) -> bool {
        self.0.stale_reason().is_none()
    }

    #[getter]
    fn stale_reason(&self) -> Option<&str> {
        self.0.stale_reason()
    }

    #[getter]
    fn last_update_id(&self) -> u64 {
        self.0.last_update_id()
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("DecodeError", m.py().get_type::<DecodeError>())?;
    m.add_class::<L2Book>()
}
