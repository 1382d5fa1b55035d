//! A kernel and its native strategies: `commands = step(event)`.

use sha2::{Digest as _, Sha256};

use crate::broken::Broken;
use crate::bytes::{Corrupt, Reader, Writer};
use crate::command::Command;
use crate::config::{Config, ConfigError};
use crate::event::Event;
use crate::kernel::Kernel;

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

    /// Returns SHA-256 over everything that decides, the strategies' own state included.
    pub fn state_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.kernel.state_hash());
        for strategy in &self.strategies {
            let state = strategy.state();
            hash.update((state.len() as u64).to_le_bytes());
            hash.update(state);
        }
        hash.finalize().into()
    }

    /// Returns kernel and strategies as bytes, or nothing in the middle of a message of a book.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let mut out = Writer::default();
        out.bytes(&self.kernel.snapshot()?);
        for strategy in &self.strategies {
            out.bytes(&strategy.state());
        }
        Some(out.0)
    }

    /// Takes back what [`Engine::snapshot`] gave, into a new engine of the same configuration with the same strategies.
    /// After an error it must not be used: the whole journal is replayed into another.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Corrupt> {
        let reader = &mut Reader(state);
        self.kernel.restore(reader.bytes()?)?;
        for strategy in &mut self.strategies {
            if !strategy.restore(reader.bytes()?) {
                return Err(Corrupt("a strategy that cannot take its state back"));
            }
        }
        if reader.0.is_empty() {
            Ok(())
        } else {
            Err(Corrupt("longer than it should be"))
        }
    }

    /// Returns whether nothing is in flight anywhere.
    pub fn is_idle(&self) -> bool {
        self.kernel.is_idle() && self.strategies.iter().all(|s| s.is_idle())
    }
}
