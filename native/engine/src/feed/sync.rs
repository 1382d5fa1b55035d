//! Which diff continues which book: the venues' update ids, and the diffs that wait for a snapshot.
//!
//! ```text
//!             snapshot L that the kept diffs continue        first diff
//!   WAITING ───────────────────────────────────────> FRESH(L) ────────> FOLLOWING(u)
//!      ^  diffs are kept, bounded                       │  a diff that does not continue    │
//!      └────────────────────────────────────────────────┴───────────────────────────────────┘
//! ```
//!
//! Spot: drop `u <= last`; the next diff has `U <= last + 1`. Futures say the previous id themselves: after a snapshot L
//! the first diff has `u >= L` and nothing between, that is `pu <= L`; from then on `pu` equals the last `u`.

use crate::event::Event;
use std::collections::VecDeque;

/// How many diffs, and how many levels in them, wait for a snapshot; 100 s of a 100 ms stream. Older ones are dropped,
/// which only means that an old snapshot will not do.
const KEPT_DIFFS: usize = 1_000;
const KEPT_LEVELS: usize = 1 << 18;

/// The ids of one diff; only futures name the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub first: u64,
    pub last: u64,
    pub previous: Option<u64>,
}

impl Ids {
    /// Returns whether this diff continues a book known up to `known`, right after a diff.
    fn follows(&self, known: u64) -> bool {
        match self.previous {
            None => self.first <= known.saturating_add(1),
            Some(previous) => previous == known,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Fresh(u64),
    Following(u64),
}

/// What becomes of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    /// It is in the book already.
    Old,
    /// Something is missing before it.
    Gap,
    /// There is no book yet: it should be kept.
    Keep,
}

#[derive(Debug)]
struct Kept {
    ids: Ids,
    events: Vec<Event>,
}

/// The sequence of one instrument.
#[derive(Debug)]
pub struct Sync {
    state: State,
    kept: VecDeque<Kept>,
    kept_levels: usize,
}

impl Sync {
    pub fn new() -> Self {
        Self { state: State::Waiting, kept: VecDeque::new(), kept_levels: 0 }
    }

    pub fn is_following(&self) -> bool {
        self.state != State::Waiting
    }

    /// Judges a diff and, when it applies, counts it as applied.
    #[inline]
    pub fn take(&mut self, ids: &Ids) -> Verdict {
        let verdict = self.judge(ids);
        if verdict == Verdict::Apply {
            self.state = State::Following(ids.last);
        }
        verdict
    }

    #[inline]
    fn judge(&self, ids: &Ids) -> Verdict {
        let (applies, old) = match (self.state, ids.previous) {
            (State::Waiting, _) => return Verdict::Keep,
            (State::Following(known), _) => (ids.follows(known), ids.last <= known),
            (State::Fresh(known), None) => (ids.follows(known), ids.last <= known),
            (State::Fresh(known), Some(previous)) => (previous <= known, ids.last < known),
        };
        if old {
            Verdict::Old
        } else if applies {
            Verdict::Apply
        } else {
            Verdict::Gap
        }
    }

    /// Forgets the book and what was kept: the next diff begins what a new snapshot must continue.
    pub fn lose(&mut self) {
        self.state = State::Waiting;
        self.kept.clear();
        self.kept_levels = 0;
    }

    /// Keeps a diff for the snapshot to come.
    pub fn keep(&mut self, ids: Ids, events: &[Event]) {
        if self.kept.back().is_some_and(|last| !ids.follows(last.ids.last)) {
            self.lose(); // A gap among the kept ones: the older part can never be continued.
        }
        self.kept_levels += events.len();
        self.kept.push_back(Kept { ids, events: events.to_vec() });
        while self.kept.len() > KEPT_DIFFS || self.kept_levels > KEPT_LEVELS {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_levels -= oldest.events.len();
        }
    }

    /// Takes a snapshot's id. Appends the kept diffs that continue it; returns whether the book is known now. It is not
    /// when the snapshot is older than the first kept diff (nothing is appended then, and a newer one is needed).
    pub fn load(&mut self, id: u64, out: &mut Vec<Event>) -> bool {
        self.state = State::Fresh(id);
        while let Some(kept) = self.kept.pop_front() {
            match self.take(&kept.ids) {
                Verdict::Apply => out.extend_from_slice(&kept.events),
                Verdict::Old => {}
                Verdict::Gap | Verdict::Keep => {
                    // Kept diffs follow one another, so it is the first that is too new: nothing was appended.
                    self.kept.push_front(kept);
                    self.state = State::Waiting;
                    return false;
                }
            }
            self.kept_levels -= kept.events.len();
        }
        true
    }

    /// Returns whether a snapshot would take the book back or leave it where it is.
    pub fn is_past(&self, id: u64) -> bool {
        match self.state {
            State::Waiting => false,
            State::Fresh(known) | State::Following(known) => id <= known,
        }
    }
}
