use capstan_core::matching::Engine;
use capstan_core::orders::{Command, Event, Kind, NewOrder, Resting, SelfTrade, Side, Size, TimeInForce};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Words of 8 bytes in a batch record, of a command and of an event.
const COMMAND_WORDS: usize = 8;
const EVENT_WORDS: usize = 6;

type Row = (i64, i64, i64, i64, i64, i64);
/// A waiting order: id, owner, price, lots shown, lots hidden.
type Waiting = (u64, u64, i64, i64, i64);

const CONSTANTS: [(&str, u8); 31] = [
    ("BUY", 0),
    ("SELL", 1),
    ("LIMIT", 0),
    ("LIMIT_MAKER", 1),
    ("MARKET", 2),
    ("GTC", 0),
    ("IOC", 1),
    ("FOK", 2),
    ("STP_NONE", 0),
    ("STP_EXPIRE_MAKER", 1),
    ("STP_EXPIRE_TAKER", 2),
    ("STP_EXPIRE_BOTH", 3),
    ("STP_DECREMENT", 4),
    ("SUBMIT", 0),
    ("CANCEL", 1),
    ("REDUCE", 2),
    ("REPLACE", 3),
    ("TRADED", 1),
    ("PREVENTED", 2),
    ("RESTED", 3),
    ("EXPIRED", 4),
    ("CANCELED", 5),
    ("REDUCED", 6),
    ("REJECTED", 7),
    ("LEVEL", 8),
    ("REFILLED", 9),
    ("DUPLICATE_ID", 1),
    ("UNKNOWN_ID", 2),
    ("WOULD_TAKE", 3),
    ("BAD_PRICE", 4),
    ("BAD_SIZE", 5),
];

fn unknown(what: &str, code: u8) -> PyErr {
    PyValueError::new_err(format!("unknown {what} {code}"))
}

fn side(code: u8) -> PyResult<Side> {
    match code {
        0 => Ok(Side::Buy),
        1 => Ok(Side::Sell),
        _ => Err(unknown("side", code)),
    }
}

fn kind(code: u8) -> PyResult<Kind> {
    match code {
        0 => Ok(Kind::Limit),
        1 => Ok(Kind::LimitMaker),
        2 => Ok(Kind::Market),
        _ => Err(unknown("kind", code)),
    }
}

fn time_in_force(code: u8) -> PyResult<TimeInForce> {
    match code {
        0 => Ok(TimeInForce::Gtc),
        1 => Ok(TimeInForce::Ioc),
        2 => Ok(TimeInForce::Fok),
        _ => Err(unknown("time in force", code)),
    }
}

fn self_trade(code: u8) -> PyResult<SelfTrade> {
    match code {
        0 => Ok(SelfTrade::Allow),
        1 => Ok(SelfTrade::ExpireMaker),
        2 => Ok(SelfTrade::ExpireTaker),
        3 => Ok(SelfTrade::ExpireBoth),
        4 => Ok(SelfTrade::Decrement),
        _ => Err(unknown("self-trade prevention", code)),
    }
}

/// Ids are below 2^63, as the caller's signature says, so that they survive the signed words of a row.
fn row(event: Event) -> Row {
    let id = |id: u64| id as i64;
    match event {
        Event::Traded { taker, maker, price, lots, maker_left } => (1, id(taker), id(maker), price, lots, maker_left),
        Event::Prevented { id: at, other, price, lots, left } => (2, id(at), id(other), price, lots, left),
        Event::Rested { id: at, price, lots, left } => (3, id(at), 0, price, lots, left),
        Event::Expired { id: gone, lots } => (4, id(gone), 0, 0, lots, 0),
        Event::Canceled { id: gone, price, lots } => (5, id(gone), 0, price, lots, 0),
        Event::Reduced { id: at, price, left } => (6, id(at), 0, price, 0, left),
        Event::Rejected { id: refused, why } => (7, id(refused), why as i64, 0, 0, 0),
        Event::Refilled { id: at, price, lots, left } => (9, id(at), 0, price, lots, left),
        Event::Level { side, price, lots } => (8, i64::from(side == Side::Sell), 0, price, lots, lots),
    }
}

/// Reads one command: `code, id, owner, price, lots, quote, other, display`, where `code` holds five bytes, lowest first:
/// command, side, kind, time in force, self-trade prevention.
fn command(words: &[i64; COMMAND_WORDS]) -> PyResult<Command> {
    let [code, id, owner, price, lots, quote, other, display] = *words;
    let [what, side_code, kind_code, force_code, prevention_code, ..] = code.to_le_bytes();
    let order = || -> PyResult<NewOrder> {
        Ok(NewOrder {
            id: id as u64,
            owner: owner as u64,
            side: side(side_code)?,
            kind: kind(kind_code)?,
            time_in_force: time_in_force(force_code)?,
            self_trade: self_trade(prevention_code)?,
            price,
            size: if quote == 0 { Size::Lots(lots) } else { Size::Quote(quote) },
            display,
        })
    };
    match what {
        0 => Ok(Command::Submit(order()?)),
        1 => Ok(Command::Cancel(id as u64)),
        2 => Ok(Command::Reduce(id as u64, lots)),
        3 => Ok(Command::Replace(other as u64, order()?)),
        _ => Err(unknown("command", what)),
    }
}

