//! Market data for Python: recordings into event records, and through books.

use capstan_core::bars::{Bar, Builder, Rule};
use capstan_core::flat_book::{FlatBook as Levels, Level};
use capstan_core::grid::Grid;
use capstan_core::orders::Side;
use capstan_engine::book::Book;
use capstan_engine::event::{as_bytes, Event, Kind, BUY, SELL};
use capstan_engine::feed::capture::{Capture as Core, Tally};
use capstan_engine::feed::fuse::Fuse;
use capstan_engine::feed::{Decoder, Outcome, Source};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::collections::BTreeMap;

use crate::book::DecodeError;

/// Symbol, instrument index, tick size, lot size.
pub type SourceRow = (String, u32, String, String);

pub fn decoder(sources: Vec<SourceRow>) -> PyResult<Decoder> {
    let grid = |step: &str| Grid::new(step).map_err(|e| PyValueError::new_err(format!("step {step:?}: {e}")));
    let sources: PyResult<Vec<Source>> = sources
        .into_iter()
        .map(|(symbol, instrument, tick, lot)| Ok(Source { symbol, instrument, tick: grid(&tick)?, lot: grid(&lot)? }))
        .collect();
    Ok(Decoder::new(sources?))
}

#[pyclass]
struct FeedDecoder(Decoder);

#[pymethods]
impl FeedDecoder {
    #[new]
    fn new(sources: Vec<SourceRow>) -> PyResult<Self> {
        Ok(Self(decoder(sources)?))
    }

    #[pyo3(signature = (message, time_local_ns, asked=None))]
    fn decode<'py>(
        &mut self,
        py: Python<'py>,
        message: &[u8],
        time_local_ns: i64,
        asked: Option<u32>,
    ) -> PyResult<(&'static str, Bound<'py, PyBytes>)> {
        let mut events = Vec::new();
        let outcome = self.0.decode(message, time_local_ns, asked, &mut events);
        let outcome = outcome.map_err(|e| DecodeError::new_err(e.to_string()))?;
        let name = match outcome {
            Outcome::Events => "events",
            Outcome::Old => "old",
            Outcome::Kept => "kept",
            Outcome::Gap => "gap",
            Outcome::TooOld => "too_old",
            Outcome::Ignored => "ignored",
        };
        Ok((name, PyBytes::new(py, as_bytes(&events))))
    }

    fn disconnected<'py>(&mut self, py: Python<'py>, time_local_ns: i64) -> Bound<'py, PyBytes> {
        let mut events = Vec::new();
        self.0.disconnected(time_local_ns, &mut events);
        PyBytes::new(py, as_bytes(&events))
    }

    fn is_following(&self, instrument: u32) -> bool {
        self.0.is_following(instrument)
    }
}

#[pyclass]
struct Capture {
    core: Core,
    book: Book,
}

#[pymethods]
impl Capture {
    #[new]
    #[pyo3(signature = (symbol, instrument, tick_size, lot_size, shift_ns=0))]
    fn new(symbol: String, instrument: u32, tick_size: String, lot_size: String, shift_ns: i64) -> PyResult<Self> {
        let decoder = decoder(vec![(symbol, instrument, tick_size, lot_size)])?;
        Ok(Self { core: Core::new(decoder, instrument, shift_ns), book: Book::new() })
    }

    fn read<'py>(&mut self, py: Python<'py>, lines: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let core = &mut self.core;
        let (read, events) = py.detach(|| {
            let mut all: Vec<Event> = Vec::with_capacity(lines.len() / 24);
            (core.read(lines, |events| all.extend_from_slice(events)), all)
        });
        read.map_err(|e| DecodeError::new_err(e.to_string()))?;
        Ok(PyBytes::new(py, as_bytes(&events)))
    }

    fn follow(&mut self, py: Python<'_>, lines: &[u8]) -> PyResult<u64> {
        let Self { core, book } = self;
        let changes = py.detach(|| {
            let (mut changes, mut best) = (0, (None, None));
            core.read(lines, |events| {
                for event in events {
                    book.apply(event);
                }
                let now = (book.best(Side::Buy), book.best(Side::Sell));
                changes += u64::from(now != best);
                best = now;
            })
            .map(|()| changes)
        });
        changes.map_err(|e| DecodeError::new_err(e.to_string()))
    }

    fn follow_messages(&mut self, messages: &Bound<'_, PyList>, time_local_ns: i64) -> PyResult<u64> {
        let (mut changes, mut best) = (0, (self.book.best(Side::Buy), self.book.best(Side::Sell)));
        let mut events: Vec<Event> = Vec::with_capacity(4096);
        for message in messages {
            let message = message.downcast::<PyBytes>()?.as_bytes();
            let taken = self.core.take(message, time_local_ns, &mut events);
            taken.map_err(|e| DecodeError::new_err(e.to_string()))?;
            for event in &events {
                self.book.apply(event);
            }
            events.clear();
            let now = (self.book.best(Side::Buy), self.book.best(Side::Sell));
            changes += u64::from(now != best);
            best = now;
        }
        Ok(changes)
    }

    fn best(&self) -> (Option<Level>, Option<Level>) {
        (self.book.best(Side::Buy), self.book.best(Side::Sell))
    }

    #[getter]
    fn tally(&self) -> Vec<(&'static str, u64)> {
        let Tally { messages, events, taken, old, kept, gaps, too_old, ignored } = self.core.tally();
        vec![
            ("messages", messages),
            ("events", events),
            ("taken", taken),
            ("old", old),
            ("kept", kept),
            ("gaps", gaps),
            ("too_old", too_old),
            ("ignored", ignored),
        ]
    }
}

