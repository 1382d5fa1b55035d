//! The 64-byte event: one record shared by journal, store, backtest input and NumPy.
//!
//! Little-endian, 8-aligned, no padding. `engine/records.py` names the same layout as a NumPy dtype, and a test compares
//! the two. What does not fit 64 bytes (a pool's state, a reason) follows as payload: `flags` has [`PAYLOAD`], `aux[1]`
//! is its length in bytes, and in files it is padded with zeros to whole records.

use bytemuck::{Pod, Zeroable};

/// Whose event it is, and what `price`, `size`, `sequence` and `aux` mean. Zero is no event.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    // --- market data
    /// A price level now holds `size` lots (0: gone). `sequence` is the venue's update id.
    Level = 1,
    /// Levels of `side` (both when side is [`SIDE_NONE`]) are forgotten; a snapshot's levels follow.
    Clear = 2,
    /// A public trade; `side` is the taker's. `sequence` is the venue's trade id.
    Trade = 3,
    /// The venue's own best price of `side`, with its size; comes in pairs. `sequence` is the update id.
    Best = 4,
    /// The book may be wrong until the next snapshot: nobody quotes on it. `aux[0]` is a reason code.
    Stale = 5,
    /// Funding is due now: `aux[0]` is the rate in 1e-12, `price` the mark in ticks. Positive: longs pay.
    Funding = 6,
    /// Mark price in ticks.
    Mark = 7,
    /// Index price in ticks.
    Index = 8,
    /// A finished bar from outside: `price` is the close, `size` the volume, `aux` open and high, `sequence` the low.
    Bar = 9,
    /// L3: an order of `size` lots joins the end of its level. `sequence` is the order's id.
    Add = 10,
    /// L3: an order's open size is now `size`; it keeps its place when that is less, else it goes to the end.
    Modify = 11,
    /// L3: an order leaves without a trade.
    Delete = 12,
    /// L3: `size` lots of the resting order `sequence` trade at its price.
    Execute = 13,

    // --- our orders
    /// A venue's word on one order: `aux[0]` is our client id, `aux[1]` a payload length or 0, `size` the lots filled in
    /// all where the venue says so (else -1), `sequence` the venue's order id where it is a number; the state, what is
    /// answered and the reason are in the low bytes of `price`: see [`Answer`]. With [`ASKED`] the payload, if any, is the
    /// order's terms as they are now: price and size (filled lots included), two little-endian i64.
    Report = 20,
    /// A trade of ours at `price` for `size`: `aux[0]` is our client id, `sequence` the trade id, `aux[1]` the fee in the
    /// fee asset's smallest unit (negative: rebate).
    Fill = 21,
    /// The venue's whole answer about one of its accounts begins (`aux[0]` 0) or ends (1); reports, fills and balances
    /// between, all flagged [`ASKED`]. `instrument` is the venue's index, `aux[1]` the local time when it was asked: what
    /// was sent since is not judged by it.
    Reconcile = 22,

    // --- time, chain, people
    /// The clock reached `time_local_ns`; `aux[0]` is 0 for the regular tick, else what strategy `side` gave.
    Timer = 30,
    /// A new head: `sequence` is its number, `aux[0]` its time in seconds, `aux[1]` the base fee in wei.
    Block = 31,
    /// A person's command: `aux[0]` is its code, see [`operator`].
    Operator = 32,
    /// A new process took over: `aux[0]` is the epoch that client ids carry from here on.
    Restart = 33,
    /// What we hold of an asset: `aux[0]` is the asset's index, the payload the amount as a little-endian i128. With
    /// `aux[0]` -1 it is a position: `size` lots of `instrument`, signed.
    Balance = 34,
    /// A pool's state or a change of it, as payload. `instrument` is the pool's index.
    Pool = 35,
    /// What became of a swap of ours, as payload. `aux[0]` is its client id, `price` the status (`payload::SwapStatus`),
    /// `sequence` the block.
    Settled = 36,
    /// Where the feed stands: `sequence` market events of the file whose digest is in the journal's header are taken.
    Cursor = 37,
}

