//! The L2 book of one instrument, kept from a snapshot and a stream of diffs, with the sequence checked.
//!
//! ```text
//!              snapshot that the kept diffs continue
//!   STALE ────────────────────────────────────────────> VALID
//!     ^  diffs are kept, bounded                          │  U > last + 1 (gap), crossed book, or told so
//!     └───────────────────────────────────────────────────┘
//! ```
//!
//! Binance's rule: drop a diff with `u <= last`; apply one with `U <= last + 1 <= u`; anything else is a gap. Sizes are
//! absolute, so a diff that overlaps what is known is harmless. A stale book answers no prices.

use crate::depth::{Depth, DepthError};
use crate::flat_book::{FlatBook, Level};
use crate::grid::{Grid, GridError};
use crate::orders::Side;
use std::collections::VecDeque;

/// How many diffs a stale book keeps for the snapshot to come; 100 s of a 100 ms stream. Older ones are dropped, which
/// only means that an old snapshot will not do.
const KEPT_MAX: usize = 1000;

#[derive(Debug)]
struct Diff {
    first_id: u64,
    final_id: u64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// The book. See the module for its states.
#[derive(Debug)]
pub struct L2Book {
    tick: Grid,
    lot: Grid,
    symbol: Option<String>,
    levels: FlatBook,
    last_update_id: u64,
    stale: Option<String>,
    kept: VecDeque<Diff>,
    scratch: Depth,
}

impl L2Book {
    /// Returns an empty, stale book. With a symbol, messages that name another are refused.
    pub fn new(tick_size: &str, lot_size: &str, symbol: Option<String>) -> Result<Self, GridError> {
        Ok(Self {
            tick: Grid::new(tick_size)?,
            lot: Grid::new(lot_size)?,
            symbol,
            levels: FlatBook::new(),
            last_update_id: 0,
            stale: Some("no snapshot yet".into()),
            kept: VecDeque::new(),
            scratch: Depth::default(),
        })
    }

    /// Loads a snapshot and the kept diffs that continue it. Returns whether the book is valid now; it is not when the
    /// snapshot is older than the first kept diff, and then a newer one is needed.
    pub fn apply_snapshot(&mut self, message: &[u8]) -> Result<bool, DepthError> {
        self.decode(message)?;
        let Some(id) = self.scratch.snapshot_id else {
            return Err(DepthError::Unexpected("expected a snapshot with lastUpdateId".into()));
        };
        self.levels.clear(Side::Buy);
        self.levels.clear(Side::Sell);
        set_all(&mut self.levels, &self.scratch.bids, &self.scratch.asks);
        self.last_update_id = id;
        self.stale = None;
        self.check_crossed();
        while self.stale.is_none() {
            let Some(diff) = self.kept.pop_front() else { break };
            if diff.final_id <= self.last_update_id {
                continue;
            }
            if diff.first_id > self.next_id() {
                self.stale = Some(format!("snapshot {id} is older than the diffs, which start at {}", diff.first_id));
                self.kept.push_front(diff);
                break;
            }
            self.write(&diff);
        }
        Ok(self.stale.is_none())
    }

    /// Applies a diff. Returns whether the book changed; an old diff, and any diff while stale, changes nothing.
    pub fn apply_diff(&mut self, message: &[u8]) -> Result<bool, DepthError> {
        self.decode(message)?;
        let (Some(first_id), Some(final_id)) = (self.scratch.first_id, self.scratch.final_id) else {
            return Err(DepthError::Unexpected("expected a depthUpdate with U and u".into()));
        };
        if first_id > final_id {
            return Err(DepthError::Unexpected(format!("U {first_id} is greater than u {final_id}")));
        }
        if self.stale.is_none() {
            if final_id <= self.last_update_id {
                return Ok(false);
            }
            if first_id <= self.next_id() {
                set_all(&mut self.levels, &self.scratch.bids, &self.scratch.asks);
                self.last_update_id = final_id;
                self.check_crossed();
                return Ok(true);
            }
            self.invalidate(&format!("gap: expected update {}, found {first_id}", self.next_id()));
        }
        self.keep(first_id, final_id);
        Ok(false)
    }

    /// Declares the book stale until the next snapshot; the connection was lost, say.
    pub fn invalidate(&mut self, reason: &str) {
        self.stale = Some(reason.to_owned());
        self.kept.clear();
    }

