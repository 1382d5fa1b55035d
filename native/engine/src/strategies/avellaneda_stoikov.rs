//! Market making after Avellaneda and Stoikov (2008): the quoting half of `engine/strategies/avellaneda_stoikov.py`.
//!
//! With mid s, inventory q, variance σ² per second, risk aversion γ, horizon τ and order-arrival decay κ:
//!
//! ```text
//!   reservation price  r = s - q·γ·σ²·τ
//!   half spread        h = max(γ·σ²·τ / 2 + ln(1 + γ/κ) / γ, least)
//! ```
//!
//! Both languages do the same operations on doubles in the same order, and neither asks the C library for a logarithm or
//! a power ([`super::floats`]), so they decide alike to the tick. Hedges in pools stay in the Python class.

use capstan_core::orders::Side;

use crate::event::Event;
use crate::kernel::Kernel;
use crate::risk::Stage;
use crate::strategies::floats::{half_to_the, ln};
use crate::targets::Target;
use crate::wakes;
use crate::Strategy;

/// The model and its limits. Prices in quote units, sizes in base units, unless said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    pub instrument: u32,
    pub tick: f64,
    pub lot: f64,
    pub order_lots: i64,
    pub risk_aversion: f64,
    pub arrival_decay: f64,
    pub horizon_s: f64,
    pub volatility_floor: f64,
    pub volatility_halflife_s: f64,
    pub spread_min_bps: f64,
    pub requote_bps: f64,
    pub inventory_max: f64,
}

/// See the module.
#[derive(Debug)]
pub struct AvellanedaStoikov {
    id: u8,
    parameters: Parameters,
    /// ln(1 + γ/κ) / γ.
    arrival_half_spread: f64,
    variance: f64,
    last_mid: Option<(i64, f64)>,
    quoted: [Option<i64>; 2],
}

impl AvellanedaStoikov {
    pub fn new(id: u8, parameters: Parameters) -> Self {
        let gamma = parameters.risk_aversion;
        Self {
            id,
            parameters,
            arrival_half_spread: ln(1.0 + gamma / parameters.arrival_decay) / gamma,
            variance: parameters.volatility_floor * parameters.volatility_floor,
            last_mid: None,
            quoted: [None; 2],
        }
    }

    /// Returns bid and ask in quote units at the present volatility, before rounding and clamping.
    pub fn targets(&self, mid: f64, inventory: f64) -> (f64, f64) {
        let p = &self.parameters;
        let risk = p.risk_aversion * self.variance * p.horizon_s;
        let reservation = mid - inventory * risk;
        let half = f64::max(risk / 2.0 + self.arrival_half_spread, mid * p.spread_min_bps / 2e4);
        (reservation - half, reservation + half)
    }

    fn withdraw(&mut self, kernel: &mut Kernel) {
        self.quoted = [None; 2];
        kernel.set_targets(self.id, self.parameters.instrument, &[], &[]);
    }

    /// Follows σ² as an exponentially weighted mean of squared mid changes per second.
    pub fn learn(&mut self, now_ns: i64, mid: f64) {
        if let Some((then_ns, last)) = self.last_mid {
            if now_ns > then_ns {
                let seconds = (now_ns - then_ns) as f64 / 1e9;
                let keep = half_to_the(seconds / self.parameters.volatility_halflife_s);
                let change = mid - last;
                let realised = change * change / seconds;
                let floor = self.parameters.volatility_floor * self.parameters.volatility_floor;
                self.variance = f64::max(floor, keep * self.variance + (1.0 - keep) * realised);
            }
        }
        self.last_mid = Some((now_ns, mid));
    }

    /// Returns the prices to rest at, bid and ask, in ticks; keeps the last ones while they are near enough.
    pub fn quotes(&mut self, bid: i64, ask: i64, position: i64) -> [Option<i64>; 2] {
        let p = self.parameters;
        let mid_ticks = (bid + ask) as f64 / 2.0;
        let inventory = position as f64 * p.lot;
        let (low, high) = self.targets(mid_ticks * p.tick, inventory);
        // Post-only: a bid stays below the best ask, an ask above the best bid.
        let wanted = [
            (inventory < p.inventory_max).then_some(((low / p.tick).floor() as i64).min(ask - 1)),
            (inventory > -p.inventory_max).then_some(((high / p.tick).ceil() as i64).max(bid + 1)),
        ];
        let tolerance = mid_ticks * p.requote_bps / 1e4;
        for (quoted, wanted) in self.quoted.iter_mut().zip(wanted) {
            let keeps = matches!((*quoted, wanted), (Some(a), Some(b)) if (a - b).abs() as f64 <= tolerance);
            if !keeps {
                *quoted = wanted;
            }
        }
        self.quoted
    }
}

impl Strategy for AvellanedaStoikov {
    fn id(&self) -> u8 {
        self.id
    }

    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        let (instrument, why) = (self.parameters.instrument, kernel.wakes().why);
        if why & (wakes::FILL | wakes::REPORT) != 0 {
            super::forget_done(kernel, self.id, instrument, &mut self.quoted);
            return;
        }
        if event.instrument != instrument || why & (wakes::BOOK | wakes::STALE) == 0 {
            return;
        }
        let best = (kernel.book(instrument).best(Side::Buy), kernel.book(instrument).best(Side::Sell));
        let (Some((bid, _)), Some((ask, _))) = best else { return self.withdraw(kernel) };
        self.learn(event.time_local_ns, (bid + ask) as f64 / 2.0 * self.parameters.tick);
        if kernel.stage_of(self.id) != Stage::Running {
            return;
        }
        if kernel.is_stopping() {
            return self.withdraw(kernel);
        }
        let size = self.parameters.order_lots;
        let [low, high] = self.quotes(bid, ask, kernel.position(self.id, instrument));
        let bids = low.map(|price| Target { price, size });
        let asks = high.map(|price| Target { price, size });
        kernel.set_targets(self.id, instrument, bids.as_slice(), asks.as_slice());
    }

    fn state(&self) -> Vec<u8> {
        let (then_ns, mid) = self.last_mid.unwrap_or((i64::MIN, 0.0));
        let [bid, ask] = self.quoted.map(|price| price.unwrap_or(i64::MIN));
        let words = [self.variance.to_bits(), then_ns as u64, mid.to_bits(), bid as u64, ask as u64];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        if state.len() != 40 {
            return false;
        }
        let word = |at: usize| state[8 * at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let known = |word: u64| (word as i64 != i64::MIN).then_some(word as i64);
        self.variance = f64::from_bits(word(0));
        self.last_mid = known(word(1)).map(|then_ns| (then_ns, f64::from_bits(word(2))));
        self.quoted = [known(word(3)), known(word(4))];
        true
    }
}
