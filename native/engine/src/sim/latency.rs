//! How long a command is on its way to a venue and its answers on their way back.
//!
//! Recorded latencies repeat as they were: interpolated by the time at which the command is sent, or drawn by a counter
//! from the samples of a distribution. Whatever the base, each message of the last millisecond can add its own delay,
//! because venues and gateways are slowest when everybody is in a hurry, ourselves included.

use super::draw::draw;
use crate::command::Kind;
use std::collections::VecDeque;

/// One recorded order: when it was sent, how long it took to the venue and its answer back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub time_ns: i64,
    pub entry_ns: i64,
    pub response_ns: i64,
}

/// The base latency of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latency {
    Constant {
        entry_ns: i64,
        response_ns: i64,
    },
    /// Straight between the two samples around the time; the first and the last before and after all.
    Recorded(Vec<Sample>),
    /// The samples in an order mixed by a counter: the distribution without its time.
    Drawn(Vec<Sample>),
}

/// What a draw is for.
const LATENCY: u64 = 0x4c41_5445;

/// Says why a latency is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLatency(pub &'static str);

impl Latency {
    fn check(&self) -> Result<(), BadLatency> {
        let negative = |entry: i64, response: i64| entry < 0 || response < 0;
        match self {
            Self::Constant { entry_ns, response_ns } if negative(*entry_ns, *response_ns) => {
                Err(BadLatency("a latency is negative"))
            }
            Self::Constant { .. } => Ok(()),
            Self::Recorded(samples) | Self::Drawn(samples) => {
                if samples.is_empty() {
                    return Err(BadLatency("no latency was recorded"));
                }
                if samples.iter().any(|s| negative(s.entry_ns, s.response_ns)) {
                    return Err(BadLatency("a latency is negative"));
                }
                let ordered = samples.windows(2).all(|pair| pair[0].time_ns < pair[1].time_ns);
                if matches!(self, Self::Recorded(_)) && !ordered {
                    return Err(BadLatency("recorded latencies are not in the order of time"));
                }
                Ok(())
            }
        }
    }

    fn at(&self, time_ns: i64, counter: u64) -> (i64, i64) {
        match self {
            Self::Constant { entry_ns, response_ns } => (*entry_ns, *response_ns),
            Self::Recorded(samples) => {
                let next = samples.partition_point(|sample| sample.time_ns <= time_ns);
                let (a, b) = match (next.checked_sub(1).map(|at| samples[at]), samples.get(next)) {
                    (Some(a), Some(b)) => (a, *b),
                    (Some(only), None) => return (only.entry_ns, only.response_ns),
                    (None, _) => return (samples[0].entry_ns, samples[0].response_ns),
                };
                let (part, whole) = (i128::from(time_ns - a.time_ns), i128::from(b.time_ns - a.time_ns));
                let between = |from: i64, to: i64| (i128::from(from) + i128::from(to - from) * part / whole) as i64;
                (between(a.entry_ns, b.entry_ns), between(a.response_ns, b.response_ns))
            }
            Self::Drawn(samples) => {
                let sample = samples[(draw(0, counter, LATENCY) % samples.len() as u64) as usize];
                (sample.entry_ns, sample.response_ns)
            }
        }
    }
}

/// A venue's latencies: one per operation and what load adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    pub place: Latency,
    pub amend: Latency,
    pub cancel: Latency,
    /// For asking, and for what a venue says of itself (its response).
    pub ask: Latency,
    /// Added on the way in for each other command sent in the last millisecond.
    pub per_message_ns: i64,
    /// One connection: nothing overtakes, neither on the way in nor on the way back.
    pub in_order: bool,
}

impl Latencies {
    /// Returns the same constant latency for everything, on one connection.
    pub fn constant(entry_ns: i64, response_ns: i64) -> Self {
        let same = Latency::Constant { entry_ns, response_ns };
        Self {
            place: same.clone(),
            amend: same.clone(),
            cancel: same.clone(),
            ask: same,
            per_message_ns: 0,
            in_order: true,
        }
    }
}

const LOAD_WINDOW_NS: i64 = 1_000_000;
/// More than this many messages in a millisecond delay no further.
const LOAD_MAX: usize = 1024;

/// The two lines between us and a venue.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    latencies: Latencies,
    counter: u64,
    sent: VecDeque<i64>,
    last_in: i64,
    last_out: i64,
}

