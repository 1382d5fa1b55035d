//! Many parameter sets over one array of bars.

use capstan_core::batch::{run, AverageTerms, Bars, BreakoutTerms, Costs, Curve, Figures, MacdTerms, RsiTerms};
use capstan_core::batch::{Set, Sizing, Span, Terms, COLUMNS};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Numbers of one set: rule, four parameters, whether it may be short, sizing, four parameters.
const WIDTH: usize = 11;

#[pyclass(frozen)]
struct BarRuns {
    columns: [Vec<f64>; 7],
    costs: Costs,
}

fn floats(bytes: &[u8]) -> PyResult<Vec<f64>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(PyValueError::new_err(format!("{} bytes are no float64 array", bytes.len())));
    }
    Ok(numbers.iter().map(|number| f64::from_le_bytes(*number)).collect())
}

fn to_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn length(value: f64) -> PyResult<usize> {
    if value >= 1.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0 {
        return Ok(value as usize);
    }
    Err(PyValueError::new_err(format!("expected a length in bars, found {value}")))
}

fn set(row: &[f64]) -> PyResult<Set> {
    let average = || Ok::<_, PyErr>(AverageTerms { fast: length(row[1])?, slow: length(row[2])?, band: row[3] });
    let terms = match row[0] as i64 {
        0 => Terms::Sma(average()?),
        1 => Terms::Ema(average()?),
        2 => Terms::Macd(MacdTerms {
            fast: length(row[1])?,
            slow: length(row[2])?,
            signal: length(row[3])?,
            band: row[4],
        }),
        3 => Terms::Rsi(RsiTerms { length: length(row[1])?, low: row[2], high: row[3], reverts: row[4] != 0.0 }),
        4 => Terms::Breakout(BreakoutTerms { enter: length(row[1])?, leave: length(row[2])? }),
        other => return Err(PyValueError::new_err(format!("no rule has the number {other}"))),
    };
    let sizing = match row[6] as i64 {
        0 => Sizing::Fraction { share: row[7] },
        1 => Sizing::Volatility { target: row[7], length: length(row[8])?, leverage_max: row[9] },
        2 => Sizing::Atr { risk: row[7], multiple: row[10], length: length(row[8])?, leverage_max: row[9] },
        other => return Err(PyValueError::new_err(format!("no sizing has the number {other}"))),
    };
    if !terms.is_sound() || !sizing.is_sound() {
        return Err(PyValueError::new_err(format!("parameters that contradict themselves: {terms:?}, {sizing:?}")));
    }
    Ok(Set { terms, shorts: row[5] != 0.0, sizing })
}

impl BarRuns {
    fn bars(&self) -> Bars<'_> {
        let [open, high, low, close, funding, depth, slip] = &self.columns;
        Bars { open, high, low, close, funding, depth, slip }
    }

    /// Which bars a set is run over: the rule's own history before `begin` is 10 times what it looks back.
    fn span(&self, set: &Set, begin: usize, end: usize, history: Option<usize>) -> PyResult<Span> {
        if begin >= end || end > self.bars().len() {
            return Err(PyValueError::new_err(format!("no bars {begin} to {end} of {}", self.bars().len())));
        }
        let history = history.unwrap_or_else(|| 10 * set.terms.longest().max(set.sizing.longest()));
        Ok(Span { first: begin.saturating_sub(history), begin, end })
    }
}

#[pymethods]
impl BarRuns {
    #[classattr]
    #[allow(non_snake_case)]
    fn COLUMNS() -> Vec<&'static str> {
        COLUMNS.to_vec()
    }

    #[new]
    #[pyo3(signature = (columns, *, equity, fee, half_spread, closes))]
    fn new(columns: Vec<PyBackedBytes>, equity: f64, fee: f64, half_spread: f64, closes: bool) -> PyResult<Self> {
        let columns = columns.iter().map(|bytes| floats(bytes)).collect::<PyResult<Vec<_>>>()?;
        let columns: [Vec<f64>; 7] = columns
            .try_into()
            .map_err(|found: Vec<_>| PyValueError::new_err(format!("7 columns, not {}", found.len())))?;
        let runs = Self { columns, costs: Costs { equity, fee, half_spread, closes } };
        if !runs.bars().is_whole() || runs.bars().is_empty() {
            return Err(PyValueError::new_err("columns are empty or of different lengths"));
        }
        if !(equity > 0.0 && half_spread >= 0.0 && fee.is_finite()) {
            return Err(PyValueError::new_err("equity is positive, costs are numbers"));
        }
        Ok(runs)
    }

    fn __len__(&self) -> usize {
        self.bars().len()
    }

    #[pyo3(signature = (sets, begin, end, history=None))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        sets: &[u8],
        begin: usize,
        end: usize,
        history: Option<usize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let numbers = floats(sets)?;
        if numbers.len() % WIDTH != 0 {
            return Err(PyValueError::new_err(format!("sets are rows of {WIDTH} numbers")));
        }
        let sets = numbers.chunks_exact(WIDTH).map(set).collect::<PyResult<Vec<_>>>()?;
        let spans = sets.iter().map(|set| self.span(set, begin, end, history)).collect::<PyResult<Vec<_>>>()?;
        let figures: Vec<f64> = py.detach(|| {
            let each = |(set, span): (&Set, &Span)| run(self.bars(), self.costs, set, *span, &mut ()).columns();
            sets.iter().zip(&spans).flat_map(each).collect()
        });
        Ok(PyBytes::new(py, &to_bytes(&figures)))
    }

    #[pyo3(signature = (set, begin, end, history=None))]
    fn curve<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = one)] set: Set,
        begin: usize,
        end: usize,
        history: Option<usize>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let span = self.span(&set, begin, end, history)?;
        let mut curve = Curve::default();
        let figures: Figures = py.detach(|| run(self.bars(), self.costs, &set, span, &mut curve));
        let bytes = |values: &[f64]| PyBytes::new(py, &to_bytes(values));
        Ok((bytes(&curve.units), bytes(&curve.net), bytes(&figures.columns())))
    }
}

fn one(bytes: &Bound<'_, PyAny>) -> PyResult<Set> {
    let numbers = floats(bytes.extract::<&[u8]>()?)?;
    if numbers.len() != WIDTH {
        return Err(PyValueError::new_err(format!("a set is {WIDTH} numbers")));
    }
    set(&numbers)
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BarRuns>()
}
