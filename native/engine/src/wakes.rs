//! Which strategies want to know of what just happened.

use crate::config::Config;

/// The book of an instrument is whole again and changed.
pub const BOOK: u16 = 1 << 0;
/// A public trade.
pub const TRADE: u16 = 1 << 1;
/// A finished bar.
pub const BAR: u16 = 1 << 2;
/// A trade of the strategy's own.
pub const FILL: u16 = 1 << 3;
/// An order of the strategy's own changed, or one of its swaps settled.
pub const REPORT: u16 = 1 << 4;
/// The regular tick, or an instant the strategy asked for.
pub const TIMER: u16 = 1 << 5;
/// A new head of the chain.
pub const BLOCK: u16 = 1 << 6;
/// A pool's state changed.
pub const POOL: u16 = 1 << 7;
/// Mark, index or funding.
pub const MARK: u16 = 1 << 8;
/// The book went stale.
pub const STALE: u16 = 1 << 9;
/// An operator's word, a restart, a change of stage, the end of a reconciliation.
pub const CONTROL: u16 = 1 << 10;
/// Every record, also those in the middle of a message.
pub const RECORD: u16 = 1 << 11;

const REASONS: usize = 12;

/// Who is to be woken, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wakes {
    /// A bit per strategy, by its place in the configuration.
    pub strategies: u64,
    pub why: u16,
}

impl Wakes {
    pub fn is_empty(self) -> bool {
        self.strategies == 0
    }

    pub fn has(self, strategy: u8) -> bool {
        strategy < 64 && self.strategies >> strategy & 1 != 0
    }
}

/// The subscriptions, ready to be looked up: a mask of strategies per instrument and reason.
#[derive(Debug, Clone)]
pub struct Subscribers {
    /// `[instrument][reason]`; the last row is for events without an instrument.
    masks: Vec<[u64; REASONS]>,
}

impl Subscribers {
    pub fn new(config: &Config) -> Self {
        let rows = config.instruments.len() + 1;
        let mut masks = vec![[0; REASONS]; rows];
        for (at, strategy) in config.strategies.iter().enumerate() {
            for subscription in &strategy.subscriptions {
                for (row, reasons) in masks.iter_mut().enumerate() {
                    if subscription.instrument.is_none_or(|i| i as usize == row) {
                        for (bit, mask) in reasons.iter_mut().enumerate() {
                            *mask |= u64::from(subscription.why >> bit & 1) << at;
                        }
                    }
                }
            }
        }
        Self { masks }
    }

    /// Returns the strategies that subscribe to one reason about an instrument.
    #[inline]
    pub fn of(&self, instrument: u32, why: u16) -> u64 {
        let row = (instrument as usize).min(self.masks.len() - 1);
        self.masks[row][why.trailing_zeros() as usize % REASONS]
    }

    /// Returns the strategies that subscribe to a reason that has no instrument.
    #[inline]
    pub fn everywhere(&self, why: u16) -> u64 {
        self.masks[self.masks.len() - 1][why.trailing_zeros() as usize % REASONS]
    }
}
