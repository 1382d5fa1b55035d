//! A slow book with a fast touch: Binance spot sends diffs every 100 ms and its BBO at once.
//!
//! Between two diffs the BBO says more than the book: levels better than it are gone, and its own sizes are newer. Those
//! levels are laid over the book as [`FUSED`] records. When the next diff comes, what was laid over is put back first, so
//! that after the diff the levels are the venue's own again; a BBO that is newer than the diff is laid over once more.
//! Trades need no such care: what they do to the touch is in the BBO.

use crate::event::{Event, Kind, BUY, FUSED, LAST, SELL};
use capstan_core::flat_book::FlatBook;
use capstan_core::orders::Side;

/// Rewrites one instrument's records, a message at a time.
#[derive(Debug, Default)]
pub struct Fuse {
    levels: FlatBook,
    /// Side, price and the size in the venue's book, of each level that is laid over.
    over: Vec<(u8, i64, i64)>,
    /// The latest BBO, and whether the book may be believed.
    best: Option<[Event; 2]>,
    known: bool,
    sequence: u64,
}

impl Fuse {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the records of one message and appends what they become.
    pub fn message(&mut self, message: &[Event], out: &mut Vec<Event>) {
        match message.first().and_then(Event::kind) {
            Some(Kind::Level | Kind::Clear) => self.book(message, out),
            Some(Kind::Best) => {
                out.extend_from_slice(message);
                if let [bid, ask] = message {
                    self.best = Some([*bid, *ask]);
                    self.lay(out);
                }
            }
            Some(Kind::Stale) => {
                self.known = false;
                self.over.clear();
                out.extend_from_slice(message);
            }
            _ => out.extend_from_slice(message),
        }
    }

    fn book(&mut self, message: &[Event], out: &mut Vec<Event>) {
        let Some(last) = message.last() else { return };
        for (side, price, size) in std::mem::take(&mut self.over) {
            self.levels.set(side_of(side), price, size);
            out.push(level(last, side, price, size));
        }
        for event in message {
            if event.kind() == Some(Kind::Clear) {
                self.levels.clear(Side::Buy);
                self.levels.clear(Side::Sell);
                self.known = true;
            } else {
                self.levels.set(side_of(event.side), event.price, event.size);
            }
        }
        out.extend_from_slice(message);
        self.sequence = last.sequence;
        self.lay(out);
    }

    /// Lays the latest BBO over a book that is older. The last record of the message is the last of what is laid.
    fn lay(&mut self, out: &mut Vec<Event>) {
        let Some([bid, ask]) = self.best.filter(|best| self.known && best[0].sequence > self.sequence) else { return };
        let from = out.len();
        for best in [bid, ask].iter().filter(|best| best.size > 0) {
            let side = side_of(best.side);
            while let Some((price, _)) = self.levels.best(side) {
                let is_better = if side == Side::Buy { price > best.price } else { price < best.price };
                if !is_better {
                    break;
                }
                self.change(best, price, 0, out);
            }
            if self.levels.size_at(side, best.price) != best.size {
                self.change(best, best.price, best.size, out);
            }
        }
        if out.len() > from {
            if let Some(before) = out[..from].last_mut() {
                before.flags &= !LAST;
            }
            if let Some(last) = out.last_mut() {
                last.flags |= LAST;
            }
        }
    }

    fn change(&mut self, like: &Event, price: i64, size: i64, out: &mut Vec<Event>) {
        let side = side_of(like.side);
        if !self.over.iter().any(|(of, at, _)| (*of, *at) == (like.side, price)) {
            self.over.push((like.side, price, self.levels.size_at(side, price)));
        }
        self.levels.set(side, price, size);
        out.push(level(like, like.side, price, size));
    }
}

fn level(like: &Event, side: u8, price: i64, size: i64) -> Event {
    Event { kind: Kind::Level as u8, side, price, size, flags: (like.flags & !LAST) | FUSED, aux: [0, 0], ..*like }
}

fn side_of(side: u8) -> Side {
    debug_assert!(side == BUY || side == SELL);
    if side == SELL {
        Side::Sell
    } else {
        Side::Buy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;
    use crate::event::SIDE_NONE;
    use bytemuck::Zeroable;

    fn event(kind: Kind, side: u8, price: i64, size: i64, sequence: u64, flags: u16) -> Event {
        Event { kind: kind as u8, side, price, size, sequence, flags, ..Event::zeroed() }
    }

    fn best(bid: (i64, i64), ask: (i64, i64), sequence: u64) -> [Event; 2] {
        [event(Kind::Best, BUY, bid.0, bid.1, sequence, 0), event(Kind::Best, SELL, ask.0, ask.1, sequence, LAST)]
    }

    #[test]
    fn the_best_moves_the_touch_and_the_next_diff_puts_the_book_right() {
        let (mut fuse, mut book, mut out) = (Fuse::new(), Book::new(), Vec::new());
        let mut take = |message: &[Event]| {
            out.clear();
            fuse.message(message, &mut out);
            out.iter().for_each(|e| book.apply(e));
            assert_eq!(out.iter().filter(|e| e.is_last()).count(), 1);
            assert!(out.last().unwrap().is_last());
            let levels = |side| book.levels(side).collect::<Vec<_>>();
            (levels(Side::Buy), levels(Side::Sell))
        };
        take(&[
            event(Kind::Clear, SIDE_NONE, 0, 0, 10, 0),
            event(Kind::Level, BUY, 100, 5, 10, 0),
            event(Kind::Level, BUY, 99, 7, 10, 0),
            event(Kind::Level, SELL, 101, 6, 10, LAST),
        ]);
        assert_eq!(take(&best((99, 4), (101, 6), 12)), (vec![(99, 4)], vec![(101, 6)]));
        assert_eq!(take(&best((99, 3), (100, 2), 13)), (vec![(99, 3)], vec![(100, 2), (101, 6)]));
        // The diff up to 13 names what differs then from 10, and the size at 99 is the venue's 7 again.
        let diff = [event(Kind::Level, BUY, 100, 0, 13, 0), event(Kind::Level, SELL, 100, 2, 13, LAST)];
        assert_eq!(take(&diff), (vec![(99, 7)], vec![(100, 2), (101, 6)]));
        assert_eq!(take(&best((99, 1), (100, 2), 13)), (vec![(99, 7)], vec![(100, 2), (101, 6)]), "not newer");
        take(&best((99, 1), (100, 2), 15));
        let early = [event(Kind::Level, SELL, 101, 9, 14, LAST)];
        assert_eq!(take(&early), (vec![(99, 1)], vec![(100, 2), (101, 9)]), "a BBO newer than the diff stays");
    }

    #[test]
    fn nothing_is_laid_over_a_stale_book() {
        let (mut fuse, mut out) = (Fuse::new(), Vec::new());
        fuse.message(&best((99, 4), (101, 6), 12), &mut out);
        fuse.message(&[event(Kind::Stale, SIDE_NONE, 0, 0, 0, LAST)], &mut out);
        fuse.message(&best((99, 5), (101, 6), 13), &mut out);
        assert!(out.iter().all(|e| e.kind() != Some(Kind::Level)));
    }
}
