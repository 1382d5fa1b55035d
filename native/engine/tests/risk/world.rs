//! Two strategies, three instruments of ETH (spot, linear, inverse), one pool; values in thousandths of a dollar.

use capstan_engine::command::{OrderType, TimeInForce};
use capstan_engine::event::{BUY, SELL};
use capstan_engine::risk::*;

pub const SECOND: i64 = 1_000_000_000;
pub const NOW: i64 = 1_000 * SECOND;
pub const SPOT: u32 = 0;
pub const LINEAR: u32 = 1;
pub const INVERSE: u32 = 2;
/// Assets: ETH at the exchange (6 decimals), USD (3), WETH (9), a coin without value (8).
pub const ETH: u16 = 0;
pub const USD: u16 = 1;
pub const WETH: u16 = 2;
pub const COIN: u16 = 3;

pub fn limits() -> Limits {
    Limits {
        order_value_max: 1_000_000,
        swap_value_max: 1_000_000,
        collar_ppm: 10_000,
        position_value_max: 2_000_000,
        exposure_value_max: 3_000_000,
        open_orders_max: 3,
        open_orders_total_max: 5,
        messages_per_second_max: 10,
        book_age_ns_max: 2 * SECOND,
        capital: 10_000_000,
        executions_max: 3,
        executions_window_ns: 10 * SECOND,
        executions_pause_ns: 2 * SECOND,
        executions_stage: Stage::Cancel,
        strategy_losses: LossLimits::default(),
        losses: LossLimits::default(),
        kill: KillLimits {
            cancel_again_ns: 2 * SECOND,
            cancel_ns_max: 10 * SECOND,
            flatten_ns_max: 60 * SECOND,
            flatten_collar_ppm: 20_000,
            flatten_again_ns: SECOND,
            flatten_attempts_max: 3,
            freeze_when_flat: false,
        },
    }
}

/// A lot is a thousandth of an ETH, a tick a dollar: a lot at 3,000 is worth 3 dollars. An inverse lot is 10 dollars.
pub fn config() -> RiskConfig {
    let terms = |venue: u16, inverse: bool, contract: bool| Terms {
        venue,
        base: ETH,
        quote: USD,
        inverse,
        contract,
        base_per_lot: if inverse { 0 } else { 1_000 },
        quote_per_tick_lot: if inverse { 0 } else { 1 },
        quote_per_lot: if inverse { 10_000 } else { 0 },
        order_lots_max: 3_000,
        value_min: 100,
        blacklisted: false,
    };
    let asset = |economic, decimals| AssetTerms { economic, decimals, blacklisted: false };
    RiskConfig {
        limits: limits(),
        assets: vec![asset(Some(0), 6), asset(Some(1), 3), asset(Some(0), 9), asset(None, 8)],
        economics: vec![EconomicTerms { account: false }, EconomicTerms { account: true }],
        instruments: vec![terms(0, false, false), terms(1, false, true), terms(1, true, true)],
        pools: vec![false],
        venues: 2,
        shares: vec![5_000_000, 5_000_000],
    }
}

/// What the kernel would hold; the last row is for what nobody ordered.
#[derive(Debug, Clone)]
pub struct Held {
    pub lots: Vec<[Lots; 3]>,
    pub moved: Vec<[Moved; 4]>,
    /// Dollars for one ETH.
    pub price: Option<i128>,
}

impl Default for Held {
    fn default() -> Self {
        Self { lots: vec![Default::default(); 3], moved: vec![Default::default(); 3], price: Some(3_000) }
    }
}

impl Holdings for Held {
    fn rows(&self) -> usize {
        self.lots.len()
    }

    fn lots(&self, row: usize, instrument: usize) -> Lots {
        self.lots[row][instrument]
    }

    fn moved(&self, row: usize, asset: usize) -> Moved {
        self.moved[row][asset]
    }

    fn value(&self, asset: u16, units: i128) -> Option<i128> {
        match asset {
            ETH => Some(units.checked_mul(self.price?)?.div_euclid(1_000)),
            WETH => Some(units.checked_mul(self.price?)?.div_euclid(1_000_000)),
            USD => Some(units),
            _ => None,
        }
    }
}

pub fn top() -> Top {
    Top { bid: 2_999, ask: 3_001, changed_ns: NOW, stale: false }
}

pub fn view(held: &Held) -> RiskView<'_, Held> {
    RiskView {
        now_ns: NOW,
        strategy: 0,
        top: top(),
        own_bid: 0,
        own_ask: 0,
        replaces: 0,
        open_orders: 0,
        open_orders_total: 0,
        holdings: held,
    }
}

pub fn order(instrument: u32, side: u8, price: i64, size: i64) -> NewOrder {
    NewOrder {
        instrument,
        side,
        price,
        size,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
    }
}

pub fn buy(price: i64, size: i64) -> NewOrder {
    order(SPOT, BUY, price, size)
}

pub fn sell(price: i64, size: i64) -> NewOrder {
    order(SPOT, SELL, price, size)
}

pub fn swap(asset_in: u16, amount_in: i128, asset_out: u16, amount_out: i128) -> SwapChange {
    SwapChange { pool: 0, asset_in, amount_in, asset_out, amount_out }
}

pub fn gate(change: impl FnOnce(&mut RiskConfig)) -> RiskGate {
    let mut config = config();
    change(&mut config);
    RiskGate::new(config).unwrap()
}

/// Judges with a gate of its own and tells which rule refused.
pub fn rule_of(change: impl FnOnce(&mut RiskConfig), view: &RiskView<Held>, request: &NewOrder) -> Option<Rule> {
    gate(change).check(view, request).err().map(|rejection| rejection.rule)
}
