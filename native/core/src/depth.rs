//! Decodes Binance-protocol depth messages: `depthUpdate` diffs and snapshots, bare or wrapped in `{"stream","data"}`.
//!
//! A message is decoded whole before anyone sees it: an error means that nothing happened. A size of zero takes the level
//! away. Sizes are rounded down to whole lots: venues coarsen their lots over time and old orders keep the finer size
//! (seen: 25.426189 BTC at Binance with a lot of 0.00001). Prices must lie on the tick.

use crate::flat_book::Level;
use crate::grid::{Grid, GridError};
use crate::json::{Cursor, JsonError};
use std::fmt;

/// Says why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DepthError {
    /// Not JSON, or not the JSON a depth message is made of.
    Malformed { expected: &'static str, at: usize },
    /// A price off tick, or a number that is none or too large.
    Number { what: &'static str, text: String, why: GridError },
    /// Another kind of message (`trade`, an error reply), named by what is missing or wrong.
    Unexpected(String),
}

impl fmt::Display for DepthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { expected, at } => write!(f, "expected {expected} at byte {at}"),
            Self::Number { what, text, why } => write!(f, "{what} {text:?}: {why}"),
            Self::Unexpected(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for DepthError {}

impl From<JsonError> for DepthError {
    fn from(e: JsonError) -> Self {
        Self::Malformed { expected: e.expected, at: e.at }
    }
}

/// One decoded message. Buffers are reused from message to message.
#[derive(Debug, Default, Clone)]
pub struct Depth {
    /// First and last update id of a diff.
    pub first_id: Option<u64>,
    pub final_id: Option<u64>,
    /// Update id of a snapshot.
    pub snapshot_id: Option<u64>,
    /// The symbol as sent, where the message names one.
    pub symbol: Option<String>,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

#[derive(Default)]
struct Seen {
    bids: bool,
    asks: bool,
    wrong_event: Option<String>,
    number: Option<DepthError>,
}

impl Depth {
    /// Reads a message into `self`, whose former content is lost also when it fails.
    pub fn decode(&mut self, message: &[u8], tick: &Grid, lot: &Grid) -> Result<(), DepthError> {
        if let Err(e) = std::str::from_utf8(message) {
            return Err(DepthError::Malformed { expected: "UTF-8", at: e.valid_up_to() });
        }
        self.first_id = None;
        self.final_id = None;
        self.snapshot_id = None;
        self.symbol = None;
        self.bids.clear();
        self.asks.clear();
        let mut seen = Seen::default();
        let mut cursor = Cursor::new(message);
        let mut wrapped = false;
        let mut bare = false;
        let read = cursor.object(|c, key| match key {
            b"data" => {
                if std::mem::replace(&mut wrapped, true) {
                    return c.fail("one data field");
                }
                c.object(|c, key| self.field(c, key, tick, lot, &mut seen))
            }
            b"stream" => c.string().map(|_| ()),
            _ => {
                bare = true;
                self.field(c, key, tick, lot, &mut seen)
            }
        });
        if let Err(e) = read.and_then(|()| cursor.end()) {
            return Err(seen.number.unwrap_or_else(|| e.into()));
        }
        if wrapped && bare {
            return Err(DepthError::Unexpected("a wrapped message has fields beside stream and data".into()));
        }
        if let Some(event) = seen.wrong_event {
            return Err(DepthError::Unexpected(format!("expected a depthUpdate, found {event:?}")));
        }
        if !seen.bids || !seen.asks {
            return Err(DepthError::Unexpected("expected bids and asks".into()));
        }
        Ok(())
    }

    fn field(
        &mut self,
        c: &mut Cursor<'_>,
        key: &[u8],
        tick: &Grid,
        lot: &Grid,
        seen: &mut Seen,
    ) -> Result<(), JsonError> {
        match key {
            b"e" => {
                let event = c.string()?;
                if event != b"depthUpdate" {
                    seen.wrong_event = Some(String::from_utf8_lossy(event).into_owned());
                }
                Ok(())
            }
            b"s" => {
                self.symbol = Some(String::from_utf8_lossy(c.string()?).into_owned());
                Ok(())
            }
            b"U" => once(c, &mut self.first_id),
            b"u" => once(c, &mut self.final_id),
            b"lastUpdateId" => once(c, &mut self.snapshot_id),
            // A second list under the other name would silently overwrite the first: refused.
            b"b" | b"bids" => {
                if std::mem::replace(&mut seen.bids, true) {
                    return c.fail("one list of bids");
                }
                levels(c, tick, lot, &mut self.bids, &mut seen.number)
            }
            b"a" | b"asks" => {
                if std::mem::replace(&mut seen.asks, true) {
                    return c.fail("one list of asks");
                }
                levels(c, tick, lot, &mut self.asks, &mut seen.number)
            }
            _ => c.skip(),
        }
    }
}

fn once(c: &mut Cursor<'_>, slot: &mut Option<u64>) -> Result<(), JsonError> {
    if slot.replace(c.unsigned()?).is_some() {
        return c.fail("each update id once");
    }
    Ok(())
}

fn levels(
    c: &mut Cursor<'_>,
    tick: &Grid,
    lot: &Grid,
    into: &mut Vec<Level>,
    bad: &mut Option<DepthError>,
) -> Result<(), JsonError> {
    c.array(|c| {
        c.expect(b'[', "'['")?;
        let price = number(c, "price", |text| tick.count(text), bad)?;
        c.expect(b',', "','")?;
        let size = number(c, "size", |text| lot.count_down(text), bad)?;
        c.expect(b']', "']'")?;
        into.push((price, size));
        Ok(())
    })
}

fn number(
    c: &mut Cursor<'_>,
    what: &'static str,
    count: impl Fn(&[u8]) -> Result<i64, GridError>,
    bad: &mut Option<DepthError>,
) -> Result<i64, JsonError> {
    let text = c.string()?;
    count(text).map_err(|why| {
        *bad = Some(DepthError::Number { what, text: String::from_utf8_lossy(text).into_owned(), why });
        JsonError { expected: what, at: c.at() }
    })
}
