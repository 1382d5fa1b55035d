//! The kernel's side of the gate: what it is shown before an order or swap, and what its stages lead to.

use capstan_core::orders::Side;

use crate::book::Book;
use crate::command::{Command, Kind, TimeInForce};
use crate::config::{Config, FOREIGN};
use crate::event::BUY;
use crate::kernel::Kernel;
use crate::orders::{NewOrder, Order};
use crate::portfolio::Portfolio;
use crate::reservations::Reservations;
pub use crate::risk::Stage;
use crate::risk::{
    Action, AssetTerms, Breach, EconomicTerms, Holdings, KillLimits, Limits, LossLimits, Lots, Moved, OpenOrder,
    Rejection, RiskConfig, RiskView, Rule, SwapChange, Terms, Top, World,
};

/// Limits that bound nothing: for tests and benches that are about something else.
pub fn loose_limits() -> Limits {
    let much = 10i128.pow(30);
    Limits {
        order_value_max: much,
        swap_value_max: much,
        collar_ppm: 999_999,
        position_value_max: much,
        exposure_value_max: much,
        open_orders_max: u32::MAX,
        open_orders_total_max: u32::MAX,
        messages_per_second_max: 1_000_000,
        book_age_ns_max: i64::MAX,
        capital: much * 64,
        executions_max: 65_536,
        executions_window_ns: 1,
        executions_pause_ns: 1,
        executions_stage: Stage::Cancel,
        strategy_losses: LossLimits::default(),
        losses: LossLimits::default(),
        kill: KillLimits {
            cancel_again_ns: 2_000_000_000,
            cancel_ns_max: 0,
            flatten_ns_max: 0,
            flatten_collar_ppm: 10_000,
            flatten_again_ns: 1_000_000_000,
            flatten_attempts_max: 10,
            freeze_when_flat: false,
        },
    }
}

/// Returns what the gate is made of.
pub(crate) fn risk_config(config: &Config, scales: &[crate::instrument::Scale]) -> RiskConfig {
    let asset = |(at, asset): (usize, &crate::config::Asset)| AssetTerms {
        economic: asset.economic,
        decimals: asset.decimals,
        blacklisted: config.blacklist.assets.contains(&(at as u16)),
    };
    let terms = config.instruments.iter().zip(scales).enumerate().map(|(at, (instrument, scale))| {
        let lots_max = config.order_lots_max.get(at).copied().unwrap_or(0);
        Terms::new(instrument, scale, lots_max, config.blacklist.instruments.contains(&(at as u32)))
    });
    RiskConfig {
        limits: config.limits.clone(),
        assets: config.assets.iter().enumerate().map(asset).collect(),
        economics: config.economics.iter().map(|e| EconomicTerms { account: e.mark.is_none() }).collect(),
        instruments: terms.collect(),
        pools: (0..config.pools.len() as u32).map(|at| config.blacklist.pools.contains(&at)).collect(),
        venues: config.venues.len() as u16,
        shares: config.strategies.iter().map(|s| s.capital).collect(),
    }
}

/// What the gate may see of the books.
struct Held<'a> {
    portfolio: &'a Portfolio,
    reservations: &'a Reservations,
    /// What unsettled swaps may still move, by row and asset.
    under_way: &'a [Moved],
    rows: usize,
}

impl Held<'_> {
    fn strategy(&self, row: usize) -> u8 {
        if row + 1 == self.rows {
            FOREIGN
        } else {
            row as u8
        }
    }
}

impl Holdings for Held<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    fn lots(&self, row: usize, instrument: usize) -> Lots {
        let strategy = self.strategy(row);
        let reserved = self.reservations.of(strategy, instrument as u32);
        let held = self.portfolio.position(strategy, instrument as u32).lots;
        Lots { held, buying: reserved.buying, selling: reserved.selling }
    }

    #[inline]
    fn moved(&self, row: usize, asset: usize) -> Moved {
        let held = self.portfolio.moved(self.strategy(row), asset as u16);
        let assets = self.under_way.len() / self.rows;
        Moved { held, ..self.under_way[row * assets + asset] }
    }

    #[inline]
    fn value(&self, asset: u16, units: i128) -> Option<i128> {
        self.portfolio.value(asset, units)
    }
}

/// Borrows parts, not the kernel: the gate beside them is changed while they are looked at.
fn held<'a>(
    portfolio: &'a Portfolio,
    reservations: &'a Reservations,
    under_way: &'a [Moved],
    config: &Config,
) -> Held<'a> {
    Held { portfolio, reservations, under_way, rows: config.strategies.len() + 1 }
}

fn top(book: &Book) -> Top {
    let best = |side| book.best(side).map_or(0, |level| level.0);
    Top { bid: best(Side::Buy), ask: best(Side::Sell), changed_ns: book.times_ns().1, stale: !book.is_valid() }
}

