//! What strategies said they saw: kept in order, for people.

use std::sync::Mutex;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Signals that are kept of a run; what comes after is counted.
const SIGNALS_MAX: usize = 1_000_000;

/// One signal: time, strategy, name, value, inputs.
pub type Signal = (i64, u8, String, f64, Option<Py<PyDict>>);

/// Every strategy's signals of a run.
pub struct Signals {
    room: usize,
    /// What is kept, and how many there was no room for.
    kept: Mutex<(Vec<Signal>, usize)>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { room: SIGNALS_MAX, kept: Mutex::default() }
    }
}

impl Signals {
    /// For runs whose signals nobody takes.
    pub fn unkept() -> Self {
        Self { room: 0, kept: Mutex::default() }
    }

    pub fn keep(
        &self,
        now_ns: i64,
        strategy: u8,
        name: String,
        value: f64,
        inputs: Option<Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut kept = self.kept.lock().map_err(|_| PyRuntimeError::new_err("the signals broke off"))?;
        if kept.0.len() < self.room {
            kept.0.push((now_ns, strategy, name, value, inputs.map(Bound::unbind)));
        } else {
            kept.1 += 1;
        }
        Ok(())
    }

    /// Returns what was kept, which is forgotten, and how many came after the bound.
    pub fn take(&self) -> PyResult<(Vec<Signal>, usize)> {
        let mut kept = self.kept.lock().map_err(|_| PyRuntimeError::new_err("the signals broke off"))?;
        Ok(std::mem::take(&mut *kept))
    }
}
