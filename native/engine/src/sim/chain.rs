//! A chain in a backtest: its pools on their block clock, walking the feed like a venue.

use super::backtest::{after, payload_of, Failed};
use super::drive::is_on_venue;
use super::in_flight::InFlight;
use super::pool_venue::{PoolVenue, Told};
use crate::event::{Event, Kind};
use crate::payload::SwapRequest;

/// The chain and how far it is.
#[derive(Debug)]
pub struct Chain {
    pub venue: PoolVenue,
    cursor: usize,
    next_ns: i64,
    now_ns: i64,
    told: InFlight<Told>,
    fresh: Vec<Told>,
}

impl Chain {
    pub fn new(venue: PoolVenue) -> Self {
        Self { venue, cursor: 0, next_ns: i64::MIN, now_ns: i64::MIN, told: InFlight::default(), fresh: Vec::new() }
    }

    pub(super) fn submit(&mut self, id: u64, request: SwapRequest, now_ns: i64) {
        self.venue.submit(id, request, now_ns);
    }

    pub(super) fn next_ns(&self) -> i64 {
        self.next_ns
    }

    pub(super) fn next_told_ns(&self) -> i64 {
        self.told.next_ns()
    }

    pub(super) fn take_told(&mut self) -> Option<Told> {
        self.told.pop().map(|(_, told)| told)
    }

    /// Puts the cursor on the next block or change of a pool.
    pub(super) fn seek(&mut self, feed: &[Event]) {
        while let Some(event) = feed.get(self.cursor) {
            let ours = event.kind == Kind::Block as u8 || event.kind == Kind::Pool as u8;
            if ours && is_on_venue(event) {
                self.next_ns = event.time_exchange_ns.max(self.now_ns);
                return;
            }
            self.cursor = after(feed, self.cursor);
        }
        self.next_ns = i64::MAX;
    }

    pub(super) fn advance(&mut self, feed: &[Event], until_ns: i64) -> Result<(), Failed> {
        while self.next_ns <= until_ns && self.next_ns < i64::MAX {
            self.now_ns = self.next_ns;
            let (payload, next) = match feed[self.cursor].flags & crate::event::PAYLOAD {
                0 => (&[][..], self.cursor + 1),
                _ => payload_of(feed, self.cursor).ok_or(Failed::Feed(self.cursor))?,
            };
            self.venue.on_event(&feed[self.cursor], payload, &mut self.fresh)?;
            self.cursor = next;
            self.tell();
            self.seek(feed);
        }
        Ok(())
    }

    /// Ends the open block, the feed being over. Returns whether there was anything to tell.
    pub(super) fn close(&mut self) -> bool {
        self.venue.close(&mut self.fresh);
        self.tell()
    }

    fn tell(&mut self) -> bool {
        let any = !self.fresh.is_empty();
        for told in self.fresh.drain(..) {
            self.told.push(told.0.time_local_ns, told);
        }
        any
    }
}