/// Returns rows of (record, sequence, local time, bid, lots, ask, lots), zeros where the book is stale or empty.
#[pyfunction]
fn touches<'py>(py: Python<'py>, events: &[u8], instrument: u32) -> PyResult<Bound<'py, PyBytes>> {
    let records = events.chunks_exact(std::mem::size_of::<Event>());
    if !records.remainder().is_empty() {
        return Err(PyValueError::new_err("not whole event records"));
    }
    let records = records.map(bytemuck::pod_read_unaligned::<Event>);
    let mut rows: Vec<[i64; 7]> = Vec::new();
    let mut book = Book::new();
    for (at, event) in records.enumerate().filter(|(_, event)| event.instrument == instrument) {
        book.apply(&event);
        let moves = matches!(event.kind(), Some(Kind::Level | Kind::Clear | Kind::Stale));
        if moves && event.is_last() {
            let (bid, ask) = (book.best(Side::Buy).unwrap_or((0, 0)), book.best(Side::Sell).unwrap_or((0, 0)));
            let sequence = i64::try_from(event.sequence).unwrap_or(i64::MAX);
            rows.push([at as i64, sequence, event.time_local_ns, bid.0, bid.1, ask.0, ask.1]);
        }
    }
    Ok(PyBytes::new(py, bytemuck::cast_slice(&rows)))
}

/// Returns records in which each instrument's BBO moves the touch of its book between diffs.
#[pyfunction]
fn fuse<'py>(py: Python<'py>, events: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let records = events.chunks_exact(std::mem::size_of::<Event>());
    if !records.remainder().is_empty() {
        return Err(PyValueError::new_err("not whole event records"));
    }
    let mut books: BTreeMap<u32, Fuse> = BTreeMap::new();
    let (mut message, mut out) = (Vec::new(), Vec::with_capacity(events.len() / 48));
    for event in records.map(bytemuck::pod_read_unaligned::<Event>) {
        message.push(event);
        if event.is_last() {
            books.entry(event.instrument).or_default().message(&message, &mut out);
            message.clear();
        }
    }
    out.extend_from_slice(&message);
    Ok(PyBytes::new(py, as_bytes(&out)))
}

/// Returns finished bars as rows of (begin, end, open, high, low, close, volume, bought, value, trades).
#[pyfunction]
fn bars<'py>(py: Python<'py>, events: &[u8], instrument: u32, rule: &str, size: i64) -> PyResult<Bound<'py, PyBytes>> {
    let rule = match rule {
        "time" => Rule::Time(size),
        "ticks" => Rule::Ticks(u64::try_from(size).unwrap_or(0)),
        "volume" => Rule::Volume(size.into()),
        "value" => Rule::Value(size.into()),
        _ => return Err(PyValueError::new_err(format!("expected time, ticks, volume or value, found {rule:?}"))),
    };
    let records = events.chunks_exact(std::mem::size_of::<Event>());
    if !records.remainder().is_empty() {
        return Err(PyValueError::new_err("not whole event records"));
    }
    let mut builder = Builder::new(rule).map_err(|_| PyValueError::new_err("the size must be positive"))?;
    let mut rows: Vec<[i64; 10]> = Vec::new();
    for event in records.map(bytemuck::pod_read_unaligned::<Event>) {
        if event.instrument != instrument || event.kind() != Some(Kind::Trade) {
            continue;
        }
        let taker = if event.side == SELL { Side::Sell } else { Side::Buy };
        if let Some(bar) = builder.trade(event.time_exchange_ns, event.price, event.size, taker) {
            let narrow = |sum: i128| i64::try_from(sum).map_err(|_| PyOverflowError::new_err("a sum exceeds 63 bits"));
            let (volume, bought, value) = (narrow(bar.volume)?, narrow(bar.bought)?, narrow(bar.value)?);
            let Bar { begin_ns, end_ns, open, high, low, close, trades, .. } = bar;
            rows.push([begin_ns, end_ns, open, high, low, close, volume, bought, value, trades as i64]);
        }
    }
    Ok(PyBytes::new(py, bytemuck::cast_slice(&rows)))
}

#[pyclass]
struct FlatBook(Levels);

#[pymethods]
impl FlatBook {
    #[new]
    fn new() -> Self {
        Self(Levels::new())
    }

    fn set(&mut self, side_code: u8, price: i64, size: i64) -> PyResult<()> {
        self.0.set(side(side_code)?, price, size);
        Ok(())
    }

    fn clear(&mut self, side_code: u8) -> PyResult<()> {
        self.0.clear(side(side_code)?);
        Ok(())
    }

    fn best(&self, side_code: u8) -> PyResult<Option<Level>> {
        Ok(self.0.best(side(side_code)?))
    }

    fn size_at(&self, side_code: u8, price: i64) -> PyResult<i64> {
        Ok(self.0.size_at(side(side_code)?, price))
    }

    fn levels(&self, side_code: u8) -> PyResult<Vec<Level>> {
        Ok(self.0.levels(side(side_code)?).collect())
    }

    fn depth_until(&self, side_code: u8, price: i64) -> PyResult<i64> {
        Ok(self.0.depth_until(side(side_code)?, price))
    }
}

fn side(code: u8) -> PyResult<Side> {
    match code {
        BUY => Ok(Side::Buy),
        SELL => Ok(Side::Sell),
        _ => Err(PyValueError::new_err(format!("expected side 0 or 1, found {code}"))),
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<FeedDecoder>()?;
    m.add_class::<Capture>()?;
    m.add_class::<FlatBook>()?;
    m.add_function(wrap_pyfunction!(touches, m)?)?;
    m.add_function(wrap_pyfunction!(bars, m)?)?;
    m.add_function(wrap_pyfunction!(fuse, m)?)
}
