//! Faults on purpose: what gets lost, comes twice, comes late, and lines that go down.
//!
//! Every decision is a number from a counter and the seed, so a run repeats, and each is taken whether or not the one
//! before it struck. Nothing is drawn while all rates are zero.

use super::draw::draw_ppm;

/// What a draw is for.
const FAULT: u64 = 0x4641_554c;

/// Rates are in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultSettings {
    pub seed: u64,
    /// A command never arrives.
    pub request_lost: u32,
    /// A report is never seen (trades are, unless the line is down).
    pub report_lost: u32,
    /// A report or trade comes twice.
    pub duplicate: u32,
    /// A report or trade comes later by `delay_ns`.
    pub delayed: u32,
    pub delay_ns: i64,
    /// A command's sending finds the line going down for `down_ns`: commands and answers in that time are lost. When it
    /// is up again the venue tells the whole account.
    pub disconnect: u32,
    pub down_ns: i64,
    /// The venue cancels everything open when the line goes down.
    pub cancel_on_disconnect: bool,
}

impl FaultSettings {
    fn any(&self) -> bool {
        self.request_lost | self.report_lost | self.duplicate | self.delayed | self.disconnect > 0
    }
}

/// What happens to a command on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sending {
    pub lost: bool,
    pub disconnect: bool,
}

/// What happens to an answer on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Returning {
    pub lost: bool,
    pub duplicate: bool,
    pub extra_ns: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Faults {
    pub settings: FaultSettings,
    active: bool,
    counter: u64,
}

impl Faults {
    pub fn new(settings: FaultSettings) -> Self {
        Self { settings, active: settings.any(), counter: 0 }
    }

    pub fn sending(&mut self) -> Sending {
        if !self.active {
            return Sending::default();
        }
        Sending { lost: self.strikes(self.settings.request_lost), disconnect: self.strikes(self.settings.disconnect) }
    }

    pub fn returning(&mut self, is_trade: bool) -> Returning {
        if !self.active {
            return Returning::default();
        }
        let lost = self.strikes(self.settings.report_lost);
        let duplicate = self.strikes(self.settings.duplicate);
        let delayed = self.strikes(self.settings.delayed);
        Returning { lost: lost && !is_trade, duplicate, extra_ns: if delayed { self.settings.delay_ns } else { 0 } }
    }

    fn strikes(&mut self, rate: u32) -> bool {
        self.counter += 1;
        draw_ppm(self.settings.seed, self.counter, FAULT) < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_met_and_repeat() {
        let settings = FaultSettings { seed: 7, request_lost: 100_000, disconnect: 1_000, ..FaultSettings::default() };
        let run = || {
            let mut faults = Faults::new(settings);
            (0..100_000).map(|_| faults.sending()).collect::<Vec<_>>()
        };
        let first = run();
        let lost = first.iter().filter(|sending| sending.lost).count();
        let down = first.iter().filter(|sending| sending.disconnect).count();
        assert!((9_500..10_500).contains(&lost) && (50..150).contains(&down), "{lost} {down}");
        assert_eq!(first, run());
    }

    #[test]
    fn without_rates_nothing_happens() {
        let mut faults = Faults::new(FaultSettings { seed: 7, ..FaultSettings::default() });
        assert_eq!(faults.sending(), Sending::default());
        assert_eq!(faults.returning(false), Returning::default());
        assert_eq!(faults.counter, 0);
    }
}
