//! One instrument's book on one timeline: what market events make of it, and whether it may be believed.
//!
//! ```text
//!           Clear (both sides) … the LAST record of that message
//!   STALE ──────────────────────────────────────────────────────> VALID
//!     ^                                                             │  Stale event, or crossed at a LAST record
//!     └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! Sequences are checked where bytes are decoded (`feed`), which says [`Kind::Stale`] at a gap; this is the same in live,
//! in replay and in the simulator, which keeps books of its own on the exchange's timeline. A stale book shows no prices.

use crate::event::{Event, Kind, LAST, SELL, SIDE_NONE};
use capstan_core::flat_book::{FlatBook, Level, Levels};
use capstan_core::orders::Side;

/// Why a book is stale: `aux[0]` of [`Kind::Stale`].
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Staleness {
    /// Nothing came yet, or the first diffs wait for their snapshot.
    NoSnapshot = 1,
    /// Updates are missing.
    Gap = 2,
    /// A bid at or above an ask.
    Crossed = 3,
    /// The connection was lost.
    Disconnected = 4,
    /// A message could not be read.
    Malformed = 5,
    /// Somebody else's reason.
    Other = 6,
}

impl Staleness {
    fn of(code: i64) -> Self {
        match code {
            1 => Self::NoSnapshot,
            2 => Self::Gap,
            3 => Self::Crossed,
            4 => Self::Disconnected,
            5 => Self::Malformed,
            _ => Self::Other,
        }
    }
}

/// A public trade as last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastTrade {
    pub price: i64,
    pub size: i64,
    /// The taker's.
    pub side: Side,
    pub time_exchange_ns: i64,
}

/// The book. See the module for its states.
#[derive(Debug, Clone)]
pub struct Book {
    levels: FlatBook,
    stale: Option<Staleness>,
    /// A Clear came and the message that began with it is not over.
    loading: bool,
    sequence: u64,
    time_exchange_ns: i64,
    time_local_ns: i64,
    venue_best: [Option<Level>; 2],
    last_trade: Option<LastTrade>,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// Returns an empty, stale book.
    pub fn new() -> Self {
        Self {
            levels: FlatBook::new(),
            stale: Some(Staleness::NoSnapshot),
            loading: false,
            sequence: 0,
            time_exchange_ns: 0,
            time_local_ns: 0,
            venue_best: [None; 2],
            last_trade: None,
        }
    }

    /// Takes a market event of this instrument. Other kinds change nothing.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        const LEVEL: u8 = Kind::Level as u8;
        const CLEAR: u8 = Kind::Clear as u8;
        const TRADE: u8 = Kind::Trade as u8;
        const BEST: u8 = Kind::Best as u8;
        const STALE: u8 = Kind::Stale as u8;
        match event.kind {
            LEVEL if self.stale.is_none() || self.loading => {
                self.levels.set(side_of(event), event.price, event.size);
                self.touched(event);
            }
            CLEAR => {
                self.clear(event.side);
                self.touched(event);
            }
            BEST => self.venue_best[usize::from(event.side & 1)] = Some((event.price, event.size)),
            TRADE => {
                self.last_trade = Some(LastTrade {
                    price: event.price,
                    size: event.size,
                    side: side_of(event),
                    time_exchange_ns: event.time_exchange_ns,
                });
            }
            STALE => self.go_stale(Staleness::of(event.aux[0])),
            _ => {}
        }
    }

    #[inline]
    fn touched(&mut self, event: &Event) {
        if event.flags & LAST != 0 {
            self.sequence = event.sequence;
            self.time_exchange_ns = event.time_exchange_ns;
            self.time_local_ns = event.time_local_ns;
            if self.loading {
                self.loading = false;
                self.stale = None;
            }
            if self.stale.is_none() && self.levels.is_crossed() {
                self.go_stale(Staleness::Crossed);
            }
        }
    }

    fn clear(&mut self, side: u8) {
        if side == SIDE_NONE {
            self.levels.clear(Side::Buy);
            self.levels.clear(Side::Sell);
            self.loading = true;
        } else {
            self.levels.clear(if side == SELL { Side::Sell } else { Side::Buy });
        }
    }

    fn go_stale(&mut self, why: Staleness) {
        self.stale = Some(why);
        self.loading = false;
        self.venue_best = [None; 2];
    }

    /// Returns why the book is stale, or nothing while it is valid.
    #[inline]
    pub fn staleness(&self) -> Option<Staleness> {
        self.stale
    }

    #[inline]
    pub fn is_valid(&self) -> bool {
        self.stale.is_none()
    }

    /// Returns the best level of a side of a valid book.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        if self.stale.is_some() {
            return None;
        }
        self.levels.best(side)
    }

    /// Returns the size at a price of a valid book; zero where there is none.
    #[inline]
    pub fn size_at(&self, side: Side, price: i64) -> i64 {
        if self.stale.is_some() {
            return 0;
        }
        self.levels.size_at(side, price)
    }

    /// Returns the lots at this price and better in a valid book.
    pub fn depth_until(&self, side: Side, price: i64) -> i64 {
        if self.stale.is_some() {
            return 0;
        }
        self.levels.depth_until(side, price)
    }

    /// Returns a valid book's levels, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        let known: Option<Levels<'_>> = self.stale.is_none().then(|| self.levels.levels(side));
        known.into_iter().flatten()
    }

    /// Returns the levels whether or not they may be believed.
    pub fn levels_unchecked(&self) -> &FlatBook {
        &self.levels
    }

    /// Returns the venue's own best of a side, from its BBO stream.
    pub fn venue_best(&self, side: Side) -> Option<Level> {
        self.venue_best[side as usize]
    }

    pub fn last_trade(&self) -> Option<LastTrade> {
        self.last_trade
    }

    /// Returns the update id after which this is the book.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns when the book last changed: at the venue, and when we learnt of it.
    pub fn times_ns(&self) -> (i64, i64) {
        (self.time_exchange_ns, self.time_local_ns)
    }
}

