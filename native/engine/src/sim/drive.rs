//! Driving one venue alone, event by event: paper trading on a live feed, and tests.

use super::account::Overflow;
use super::exchange::{Exchange, Report};
use crate::event::{Event, EXCHANGE, LOCAL};

/// Returns whether an event happens on the venue's timeline; one that says neither happens on both.
#[inline]
pub fn is_on_venue(event: &Event) -> bool {
    event.flags & (EXCHANGE | LOCAL) != LOCAL
}

impl Exchange {
    /// Lets everything arrive that is due by a time on the venue.
    pub fn advance(&mut self, now_ns: i64) -> Result<(), Overflow> {
        while self.next_arrival_ns() <= now_ns {
            self.arrive()?;
        }
        Ok(())
    }

    /// Takes a market event after the commands that arrived before it; those of the same instant come after it.
    pub fn take(&mut self, event: &Event) -> Result<(), Overflow> {
        if !is_on_venue(event) {
            return Ok(());
        }
        while self.next_arrival_ns() < event.time_exchange_ns {
            self.arrive()?;
        }
        self.feed(event)
    }

    /// Takes the reports that are known by a local time.
    pub fn reports_until(&mut self, now_ns: i64, out: &mut Vec<Report>) {
        while self.next_report_ns() <= now_ns {
            out.extend(self.take_report());
        }
    }
}
