//! A plain two-sided quote, one order a side at a fixed distance from the touch: the yardstick of the benches.
//!
//! It looks at the first message of each interval of event time, quotes the side that does not add to a full position,
//! and withdraws while the book is stale. `engine/strategies/quoting.py` decides the same in Python.

use capstan_core::orders::Side;

use crate::event::Event;
use crate::kernel::Kernel;
use crate::strategies::Interval;
use crate::targets::Target;
use crate::wakes;
use crate::Strategy;

/// What it quotes. Prices in ticks, sizes in lots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    pub instrument: u32,
    pub size: i64,
    /// Ticks behind the touch; 0 joins it.
    pub behind: i64,
    /// Lots held (or owed) from which only the reducing side is quoted.
    pub position_max: i64,
    /// 0: every message.
    pub interval_ns: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Quoting {
    id: u8,
    parameters: Parameters,
    interval: Interval,
}

impl Quoting {
    pub fn new(id: u8, parameters: Parameters) -> Self {
        Self { id, parameters, interval: Interval::new(parameters.interval_ns) }
    }

    /// Returns the bid and the ask for a touch and a position.
    pub fn targets(&self, bid: i64, ask: i64, position: i64) -> (Option<Target>, Option<Target>) {
        let Parameters { size, behind, position_max, .. } = self.parameters;
        (
            (position < position_max).then_some(Target { price: bid - behind, size }),
            (position > -position_max).then_some(Target { price: ask + behind, size }),
        )
    }
}

impl Strategy for Quoting {
    fn id(&self) -> u8 {
        self.id
    }

    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        let (instrument, why) = (self.parameters.instrument, kernel.wakes().why);
        if event.instrument != instrument || why & (wakes::BOOK | wakes::STALE) == 0 {
            return;
        }
        if why & wakes::STALE == 0 && !self.interval.is_due(event.time_local_ns) {
            return;
        }
        let (bids, asks) = match (kernel.book(instrument).best(Side::Buy), kernel.book(instrument).best(Side::Sell)) {
            (Some((bid, _)), Some((ask, _))) => self.targets(bid, ask, kernel.position(self.id, instrument)),
            _ => (None, None),
        };
        kernel.set_targets(self.id, instrument, bids.as_slice(), asks.as_slice());
    }

    fn state(&self) -> Vec<u8> {
        self.interval.next_ns().to_le_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        let Ok(next_ns) = state.try_into().map(i64::from_le_bytes) else { return false };
        self.interval.resume(next_ns);
        true
    }
}