#[inline]
fn side_of(event: &Event) -> Side {
    if event.side == SELL {
        Side::Sell
    } else {
        Side::Buy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BUY, SNAPSHOT};
    use bytemuck::Zeroable;

    fn level(side: u8, price: i64, size: i64, flags: u16) -> Event {
        Event { kind: Kind::Level as u8, side, price, size, flags, sequence: 7, ..Event::zeroed() }
    }

    fn clear() -> Event {
        Event { kind: Kind::Clear as u8, side: SIDE_NONE, flags: SNAPSHOT, ..Event::zeroed() }
    }

    fn loaded() -> Book {
        let mut book = Book::new();
        for event in [clear(), level(BUY, 99, 5, SNAPSHOT), level(SELL, 101, 6, SNAPSHOT | LAST)] {
            assert_eq!(book.best(Side::Buy), None, "a book half loaded shows nothing");
            book.apply(&event);
        }
        book
    }

    #[test]
    fn a_snapshot_makes_the_book_valid_at_its_last_record() {
        let book = loaded();
        assert_eq!((book.best(Side::Buy), book.best(Side::Sell)), (Some((99, 5)), Some((101, 6))));
        assert_eq!(book.sequence(), 7);
    }

    #[test]
    fn a_stale_book_shows_nothing_and_takes_no_diffs_until_a_snapshot() {
        let mut book = loaded();
        let stale = Event { kind: Kind::Stale as u8, aux: [Staleness::Gap as i64, 0], ..Event::zeroed() };
        book.apply(&stale);
        book.apply(&level(BUY, 100, 1, LAST));
        assert_eq!(book.staleness(), Some(Staleness::Gap));
        assert_eq!((book.best(Side::Buy), book.size_at(Side::Buy, 99), book.depth_until(Side::Buy, 0)), (None, 0, 0));
        assert_eq!(book.levels(Side::Sell).count(), 0);
        for event in [clear(), level(SELL, 102, 6, LAST)] {
            book.apply(&event);
        }
        assert_eq!((book.best(Side::Buy), book.best(Side::Sell)), (None, Some((102, 6))));
        assert!(book.is_valid());
    }

    #[test]
    fn a_book_crossed_at_the_end_of_a_message_is_stale_and_within_it_is_not() {
        let mut book = loaded();
        book.apply(&level(BUY, 101, 1, 0));
        assert!(book.is_valid());
        book.apply(&level(SELL, 101, 0, LAST));
        assert_eq!(book.best(Side::Buy), Some((101, 1)));
        book.apply(&level(SELL, 100, 1, LAST));
        assert_eq!(book.staleness(), Some(Staleness::Crossed));
    }

    #[test]
    fn trades_and_the_venues_own_best_are_remembered_beside_the_levels() {
        let mut book = loaded();
        book.apply(&Event { kind: Kind::Trade as u8, side: SELL, price: 99, size: 2, ..Event::zeroed() });
        book.apply(&Event { kind: Kind::Best as u8, side: BUY, price: 98, size: 3, ..Event::zeroed() });
        assert_eq!(book.last_trade().map(|t| (t.price, t.size, t.side)), Some((99, 2, Side::Sell)));
        assert_eq!(book.venue_best(Side::Buy), Some((98, 3)));
        assert_eq!(book.best(Side::Buy), Some((99, 5)));
    }
}
