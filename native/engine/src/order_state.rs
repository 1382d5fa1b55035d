//! An order's life at a venue, as one table.
//!
//! ```text
//! Pending ──> Accepted ──> PartiallyFilled ──> Filled
//!    │            │                │
//!    │            └───────┬────────┘──> Canceled | Expired
//!    ├──> Rejected        │
//!    └──> Unknown ────────┘   (asked about until the venue answers; never resent)
//! ```
//!
//! Sizes come from trades alone. A trade counts in every state, because a venue may tell it after an end; the first end
//! stands, because its stream and its answers may name it differently.

use crate::event::ReportState;

/// Where an order stands.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Recorded and on its way; the venue has not answered.
    Pending = 1,
    /// The answer was lost: the venue is being asked.
    Unknown = 2,
    Accepted = 3,
    PartiallyFilled = 4,
    Filled = 5,
    Canceled = 6,
    Expired = 7,
    Rejected = 8,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Unknown,
        Self::Accepted,
        Self::PartiallyFilled,
        Self::Filled,
        Self::Canceled,
        Self::Expired,
        Self::Rejected,
    ];

    /// Returns whether the venue may still hold the order.
    #[inline]
    pub fn is_open(self) -> bool {
        self <= Self::PartiallyFilled
    }

    /// Returns the state that a report speaks of. A venue that knows no such order has refused it, as far as it can tell.
    pub fn told(report: ReportState) -> Self {
        match report {
            ReportState::Accepted => Self::Accepted,
            ReportState::PartiallyFilled => Self::PartiallyFilled,
            ReportState::Filled => Self::Filled,
            ReportState::Canceled => Self::Canceled,
            ReportState::Expired => Self::Expired,
            ReportState::Rejected | ReportState::Unknown => Self::Rejected,
            ReportState::Lost => Self::Unknown,
        }
    }
}

/// What an order is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A venue's word on the state; for an end, whether trades that belong to it are still on their way.
    State { state: State, lacks_trades: bool },
    /// A trade; whether nothing is left to trade after it, and the end that waited for just this trade.
    Trade { completes: bool, awaited: Option<State> },
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// Nothing new: a repetition, or a report older than what is known.
    Same,
    To(State),
    /// An end that is believed once the trades it speaks of have come.
    Ending(State),
}

/// The table: every state and everything that can be told of it. Total, so that no report can stop the engine.
pub fn next(state: State, told: Told) -> Becomes {
    use Becomes::{Same, To};
    use State::*;
    match (state, told) {
        // Trades count in every state. One that completes the order ends it as filled, whatever end was told before.
        (Filled, Told::Trade { .. }) => Same,
        (_, Told::Trade { completes: true, .. }) => To(Filled),
        (Pending | Unknown | Accepted | PartiallyFilled, Told::Trade { awaited: Some(end), .. }) => To(end),
        (Pending | Unknown | Accepted, Told::Trade { .. }) => To(PartiallyFilled),
        (PartiallyFilled | Canceled | Expired | Rejected, Told::Trade { .. }) => Same,

        // The first end stands.
        (Filled | Canceled | Expired | Rejected, Told::State { .. }) => Same,

        // The venue had it and no longer knows it: it cannot trade any more.
        (Accepted | PartiallyFilled, Told::State { state: Rejected, lacks_trades }) => end(Canceled, lacks_trades),
        (_, Told::State { state: to @ (Filled | Canceled | Expired | Rejected), lacks_trades }) => {
            end(to, lacks_trades)
        }

        // Onwards only: venues reorder, an acknowledgement may come after a fill.
        (Pending, Told::State { state: to @ (Unknown | Accepted | PartiallyFilled), .. }) => To(to),
        (Unknown, Told::State { state: to @ (Accepted | PartiallyFilled), .. }) => To(to),
        (Accepted, Told::State { state: PartiallyFilled, .. }) => To(PartiallyFilled),
        (Pending | Unknown | Accepted | PartiallyFilled, Told::State { .. }) => Same,
    }
}

fn end(state: State, lacks_trades: bool) -> Becomes {
    if lacks_trades {
        Becomes::Ending(state)
    } else {
        Becomes::To(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: State) -> Told {
        Told::State { state, lacks_trades: false }
    }

    #[test]
    fn the_first_end_stands_whatever_is_told_afterwards() {
        for first in State::ALL.into_iter().filter(|s| !s.is_open()) {
            for second in State::ALL {
                assert_eq!(next(first, told(second)), Becomes::Same, "{first:?} told {second:?}");
            }
        }
    }

    #[test]
    fn an_open_order_only_moves_onwards() {
        for from in State::ALL.into_iter().filter(|s| s.is_open()) {
            for to in State::ALL {
                let expected = match (from, to) {
                    (State::Accepted | State::PartiallyFilled, State::Rejected) => Becomes::To(State::Canceled),
                    _ if to > from => Becomes::To(to),
                    _ => Becomes::Same,
                };
                assert_eq!(next(from, told(to)), expected, "{from:?} told {to:?}");
            }
        }
    }

    #[test]
    fn an_end_that_lacks_trades_waits_for_them() {
        for from in State::ALL.into_iter().filter(|s| s.is_open()) {
            let waits = next(from, Told::State { state: State::Expired, lacks_trades: true });
            assert_eq!(waits, Becomes::Ending(State::Expired));
            let trade = Told::Trade { completes: false, awaited: Some(State::Expired) };
            assert_eq!(next(from, trade), Becomes::To(State::Expired));
        }
    }

    #[test]
    fn a_trade_that_completes_fills_an_order_in_any_state() {
        for from in State::ALL {
            let becomes = next(from, Told::Trade { completes: true, awaited: None });
            assert_eq!(becomes, if from == State::Filled { Becomes::Same } else { Becomes::To(State::Filled) });
        }
    }
}
