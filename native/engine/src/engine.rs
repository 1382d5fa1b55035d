//! A kernel and its native strategies: `commands = step(event)`.

use crate::command::Command;
use crate::config::{Config, ConfigError};
use crate::event::Event;
use crate::kernel::{Broken, Kernel};

/// What a strategy is: told what it subscribes to after the kernel has taken it, it acts through the kernel at once.
///
/// It keeps its own state, reads no clock, draws no random numbers and does no I/O, so that a replay rebuilds it exactly.
pub trait Strategy: Send {
    /// Its place in the configuration.
    fn id(&self) -> u8;

    fn on_event(&mut self, kernel: &mut Kernel, event: &Event);

    /// Returns whether nothing of it is in flight: the engine may stop.
    fn is_idle(&self) -> bool {
        true
    }

    /// Returns everything its decisions depend on, for hashes and snapshots.
    fn state(&self) -> Vec<u8>;

    /// Takes back what [`Strategy::state`] gave; returns whether it could.
    fn restore(&mut self, state: &[u8]) -> bool {
        state.is_empty()
    }
}

pub struct Engine {
    pub kernel: Kernel,
    strategies: Vec<Box<dyn Strategy>>,
}

impl Engine {
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self { kernel: Kernel::new(config)?, strategies: Vec::new() })
    }

    /// Adds a native strategy. They are told in the order they were added.
    pub fn add(&mut self, strategy: Box<dyn Strategy>) {
        self.strategies.push(strategy);
    }

    pub fn strategies(&self) -> &[Box<dyn Strategy>] {
        &self.strategies
    }

    /// Returns the strategies, to restore them.
    pub fn strategies_mut(&mut self) -> &mut [Box<dyn Strategy>] {
        &mut self.strategies
    }

    /// Takes one event: state, strategies, gate. Commands are appended to `out`.
    #[inline]
    pub fn step(&mut self, event: &Event, payload: &[u8], out: &mut Vec<Command>) -> Result<(), Broken> {
        self.kernel.ingest(event, payload)?;
        let wakes = self.kernel.wakes();
        if !wakes.is_empty() {
            for strategy in &mut self.strategies {
                if wakes.has(strategy.id()) {
                    strategy.on_event(&mut self.kernel, event);
                }
            }
        }
        self.kernel.take_commands(out);
        Ok(())
    }

    /// Returns whether nothing is in flight anywhere.
    pub fn is_idle(&self) -> bool {
        self.kernel.is_idle() && self.strategies.iter().all(|s| s.is_idle())
    }
}
