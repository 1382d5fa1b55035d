//! Pools as strategies see them: what the kernel holds, copied into the Python replicas that quote in live runs too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::views::Slot;

/// An `engine.sdk.pools.PoolCopy`, and which of the kernel's updates it has.
struct PoolCopy {
    object: Py<PyAny>,
    market: Py<PyAny>,
    changes: AtomicU64,
}

/// One run's copies, in the order of its configuration; all its strategies share them.
#[derive(Default)]
pub struct Pools(Vec<PoolCopy>);

impl Pools {
    /// Makes copies of the pools that `engine.sdk.pools.PoolTerms` describe.
    pub fn new(py: Python<'_>, terms: &[Bound<'_, PyAny>], expected: usize) -> PyResult<Arc<Self>> {
        if terms.is_empty() {
            return Ok(Arc::default());
        }
        if terms.len() != expected {
            return Err(PyValueError::new_err("as many pools as the configuration has are needed"));
        }
        let kind = py.import("engine.sdk.pools")?.getattr("PoolCopy")?;
        let copy = |terms: &Bound<'_, PyAny>| -> PyResult<PoolCopy> {
            let object = kind.call1((terms,))?;
            let market = object.getattr("market")?.unbind();
            Ok(PoolCopy { object: object.unbind(), market, changes: AtomicU64::new(u64::MAX) })
        };
        Ok(Arc::new(Self(terms.iter().map(copy).collect::<PyResult<_>>()?)))
    }

    /// Returns a pool's market, its replica as the kernel's is now.
    pub fn market(&self, py: Python<'_>, slot: &Slot, name: &str) -> PyResult<Py<PyAny>> {
        let found = slot.with(|kernel| {
            let at = kernel.config().pools.iter().position(|pool| pool.id == name)?;
            let (copy, replica) = (self.0.get(at)?, kernel.pool(at as u32));
            let changes = replica.changes();
            let is_new = copy.changes.load(Ordering::Relaxed) != changes;
            let state = is_new.then(|| {
                let mut state = Vec::new();
                replica.snapshot().write(&mut state);
                (replica.block_number(), state)
            });
            Some((copy, changes, state))
        })?;
        let Some((copy, changes, state)) = found else {
            return Err(PyKeyError::new_err(format!("no pool {name} in this run")));
        };
        if let Some((block_number, state)) = state {
            copy.object.bind(py).call_method1("load", (block_number, PyBytes::new(py, &state)))?;
            copy.changes.store(changes, Ordering::Relaxed);
        }
        Ok(copy.market.clone_ref(py))
    }
}
