//! The gate between what strategies want and what leaves, and the staged kill behind it.
//!
//! Before an order: [`RiskGate::check`] and [`RiskGate::check_swap`] refuse by rule, with figures; cancels are never
//! refused, but counted ([`RiskGate::count_message`]). After trades and moves of the market: [`RiskGate::on_fill`] and
//! [`RiskGate::on_mark`] find breaches, which raise stages; [`RiskGate::act`] says what a stage demands. Integers only:
//! whatever leaves its range is refused. The gate keeps limits, buckets, peaks and stages; all else it is shown.

mod change;
mod check;
mod kill;
mod limits;
mod losses;
mod rule;
mod stage;
mod state;
mod throttle;
mod usage;
mod value;
mod view;

pub use kill::{Action, Closing, OpenOrder, World};
pub use limits::{
    AssetTerms, EconomicTerms, KillLimits, Limits, LossLimit, LossLimits, OwnLimits, RiskConfig, Terms, Unsound,
};
pub use losses::Losses;
pub use rule::{Rejection, Rule};
pub use stage::{Breach, Stage, Staging};
pub use state::Corrupt;
pub use throttle::{Bucket, Executions};
pub use usage::{Falls, Usage};
pub use value::{Lots, Moved, Top};
pub use view::{Holdings, NewOrder, RiskView, SwapChange};

/// One run's gate. Strategies, instruments, assets, pools and venues are known by their place in the configuration.
#[derive(Debug, Clone)]
pub struct RiskGate {
    config: RiskConfig,
    /// Assets of each economic asset.
    forms: Vec<Vec<u16>>,
    /// Instruments of each asset.
    instruments_of: Vec<Vec<usize>>,
    buckets: Vec<Bucket>,
    executions: Vec<Executions>,
    /// By strategy; the last is the whole run's.
    losses: Vec<Losses>,
    /// What holds for each strategy.
    own: Vec<OwnLimits>,
    whole: Staging,
    by_strategy: Vec<Staging>,
    closing: Vec<Closing>,
    /// Positions that were not flat when last looked at, by strategy.
    held: Vec<usize>,
}

impl RiskGate {
    pub fn new(config: RiskConfig) -> Result<Self, Unsound> {
        config.check()?;
        let strategies = config.shares.len();
        let forms = (0..config.economics.len())
            .map(|economic| {
                let assets = 0..config.assets.len() as u16;
                assets.filter(|asset| config.economic(*asset) == Some(economic)).collect()
            })
            .collect();
        let instruments_of = (0..config.assets.len())
            .map(|asset| {
                let of = |(at, terms): (usize, &Terms)| (usize::from(terms.base) == asset).then_some(at);
                config.instruments.iter().enumerate().filter_map(of).collect()
            })
            .collect();
        Ok(Self {
            forms,
            instruments_of,
            buckets: vec![Bucket::new(config.limits.messages_per_second_max); usize::from(config.venues)],
            executions: vec![Executions::default(); strategies],
            losses: vec![Losses::default(); strategies + 1],
            own: vec![OwnLimits::from(&config.limits); strategies],
            whole: Staging::default(),
            by_strategy: vec![Staging::default(); strategies],
            closing: vec![Closing::default(); strategies * config.instruments.len()],
            held: vec![0; strategies],
            config,
        })
    }

    /// Returns the stage of the whole run.
    pub fn whole(&self) -> Stage {
        self.whole.stage
    }

    /// Returns the stage that holds for a strategy: its own or the run's, whichever went further.
    pub fn stage(&self, strategy: u8) -> Stage {
        let own = self.by_strategy.get(usize::from(strategy)).map_or(Stage::Running, |scope| scope.stage);
        own.max(self.whole.stage)
    }

    pub fn config(&self) -> &RiskConfig {
        &self.config
    }

    fn scope(&mut self, strategy: Option<u8>) -> &mut Staging {
        match strategy {
            Some(strategy) => &mut self.by_strategy[usize::from(strategy)],
            None => &mut self.whole,
        }
    }

    /// Charges a message that leaves whatever the budget says: a cancel, a question.
    pub fn count_message(&mut self, venue: u16, now_ns: i64) {
        if let Some(bucket) = self.buckets.get_mut(usize::from(venue)) {
            bucket.charge(now_ns);
        }
    }

