//! One message's fields, and its levels as records, in one pass over the bytes.

use super::error::FeedError;
use crate::event::{Event, Kind, SIDE_NONE, SNAPSHOT};
use capstan_core::grid::{Finer, Grid, GridError};
use capstan_core::json::{Cursor, JsonError};

/// What a message says, on the grids of its instrument.
#[derive(Debug, Default, Clone, Copy)]
pub struct Values {
    pub event_time: u64,
    pub transact_time: u64,
    pub first_id: Option<u64>,
    pub last_id: Option<u64>,
    pub previous_id: Option<u64>,
    pub snapshot_id: Option<u64>,
    pub trade_id: Option<u64>,
    pub price: Option<i64>,
    pub quantity: Option<i64>,
    pub bid: Option<i64>,
    pub bid_size: Option<i64>,
    pub ask: Option<i64>,
    pub ask_size: Option<i64>,
    pub buyer_is_maker: Option<bool>,
    pub has_bids: bool,
    pub has_asks: bool,
}

impl Values {
    /// Returns the message's own time, preferring when it happened to when it was sent.
    #[inline]
    pub fn time_ns(&self) -> Option<i64> {
        let time = if self.transact_time == 0 { self.event_time } else { self.transact_time };
        (time != 0).then(|| nanoseconds(time))
    }

    /// Returns what all records of the message carry: its last update id, and its first and the one before.
    #[inline]
    pub fn ids(&self) -> (u64, [i64; 2]) {
        let number = |id: Option<u64>| id.map_or(0, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let last = self.last_id.or(self.snapshot_id).unwrap_or(0);
        (last, [number(self.first_id), number(self.previous_id)])
    }
}

/// Fields by their names on the wire. Texts are kept as the place where they begin: what they mean depends on others.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    pub event: Option<&'a [u8]>,
    pub symbol: Option<&'a [u8]>,
    pub event_time: u64,
    pub transact_time: u64,
    pub first_id: Option<u64>,
    pub last_id: Option<u64>,
    pub previous_id: Option<u64>,
    pub snapshot_id: Option<u64>,
    pub trade_id: Option<u64>,
    pub aggregate_id: Option<u64>,
    pub price: Option<usize>,
    pub quantity: Option<usize>,
    pub bid: Option<usize>,
    pub bid_size: Option<usize>,
    pub ask: Option<usize>,
    pub ask_size: Option<usize>,
    pub index: Option<usize>,
    pub rate: Option<&'a [u8]>,
    pub buyer_is_maker: Option<bool>,
    pub has_bids: bool,
    pub has_asks: bool,
}

