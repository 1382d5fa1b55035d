//! An engine with native and Python strategies, driven over events.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytemuck::Zeroable;
use capstan_engine::command::Command;
use capstan_engine::event::{as_bytes, from_bytes, Event, Kind, PAYLOAD};

use capstan_engine::journal::{Contents, Header, JournalError, SLOT};
use capstan_engine::payload::{Settlement, SwapStatus};
use capstan_engine::sim::pool_venue::PoolVenue;
use capstan_engine::sim::{self, BadSettings, Chain, Exchange, FeedJournal, Journal, Stop, Unfit};
use capstan_engine::Engine;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::context::Info;
use super::pools::Pools;
use super::settings;
use super::signals::{Signal, Signals};
use super::strategy::{Failure, PyStrategy};
use crate::amm::{AmmPool, Word};
use crate::engine_config;

/// Events between two looks at signals, failures and progress.
const CHUNK: usize = 1 << 14;

/// Returns each instrument's `terms`, where the configuration carries them.
fn terms(config: &Bound<'_, PyAny>) -> PyResult<Vec<Option<Py<PyAny>>>> {
    let given = |instrument: PyResult<Bound<'_, PyAny>>| -> PyResult<Option<Py<PyAny>>> {
        Ok(instrument?.downcast_into::<PyDict>()?.get_item("terms")?.map(Bound::unbind))
    };
    config.get_item("instruments")?.try_iter()?.map(given).collect()
}

