//! The simulator: venues that answer the kernel's commands as the recorded market would have.
//!
//! docs/simulation.md is the contract: every rule of who trades with whom, when and at what cost, and what is not
//! modelled.

mod account;
mod backtest;
mod chain;
mod desk;
pub mod draw;
mod drive;
mod exchange;
mod faults;
mod feed_journal;
mod fees;
mod impact;
mod in_flight;
mod l3;
mod latency;
mod limits;
mod market;
mod own;
pub mod pool_venue;
mod queue;
#[cfg(test)]
mod scenarios;
mod settings;

pub use account::{Account, Overflow};
pub use backtest::{Backtest, Failed, Journal, Stop};
pub use chain::Chain;
pub use drive::is_on_venue;
pub use exchange::{Exchange, Report};
pub use faults::FaultSettings;
pub use feed_journal::{replay, FeedJournal, Unfit};
pub use fees::{FeeAsset, FeeSettings, Tier};
pub use impact::Impact;
pub use latency::{Latencies, Latency, Sample};
pub use limits::MessageLimit;
pub use own::Order;
pub use queue::{Place, QueueModel};
pub use settings::{BadSettings, ExchangeSettings, Liquidation};
