//! Python binding: converts, calls, maps errors.
use pyo3::prelude::*;

#[pymodule]
fn capstan_native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