    /// Returns why the book is stale, or nothing while it is valid.
    pub fn stale_reason(&self) -> Option<&str> {
        self.stale.as_deref()
    }

    /// Returns the update id up to which the book is known.
    pub fn last_update_id(&self) -> u64 {
        self.last_update_id
    }

    /// Returns the highest bid of a valid book.
    pub fn best_bid(&self) -> Option<Level> {
        self.known().and_then(|levels| levels.best(Side::Buy))
    }

    /// Returns the lowest ask of a valid book.
    pub fn best_ask(&self) -> Option<Level> {
        self.known().and_then(|levels| levels.best(Side::Sell))
    }

    /// Returns a valid book's bids, best first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + '_ {
        self.known().into_iter().flat_map(|levels| levels.levels(Side::Buy))
    }

    /// Returns a valid book's asks, best first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + '_ {
        self.known().into_iter().flat_map(|levels| levels.levels(Side::Sell))
    }

    /// Returns the id that continues what is known; an absurd id from outside must not overflow.
    fn next_id(&self) -> u64 {
        self.last_update_id.saturating_add(1)
    }

    /// Returns the levels unless the book is stale.
    fn known(&self) -> Option<&FlatBook> {
        self.stale.is_none().then_some(&self.levels)
    }

    fn decode(&mut self, message: &[u8]) -> Result<(), DepthError> {
        self.scratch.decode(message, &self.tick, &self.lot)?;
        match (&self.symbol, &self.scratch.symbol) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(DepthError::Unexpected(format!("expected symbol {ours}, found {theirs}")))
            }
            _ => Ok(()),
        }
    }

    fn keep(&mut self, first_id: u64, final_id: u64) {
        if self.kept.back().is_some_and(|last| first_id > last.final_id.saturating_add(1)) {
            self.kept.clear(); // A gap among the kept ones: the older part can never be continued.
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        let (bids, asks) = (std::mem::take(&mut self.scratch.bids), std::mem::take(&mut self.scratch.asks));
        self.kept.push_back(Diff { first_id, final_id, bids, asks });
    }

    fn write(&mut self, diff: &Diff) {
        set_all(&mut self.levels, &diff.bids, &diff.asks);
        self.last_update_id = diff.final_id;
        self.check_crossed();
    }

    fn check_crossed(&mut self) {
        if let (Some((bid, _)), Some((ask, _))) = (self.levels.best(Side::Buy), self.levels.best(Side::Sell)) {
            if bid >= ask {
                let reason = format!("crossed at update {}: bid {bid} >= ask {ask} ticks", self.last_update_id);
                self.invalidate(&reason);
            }
        }
    }
}

