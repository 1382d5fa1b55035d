//! What is asked of the gate, and what it may see while it judges.

use super::value::{Lots, Moved, Top};
use crate::command::{OrderType, TimeInForce};

/// An order that a strategy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrder {
    pub instrument: u32,
    /// `event::BUY` or `event::SELL`.
    pub side: u8,
    /// Ticks.
    pub price: i64,
    /// Lots.
    pub size: i64,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub reduce_only: bool,
}

/// A swap that a strategy wants, in the assets' smallest units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapChange {
    pub pool: u32,
    pub asset_in: u16,
    /// What it takes at most.
    pub amount_in: i128,
    pub asset_out: u16,
    /// What it gives as far as the strategy knows.
    pub amount_out: i128,
}

/// What the kernel holds. Rows are the strategies in order, and one or more for what nobody ordered.
pub trait Holdings {
    fn rows(&self) -> usize;
    fn lots(&self, row: usize, instrument: usize) -> Lots;
    fn moved(&self, row: usize, asset: usize) -> Moved;
    /// Returns what an amount of an asset is worth in the unit of account's smallest unit, rounded down; nothing when
    /// it has no price (or the value leaves its range, which is as good as none).
    fn value(&self, asset: u16, units: i128) -> Option<i128>;
}

/// The state of the world as one request is judged.
#[derive(Debug)]
pub struct RiskView<'a, H: Holdings> {
    pub now_ns: i64,
    pub strategy: u8,
    /// Best prices of the request's instrument (a swap needs none).
    pub top: Top,
    /// Best resting prices of ours in that instrument, of all strategies, in ticks; 0: none. An order whose cancel is
    /// under way is in nobody's way.
    pub own_bid: i64,
    pub own_ask: i64,
    /// Open lots of the order that this one replaces; 0 for a new order.
    pub replaces: i64,
    /// Of the strategy, and of all.
    pub open_orders: u32,
    pub open_orders_total: u32,
    pub holdings: &'a H,
}
