//! A backtest's journal: what the recorded market told is in its file already, so the journal says how far the kernel
//! has taken it and holds everything else as it came.
//!
//! ```text
//! feed     m m m m m m m m m m …                    the file whose digest is part of the journal's header
//! journal  Cursor(4) report fill Cursor(9) timer …  m1..m4, report, fill, m5..m9, timer, …
//! ```
//!
//! A [`Kind::Cursor`] event's `sequence` counts the feed's market events (kinds up to `Execute`) that the kernel took.
//! [`replay`] puts both together again: the same events in the same order, so the same decisions.

use super::backtest::{payload_of, Journal as Takes};
use crate::event::{Event, Kind, EXCHANGE, LOCAL, PAYLOAD};
use crate::journal::{Contents, Journal, JournalError};
use bytemuck::Zeroable;

/// Writes one.
#[derive(Debug)]
pub struct FeedJournal {
    journal: Journal,
    /// Market events the kernel took.
    taken: u64,
    /// As far as the last cursor says.
    told: u64,
    time_ns: i64,
    failed: Option<JournalError>,
}

impl FeedJournal {
    /// Returns a journal of a run that stands before its first event.
    pub fn new(journal: Journal) -> Self {
        Self { journal, taken: 0, told: 0, time_ns: 0, failed: None }
    }

    /// Writes what is left and says how it went: the first error there was.
    pub fn finish(&mut self) -> Result<(), JournalError> {
        self.tell();
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.journal.flush(),
        }
    }

    fn tell(&mut self) {
        if self.taken > self.told {
            self.told = self.taken;
            let cursor = Event {
                time_exchange_ns: self.time_ns,
                time_local_ns: self.time_ns,
                kind: Kind::Cursor as u8,
                flags: LOCAL,
                sequence: self.taken,
                ..Event::zeroed()
            };
            self.append(&cursor, &[]);
        }
    }

    fn append(&mut self, event: &Event, payload: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.journal.append(event, payload).err();
        }
    }
}

impl Takes for FeedJournal {
    #[inline]
    fn event(&mut self, event: &Event, payload: &[u8]) {
        if is_market(event) {
            self.taken += 1;
            self.time_ns = event.time_local_ns;
        } else {
            self.tell();
            self.append(event, payload);
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.finish().map_err(|error| error.to_string())
    }
}

#[inline]
fn is_market(event: &Event) -> bool {
    event.kind <= Kind::Execute as u8
}

/// Why a journal and a feed do not make a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit<E> {
    /// The journal says that more market events were taken than the feed has.
    Feed { said: u64, found: u64 },
    /// Whoever took the events refused one.
    Refused(E),
}

/// Calls `take` with every event of a run in the order in which its kernel took them.
pub fn replay<E>(
    journal: &Contents<'_>,
    feed: &[Event],
    mut take: impl FnMut(&Event, &[u8]) -> Result<(), E>,
) -> Result<(), Unfit<E>> {
    let (mut at, mut taken, mut now_ns) = (0, 0, i64::MIN);
    journal.each(0, |event, payload| {
        if event.kind != Kind::Cursor as u8 {
            now_ns = now_ns.max(event.time_local_ns);
            return take(event, payload).map_err(Unfit::Refused);
        }
        while taken < event.sequence {
            let short = Unfit::Feed { said: event.sequence, found: taken };
            let Some(told) = feed.get(at) else { return Err(short) };
            let (payload, next) = match told.flags & PAYLOAD {
                0 => (&[][..], at + 1),
                _ => payload_of(feed, at).ok_or(short)?,
            };
            at = next;
            if is_market(told) && told.flags & (EXCHANGE | LOCAL) != EXCHANGE {
                taken += 1;
                // As the backtest gives it: local time never goes back.
                now_ns = now_ns.max(told.time_local_ns);
                take(&Event { time_local_ns: now_ns, ..*told }, payload).map_err(Unfit::Refused)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{BUY, LAST};
    use crate::journal::Header;

    const HEADER: Header = Header { run: 7, seed: 1, config: [9; 32] };

    fn market(time_ns: i64, kind: Kind, flags: u16) -> Event {
        Event { time_local_ns: time_ns, kind: kind as u8, side: BUY, flags, price: time_ns, ..Event::zeroed() }
    }

    fn own(time_ns: i64) -> Event {
        Event { time_local_ns: time_ns, kind: Kind::Report as u8, flags: LAST | LOCAL, ..Event::zeroed() }
    }

    /// Writes a run of a feed with our own events after some of its records; gives the journal's bytes.
    fn written(run: &[Event]) -> Vec<u8> {
        let folder = std::env::temp_dir().join(format!("capstan-feed-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{:p}", run));
        let mut journal = FeedJournal::new(Journal::open(&path, &HEADER).unwrap().0);
        run.iter().for_each(|event| journal.event(event, &[]));
        journal.finish().unwrap();
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    }

    fn replayed(bytes: &[u8], feed: &[Event]) -> Result<Vec<Event>, Unfit<()>> {
        let mut events = Vec::new();
        replay(&Contents::read(bytes).unwrap(), feed, |event, _| {
            events.push(*event);
            Ok(())
        })?;
        Ok(events)
    }

    #[test]
    fn journal_and_feed_give_the_run_again_and_the_journal_is_as_small_as_its_own_events() {
        let feed: Vec<Event> =
            (0..1_000).map(|t| market(t, Kind::Level, if t % 7 == 0 { EXCHANGE } else { 0 })).collect();
        let mut run: Vec<Event> = feed.iter().filter(|e| e.flags != EXCHANGE).copied().collect();
        for at in [400, 400, 10] {
            run.insert(at, own(run[at].time_local_ns));
        }
        run.push(own(2_000));
        let bytes = written(&run);
        assert!(bytes.len() < 12 * 64, "{} bytes", bytes.len());
        assert!(replayed(&bytes, &feed).unwrap() == run);
    }

    #[test]
    fn a_run_that_ends_with_the_feed_says_how_far_it_came() {
        let feed: Vec<Event> = (0..50).map(|t| market(t, Kind::Trade, 0)).collect();
        assert_eq!(replayed(&written(&feed[..30]), &feed).unwrap().len(), 30);
    }

    #[test]
    fn a_feed_that_is_too_short_is_told() {
        let feed: Vec<Event> = (0..50).map(|t| market(t, Kind::Trade, 0)).collect();
        let bytes = written(&feed);
        assert_eq!(replayed(&bytes, &feed[..20]), Err(Unfit::Feed { said: 50, found: 20 }));
    }

    #[test]
    fn local_time_that_went_back_in_the_feed_is_given_as_the_backtest_gave_it() {
        let feed = [market(5, Kind::Trade, 0), market(3, Kind::Trade, 0)];
        let run = [feed[0], Event { time_local_ns: 5, ..feed[1] }];
        assert_eq!(replayed(&written(&run), &feed).unwrap(), run);
    }
}