fn set_all(book: &mut FlatBook, bids: &[Level], asks: &[Level]) {
    for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
        for (price, size) in levels {
            book.set(side, *price, *size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &[u8] =
        br#"{"lastUpdateId":10,"bids":[["99.00","1.0"],["98.00","2.0"]],"asks":[["101.00","1.5"],["102.00","3.0"]]}"#;

    fn book() -> L2Book {
        L2Book::new("0.01", "0.1", Some("AB".into())).unwrap()
    }

    fn diff(first: u64, last: u64, bids: &str, asks: &str) -> Vec<u8> {
        format!(r#"{{"e":"depthUpdate","E":1,"s":"AB","U":{first},"u":{last},"b":{bids},"a":{asks}}}"#).into_bytes()
    }

    #[test]
    fn diffs_kept_before_the_snapshot_are_applied_after_it() {
        let mut book = book();
        assert!(!book.apply_diff(&diff(5, 9, r#"[["97.00","9"]]"#, "[]")).unwrap());
        assert!(!book.apply_diff(&diff(10, 12, r#"[["99.50","4"]]"#, r#"[["101.00","0"]]"#)).unwrap());
        assert_eq!(book.best_bid(), None);
        assert!(book.apply_snapshot(SNAPSHOT).unwrap());
        assert_eq!(book.best_bid(), Some((9950, 40)));
        assert_eq!(book.best_ask(), Some((10200, 30)));
        assert_eq!(book.last_update_id(), 12);
        assert_eq!(book.bids().count(), 3);
    }

    #[test]
    fn a_gap_makes_the_book_stale_until_a_snapshot_that_is_new_enough() {
        let mut book = book();
        book.apply_snapshot(SNAPSHOT).unwrap();
        assert!(book.apply_diff(&diff(11, 11, "[]", "[]")).unwrap());
        assert!(!book.apply_diff(&diff(13, 14, "[]", "[]")).unwrap());
        assert_eq!(book.stale_reason(), Some("gap: expected update 12, found 13"));
        assert_eq!(book.best_bid(), None);
        assert!(!book.apply_snapshot(SNAPSHOT).unwrap(), "10 cannot be continued by 13");
        let newer = br#"{"lastUpdateId":13,"bids":[],"asks":[["100.00","1"]]}"#;
        assert!(book.apply_snapshot(newer).unwrap());
        assert_eq!(book.last_update_id(), 14);
    }

    #[test]
    fn an_old_diff_changes_nothing() {
        let mut book = book();
        book.apply_snapshot(SNAPSHOT).unwrap();
        assert!(!book.apply_diff(&diff(8, 10, r#"[["99.00","0"]]"#, "[]")).unwrap());
        assert_eq!(book.best_bid(), Some((9900, 10)));
    }

    #[test]
    fn a_bad_message_changes_nothing() {
        let mut book = book();
        book.apply_snapshot(SNAPSHOT).unwrap();
        let bad = [
            diff(11, 12, r#"[["99.00","0"],["99.001","1"]]"#, "[]"),
            diff(11, 12, r#"[["99.00","0"],["98.00","0.0.5"]]"#, "[]"),
            diff(11, 12, r#"[["99.00","0"],["98.00"]]"#, "[]"),
            diff(12, 11, "[]", "[]"),
            br#"{"e":"depthUpdate","U":11,"u":12,"b":[["99.00","0"]]"#.to_vec(),
            br#"{"e":"depthUpdate","U":11,"u":12,"b":[["99.00","0"]]}"#.to_vec(),
            br#"{"e":"trade","U":11,"u":12,"b":[["99.00","0"]],"a":[]}"#.to_vec(),
            br#"{"e":"depthUpdate","s":"XY","U":11,"u":12,"b":[["99.00","0"]],"a":[]}"#.to_vec(),
            br#"{"e":"depthUpdate","U":11,"u":12,"b":[["99.00","0"]],"b":[],"a":[]}"#.to_vec(),
            b"\xff".to_vec(),
            b"".to_vec(),
        ];
        for message in bad {
            assert!(book.apply_diff(&message).is_err(), "{}", String::from_utf8_lossy(&message));
            assert_eq!((book.best_bid(), book.last_update_id()), (Some((9900, 10)), 10));
        }
        assert!(book.apply_snapshot(&diff(11, 12, "[]", "[]")).is_err());
        assert_eq!(book.stale_reason(), None);
    }

    #[test]
    fn wrapped_messages_are_read_too() {
        let mut book = book();
        book.apply_snapshot(SNAPSHOT).unwrap();
        let bare = diff(11, 11, r#"[["99.10","1"]]"#, "[]");
        let wrapped = format!(r#"{{"stream":"ab@depth","data":{}}}"#, String::from_utf8(bare).unwrap());
        assert!(book.apply_diff(wrapped.as_bytes()).unwrap());
        assert_eq!(book.best_bid(), Some((9910, 10)));
    }

    #[test]
    fn the_greatest_update_id_does_no_harm() {
        let mut book = book();
        let snapshot = format!(r#"{{"lastUpdateId":{},"bids":[],"asks":[]}}"#, u64::MAX);
        assert!(book.apply_snapshot(snapshot.as_bytes()).unwrap());
        assert!(!book.apply_diff(&diff(1, u64::MAX, "[]", "[]")).unwrap());
        assert!(book.apply_snapshot(SNAPSHOT).unwrap());
        assert!(!book.apply_diff(&diff(u64::MAX, u64::MAX, "[]", "[]")).unwrap());
        assert!(!book.apply_diff(&diff(u64::MAX, u64::MAX, "[]", "[]")).unwrap());
    }

    #[test]
    fn a_crossed_book_is_stale() {
        let mut book = book();
        book.apply_snapshot(SNAPSHOT).unwrap();
        book.apply_diff(&diff(11, 11, r#"[["101.00","1"]]"#, "[]")).unwrap();
        assert!(book.stale_reason().unwrap().starts_with("crossed"));
    }
}