/// What a person may say.
pub mod operator {
    /// Cancel everything and stop every strategy.
    pub const KILL: i64 = 1;
    /// Wind down and end.
    pub const STOP: i64 = 2;
    /// Run again after a kill or a breach; what was lost is accepted.
    pub const RESUME: i64 = 3;
    /// Go to stage `aux[1]`, upwards only.
    pub const STAGE: i64 = 4;
    /// New parameters for a strategy: nothing to the kernel.
    pub const PARAMETERS: i64 = 5;
    /// The run goes on; a strategy that is stopped for itself stays so.
    pub const RESUME_RUN: i64 = 6;
}

/// `side`: +1 buys are 0, sells are 1, as in `capstan_core::orders`.
pub const BUY: u8 = 0;
pub const SELL: u8 = 1;
pub const SIDE_NONE: u8 = 255;

/// The last record of a message: the book is whole again, strategies may look.
pub const LAST: u16 = 1 << 0;
/// Part of a snapshot.
pub const SNAPSHOT: u16 = 1 << 1;
/// Happens on the exchange's timeline.
pub const EXCHANGE: u16 = 1 << 2;
/// Happens on the local timeline.
pub const LOCAL: u16 = 1 << 3;
/// Our fill was the resting side.
pub const MAKER: u16 = 1 << 4;
/// Payload follows.
pub const PAYLOAD: u16 = 1 << 5;
/// The fee is in the base asset; without this and [`FEE_OTHER`] it is in the quote (or settlement) asset.
pub const FEE_BASE: u16 = 1 << 6;
/// The fee is in a third asset.
pub const FEE_OTHER: u16 = 1 << 7;
/// The answer to a question, not a message of the stream.
pub const ASKED: u16 = 1 << 8;
/// A level that the BBO laid over a slower book, or that is put back (`feed::fuse`).
pub const FUSED: u16 = 1 << 9;

/// One event. See [`Kind`] for the meaning of the fields.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// When it happened at the venue, nanoseconds since 1970.
    pub time_exchange_ns: i64,
    /// When we learnt of it, on our clock; the kernel knows no other time.
    pub time_local_ns: i64,
    pub instrument: u32,
    pub kind: u8,
    pub side: u8,
    pub flags: u16,
    /// Ticks.
    pub price: i64,
    /// Lots.
    pub size: i64,
    pub sequence: u64,
    pub aux: [i64; 2],
}

const _: () = assert!(std::mem::size_of::<Event>() == 64 && std::mem::align_of::<Event>() == 8);

impl Event {
    /// Returns the event's kind, or nothing for a number that is none.
    pub fn kind(&self) -> Option<Kind> {
        use Kind::*;
        Some(match self.kind {
            1 => Level,
            2 => Clear,
            3 => Trade,
            4 => Best,
            5 => Stale,
            6 => Funding,
            7 => Mark,
            8 => Index,
            9 => Bar,
            10 => Add,
            11 => Modify,
            12 => Delete,
            13 => Execute,
            20 => Report,
            21 => Fill,
            22 => Reconcile,
            30 => Timer,
            31 => Block,
            32 => Operator,
            33 => Restart,
            34 => Balance,
            35 => Pool,
            36 => Settled,
            37 => Cursor,
            _ => return None,
        })
    }

    /// Returns whether strategies may look at the book after this record.
    pub fn is_last(&self) -> bool {
        self.flags & LAST != 0
    }
}

/// What a venue says an order is now.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportState {
    Accepted = 1,
    PartiallyFilled = 2,
    Filled = 3,
    Canceled = 4,
    Expired = 5,
    Rejected = 6,
    /// The venue knows no such order, or no longer.
    Unknown = 7,
    /// From the shell, not from a venue: the answer was lost, what was asked may or may not have happened. The kernel
    /// asks.
    Lost = 8,
}

