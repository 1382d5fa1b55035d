//! What the staged kill does about orders and positions. Decides; the kernel carries it out.

use super::limits::Terms;
use super::stage::{Breach, Stage};
use super::value::Top;
use super::view::{Holdings, NewOrder};
use super::{RiskGate, Rule};
use crate::command::{OrderType, TimeInForce};
use crate::event::{BUY, SELL};

/// An order that the venue may still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOrder {
    pub client_id: u64,
    pub instrument: u32,
    pub strategy: u8,
    pub side: u8,
    /// Not immediate: it stays until it is cancelled.
    pub resting: bool,
    /// When its cancel was last sent; 0: none was.
    pub cancel_ns: i64,
}

/// What is left to end; `tops` by instrument.
#[derive(Debug)]
pub struct World<'a, H: Holdings> {
    pub now_ns: i64,
    pub orders: &'a [OpenOrder],
    pub tops: &'a [Top],
    pub holdings: &'a H,
}

/// What to do, in this order. Messages are charged to their venue's budget here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A stage was reached (or, with [`Rule::Overdue`] and an unchanged stage, takes too long).
    Reached(Breach),
    CancelAll {
        venue: u16,
    },
    Cancel {
        client_id: u64,
    },
    /// A closing order; it was judged and charged here, and goes out as it is.
    Close {
        strategy: u8,
        order: NewOrder,
    },
}

/// How closing one strategy's position in one instrument goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closing {
    /// Orders since the position last shrank.
    pub attempts: u32,
    pub sent_ns: i64,
    pub left: i64,
}

/// A position to close.
struct Open {
    instrument: usize,
    /// Lots, signed.
    lots: i64,
}

impl RiskGate {
    /// Whether [`RiskGate::act`] may have something to do.
    pub fn is_acting(&self) -> bool {
        self.whole.stage > Stage::Running || self.by_strategy.iter().any(|scope| scope.stage > Stage::Running)
    }

    /// Says what the stages reached demand now. To be called after a breach, and while [`RiskGate::is_acting`] after
    /// every report, fill, settlement and timer.
    pub fn act(&mut self, world: &World<impl Holdings>, out: &mut Vec<Action>) {
        self.end_orders(world, out);
        for strategy in 0..self.by_strategy.len() as u8 {
            let scope = Some(strategy);
            let held = self.close(world, strategy, out);
            let open = world.orders.iter().filter(|order| order.strategy == strategy).count();
            self.progress(world.now_ns, scope, open, held, out);
            self.held[usize::from(strategy)] = held;
        }
        let held = self.held.iter().sum();
        self.progress(world.now_ns, None, world.orders.len(), held, out);
    }

    fn progress(&mut self, now_ns: i64, scope: Option<u8>, open: usize, held: usize, out: &mut Vec<Action>) {
        let mut kill = self.config.limits.kill;
        kill.freeze_when_flat &= scope.is_none();
        let Some((rule, stage)) = self.scope(scope).progress(now_ns, open, held, &kill) else { return };
        let figure = if stage == Stage::Flatten || self.scope(scope).told { open } else { held };
        self.reach(now_ns, Breach { rule, strategy: scope, figure: figure as i64, limit: 0, stage }, out);
    }

    /// Tells what was reached; a strategy's FREEZE is the whole run's.
    fn reach(&mut self, now_ns: i64, breach: Breach, out: &mut Vec<Action>) {
        out.push(Action::Reached(breach));
        if breach.stage == Stage::Freeze && self.whole.raise(now_ns, Stage::Freeze).is_some() {
            out.push(Action::Reached(Breach { strategy: None, ..breach }));
        }
    }

    fn end_orders(&mut self, world: &World<impl Holdings>, out: &mut Vec<Action>) {
        if self.whole.stage >= Stage::Cancel && !self.whole.all_cancelled {
            self.whole.all_cancelled = true;
            for venue in 0..self.config.venues {
                self.count_message(venue, world.now_ns);
                out.push(Action::CancelAll { venue });
            }
        }
        for order in world.orders {
            let ends = match self.stage(order.strategy) {
                Stage::Running => false,
                Stage::Reduce => !self.reduces(world, order),
                // Closing orders are immediate: they end by themselves, and a cancel would be in their way.
                Stage::Flatten => order.resting,
                Stage::Cancel | Stage::Freeze => true,
            };
            let again = self.config.limits.kill.cancel_again_ns;
            if ends && (order.cancel_ns == 0 || world.now_ns.saturating_sub(order.cancel_ns) >= again) {
                if let Some(terms) = self.config.instruments.get(order.instrument as usize) {
                    self.count_message(terms.venue, world.now_ns);
                }
                out.push(Action::Cancel { client_id: order.client_id });
            }
        }
    }