    /// Returns the nanoseconds until an order to a venue would pass its budget.
    pub fn wait_ns(&mut self, venue: u16, now_ns: i64) -> i64 {
        self.buckets.get_mut(usize::from(venue)).map_or(i64::MAX, |bucket| bucket.wait(now_ns))
    }

    fn take_token(&mut self, venue: u16, now_ns: i64) -> i64 {
        self.buckets.get_mut(usize::from(venue)).map_or(i64::MAX, |bucket| bucket.take(now_ns))
    }

    /// Counts an execution of a strategy's order. `first` is whether the order had none before: what is throttled is how
    /// often a strategy was executed, not in how many pieces.
    pub fn on_fill(&mut self, now_ns: i64, strategy: u8, first: bool) -> Option<Breach> {
        let limits = &self.config.limits;
        let executions = self.executions.get_mut(usize::from(strategy)).filter(|_| first)?;
        let (max, stage) = (limits.executions_max, limits.executions_stage);
        let count = executions.count(now_ns, max, limits.executions_window_ns, limits.executions_pause_ns)?;
        self.raise(now_ns, Rule::Executions, Some(strategy), count as i128, max.into(), stage)
    }

    /// Takes each strategy's result in the unit of account, and the time: after a fill, a settlement, a change of marks
    /// that moves a result, and every timer (the day may have changed). What follows the strategies' counts towards the
    /// whole alone. Appends what limits that led to.
    pub fn on_mark(&mut self, now_ns: i64, results: &[i128], breaches: &mut Vec<Breach>) {
        let strategies = self.by_strategy.len();
        let mut total = 0i128;
        for (at, result) in results.iter().enumerate() {
            total = total.saturating_add(*result);
            if at >= strategies {
                continue;
            }
            let found = self.losses[at].take(now_ns, *result, &self.own[at].losses);
            breaches.extend(self.lost(now_ns, Some(at as u8), found));
        }
        let found = self.losses[strategies].take(now_ns, total, &self.config.limits.losses);
        breaches.extend(self.lost(now_ns, None, found));
    }

    fn lost(&mut self, now_ns: i64, strategy: Option<u8>, found: Option<(Rule, i128, LossLimit)>) -> Option<Breach> {
        let (rule, fall, limit) = found?;
        self.raise(now_ns, rule, strategy, fall, limit.max, limit.stage)
    }

    /// Raises a scope's stage towards `stage`; a strategy's FREEZE is the whole run's. Returns what was reached, nothing
    /// when it was there already.
    pub fn raise(
        &mut self,
        now_ns: i64,
        rule: Rule,
        strategy: Option<u8>,
        figure: i128,
        limit: i128,
        stage: Stage,
    ) -> Option<Breach> {
        let strategy = if stage == Stage::Freeze { None } else { strategy };
        let stage = self.scope(strategy).raise(now_ns, stage)?;
        Some(Breach { rule, strategy, figure: rule::saturated(figure), limit: rule::saturated(limit), stage })
    }

    /// An operator's word: lowers the whole run's stage and every strategy's that is above, or one strategy's. What was
    /// lost is accepted; falls are counted from here.
    pub fn lower(&mut self, now_ns: i64, strategy: Option<u8>, stage: Stage) -> bool {
        let scopes = match strategy {
            Some(strategy) => usize::from(strategy)..usize::from(strategy) + 1,
            None => 0..self.by_strategy.len(),
        };
        let mut lowered = false;
        for at in scopes {
            let Some(scope) = self.by_strategy.get_mut(at) else { return false };
            lowered |= scope.lower(now_ns, stage);
            self.losses[at].restart();
            self.executions[at].clear();
            let instruments = self.config.instruments.len();
            self.closing[at * instruments..(at + 1) * instruments].fill(Closing::default());
        }
        if strategy.is_none() {
            lowered |= self.lower_run(now_ns, stage);
        }
        lowered
    }

    /// An operator's word: lowers the whole run's stage alone.
    pub fn lower_run(&mut self, now_ns: i64, stage: Stage) -> bool {
        if let Some(losses) = self.losses.last_mut() {
            losses.restart();
        }
        self.whole.lower(now_ns, stage)
    }
}
