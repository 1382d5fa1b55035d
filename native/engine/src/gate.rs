//! The kernel's side of the gate before every order and swap.

/// How far the run has been stopped. Only an operator lowers it.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    #[default]
    Running = 0,
    /// Only what brings a position closer to zero.
    Reduce = 1,
    /// Everything open is cancelled, nothing new goes.
    Cancel = 2,
    /// Positions are closed.
    Flatten = 3,
    /// Nothing at all, and the signer refuses too.
    Freeze = 4,
}

impl Stage {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Running, Self::Reduce, Self::Cancel, Self::Flatten, Self::Freeze].get(usize::from(code)).copied()
    }
}

/// A refusal: the rule's number, what was found and what the limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    pub rule: u8,
    pub figure: i64,
    pub limit: i64,
}

pub const ORDER_SIZE: u8 = 2;
pub const STALE_BOOK: u8 = 5;
pub const STAGE: u8 = 15;
/// No such instrument, strategy or asset.
pub const UNKNOWN: u8 = 19;
/// The order is gone, or a cancel or an amend of it is under way.
pub const NOT_OPEN: u8 = 20;
/// The ids of this epoch are used up.
pub const IDS: u8 = 21;
/// The venue cannot change an order.
pub const CANNOT_AMEND: u8 = 22;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {}
