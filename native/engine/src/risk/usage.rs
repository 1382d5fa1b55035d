//! How much of the limits is used, for people. Decides nothing.

use super::losses::Losses;
use super::view::{Holdings, RiskView};
use super::RiskGate;

/// How far a result has fallen; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Falls {
    pub drawdown: i128,
    pub total: i128,
    pub daily: i128,
    /// Nothing where it is not watched.
    pub velocity: Option<i128>,
}

/// What one strategy, or the run, uses. Nothing where something held has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The largest deviation of one asset, with all that is under way.
    pub position: Option<i128>,
    /// The sum over assets: of a strategy what it uses of its share, of the run its exposure.
    pub exposure: Option<i128>,
    pub falls: Falls,
}

impl RiskGate {
    /// Returns what each strategy uses, in their order, and at last the run.
    pub fn usage(&self, view: &RiskView<impl Holdings>) -> Vec<Usage> {
        let strategies = self.by_strategy.len();
        let rows = view.holdings.rows();
        let limits = (0..strategies).map(|at| self.own[at].losses.velocity).chain([self.config.limits.losses.velocity]);
        let scopes = (0..strategies).map(|at| at..at + 1).chain(std::iter::once(0..rows));
        let found = scopes.zip(limits).zip(&self.losses).map(|((rows, velocity), losses)| {
            let mut usage = Usage { position: Some(0), exposure: Some(0), falls: falls(losses, velocity.is_some()) };
            for economic in 0..self.config.economics.len() {
                if self.config.economics[economic].account {
                    continue;
                }
                let span = self.span(view, rows.clone(), economic, None);
                let worst = span.ok().and_then(|span| span.worst());
                usage.position = usage.position.zip(worst).map(|(most, worst)| most.max(worst));
                usage.exposure = usage.exposure.zip(worst).and_then(|(sum, worst)| sum.checked_add(worst));
            }
            usage
        });
        found.collect()
    }

    /// Returns each strategy's share of the capital.
    pub fn shares(&self) -> &[i128] {
        &self.config.shares
    }
}

fn falls(losses: &Losses, is_watched: bool) -> Falls {
    let below = |high: i128| high.saturating_sub(losses.last).max(0);
    Falls {
        drawdown: below(losses.peak),
        total: below(losses.base),
        daily: below(losses.day_base),
        velocity: is_watched.then(|| below(losses.highs.iter().copied().max().unwrap_or(losses.last))),
    }
}
