//! What the matching engine is told and what it answers.

/// Greatest price in ticks and greatest size in lots. Sixteen million orders of the greatest size fit one level.
pub const LIMIT_MAX: i64 = 1 << 39;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Trades up to its price; what is left rests or expires, as its time in force says.
    Limit,
    /// Rests or is rejected; never takes.
    LimitMaker,
    /// Trades at any price; what is left expires.
    Market,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInForce {
    Gtc,
    Ioc,
    Fok,
}

/// What happens when an order meets one of the same owner; the taker's choice counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfTrade {
    Allow,
    ExpireMaker,
    ExpireTaker,
    ExpireBoth,
    /// Both lose what would have traded; whichever has nothing left is gone.
    Decrement,
}

/// How much to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Lots(i64),
    /// A budget in ticks times lots, for market orders: at each price as many whole lots as it still buys.
    Quote(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrder {
    pub id: u64,
    pub owner: u64,
    pub side: Side,
    pub kind: Kind,
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTrade,
    /// Ignored for market orders.
    pub price: i64,
    pub size: Size,
    /// How many lots an iceberg shows at a time while it rests; 0 shows all.
    pub display: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    DuplicateId = 1,
    UnknownId = 2,
    /// A post-only order that would take.
    WouldTake = 3,
    /// A price outside 1..=LIMIT_MAX.
    BadPrice = 4,
    /// A size outside 1..=LIMIT_MAX, a budget that is not positive, a budget where lots are due (limit, FOK), or an
    /// iceberg that shows less than nothing or more than it has.
    BadSize = 5,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Traded {
        taker: u64,
        maker: u64,
        price: i64,
        lots: i64,
        maker_left: i64,
    },
    /// `id` lost `lots` because it met `other` of the same owner; with none left it is gone. Of a budget, `left` is
    /// what it still buys at this price.
    Prevented {
        id: u64,
        other: u64,
        price: i64,
        lots: i64,
        left: i64,
    },
    /// The rest of the order, `left`, waits in the book, which shows `lots` of it.
    Rested {
        id: u64,
        price: i64,
        lots: i64,
        left: i64,
    },
    /// What an iceberg showed is gone: it shows the next `lots` of `left`, behind all others at its price.
    Refilled {
        id: u64,
        price: i64,
        lots: i64,
        left: i64,
    },
    /// The rest of an IOC, FOK or market order is gone. Lots are 0 for a budget, which expires only when it bought
    /// nothing or the book ran out.
    Expired {
        id: u64,
        lots: i64,
    },
    Canceled {
        id: u64,
        price: i64,
        lots: i64,
    },
    /// Keeps its place in the queue with fewer lots left.
    Reduced {
        id: u64,
        price: i64,
        left: i64,
    },
    Rejected {
        id: u64,
        why: Reject,
    },
    /// The new size of a price level.
    Level {
        side: Side,
        price: i64,
        lots: i64,
    },
}

/// A command of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Submit(NewOrder),
    Cancel(u64),
    /// Take the open size of an order down to so many lots.
    Reduce(u64, i64),
    /// Cancel one order and submit another at once; if the first is unknown, nothing happens.
    Replace(u64, NewOrder),
}

/// An order that waits in the book. Levels count what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    pub id: u64,
    pub owner: u64,
    pub side: Side,
    pub price: i64,
    /// What the book shows of it, and what can trade at its present place in the queue.
    pub lots: i64,
    /// What comes after that, `display` lots at a time.
    pub hidden: i64,
    pub display: i64,
}

impl Resting {
    pub fn left(&self) -> i64 {
        self.lots + self.hidden
    }
}