    /// Whether an order works against what its strategy holds of the instrument's asset.
    fn reduces(&self, world: &World<impl Holdings>, order: &OpenOrder) -> bool {
        let Some(terms) = self.config.instruments.get(order.instrument as usize) else { return false };
        let held = if terms.contract {
            i128::from(world.holdings.lots(usize::from(order.strategy), order.instrument as usize).held)
        } else {
            let economic = self.config.economic(terms.base);
            economic.and_then(|e| self.spot_lots(world.holdings, order.strategy, e, terms)).map_or(0, |(lots, _)| lots)
        };
        if order.side == BUY {
            held < 0
        } else {
            held > 0
        }
    }

    /// Returns what a strategy holds of an economic asset outside contracts, in whole lots of an instrument, rounded to
    /// zero; and whether anything of it is under way.
    pub(crate) fn spot_lots(
        &self,
        holdings: &impl Holdings,
        strategy: u8,
        economic: usize,
        terms: &Terms,
    ) -> Option<(i128, bool)> {
        const DECIMALS: u32 = 18;
        let fine =
            |asset: u16| 10i128.checked_pow(DECIMALS - u32::from(self.config.assets[usize::from(asset)].decimals));
        let (mut held, mut busy) = (0i128, false);
        for &asset in &self.forms[economic] {
            let moved = holdings.moved(usize::from(strategy), usize::from(asset));
            held = held.checked_add(moved.held.checked_mul(fine(asset)?)?)?;
            busy |= moved.coming != 0 || moved.going != 0;
            for &at in &self.instruments_of[usize::from(asset)] {
                let lots = holdings.lots(usize::from(strategy), at);
                busy |= !self.config.instruments[at].contract && (lots.buying != 0 || lots.selling != 0);
            }
        }
        Some((held / terms.base_per_lot.checked_mul(fine(terms.base)?)?, busy))
    }

    /// Closes a strategy's positions if its stage wants that. Returns how many are not flat.
    fn close(&mut self, world: &World<impl Holdings>, strategy: u8, out: &mut Vec<Action>) -> usize {
        if self.stage(strategy) != Stage::Flatten {
            return usize::from(self.stage(strategy) == Stage::Freeze && self.held[usize::from(strategy)] > 0);
        }
        let mut left = 0;
        for at in 0..self.config.instruments.len() {
            let terms = self.config.instruments[at];
            if !terms.contract {
                continue;
            }
            let lots = world.holdings.lots(usize::from(strategy), at);
            let busy = lots.buying != 0 || lots.selling != 0;
            left += usize::from(self.close_one(world, strategy, Open { instrument: at, lots: lots.held }, busy, out));
        }
        for economic in 0..self.config.economics.len() {
            if self.config.economics[economic].account {
                continue;
            }
            let Some(instrument) = self.spot_instrument(world, economic) else {
                left += usize::from(self.is_held(world, strategy, economic));
                continue;
            };
            let terms = self.config.instruments[instrument];
            let Some((lots, busy)) = self.spot_lots(world.holdings, strategy, economic, &terms) else {
                left += 1; // A figure that no integer holds is not flat.
                continue;
            };
            let open = Open { instrument, lots: super::rule::saturated(lots) };
            left += usize::from(self.close_one(world, strategy, open, busy, out));
        }
        left
    }

    /// Whether a strategy has anything, or anything under way, of an asset that no exchange of ours trades.
    fn is_held(&self, world: &World<impl Holdings>, strategy: u8, economic: usize) -> bool {
        let moved = |asset: &u16| world.holdings.moved(usize::from(strategy), usize::from(*asset));
        self.forms[economic].iter().any(|asset| moved(asset) != Default::default())
    }

