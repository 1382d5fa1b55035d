//! What one simulated venue is like.

use super::faults::FaultSettings;
use super::fees::FeeSettings;
use super::impact::Impact;
use super::latency::Latencies;
use super::limits::MessageLimit;
use super::queue::QueueModel;
use crate::instrument::Instrument;

/// When a position is closed by force. Margin is isolated by instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liquidation {
    /// Put up for each instrument, in its settlement asset's smallest unit.
    pub collateral: i128,
    /// Of the position's value, in 1e-8: below it the position is closed at the mark.
    pub maintenance: i64,
    /// What the venue keeps of the closed value, in 1e-8.
    pub fee: i64,
}

/// One venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeSettings {
    /// Its index in the run's configuration.
    pub venue: u16,
    pub queue: QueueModel,
    pub latencies: Latencies,
    pub fees: FeeSettings,
    pub impact: Impact,
    pub limits: Vec<MessageLimit>,
    /// Open orders at once, over all instruments.
    pub open_max: usize,
    pub faults: FaultSettings,
    pub liquidation: Option<Liquidation>,
    /// Positions at the start: (instrument, lots). For spot what may be sold by reduce-only orders.
    pub positions: Vec<(u32, i64)>,
}

impl ExchangeSettings {
    /// Returns a venue without latency, limits or faults, whose instruments' own fees hold.
    pub fn plain(venue: u16) -> Self {
        Self {
            venue,
            queue: QueueModel::default(),
            latencies: Latencies::constant(0, 0),
            fees: FeeSettings::default(),
            impact: Impact::default(),
            limits: Vec::new(),
            open_max: 10_000,
            faults: FaultSettings::default(),
            liquidation: None,
            positions: Vec::new(),
        }
    }
}

/// Why a venue cannot be simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSettings(pub String);

impl std::fmt::Display for BadSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSettings {}

impl ExchangeSettings {
    pub(super) fn check(&self, instruments: &[Instrument]) -> Result<(), BadSettings> {
        let bad = |why: &str| Err(BadSettings(format!("venue {}: {why}", self.venue)));
        if !self.queue.is_valid() {
            return bad("a queue model's power is from 1 to 4");
        }
        if !self.impact.is_valid() {
            return bad("slippage and impact are not negative");
        }
        if !self.limits.iter().all(MessageLimit::is_valid) {
            return bad("a message limit's window is not positive");
        }
        if self.faults.delay_ns < 0 || self.faults.down_ns < 0 {
            return bad("a fault's duration is negative");
        }
        if let Some(liquidation) = self.liquidation {
            if liquidation.maintenance <= 0 || liquidation.fee < 0 || liquidation.collateral < 0 {
                return bad("maintenance margin is positive, collateral and fee are not negative");
            }
        }
        let ours = |at: &u32| instruments.get(*at as usize).is_some_and(|it| it.venue == self.venue);
        if !self.positions.iter().all(|(instrument, _)| ours(instrument)) {
            return bad("a position is in an instrument of another venue");
        }
        Ok(())
    }
}