impl Lines {
    pub fn new(latencies: Latencies) -> Result<Self, BadLatency> {
        for latency in [&latencies.place, &latencies.amend, &latencies.cancel, &latencies.ask] {
            latency.check()?;
        }
        if latencies.per_message_ns < 0 {
            return Err(BadLatency("a latency is negative"));
        }
        Ok(Self { latencies, counter: 0, sent: VecDeque::new(), last_in: i64::MIN, last_out: i64::MIN })
    }

    /// Returns when a command that is sent now arrives.
    pub fn arrival(&mut self, kind: u8, now_ns: i64) -> i64 {
        let entry = self.of(kind).at(now_ns, self.counter).0;
        self.counter += 1;
        let load = if self.latencies.per_message_ns > 0 { self.load(now_ns) } else { 0 };
        let time = now_ns.saturating_add(entry).saturating_add(load.saturating_mul(self.latencies.per_message_ns));
        if self.latencies.in_order {
            self.last_in = self.last_in.max(time);
            return self.last_in;
        }
        time
    }

    /// Returns when we learn of what happens now, as the answer to a command (0: to none).
    pub fn return_time(&mut self, answers: u8, now_ns: i64, extra_ns: i64) -> i64 {
        let response = self.of(answers).at(now_ns, self.counter).1;
        self.counter += 1;
        let time = now_ns.saturating_add(response).saturating_add(extra_ns);
        if self.latencies.in_order {
            self.last_out = self.last_out.max(time);
            return self.last_out;
        }
        time
    }

    fn of(&self, kind: u8) -> &Latency {
        match kind {
            k if k == Kind::Place as u8 => &self.latencies.place,
            k if k == Kind::Amend as u8 => &self.latencies.amend,
            k if k == Kind::Cancel as u8 || k == Kind::CancelAll as u8 => &self.latencies.cancel,
            _ => &self.latencies.ask,
        }
    }

    /// Counts the messages of the last millisecond, and this one from now on.
    fn load(&mut self, now_ns: i64) -> i64 {
        while self.sent.front().is_some_and(|sent| *sent <= now_ns - LOAD_WINDOW_NS) {
            self.sent.pop_front();
        }
        let count = self.sent.len();
        if count < LOAD_MAX {
            self.sent.push_back(now_ns);
        }
        count as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(time_ns: i64, entry_ns: i64, response_ns: i64) -> Sample {
        Sample { time_ns, entry_ns, response_ns }
    }

    #[test]
    fn recorded_latencies_are_interpolated_by_time() {
        let recorded = Latency::Recorded(vec![sample(100, 10, 40), sample(200, 30, 20)]);
        let read = [50, 100, 150, 199, 200, 900].map(|time| recorded.at(time, 0));
        assert_eq!(read, [(10, 40), (10, 40), (20, 30), (29, 21), (30, 20), (30, 20)]);
    }

    #[test]
    fn drawn_latencies_repeat_and_use_every_sample() {
        let drawn = Latency::Drawn((0..8).map(|n| sample(0, n, n)).collect());
        let first: Vec<_> = (0..200).map(|n| drawn.at(0, n)).collect();
        assert_eq!(first, (0..200).map(|n| drawn.at(9, n)).collect::<Vec<_>>());
        assert!((0..8).all(|n| first.contains(&(n, n))));
    }

    #[test]
    fn load_delays_and_nothing_overtakes() {
        let mut latencies = Latencies::constant(1_000, 500);
        latencies.per_message_ns = 100;
        latencies.cancel = Latency::Constant { entry_ns: 10, response_ns: 5 };
        let mut lines = Lines::new(latencies).unwrap();
        assert_eq!(lines.arrival(Kind::Place as u8, 0), 1_000);
        assert_eq!(lines.arrival(Kind::Place as u8, 10), 1_110);
        assert_eq!(lines.arrival(Kind::Cancel as u8, 20), 1_110, "on the same line");
        assert_eq!(lines.arrival(Kind::Place as u8, 1_000_020), 1_001_020, "the millisecond is over");
        assert_eq!(lines.return_time(Kind::Place as u8, 5_000, 0), 5_500);
        assert_eq!(lines.return_time(Kind::Cancel as u8, 5_001, 0), 5_500);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            Latency::Constant { entry_ns: -1, response_ns: 0 },
            Latency::Recorded(vec![]),
            Latency::Recorded(vec![sample(2, 1, 1), sample(1, 1, 1)]),
            Latency::Drawn(vec![sample(0, 1, -1)]),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
