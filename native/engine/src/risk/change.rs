//! What changes of a gate while its run goes on: its limits, and that a strategy joins.
//!
//! A new limit judges what comes: orders that rest stay, losses are looked at when they are next told. Buckets and
//! windows are measured in their own limits, which therefore stay as they were made.

use super::kill::Closing;
use super::limits::{Limits, OwnLimits, Unsound};
use super::losses::Losses;
use super::stage::Staging;
use super::throttle::Executions;
use super::RiskGate;

impl RiskGate {
    /// Takes other limits: the run's, what holds for each strategy, and each one's share of the capital. After an error
    /// everything is as it was.
    pub fn set_limits(&mut self, limits: Limits, own: Vec<OwnLimits>, shares: Vec<i128>) -> Result<(), Unsound> {
        let strategies = self.by_strategy.len();
        if own.len() != strategies || shares.len() != strategies {
            return Err(Unsound(format!("there are {strategies} strategies, not {} or {}", own.len(), shares.len())));
        }
        let before = &self.config.limits;
        if (limits.messages_per_second_max, limits.executions_max, limits.executions_window_ns)
            != (before.messages_per_second_max, before.executions_max, before.executions_window_ns)
            || limits.losses.velocity_window_ns != before.losses.velocity_window_ns
            || own.iter().any(|each| each.losses.velocity_window_ns != before.strategy_losses.velocity_window_ns)
        {
            return Err(Unsound("messages, executions and windows stay as they were".into()));
        }
        let mut config = self.config.clone();
        (config.limits, config.shares) = (limits, shares);
        config.check()?;
        for each in &own {
            // As if every strategy had these: what is sound for all is sound for one.
            let mut limits = config.limits.clone();
            (limits.order_value_max, limits.swap_value_max) = (each.order_value_max, each.swap_value_max);
            (limits.position_value_max, limits.strategy_losses) = (each.position_value_max, each.losses);
            super::RiskConfig { limits, ..config.clone() }.check()?;
        }
        (self.config, self.own) = (config, own);
        Ok(())
    }

    /// Takes another strategy, behind the others. After an error everything is as it was.
    pub(crate) fn join(&mut self, shares: Vec<i128>) -> Result<(), Unsound> {
        let strategies = self.by_strategy.len();
        if shares.len() != strategies + 1 {
            return Err(Unsound(format!("{} shares for {} strategies", shares.len(), strategies + 1)));
        }
        let mut config = self.config.clone();
        config.shares = shares;
        config.check()?;
        let instruments = config.instruments.len();
        self.own.push(OwnLimits::from(&config.limits));
        self.executions.push(Executions::default());
        self.losses.insert(strategies, Losses::default());
        self.by_strategy.push(Staging::default());
        self.closing.resize(self.closing.len() + instruments, Closing::default());
        self.held.push(0);
        self.config = config;
        Ok(())
    }
}
