//! The engine's records and kernel for Python.

use capstan_engine::{command, event};
use pyo3::prelude::*;

/// A field's name, offset and size in bytes.
type Field = (&'static str, usize, usize);

/// Returns the fields of an event and of a command, for the test that compares them with NumPy's.
#[pyfunction]
fn record_layouts() -> (Vec<Field>, Vec<Field>) {
    macro_rules! fields {
        ($record:ty: $($name:ident $type:ty),* $(,)?) => {
            vec![$((stringify!($name), std::mem::offset_of!($record, $name), std::mem::size_of::<$type>())),*]
        };
    }
    (
        fields!(event::Event: time_exchange_ns i64, time_local_ns i64, instrument u32, kind u8, side u8, flags u16,
            price i64, size i64, sequence u64, aux [i64; 2]),
        fields!(command::Command: client_id u64, time_ns i64, price i64, size i64, instrument u32, kind u8, side u8,
            order_type u8, time_in_force u8, strategy u8, rule u8, stage u8, reduce_only u8, reserved u32,
            aux [i64; 2]),
    )
}

/// Returns the name of each event kind that Rust knows, by number.
#[pyfunction]
fn event_kinds() -> Vec<(u8, String)> {
    (0..=u8::MAX)
        .filter_map(|kind| {
            let known = event::Event { kind, ..bytemuck::Zeroable::zeroed() }.kind()?;
            Some((kind, format!("{known:?}").to_uppercase()))
        })
        .collect()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(record_layouts, m)?)?;
    m.add_function(wrap_pyfunction!(event_kinds, m)?)
}
