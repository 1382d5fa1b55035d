//! Python strategies in the kernel: what `engine.sdk` promises, at the least cost per event.
//!
//! A callback is a bound method with its arguments in a tuple made once; what a strategy reads are views into the kernel.
//! Whether Python is called at all is decided before it is asked for, so a backtest runs without the interpreter lock
//! between wakes.

mod context;
mod memory;
mod pools;
mod run;
mod settings;
mod signals;
mod strategy;
mod views;

use pyo3::prelude::*;

pub use run::engine;
pub use signals::Signals;
pub use strategy::Failure;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<context::Context>()?;
    m.add_class::<memory::Memory>()?;
    m.add_class::<run::Backtest>()?;
    m.add_class::<views::BookView>()?;
    m.add_class::<views::EventView>()?;
    m.add_class::<views::OpenOrder>()?;
    m.add_function(wrap_pyfunction!(run::replay_backtest, m)?)
}