impl<'a> Fields<'a> {
    /// Takes one field that is no list of levels. Unknown ones are skipped.
    #[inline]
    pub fn take(&mut self, c: &mut Cursor<'a>, key: &[u8]) -> Result<(), JsonError> {
        match key {
            b"e" => self.event = Some(c.string()?),
            b"s" | b"symbol" => self.symbol = Some(c.string()?),
            b"E" => self.event_time = c.unsigned()?,
            b"T" => self.transact_time = c.unsigned()?,
            b"U" => once(c, &mut self.first_id)?,
            b"u" => once(c, &mut self.last_id)?,
            b"pu" => once(c, &mut self.previous_id)?,
            b"lastUpdateId" => once(c, &mut self.snapshot_id)?,
            b"t" if is_number(c) => self.trade_id = Some(c.unsigned()?),
            b"a" if is_number(c) => self.aggregate_id = Some(c.unsigned()?),
            b"p" => text(c, &mut self.price)?,
            b"q" => text(c, &mut self.quantity)?,
            b"b" => text(c, &mut self.bid)?,
            b"B" => text(c, &mut self.bid_size)?,
            b"a" => text(c, &mut self.ask)?,
            b"A" => text(c, &mut self.ask_size)?,
            b"i" => text(c, &mut self.index)?,
            b"r" if c.peek() == Some(b'"') => self.rate = Some(c.string()?),
            b"m" => {
                self.buyer_is_maker = match c.peek() {
                    Some(b't') => Some(true),
                    Some(b'f') => Some(false),
                    _ => None,
                };
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    }

    /// Returns the values; prices of a trade or BBO on the grids, if they are there. (A mark's T is when funding is due,
    /// no time of its own.)
    pub fn values(&self, message: &[u8], tick: &Grid, lot: &Grid) -> Result<Values, FeedError> {
        let on = |grid: &Grid, at: Option<usize>, finer, what| match at {
            Some(at) => match grid.read_quoted(message, at, finer) {
                Ok((count, _)) => Ok(Some(count)),
                Err(why) => Err(FeedError::Number { what, at, why }),
            },
            None => Ok(None),
        };
        let price = |at| on(tick, at, Finer::Refused, "price");
        let size = |at| on(lot, at, Finer::Dropped, "size");
        Ok(Values {
            price: price(self.price)?,
            quantity: size(self.quantity)?,
            bid: price(self.bid)?,
            bid_size: size(self.bid_size)?,
            ask: price(self.ask)?,
            ask_size: size(self.ask_size)?,
            ..self.head()
        })
    }

    /// Returns the values that stand on no grid.
    pub fn head(&self) -> Values {
        let is_mark = self.event == Some(b"markPriceUpdate");
        Values {
            event_time: self.event_time,
            transact_time: if is_mark { 0 } else { self.transact_time },
            first_id: self.first_id,
            last_id: self.last_id,
            previous_id: self.previous_id,
            snapshot_id: self.snapshot_id,
            trade_id: self.trade_id.or(self.aggregate_id),
            buyer_is_maker: self.buyer_is_maker,
            has_bids: self.has_bids,
            has_asks: self.has_asks,
            ..Values::default()
        }
    }
}

/// Returns a venue's time in nanoseconds. Its unit shows in its size: milliseconds until the year 5138, microseconds from
/// 1973 until then.
#[inline]
pub fn nanoseconds(time: u64) -> i64 {
    let factor = match time {
        0..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    i64::try_from(time.saturating_mul(factor)).unwrap_or(i64::MAX)
}

fn once(c: &mut Cursor<'_>, slot: &mut Option<u64>) -> Result<(), JsonError> {
    if slot.replace(c.unsigned()?).is_some() {
        return c.fail("each update id once");
    }
    Ok(())
}

fn is_number(c: &mut Cursor<'_>) -> bool {
    c.peek().is_some_and(|b| b.is_ascii_digit())
}

/// Remembers where a text begins; anything else under this name is skipped.
#[inline]
fn text(c: &mut Cursor<'_>, slot: &mut Option<usize>) -> Result<(), JsonError> {
    if c.peek() != Some(b'"') {
        return c.skip();
    }
    *slot = Some(c.at() + 1);
    c.string().map(|_| ())
}

/// Reads `[["price","size"],…]` and appends a record per level, made after `template`. Returns nothing but the error.
pub fn levels(
    c: &mut Cursor<'_>,
    tick: &Grid,
    lot: &Grid,
    template: &Event,
    out: &mut Vec<Event>,
) -> Result<(), FeedError> {
    let mut bad = None;
    let read = c.array(|c| {
        let (price, size) = level(c, tick, lot, &mut bad)?;
        out.push(Event { price, size, ..*template });
        Ok(())
    });
    read.map_err(|e| bad.unwrap_or_else(|| e.into()))
}

#[inline]
fn level(c: &mut Cursor<'_>, tick: &Grid, lot: &Grid, bad: &mut Option<FeedError>) -> Result<(i64, i64), JsonError> {
    c.expect(b'[', "'['")?;
    let price = number(c, tick, Finer::Refused, "price", bad)?;
    c.expect(b',', "','")?;
    let size = number(c, lot, Finer::Dropped, "size", bad)?;
    c.expect(b']', "']'")?;
    Ok((price, size))
}

#[inline]
fn number(
    c: &mut Cursor<'_>,
    grid: &Grid,
    finer: Finer,
    what: &'static str,
    bad: &mut Option<FeedError>,
) -> Result<i64, JsonError> {
    c.expect(b'"', "a string")?;
    match grid.read_quoted(c.bytes(), c.at(), finer) {
        Ok((count, quote)) => {
            c.go_to(quote + 1);
            Ok(count)
        }
        Err(why) => refuse(c, what, why, bad),
    }
}

#[cold]
fn refuse<T>(c: &Cursor<'_>, what: &'static str, why: GridError, bad: &mut Option<FeedError>) -> Result<T, JsonError> {
    *bad = Some(FeedError::Number { what, at: c.at(), why });
    c.fail(what)
}

/// Returns the record that opens a snapshot.
pub fn clear(template: &Event) -> Event {
    Event { kind: Kind::Clear as u8, side: SIDE_NONE, flags: template.flags | SNAPSHOT, ..*template }
}

/// Looks ahead in an object for its symbol; for messages that name it after their levels.
pub fn find_symbol<'a>(object: &Cursor<'a>) -> Option<&'a [u8]> {
    let mut symbol = None;
    let mut ahead = object.clone();
    // What is wrong in the message is found when it is read; here it only means that there is no symbol.
    let _ = ahead.object(|c, key| match key {
        b"s" | b"symbol" => {
            symbol = Some(c.string()?);
            Ok(())
        }
        _ => c.skip(),
    });
    symbol
}
