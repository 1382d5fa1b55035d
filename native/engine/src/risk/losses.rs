//! Results that fall too far: below their peak, below their start, within the day, within a window.

use super::limits::{LossLimit, LossLimits};
use super::rule::Rule;

const DAY_NS: i64 = 86_400_000_000_000;
/// The window of the loss velocity moves in steps of a 32nd; it looks back one window and up to one step more.
const SLOTS: usize = 32;

/// What one result (a strategy's, or the whole run's) was, as far as limits need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Losses {
    pub(crate) base: i128,
    pub(crate) peak: i128,
    pub(crate) day: i64,
    pub(crate) day_base: i128,
    pub(crate) last: i128,
    pub(crate) slot: i64,
    /// Highest result of each step of the window; `i128::MIN`: none.
    pub(crate) highs: [i128; SLOTS + 1],
}

impl Default for Losses {
    fn default() -> Self {
        let mut losses = Self {
            base: 0,
            peak: 0,
            day: i64::MIN,
            day_base: 0,
            last: 0,
            slot: i64::MIN,
            highs: [i128::MIN; SLOTS + 1],
        };
        losses.restart();
        losses
    }
}

impl Losses {
    /// Accepts what was lost: everything is counted from the last result.
    pub fn restart(&mut self) {
        (self.base, self.peak, self.day_base) = (self.last, self.last, self.last);
        self.highs = [i128::MIN; SLOTS + 1];
    }

    /// Takes a result and the time. Returns the gravest limit that it passes, with the figure.
    pub fn take(&mut self, now_ns: i64, result: i128, limits: &LossLimits) -> Option<(Rule, i128, LossLimit)> {
        let day = now_ns.div_euclid(DAY_NS);
        if day > self.day {
            // What the last moment of yesterday was worth is what today begins with.
            (self.day, self.day_base) = (day, self.last);
        }
        // A result holds until the next: just before this one it was still the last.
        let before = std::mem::replace(&mut self.last, result);
        self.peak = self.peak.max(result);
        let mut gravest: Option<(Rule, i128, LossLimit)> = None;
        let mut judge = |rule: Rule, high: i128, limit: Option<LossLimit>| {
            let Some(limit) = limit else { return };
            let fall = high.saturating_sub(result);
            if fall > limit.max && gravest.as_ref().is_none_or(|(_, _, known)| limit.stage > known.stage) {
                gravest = Some((rule, fall, limit));
            }
        };
        judge(Rule::Drawdown, self.peak, limits.drawdown);
        judge(Rule::Loss, self.base, limits.total);
        judge(Rule::DailyLoss, self.day_base, limits.daily);
        if limits.velocity.is_some() {
            let step = limits.velocity_window_ns / SLOTS as i64;
            judge(Rule::LossVelocity, self.high(now_ns.div_euclid(step), before.max(result)), limits.velocity);
        }
        gravest
    }

    /// Notes a result of this step. Returns the highest within the window.
    fn high(&mut self, slot: i64, result: i128) -> i128 {
        let steps = slot.saturating_sub(self.slot);
        if steps > 0 {
            for step in 0..steps.min(self.highs.len() as i64) {
                self.highs[(slot - step).rem_euclid(self.highs.len() as i64) as usize] = i128::MIN;
            }
            self.slot = slot;
        }
        let high = &mut self.highs[self.slot.rem_euclid((SLOTS + 1) as i64) as usize];
        *high = result.max(*high);
        self.highs.iter().copied().max().unwrap_or(result)
    }
}
