//! Pools of `capstan-amm` for Python. Amounts are Python integers of up to 256 bits.

use capstan_amm::ticks::Tick;
use capstan_amm::v3::Slot;
use capstan_amm::{v2, v3, AmmError, Pool as Core, U256};
use pyo3::create_exception;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(capstan_native, PoolDepthError, PyValueError, "A pool cannot take or give so much. Nothing changed.");

/// A Python integer in 256 bits; negative and larger ones are an `OverflowError`, as Python's own conversions have it.
pub(crate) struct Word(pub(crate) U256);

impl<'py> FromPyObject<'py> for Word {
    fn extract_bound(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(small) = value.extract::<u64>() {
            return Ok(Self(U256::from(small)));
        }
        let bytes = value.call_method1("to_bytes", (32, "little"))?;
        let bytes = bytes.downcast::<PyBytes>()?.as_bytes();
        U256::try_from_le_slice(bytes).map(Self).ok_or_else(|| PyOverflowError::new_err("more than 256 bits"))
    }
}

impl<'py> IntoPyObject<'py> for Word {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        if let Ok(small) = u64::try_from(self.0) {
            return Ok(small.into_pyobject(py)?.into_any());
        }
        let bytes = PyBytes::new(py, &self.0.to_le_bytes::<32>());
        py.get_type::<pyo3::types::PyInt>().call_method1("from_bytes", (bytes, "little"))
    }
}

fn amm_error(e: AmmError) -> PyErr {
    match e {
        AmmError::Depth => PoolDepthError::new_err(e.to_string()),
        _ => PyValueError::new_err(e.to_string()),
    }
}

#[pyclass]
pub(crate) struct AmmPool(pub(crate) Core);

impl AmmPool {
    fn v3(&mut self) -> PyResult<&mut v3::Pool> {
        match &mut self.0 {
            Core::V3(pool) => Ok(pool),
            Core::V2(_) => Err(PyValueError::new_err("a V2 pair has no ticks")),
        }
    }
}

#[pymethods]
impl AmmPool {
    #[staticmethod]
    fn from_reserves(reserve0: Word, reserve1: Word, fee_pips: u32) -> PyResult<Self> {
        v2::Pair::new(reserve0.0, reserve1.0, fee_pips).map(|pair| Self(Core::V2(pair))).map_err(amm_error)
    }

    #[staticmethod]
    fn from_ticks(
        sqrt_price_x96: Word,
        tick: i32,
        liquidity: u128,
        fee_pips: u32,
        tick_spacing: i32,
        ticks: Vec<(i32, i128, u128)>,
    ) -> PyResult<Self> {
        let slot = Slot { sqrt_price: sqrt_price_x96.0, tick, liquidity };
        let ticks = ticks.into_iter().map(|(number, net, gross)| (number, Tick { net, gross }));
        v3::Pool::new(slot, fee_pips, tick_spacing, ticks).map(|pool| Self(Core::V3(pool))).map_err(amm_error)
    }

    fn quote_exact_in_down(&self, zero_for_one: bool, amount_in: Word) -> PyResult<Word> {
        self.0.quote_exact_in_down(zero_for_one, amount_in.0).map(Word).map_err(amm_error)
    }

    fn quote_exact_out_up(&self, zero_for_one: bool, amount_out: Word) -> PyResult<Word> {
        self.0.quote_exact_out_up(zero_for_one, amount_out.0).map(Word).map_err(amm_error)
    }

    fn swap_exact_in(&mut self, zero_for_one: bool, amount_in: Word) -> PyResult<Word> {
        self.0.swap_exact_in(zero_for_one, amount_in.0).map(Word).map_err(amm_error)
    }

    fn move_to(&mut self, sqrt_price_x96: Word, tick: i32, liquidity: u128) -> PyResult<()> {
        self.v3()?.move_to(Slot { sqrt_price: sqrt_price_x96.0, tick, liquidity }).map_err(amm_error)
    }

    fn change_liquidity(&mut self, tick_lower: i32, tick_upper: i32, delta: i128) -> PyResult<()> {
        self.v3()?.change_liquidity(tick_lower, tick_upper, delta).map_err(amm_error)
    }

    /// Returns (reserve 0, reserve 1) of a pair, (square-root price, tick, liquidity) of a V3 pool.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match &self.0 {
            Core::V2(pair) => {
                let [zero, one] = pair.reserves();
                (Word(zero), Word(one)).into_pyobject(py)?.into_any().unbind()
            }
            Core::V3(pool) => {
                let slot = pool.slot();
                (Word(slot.sqrt_price), slot.tick, slot.liquidity).into_pyobject(py)?.into_any().unbind()
            }
        })
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("PoolDepthError", m.py().get_type::<PoolDepthError>())?;
    m.add_class::<AmmPool>()
}
