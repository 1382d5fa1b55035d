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

    /// Whether an order of this side with such a limit may trade at a price.
    pub fn reaches(self, limit: i64, price: i64) -> bool {
        match self {
            Self::Buy => price <= limit,
            Self::Sell => price >= limit,
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

impl Size {
    /// Returns how many lots it is good for at a price.
    pub(crate) fn affords(self, price: i64) -> i64 {
        match self {
            Self::Lots(lots) => lots,
            Self::Quote(budget) => budget / price,
        }
    }

    /// Returns what is left after `lots` at a price, at most as many as it affords: so the product fits.
    pub(crate) fn less(self, price: i64, lots: i64) -> Self {
        match self {
            Self::Lots(had) => Self::Lots(had - lots),
            Self::Quote(had) => Self::Quote(had - lots * price),
        }
    }
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

impl NewOrder {
    /// Whether it may trade at a price.
    pub(crate) fn reaches(&self, price: i64) -> bool {
        self.kind == Kind::Market || self.side.reaches(self.price, price)
    }

    /// Returns what is wrong with it, whatever the book holds.
    pub(crate) fn unfit(&self) -> Option<Reject> {
        if self.kind != Kind::Market && !(1..=LIMIT_MAX).contains(&self.price) {
            return Some(Reject::BadPrice);
        }
        match self.size {
            Size::Lots(lots) if (1..=LIMIT_MAX).contains(&lots) && (0..=lots).contains(&self.display) => None,
            Size::Quote(budget) if budget > 0 && self.kind == Kind::Market && self.display == 0 => {
                (self.time_in_force == TimeInForce::Fok).then_some(Reject::BadSize)
            }
            _ => Some(Reject::BadSize),
        }
    }
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

    /// Returns why no order can have come to wait like this.
    pub(crate) fn unfit(&self) -> Option<Reject> {
        if !(1..=LIMIT_MAX).contains(&self.price) {
            return Some(Reject::BadPrice);
        }
        let is_sized = self.lots >= 1
            && self.hidden >= 0
            && self.display >= 0
            && i128::from(self.lots) + i128::from(self.hidden) <= i128::from(LIMIT_MAX)
            && (self.hidden == 0 || self.display > 0);
        (!is_sized).then_some(Reject::BadSize)
    }
}
