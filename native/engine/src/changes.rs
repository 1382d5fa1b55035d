//! What changes of a run while it goes on: a strategy joins, limits are others.
//!
//! Neither is a record of the vocabulary: the shell journals what it was told, and calls this at the same place of a
//! replay. A kernel that was changed has another shape than its configuration says, so it is rebuilt from its journal
//! and gives no snapshot.

use crate::config::{Config, ConfigError, StrategySettings};
use crate::kernel::Kernel;
use crate::portfolio::Position;
use crate::reservations::Reserved;
use crate::risk::{Limits, Moved, OwnLimits, RiskView, Top, Usage};
use crate::targets::Wish;
use crate::wakes::Subscribers;

impl Kernel {
    /// Takes another strategy, behind the others; `shares` are all strategies' parts of the capital from here on. After
    /// an error everything is as it was.
    pub fn join(&mut self, strategy: StrategySettings, shares: Vec<i128>) -> Result<(), ConfigError> {
        let mut config = self.config.clone();
        config.strategies.push(strategy);
        config.check()?;
        self.gate.join(shares.clone()).map_err(|e| ConfigError(e.0))?;
        let (at, instruments, assets) = (self.config.strategies.len(), config.instruments.len(), config.assets.len());
        self.reservations.join();
        self.portfolio.join();
        self.wishes.slots.resize((at + 1) * instruments, Wish::default());
        let row = at * assets;
        self.under_way.splice(row..row, std::iter::repeat_n(Moved::default(), assets));
        self.subscribers = Subscribers::new(&config);
        self.changed(config, &shares);
        Ok(())
    }

    /// Takes other limits; see [`crate::risk::RiskGate::set_limits`]. Losses are judged by them at once.
    pub fn set_limits(&mut self, limits: Limits, own: Vec<OwnLimits>, shares: Vec<i128>) -> Result<(), ConfigError> {
        self.gate.set_limits(limits.clone(), own, shares.clone()).map_err(|e| ConfigError(e.0))?;
        let config = Config { limits, ..self.config.clone() };
        self.changed(config, &shares);
        self.marked();
        Ok(())
    }

    /// Returns how much each strategy, and at last the run, uses of the limits.
    pub fn usage(&self) -> Vec<Usage> {
        let view = RiskView {
            now_ns: self.now_ns,
            strategy: 0,
            top: Top::default(),
            own_bid: 0,
            own_ask: 0,
            replaces: 0,
            open_orders: 0,
            open_orders_total: 0,
            holdings: &self.held(),
        };
        self.gate.usage(&view)
    }

    fn changed(&mut self, mut config: Config, shares: &[i128]) {
        for (strategy, share) in config.strategies.iter_mut().zip(shares) {
            strategy.capital = *share;
        }
        self.config = config;
        self.is_changed = true;
    }
}

impl crate::reservations::Reservations {
    fn join(&mut self) {
        self.open.push(0);
        self.by_strategy.resize(self.open.len() * self.instruments, Reserved::default());
    }
}

impl crate::portfolio::Portfolio {
    /// A row before the last, which is of what nobody ordered.
    fn join(&mut self) {
        let (assets, instruments) = (self.balances.len(), self.marks.len());
        let (ledger, positions) = ((self.rows - 1) * assets, (self.rows - 1) * instruments);
        self.ledger.splice(ledger..ledger, std::iter::repeat_n(0, assets));
        self.positions.splice(positions..positions, std::iter::repeat_n(Position::default(), instruments));
        self.rows += 1;
    }
}
