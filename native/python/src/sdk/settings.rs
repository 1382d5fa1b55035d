//! Native kernels from their kind and a dictionary of their parameters.

use capstan_engine::strategies::{avellaneda_stoikov, quoting};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct QuotingIn {
    instrument: u32,
    size: i64,
    behind: i64,
    position_max: i64,
    interval_ns: i64,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct AvellanedaStoikovIn {
    instrument: u32,
    tick: f64,
    lot: f64,
    order_lots: i64,
    risk_aversion: f64,
    arrival_decay: f64,
    horizon_s: f64,
    volatility_floor: f64,
    volatility_halflife_s: f64,
    spread_min_bps: f64,
    requote_bps: f64,
    inventory_max: f64,
}

/// Returns the native kernel that `(kind, parameters)` names.
pub fn native(id: u8, kind: &str, given: &Bound<'_, PyAny>) -> PyResult<Box<dyn capstan_engine::Strategy>> {
    match kind {
        "quoting" => {
            let p: QuotingIn = given.extract()?;
            Ok(Box::new(quoting::Quoting::new(
                id,
                quoting::Parameters {
                    instrument: p.instrument,
                    size: p.size,
                    behind: p.behind,
                    position_max: p.position_max,
                    interval_ns: p.interval_ns,
                },
            )))
        }
        "avellaneda-stoikov" => {
            let p: AvellanedaStoikovIn = given.extract()?;
            Ok(Box::new(avellaneda_stoikov::AvellanedaStoikov::new(
                id,
                avellaneda_stoikov::Parameters {
                    instrument: p.instrument,
                    tick: p.tick,
                    lot: p.lot,
                    order_lots: p.order_lots,
                    risk_aversion: p.risk_aversion,
                    arrival_decay: p.arrival_decay,
                    horizon_s: p.horizon_s,
                    volatility_floor: p.volatility_floor,
                    volatility_halflife_s: p.volatility_halflife_s,
                    spread_min_bps: p.spread_min_bps,
                    requote_bps: p.requote_bps,
                    inventory_max: p.inventory_max,
                },
            )))
        }
        _ => Err(PyValueError::new_err(format!("no native strategy {kind}"))),
    }
}
