//! Python binding: converts, calls, maps errors. What things mean is told in `capstan_native.pyi`.

mod amm;
mod bar_runs;
mod book;
mod engine;
mod engine_config;
mod feed;
mod hot;
mod kernel;
mod kernel_journal;
mod keys;
mod live;
mod matching;
mod mpc;
mod risk;
mod sdk;
mod sim;

use pyo3::prelude::*;

#[pymodule]
fn capstan_native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    amm::register(m)?;
    bar_runs::register(m)?;
    book::register(m)?;
    engine::register(m)?;
    feed::register(m)?;
    hot::register(m)?;
    kernel::register(m)?;
    kernel_journal::register(m)?;
    keys::register(m)?;
    live::register(m)?;
    matching::register(m)?;
    mpc::register(m)?;
    risk::register(m)?;
    sdk::register(m)?;
    sim::register(m)
}