/// Makes an engine of a configuration and its strategies: each an `engine.sdk.Strategy`, or a native kernel's kind with
/// its parameters. Without `pools`, an `engine.sdk.pools.PoolTerms` for each of the configuration's, strategies see none.
pub fn engine(
    py: Python<'_>,
    config: &Bound<'_, PyAny>,
    strategies: Vec<Bound<'_, PyAny>>,
    pools: &[Bound<'_, PyAny>],
    failure: &Arc<Failure>,
    signals: &Arc<Signals>,
) -> PyResult<Engine> {
    let terms = terms(config)?;
    let config = engine_config::config(config)?;
    if config.strategies.len() != strategies.len() {
        return Err(PyValueError::new_err("as many strategies as the configuration names are needed"));
    }
    let venues: Vec<String> = config.venues.iter().map(|v| v.name.clone()).collect();
    let instruments = config.instruments.clone();
    let pools = Pools::new(py, pools, config.pools.len())?;
    let infos = || {
        let value = |d: capstan_engine::instrument::Decimal| d.digits as f64 / 10f64.powi(i32::from(d.scale));
        let info = |(at, i): (usize, &capstan_engine::instrument::Instrument)| Info {
            name: format!("{}:{}", venues[usize::from(i.venue)], i.symbol),
            tick: value(i.tick),
            lot: value(i.lot),
            terms: terms.get(at).and_then(|terms| terms.as_ref()).map(|terms| terms.clone_ref(py)),
        };
        instruments.iter().enumerate().map(info).collect::<Vec<_>>()
    };
    let mut engine = Engine::new(config).map_err(|why| PyValueError::new_err(why.to_string()))?;
    for (id, strategy) in strategies.into_iter().enumerate() {
        let id = id as u8;
        if let Ok((kind, parameters)) = strategy.extract::<(String, Bound<'_, PyAny>)>() {
            engine.add(settings::native(id, &kind, &parameters)?);
        } else {
            let shared = (pools.clone(), failure.clone(), signals.clone());
            engine.add(Box::new(PyStrategy::new(py, id, strategy, infos(), shared.0, shared.1, shared.2)?));
        }
    }
    Ok(engine)
}

/// What a run is looked at by afterwards.
#[derive(Default)]
struct Record {
    /// Trades of ours as the kernel was told them, told twice included.
    fills: Vec<Event>,
    commands: Vec<Command>,
    settled: Vec<(u64, Settlement)>,
}

/// Keeps fills and commands, and writes the run's journal; everything else passes at the cost of a comparison.
struct Recorder {
    record: Option<Arc<Mutex<Record>>>,
    journal: Option<FeedJournal>,
}

impl Journal for Recorder {
    #[inline]
    fn event(&mut self, event: &Event, payload: &[u8]) {
        if let Some(journal) = &mut self.journal {
            journal.event(event, payload);
        }
        if event.kind == Kind::Fill as u8 {
            if let Some(Ok(mut record)) = self.record.as_ref().map(|record| record.lock()) {
                record.fills.push(*event);
            }
        } else if event.kind == Kind::Settled as u8 {
            if let (Some(Ok(mut record)), Ok(settlement)) =
                (self.record.as_ref().map(|record| record.lock()), Settlement::read(payload))
            {
                record.settled.push((event.aux[0] as u64, settlement));
            }
        }
    }

    fn command(&mut self, command: &Command) {
        if let Some(Ok(mut record)) = self.record.as_ref().map(|record| record.lock()) {
            record.commands.push(*command);
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.end())
    }
}

/// The state of a run at one instant: time, result of all and of each strategy, then lots and twice-mid of each
/// instrument. A result that cannot be marked repeats the last.
type Sample = Vec<i64>;

struct Run {
    backtest: sim::Backtest,
    failure: Arc<Failure>,
    record: Arc<Mutex<Record>>,
    signals: Arc<Signals>,
    samples: Vec<Sample>,
    capital: Vec<(u16, i128)>,
    is_opened: bool,
    is_over: bool,
}

impl Run {
    /// Tells the kernel what is held at the start.
    fn open(&mut self, first: &Event) -> PyResult<()> {
        for (asset, raw) in std::mem::take(&mut self.capital) {
            let event = Event {
                time_exchange_ns: first.time_local_ns,
                time_local_ns: first.time_local_ns,
                kind: Kind::Balance as u8,
                flags: PAYLOAD,
                aux: [i64::from(asset), 16],
                ..Event::zeroed()
            };
            self.backtest.tell(&event, &raw.to_le_bytes()).map_err(|why| PyRuntimeError::new_err(why.to_string()))?;
        }
        self.is_opened = true;
        Ok(())
    }

    fn sample(&mut self) {
        let kernel = &self.backtest.engine.kernel;
        let (portfolio, config) = (kernel.portfolio(), kernel.config());
        let last = self.samples.last();
        let value = |at: usize, result: Option<i128>| {
            let found = result.map(|value| value.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
            found.or_else(|| last.map(|sample| sample[at])).unwrap_or(0)
        };
        let mut sample = vec![kernel.now_ns(), value(1, portfolio.result(None))];
        for strategy in 0..config.strategies.len() {
            sample.push(value(2 + strategy, portfolio.result(Some(strategy as u8))));
        }
        for instrument in 0..config.instruments.len() as u32 {
            sample.push(portfolio.lots_total(instrument));
            sample.push(portfolio.mark(instrument));
        }
        self.samples.push(sample);
    }
}

/// Returns what the header of a run's journal says.
fn header(engine: &Engine, identity: [u8; 32]) -> Header {
    let config = engine.kernel.config();
    Header { run: config.run, seed: config.seed, config: identity }
}

fn begin(path: &Path, engine: &Engine, identity: [u8; 32]) -> PyResult<FeedJournal> {
    let bad = |why: String| PyOSError::new_err(format!("{}: {why}", path.display()));
    let (file, bytes) =
        capstan_engine::journal::Journal::open(path, &header(engine, identity)).map_err(|e| bad(e.to_string()))?;
    if bytes.len() > SLOT {
        return Err(bad("holds a run already".into()));
    }
    Ok(FeedJournal::new(file))
}

/// Has a fresh engine take what a backtest's journal and its feed say, and returns the digest of what it decided.
#[pyfunction]
#[pyo3(signature = (config, strategies, events, journal, *, pools = Vec::new()))]
pub fn replay_backtest(
    py: Python<'_>,
    config: &Bound<'_, PyAny>,
    strategies: &Bound<'_, PyTuple>,
    events: &Bound<'_, PyAny>,
    journal: (PathBuf, [u8; 32]),
    pools: Vec<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let failure = Arc::new(Failure::default());
    let mut engine = engine(py, config, strategies.iter().collect(), &pools, &failure, &Arc::new(Signals::unkept()))?;
    let bad = |why: String| PyValueError::new_err(format!("{}: {why}", journal.0.display()));
    let bytes = std::fs::read(&journal.0)?;
    let contents = Contents::read(&bytes).map_err(|e| bad(e.to_string()))?;
    if contents.header != header(&engine, journal.1) {
        return Err(bad(JournalError::Other(contents.header).to_string()));
    }
    let buffer = PyBuffer::<u8>::get(events)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("events must be contiguous"));
    }
    // SAFETY: the buffer is held for the whole call, and the caller does not write to it meanwhile.
    let feed = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    let feed = from_bytes(feed).ok_or_else(|| PyValueError::new_err("events are records of 64 bytes"))?;
    let mut commands = Vec::new();
    let replayed = sim::replay(&contents, feed, |event, payload| {
        commands.clear();
        engine.step(event, payload, &mut commands)
    });
    failure.check()?;
    match replayed {
        Ok(()) => Ok(hex(engine.kernel.digest())),
        Err(Unfit::Refused(broken)) => Err(PyRuntimeError::new_err(broken.to_string())),
        Err(Unfit::Feed { said, found }) => Err(bad(format!("{said} market events were taken, the feed has {found}"))),
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An engine with its strategies on simulated venues, over recorded events.
#[pyclass(module = "capstan_native")]
pub struct Backtest(Mutex<Run>);

impl Backtest {
    fn get(&mut self) -> PyResult<&mut Run> {
        self.0.get_mut().map_err(|_| PyRuntimeError::new_err("an earlier call broke off in the middle"))
    }
}

#[pymethods]
impl Backtest {
    #[new]
    #[pyo3(signature = (config, strategies, venues, *, capital = Vec::new(), tick_ns = 0, settle_ns = 0, records = true,
        journal = None, pools = Vec::new(), chain = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        config: &Bound<'_, PyAny>,
        strategies: &Bound<'_, PyTuple>,
        venues: Vec<Bound<'_, PyDict>>,
        capital: Vec<(u16, i128)>,
        tick_ns: i64,
        settle_ns: i64,
        records: bool,
        journal: Option<(PathBuf, [u8; 32])>,
        pools: Vec<Bound<'_, PyAny>>,
        chain: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let failure = Arc::new(Failure::default());
        let signals = Arc::new(Signals::default());
        let engine = engine(py, config, strategies.iter().collect(), &pools, &failure, &signals)?;
        let bad = |why: BadSettings| PyValueError::new_err(why.to_string());
        let instruments = engine.kernel.config().instruments.clone();
        let exchanges = venues
            .iter()
            .map(|venue| Exchange::new(crate::sim::settings(venue)?, &instruments).map_err(bad))
            .collect::<PyResult<Vec<_>>>()?;
        let record = Arc::new(Mutex::new(Record::default()));
        let mut backtest = sim::Backtest::new(engine, exchanges).with_tick(tick_ns).with_settling(settle_ns);
        if let Some(chain) = chain {
            let model = crate::sim::chain(&chain, backtest.engine.kernel.config().pools.clone())?;
            backtest = backtest.with_chain(Chain::new(PoolVenue::new(model)));
        }
        let journal = journal.map(|(path, identity)| begin(&path, &backtest.engine, identity)).transpose()?;
        if records || journal.is_some() {
            let record = records.then(|| record.clone());
            backtest = backtest.with_journal(Box::new(Recorder { record, journal }));
        }
        let run =
            Run { backtest, failure, record, signals, samples: Vec::new(), capital, is_opened: false, is_over: false };
        Ok(Self(Mutex::new(run)))
    }

    /// Runs over the next `limit` records (all when none) of the events, which must be the same in every call; looks at
    /// the state every `every` records. Returns whether there is more.
    #[pyo3(signature = (events, every, limit = None))]
    fn run(&mut self, py: Python<'_>, events: &Bound<'_, PyAny>, every: usize, limit: Option<usize>) -> PyResult<bool> {
        let buffer = PyBuffer::<u8>::get(events)?;
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("events must be contiguous"));
        }
        // SAFETY: the buffer is held for the whole call, and the caller does not write to it meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
        let (Some(events), true) = (from_bytes(bytes), every > 0) else {
            return Err(PyValueError::new_err("events are records of 64 bytes, looked at every so many of them"));
        };
        let run = self.get()?;
        if let (Some(first), false) = (events.first(), run.is_opened) {
            run.open(first)?;
        }
        let until = limit.map_or(usize::MAX, |limit| run.backtest.position().saturating_add(limit));
        let mut calls_often = true;
        let mut next_sample = run.backtest.position() + every;
        while !run.is_over && run.backtest.position() < until {
            let (before, wakes) = (run.backtest.position(), run.failure.wakes());
            let budget = CHUNK.min(until - before).min(next_sample - before).max(1);
            // Where Python is called often, giving the lock back and taking it again would cost more than the rest.
            let ran = if calls_often {
                run.backtest.run(events, 0, budget)
            } else {
                py.detach(|| run.backtest.run(events, 0, budget))
            };
            run.failure.check()?;
            run.is_over = ran.map_err(|why| PyRuntimeError::new_err(why.to_string()))? == Stop::End;
            calls_often = (run.failure.wakes() - wakes) * 64 > (run.backtest.position() - before) as u64;
            if run.is_over || run.backtest.position() >= next_sample {
                run.sample();
                next_sample = run.backtest.position() + every;
            }
            py.check_signals()?;
        }
        Ok(!run.is_over)
    }

    /// Returns how many records of the feed the engine has passed.
    fn position(&mut self) -> PyResult<usize> {
        Ok(self.get()?.backtest.position())
    }

    /// Returns SHA-256 over every command, fill and settlement so far.
    fn digest(&mut self) -> PyResult<String> {
        Ok(hex(self.get()?.backtest.engine.kernel.digest()))
    }

    /// Returns the fills told and the commands given, as records.
    fn records<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let run = self.get()?;
        let record = run.record.lock().map_err(|_| PyRuntimeError::new_err("the record broke off"))?;
        Ok((PyBytes::new(py, as_bytes(&record.fills)), PyBytes::new(py, bytemuck::cast_slice(&record.commands))))
    }

    /// Returns what became of each swap: id, whether it was mined, what went in and came out, gas in wei, block, reason.
    #[allow(clippy::type_complexity)]
    fn settlements(&mut self) -> PyResult<Vec<(u64, bool, Word, Word, Word, u64, String)>> {
        let run = self.get()?;
        let record = run.record.lock().map_err(|_| PyRuntimeError::new_err("the record broke off"))?;
        let row = |(id, s): &(u64, Settlement)| {
            let (taken, given, gas) = (Word(s.amount_in), Word(s.amount_out), Word(s.gas_cost_wei));
            (*id, s.status == SwapStatus::Mined, taken, given, gas, s.block_number, s.reason.clone())
        };
        Ok(record.settled.iter().map(row).collect())
    }

    /// Returns the signals kept so far, which are forgotten, and how many came after there was no room.
    fn signals(&mut self) -> PyResult<(Vec<Signal>, usize)> {
        self.get()?.signals.take()
    }

    /// Returns what is held of each asset, in raw units.
    fn balances(&mut self) -> PyResult<Vec<i128>> {
        let kernel = &self.get()?.backtest.engine.kernel;
        let assets = kernel.config().assets.len() as u16;
        Ok((0..assets).map(|asset| kernel.portfolio().balance(asset)).collect())
    }

    /// Returns a pool as the chain has it, our swaps included; nothing before its snapshot.
    fn pool(&mut self, index: u32) -> PyResult<Option<AmmPool>> {
        let chain = self.get()?.backtest.chain();
        let Some(replica) = chain.and_then(|chain| chain.venue.pool(index)) else {
            return Err(PyValueError::new_err(format!("there is no chain, or it has no pool {index}")));
        };
        Ok(replica.pool().ok().map(|pool| AmmPool(pool.clone())))
    }

    /// Returns the states looked at, one row each.
    fn samples(&mut self) -> PyResult<Vec<Vec<i64>>> {
        Ok(self.get()?.samples.clone())
    }

    /// Returns each strategy's state as a snapshot keeps it.
    fn states<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let run = self.get()?;
        Ok(run.backtest.engine.strategies().iter().map(|s| PyBytes::new(py, &s.state())).collect())
    }

    /// Takes up states that `states` gave, in a run of the same strategies.
    fn restore(&mut self, states: Vec<Vec<u8>>) -> PyResult<()> {
        let run = self.get()?;
        let strategies = run.backtest.engine.strategies_mut();
        if strategies.len() != states.len() {
            return Err(PyValueError::new_err("as many states as strategies are needed"));
        }
        for (at, (strategy, state)) in strategies.iter_mut().zip(&states).enumerate() {
            if !strategy.restore(state) {
                run.failure.check()?;
                return Err(PyValueError::new_err(format!("strategy {at} cannot take this state up")));
            }
        }
        Ok(())
    }

    /// Returns (lots, open orders) of a strategy in an instrument.
    fn standing(&mut self, strategy: u8, instrument: u32) -> PyResult<(i64, usize)> {
        let kernel = &self.get()?.backtest.engine.kernel;
        let config = kernel.config();
        if usize::from(strategy) >= config.strategies.len() || instrument as usize >= config.instruments.len() {
            return Err(PyValueError::new_err(format!("no strategy {strategy} or no instrument {instrument}")));
        }
        let open = kernel.orders().open_of(instrument).filter(|order| order.strategy == strategy).count();
        Ok((kernel.position(strategy, instrument), open))
    }
}
