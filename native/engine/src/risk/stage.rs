//! The staged kill: how far it has gone, for the whole run and for each strategy.
//!
//! ```text
//! RUNNING ──> REDUCE ──> CANCEL ──> FLATTEN ──> FREEZE        by itself only this way; back only by an operator
//! ```
//!
//! REDUCE lets only what reduces a position pass, and cancels what would add. CANCEL lets nothing pass and ends every
//! order: one `CancelAll` a venue first, since one message also ends orders that this process does not know, then a
//! `Cancel` for each known order, since only that is acknowledged order by order; repeated until the order has ended.
//! FLATTEN closes what is held by immediate orders of bounded price, again and again. FREEZE lets nothing but cancels
//! leave; the shell freezes custody and the signer on its command. A FREEZE is always the whole run's: the keys are.

use super::limits::KillLimits;
use super::rule::Rule;

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    #[default]
    Running = 0,
    Reduce = 1,
    Cancel = 2,
    Flatten = 3,
    Freeze = 4,
}

impl Stage {
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Running, Self::Reduce, Self::Cancel, Self::Flatten, Self::Freeze].get(usize::from(number)).copied()
    }
}

/// A stage that was reached, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    pub rule: Rule,
    /// Whose stage it is; nothing: the whole run's.
    pub strategy: Option<u8>,
    pub figure: i64,
    pub limit: i64,
    pub stage: Stage,
}

/// One scope's way through the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Staging {
    pub stage: Stage,
    /// Where it is going: FLATTEN goes through CANCEL first.
    pub target: Stage,
    pub since_ns: i64,
    /// Whether the one message a venue that ends all orders went out.
    pub all_cancelled: bool,
    /// Whether it was told that cancels take too long.
    pub told: bool,
}

impl Staging {
    /// Goes up towards `target`; never down. Returns the stage reached, if it is a new one.
    pub fn raise(&mut self, now_ns: i64, target: Stage) -> Option<Stage> {
        self.target = self.target.max(target);
        let stage = match target {
            Stage::Flatten if self.stage < Stage::Cancel => Stage::Cancel,
            Stage::Flatten => self.stage,
            other => other,
        };
        self.enter(now_ns, stage)
    }

    pub(crate) fn enter(&mut self, now_ns: i64, stage: Stage) -> Option<Stage> {
        if stage <= self.stage {
            return None;
        }
        (self.stage, self.since_ns, self.told) = (stage, now_ns, false);
        self.target = self.target.max(stage);
        Some(stage)
    }

    /// An operator's word: goes down to `stage`, if it is above.
    pub fn lower(&mut self, now_ns: i64, stage: Stage) -> bool {
        self.target = self.target.min(stage);
        if stage >= self.stage {
            return false;
        }
        *self = Self { stage, target: stage, since_ns: now_ns, all_cancelled: stage >= Stage::Cancel, told: false };
        true
    }

    /// Moves on by what is left to do: orders that are open, positions that are not flat. Returns what was reached, or
    /// the same stage as a warning that it takes too long.
    pub(crate) fn progress(
        &mut self,
        now_ns: i64,
        open: usize,
        held: usize,
        kill: &KillLimits,
    ) -> Option<(Rule, Stage)> {
        let spent = now_ns.saturating_sub(self.since_ns);
        let over = |max: i64| max > 0 && spent >= max;
        match self.stage {
            Stage::Cancel if self.target >= Stage::Flatten && (open == 0 || over(kill.cancel_ns_max)) => {
                let rule = if open == 0 { Rule::Stage } else { Rule::Overdue };
                self.enter(now_ns, Stage::Flatten).map(|stage| (rule, stage))
            }
            Stage::Cancel | Stage::Freeze if open > 0 && over(kill.cancel_ns_max) && !self.told => {
                self.told = true;
                Some((Rule::Overdue, self.stage))
            }
            Stage::Flatten if held > 0 && over(kill.flatten_ns_max) => {
                self.enter(now_ns, Stage::Freeze).map(|stage| (Rule::Overdue, stage))
            }
            Stage::Flatten if held == 0 && open == 0 && kill.freeze_when_flat => {
                self.enter(now_ns, Stage::Freeze).map(|stage| (Rule::Stage, stage))
            }
            _ => None,
        }
    }
}