    /// Returns where an asset is best closed: the first spot instrument with a usable book, else the first.
    fn spot_instrument(&self, world: &World<impl Holdings>, economic: usize) -> Option<usize> {
        let mut first = None;
        for (at, terms) in self.config.instruments.iter().enumerate() {
            if self.config.economic(terms.base) == Some(economic) && !terms.contract {
                if world.tops.get(at).is_some_and(|top| self.is_fresh(top, world.now_ns)) {
                    return Some(at);
                }
                first = first.or(Some(at));
            }
        }
        first
    }

    fn is_fresh(&self, top: &Top, now_ns: i64) -> bool {
        top.is_whole() && now_ns.saturating_sub(top.changed_ns) <= self.config.limits.book_age_ns_max
    }

    /// Sends a closing order if one is due. Returns whether the position is not flat.
    fn close_one(
        &mut self,
        world: &World<impl Holdings>,
        strategy: u8,
        open: Open,
        busy: bool,
        out: &mut Vec<Action>,
    ) -> bool {
        let Open { instrument, lots } = open;
        let at = usize::from(strategy) * self.config.instruments.len() + instrument;
        let left = lots.saturating_abs();
        if left == 0 {
            self.closing[at] = Closing::default();
            return busy;
        }
        let kill = self.config.limits.kill;
        if left < self.closing[at].left {
            self.closing[at].attempts = 0;
        }
        let due = world.now_ns.saturating_sub(self.closing[at].sent_ns) >= kill.flatten_again_ns;
        if busy || (self.closing[at].sent_ns != 0 && !due) {
            return true;
        }
        let Some(top) = world.tops.get(instrument).copied().filter(|top| self.is_fresh(top, world.now_ns)) else {
            return true;
        };
        if self.closing[at].attempts >= kill.flatten_attempts_max {
            if let Some(stage) = self.by_strategy[usize::from(strategy)].enter(world.now_ns, Stage::Freeze) {
                let (figure, limit) = (i64::from(self.closing[at].attempts), i64::from(kill.flatten_attempts_max));
                self.reach(
                    world.now_ns,
                    Breach { rule: Rule::Overdue, strategy: Some(strategy), figure, limit, stage },
                    out,
                );
            }
            return true;
        }
        let side = if lots > 0 { SELL } else { BUY };
        let Some(order) = self.closing_order(world.holdings, instrument, side, left, &top) else {
            // Less than the venue takes: as flat as it gets.
            self.closing[at] = Closing::default();
            return false;
        };
        if self.take_token(self.config.instruments[instrument].venue, world.now_ns) == 0 {
            let attempts = self.closing[at].attempts + 1;
            self.closing[at] = Closing { attempts, sent_ns: world.now_ns, left };
            out.push(Action::Close { strategy, order });
        }
        true
    }

    /// Returns the largest order that closes up to `left` lots within the limits of one order and the collar; nothing
    /// when the venue would not take it.
    fn closing_order(
        &self,
        holdings: &impl Holdings,
        instrument: usize,
        side: u8,
        left: i64,
        top: &Top,
    ) -> Option<NewOrder> {
        let limits = &self.config.limits;
        let terms = &self.config.instruments[instrument];
        let doubled = i128::from(top.bid) + i128::from(top.ask);
        let collar = i128::from(limits.kill.flatten_collar_ppm);
        // Rounded towards the mid: never beyond the collar.
        let price = if side == BUY {
            doubled * (1_000_000 + collar) / 2_000_000
        } else {
            (doubled * (1_000_000 - collar) + 1_999_999) / 2_000_000
        };
        let price = i64::try_from(price).ok()?.max(1);
        let mut size = left;
        if terms.order_lots_max > 0 {
            size = size.min(terms.order_lots_max);
        }
        let per_lot = holdings.value(terms.quote, self.quote_units(terms, price, 1)?)?.max(1);
        let affordable = super::rule::saturated(limits.order_value_max / per_lot).max(1);
        size = size.min(affordable);
        if self.quote_units(terms, price, size)? < terms.value_min {
            return None;
        }
        Some(NewOrder {
            instrument: instrument as u32,
            side,
            price,
            size,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Ioc,
            // Contracts are closed where they are; spot is closed anywhere, which no venue calls reducing.
            reduce_only: terms.contract,
        })
    }
}