impl Kernel {
    pub(crate) fn held(&self) -> impl Holdings + '_ {
        held(&self.portfolio, &self.reservations, &self.under_way, &self.config)
    }

    /// Puts an order through the gate; `replaced` is the one whose terms it changes.
    pub(crate) fn judge(
        &mut self,
        strategy: u8,
        request: &NewOrder,
        replaced: Option<&Order>,
    ) -> Result<(), Rejection> {
        let book = self.books.get(request.instrument as usize);
        let book = book.ok_or(refusal(Rule::Unknown, request.instrument.into()))?;
        if usize::from(strategy) >= self.config.strategies.len() {
            return Err(refusal(Rule::Unknown, strategy.into()));
        }
        let (mut own_bid, mut own_ask) = (0, 0);
        for order in self.orders.open_of(request.instrument) {
            if order.side != request.side && order.cancel_ns == 0 && order.time_in_force == TimeInForce::Gtc {
                if order.side == BUY {
                    own_bid = order.worst_price().max(order.price).max(own_bid);
                } else {
                    let price = order.worst_price().min(order.price);
                    own_ask = if own_ask == 0 { price } else { price.min(own_ask) };
                }
            }
        }
        let view = RiskView {
            now_ns: self.now_ns,
            strategy,
            top: top(book),
            own_bid,
            own_ask,
            replaces: replaced.map_or(0, Order::open_lots),
            open_orders: self.reservations.open_orders(strategy),
            open_orders_total: self.orders.open_count() as u32,
            holdings: &held(&self.portfolio, &self.reservations, &self.under_way, &self.config),
        };
        self.gate.check(&view, request)
    }

    pub(crate) fn judge_swap(&mut self, strategy: u8, change: &SwapChange) -> Result<(), Rejection> {
        let view = RiskView {
            now_ns: self.now_ns,
            strategy,
            top: Top::default(),
            own_bid: 0,
            own_ask: 0,
            replaces: 0,
            open_orders: 0,
            open_orders_total: 0,
            holdings: &held(&self.portfolio, &self.reservations, &self.under_way, &self.config),
        };
        self.gate.check_swap(&view, change)
    }

    /// Results moved, or time passed: losses are judged anew. Nothing is judged while something held has no price.
    pub(crate) fn marked(&mut self) {
        let mut results = std::mem::take(&mut self.results);
        results.clear();
        for strategy in (0..self.config.strategies.len() as u8).chain([FOREIGN]) {
            match self.portfolio.result(Some(strategy)) {
                Some(result) => results.push(result),
                None => {
                    self.results = results;
                    return;
                }
            }
        }
        let mut breaches = std::mem::take(&mut self.breaches);
        self.gate.on_mark(self.now_ns, &results, &mut breaches);
        self.results = results;
        for breach in breaches.drain(..) {
            self.reached(&breach);
        }
        self.breaches = breaches;
    }

    /// Tells of a stage that was reached, and does what it demands.
    pub(crate) fn reached(&mut self, breach: &Breach) {
        self.push_stage(breach);
        self.act();
    }

    /// Does what the stages demand now: after a breach, and while any is above running after every report, fill,
    /// settlement and timer.
    pub(crate) fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        let orders: Vec<OpenOrder> = self.orders.open().map(open_order).collect();
        let tops: Vec<Top> = self.books.iter().map(top).collect();
        let held = held(&self.portfolio, &self.reservations, &self.under_way, &self.config);
        let world = World { now_ns: self.now_ns, orders: &orders, tops: &tops, holdings: &held };
        self.gate.act(&world, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Reached(breach) => self.push_stage(&breach),
                Action::CancelAll { venue } => {
                    let mut command = self.command(Kind::CancelAll);
                    (command.aux[0], command.stage) = (venue.into(), self.gate.whole() as u8);
                    self.commands.push(command);
                }
                Action::Cancel { client_id } => {
                    if let Some(handle) = self.orders.handle(crate::command::ClientId(client_id)) {
                        self.push_cancel(handle);
                    }
                }
                Action::Close { strategy, order } => match self.next_id(strategy) {
                    Ok(id) => self.enter(id, strategy, &order),
                    Err(rejection) => self.reject(strategy, &order, rejection),
                },
            }
        }
        self.actions = actions;
    }

    /// An operator's word: the whole run, or one strategy, goes to a stage, upwards only.
    pub(crate) fn raise(&mut self, strategy: Option<u8>, stage: Stage) {
        if let Some(breach) = self.gate.raise(self.now_ns, Rule::Operator, strategy, 0, 0, stage) {
            self.reached(&breach);
        }
    }

    /// An operator's word: it runs again, and what was lost is accepted. A strategy still stands where the run does.
    pub(crate) fn resume(&mut self, strategy: Option<u8>) {
        if self.gate.lower(self.now_ns, strategy, Stage::Running) {
            let (rule, stage) = (Rule::Operator, strategy.map_or(self.gate.whole(), |at| self.gate.stage(at)));
            self.push_stage(&Breach { rule, strategy, figure: 0, limit: 0, stage });
        }
    }

    /// An operator's word: the run goes on, without what is stopped for itself.
    pub(crate) fn resume_run(&mut self) {
        if self.gate.lower_run(self.now_ns, Stage::Running) {
            let (rule, stage) = (Rule::Operator, self.gate.whole());
            self.push_stage(&Breach { rule, strategy: None, figure: 0, limit: 0, stage });
        }
    }

    fn push_stage(&mut self, breach: &Breach) {
        self.commands.push(Command {
            strategy: breach.strategy.unwrap_or(FOREIGN),
            rule: breach.rule as u8,
            stage: breach.stage as u8,
            aux: [breach.figure, breach.limit],
            ..self.command(Kind::Stage)
        });
    }
}

fn open_order(order: &Order) -> OpenOrder {
    OpenOrder {
        client_id: order.id.0,
        instrument: order.instrument,
        strategy: order.strategy,
        side: order.side,
        resting: order.time_in_force == TimeInForce::Gtc,
        cancel_ns: order.cancel_ns,
    }
}

/// Returns a refusal by the kernel itself.
pub(crate) fn refusal(rule: Rule, figure: i64) -> Rejection {
    Rejection { rule, figure, limit: 0 }
}