/// Why a venue said no, or ended an order.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    None = 0,
    /// Also what a venue's own text says and nobody sorted.
    Other = 1,
    WouldTake = 2,
    /// A price or a size outside the venue's bounds.
    Invalid = 3,
    NotionalMin = 4,
    Duplicate = 5,
    /// Nothing to reduce.
    ReduceOnly = 6,
    TooManyOrders = 7,
    Throttled = 8,
    /// Not (wholly) filled at once, as IOC, FOK and market orders must be.
    Unfilled = 9,
    Disconnected = 10,
    Liquidated = 11,
    Balance = 12,
    UnknownOrder = 13,
}

/// A report's `price`: `state | answers << 8 | reason << 16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub state: ReportState,
    /// The kind of the command it answers (`command::Kind`), 0 when the venue speaks of itself. A refused amend or
    /// cancel names itself here, with the order's state as it stands and the reason.
    pub answers: u8,
    pub reason: Reason,
}

impl Answer {
    pub fn pack(self) -> i64 {
        i64::from(self.state as u8) | i64::from(self.answers) << 8 | i64::from(self.reason as u8) << 16
    }

    /// Returns the parts of a report's `price`, or nothing for numbers that mean nothing.
    pub fn unpack(price: i64) -> Option<Self> {
        use Reason as R;
        let state = match price & 255 {
            1 => ReportState::Accepted,
            2 => ReportState::PartiallyFilled,
            3 => ReportState::Filled,
            4 => ReportState::Canceled,
            5 => ReportState::Expired,
            6 => ReportState::Rejected,
            7 => ReportState::Unknown,
            8 => ReportState::Lost,
            _ => return None,
        };
        let reasons = [
            R::None,
            R::Other,
            R::WouldTake,
            R::Invalid,
            R::NotionalMin,
            R::Duplicate,
            R::ReduceOnly,
            R::TooManyOrders,
            R::Throttled,
            R::Unfilled,
            R::Disconnected,
            R::Liquidated,
            R::Balance,
            R::UnknownOrder,
        ];
        let reason = *reasons.get(usize::try_from(price >> 16).ok()?)?;
        Some(Self { state, answers: (price >> 8 & 255) as u8, reason })
    }
}

/// Returns the bytes of a run of events, without copying.
pub fn as_bytes(events: &[Event]) -> &[u8] {
    bytemuck::cast_slice(events)
}

/// Returns the events in a run of bytes, without copying; nothing when it is not whole records, 8-aligned.
pub fn from_bytes(bytes: &[u8]) -> Option<&[Event]> {
    bytemuck::try_cast_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_their_bytes_are_the_same_memory() {
        let events = [Event { kind: Kind::Level as u8, price: -7, ..Event::zeroed() }; 3];
        let bytes = as_bytes(&events);
        assert_eq!(bytes.len(), 192);
        assert_eq!(&bytes[24..32], &(-7i64).to_le_bytes());
        assert_eq!(from_bytes(bytes), Some(&events[..]));
        assert_eq!(from_bytes(&bytes[..100]), None);
    }

    #[test]
    fn an_answer_is_its_parts() {
        for state in 0..=9 {
            for reason in 0..=14 {
                let price = state | 3 << 8 | reason << 16;
                let good = (1..=8).contains(&state) && reason <= 13;
                assert_eq!(Answer::unpack(price).map(Answer::pack), good.then_some(price));
            }
        }
        assert_eq!(Answer::unpack(-1), None);
        assert_eq!(Answer::unpack(1 | 1 << 40), None);
    }

    #[test]
    fn every_kind_has_a_number_of_its_own() {
        let known: Vec<u8> = (0..=255).filter(|n| Event { kind: *n, ..Event::zeroed() }.kind().is_some()).collect();
        for number in &known {
            assert_eq!(Event { kind: *number, ..Event::zeroed() }.kind().unwrap() as u8, *number);
        }
        assert_eq!(known.len(), 24);
    }
}