fn words(record: &[u8]) -> [i64; COMMAND_WORDS] {
    std::array::from_fn(|i| {
        let mut word = [0; 8];
        word.copy_from_slice(&record[i * 8..i * 8 + 8]);
        i64::from_le_bytes(word)
    })
}

#[pyclass]
struct MatchingEngine {
    core: Engine,
    events: Vec<Event>,
}

impl MatchingEngine {
    fn rows(&mut self, command: Command) -> Vec<Row> {
        self.events.clear();
        self.core.run(command, &mut self.events);
        self.events.iter().copied().map(row).collect()
    }
}

#[pymethods]
impl MatchingEngine {
    #[new]
    fn new() -> Self {
        Self { core: Engine::new(), events: Vec::new() }
    }

    #[pyo3(signature = (order_id, owner, side_code, price, lots, kind_code=0, tif_code=0, stp_code=0, quote=0, display=0))]
    #[allow(clippy::too_many_arguments)] // The order's fields; a Python object for them would cost more than matching.
    fn submit(
        &mut self,
        order_id: u64,
        owner: u64,
        side_code: u8,
        price: i64,
        lots: i64,
        kind_code: u8,
        tif_code: u8,
        stp_code: u8,
        quote: i64,
        display: i64,
    ) -> PyResult<Vec<Row>> {
        let order = NewOrder {
            id: order_id,
            owner,
            side: side(side_code)?,
            kind: kind(kind_code)?,
            time_in_force: time_in_force(tif_code)?,
            self_trade: self_trade(stp_code)?,
            price,
            size: if quote == 0 { Size::Lots(lots) } else { Size::Quote(quote) },
            display,
        };
        Ok(self.rows(Command::Submit(order)))
    }

    #[pyo3(signature = (order_id, owner, side_code, price, lots, hidden=0, display=0))]
    #[allow(clippy::too_many_arguments)] // As `submit`.
    fn put_back(
        &mut self,
        order_id: u64,
        owner: u64,
        side_code: u8,
        price: i64,
        lots: i64,
        hidden: i64,
        display: i64,
    ) -> PyResult<Vec<Row>> {
        let order = Resting { id: order_id, owner, side: side(side_code)?, price, lots, hidden, display };
        self.events.clear();
        self.core.put_back(order, &mut self.events);
        Ok(self.events.iter().copied().map(row).collect())
    }

    fn cancel(&mut self, order_id: u64) -> Vec<Row> {
        self.rows(Command::Cancel(order_id))
    }

    fn reduce(&mut self, order_id: u64, left: i64) -> Vec<Row> {
        self.rows(Command::Reduce(order_id, left))
    }

    fn run<'py>(&mut self, py: Python<'py>, commands: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let records = commands.chunks_exact(COMMAND_WORDS * 8);
        if !records.remainder().is_empty() {
            return Err(PyValueError::new_err(format!("{} bytes are no whole number of records", commands.len())));
        }
        // All are read before the first is run: a bad record changes nothing.
        let commands = records.map(|record| command(&words(record))).collect::<PyResult<Vec<_>>>()?;
        self.events.clear();
        for command in commands {
            self.core.run(command, &mut self.events);
        }
        let mut out = Vec::with_capacity(self.events.len() * EVENT_WORDS * 8);
        for event in &self.events {
            let (kind, id, other, price, lots, left) = row(*event);
            for word in [kind, id, other, price, lots, left] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        Ok(PyBytes::new(py, &out))
    }

    fn best(&self, side_code: u8) -> PyResult<Option<(i64, i64)>> {
        Ok(self.core.levels(side(side_code)?).next())
    }

    fn levels(&self, side_code: u8, n: usize) -> PyResult<Vec<(i64, i64)>> {
        Ok(self.core.levels(side(side_code)?).take(n).collect())
    }

    fn lots_at(&self, side_code: u8, price: i64) -> PyResult<i64> {
        Ok(self.core.lots_at(side(side_code)?, price))
    }

    fn orders(&self, side_code: u8) -> PyResult<Vec<Waiting>> {
        Ok(self.core.orders(side(side_code)?).map(|o| (o.id, o.owner, o.price, o.lots, o.hidden)).collect())
    }

    fn cost_of(&self, side_code: u8, lots: i64, owner: u64) -> PyResult<(i64, i128)> {
        Ok(self.core.cost_of(side(side_code)?, lots, owner))
    }

    fn lots_for(&self, side_code: u8, quote: i64, owner: u64) -> PyResult<i64> {
        Ok(self.core.lots_for(side(side_code)?, quote, owner))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    for (name, value) in CONSTANTS {
        m.add(name, value)?;
    }
    m.add_class::<MatchingEngine>()
}
