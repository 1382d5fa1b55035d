//! Which rule said no, by number, and with what figures.

/// A rule. Its number is in `Command::rule` of what is rejected, and never changes its meaning.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The instrument, pool or asset must not be traded.
    Blacklist = 1,
    /// No size, no price, more lots than one order may have, or less than the venue takes.
    OrderSize = 2,
    OrderValue = 3,
    /// The limit lies further beyond the mid than allowed, in the direction that costs us. Figure and limit in ppm.
    Collar = 4,
    /// No book, a stale one, or one that is too old. Figure and limit in nanoseconds.
    StaleBook = 5,
    /// Something that counts has no price. The figure is the asset.
    NoMark = 6,
    OpenOrders = 7,
    OpenOrdersTotal = 8,
    /// Would trade with a resting order of ours at the price in `limit`.
    SelfTrade = 9,
    Position = 10,
    Exposure = 11,
    /// More than the strategy's own capital would be at work.
    Capital = 12,
    /// The venue's message budget is used up. The figure is the nanoseconds until an order passes.
    Throttle = 13,
    /// Would open or turn a position that it may only reduce.
    ReduceOnly = 14,
    /// The staged kill lets nothing of the kind pass. The figure is the stage.
    Stage = 15,
    SwapValue = 16,
    /// A figure left the range of its integer.
    Overflow = 17,
    /// An order without a limit price has no bound.
    Unbounded = 18,
    /// Not configured: instrument, strategy or asset.
    Unknown = 19,
    /// The order is gone, or a cancel or an amend of it is under way.
    NotOpen = 20,
    /// The ids of this epoch are used up.
    Ids = 21,
    /// The venue cannot change an order.
    CannotAmend = 22,
    /// Spot instruments have no reduce-only orders. The figure is the instrument.
    CannotReduce = 23,
    // --- after the trade: these move the staged kill
    /// One strategy's orders were executed too often without a pause. Figure: executions in the window.
    Executions = 30,
    /// Fall of the result below its peak.
    Drawdown = 31,
    /// Loss since the start.
    Loss = 32,
    /// Loss since midnight UTC.
    DailyLoss = 33,
    /// Loss within the window.
    LossVelocity = 34,
    /// A stage did not reach its end in time. Figure: what is left of orders or positions.
    Overdue = 35,
    /// An operator's word.
    Operator = 36,
}

/// A refusal. Values are in the unit of account's smallest unit, cut to what 64 bits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    pub rule: Rule,
    pub figure: i64,
    pub limit: i64,
}

impl Rejection {
    pub(crate) fn new(rule: Rule, figure: i128, limit: i128) -> Self {
        Self { rule, figure: saturated(figure), limit: saturated(limit) }
    }
}

pub(crate) fn saturated(figure: i128) -> i64 {
    figure.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
