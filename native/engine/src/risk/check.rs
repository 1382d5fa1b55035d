//! The rules before an order or swap. Each refuses; none changes what was asked.

use super::limits::Terms;
use super::rule::{Rejection, Rule};
use super::stage::Stage;
use super::value::{as_asset, Lots, Moved, Span, Top};
use super::view::{Holdings, NewOrder, RiskView, SwapChange};
use super::RiskGate;
use crate::command::OrderType;
use crate::event::{BUY, SELL};
use std::ops::Range;

const MILLION: i128 = 1_000_000;

/// What a request adds to a strategy's pending amounts.
#[derive(Clone, Copy)]
pub(super) struct Added {
    asset: u16,
    moved: Moved,
    rises: bool,
}

impl RiskGate {
    /// Judges an order, or an order that replaces another, and takes a message of its venue's budget when it passes.
    pub fn check<H: Holdings>(&mut self, view: &RiskView<H>, request: &NewOrder) -> Result<(), Rejection> {
        let stage = self.stage(view.strategy);
        if stage >= Stage::Cancel {
            return refuse(Rule::Stage, stage as i128, Stage::Reduce as i128);
        }
        let Some(terms) = self.config.instruments.get(request.instrument as usize).copied() else {
            return refuse(Rule::Unknown, request.instrument.into(), self.config.instruments.len() as i128);
        };
        self.check_known(view)?;
        let blacklisted =
            |asset: u16| self.config.assets.get(usize::from(asset)).is_some_and(|asset| asset.blacklisted);
        if terms.blacklisted || blacklisted(terms.base) || blacklisted(terms.quote) {
            return refuse(Rule::Blacklist, request.instrument.into(), 0);
        }
        if request.order_type == OrderType::Market {
            return refuse(Rule::Unbounded, 0, 0);
        }
        if request.size <= 0 || request.price <= 0 || request.side > SELL || view.replaces < 0 {
            return refuse(Rule::OrderSize, request.size.min(request.price).into(), 1);
        }
        self.check_book(&view.top, view.now_ns)?;
        self.check_size(view, &terms, request)?;
        self.check_collar(&view.top, request)?;
        if view.replaces == 0 {
            self.check_open_orders(view)?;
        }
        let crossed = if request.side == BUY {
            view.own_ask > 0 && request.price >= view.own_ask
        } else {
            view.own_bid > 0 && request.price <= view.own_bid
        };
        if crossed {
            let own = if request.side == BUY { view.own_ask } else { view.own_bid };
            return refuse(Rule::SelfTrade, request.price.into(), own.into());
        }
        // Until the venue answers either size may be open; the larger counts, and the older counts already.
        let added = request.size.saturating_sub(view.replaces).max(0);
        let (buying, selling) = if request.side == BUY { (added, 0) } else { (0, added) };
        if request.reduce_only {
            self.check_reduce_only(view, &terms, request, added)?;
        }
        let (asset, moved) = whole(as_asset(&terms, &Lots { held: 0, buying, selling }))?;
        let economic = whole(self.config.economic(terms.base))?;
        self.check_position(view, economic, Added { asset, moved, rises: request.side == BUY }, stage)?;
        match self.take_token(terms.venue, view.now_ns) {
            0 => Ok(()),
            wait => refuse(Rule::Throttle, wait.into(), self.config.limits.messages_per_second_max.into()),
        }
    }

    /// Judges a swap. One that reduces the strategy's position passes the position, exposure and capital rules: hedging
    /// is never blocked by the limit it serves.
    pub fn check_swap<H: Holdings>(&mut self, view: &RiskView<H>, request: &SwapChange) -> Result<(), Rejection> {
        let stage = self.stage(view.strategy);
        if stage >= Stage::Cancel {
            return refuse(Rule::Stage, stage as i128, Stage::Reduce as i128);
        }
        self.check_known(view)?;
        match self.config.pools.get(request.pool as usize) {
            None => return refuse(Rule::Unknown, request.pool.into(), self.config.pools.len() as i128),
            Some(true) => return refuse(Rule::Blacklist, request.pool.into(), 0),
            Some(false) => {}
        }
        if request.amount_in <= 0 || request.amount_out <= 0 || request.asset_in == request.asset_out {
            return refuse(Rule::OrderSize, request.amount_in.min(request.amount_out), 1);
        }
        let legs = [
            Added {
                asset: request.asset_in,
                moved: Moved { going: request.amount_in, ..Moved::default() },
                rises: false,
            },
            Added {
                asset: request.asset_out,
                moved: Moved { coming: request.amount_out, ..Moved::default() },
                rises: true,
            },
        ];
        let mut exposed = false;
        for leg in legs {
            let Some(known) = self.config.assets.get(usize::from(leg.asset)) else {
                return refuse(Rule::Unknown, leg.asset.into(), self.config.assets.len() as i128);
            };
            let Some(economic) = known.economic else {
                return refuse(Rule::NoMark, leg.asset.into(), 0);
            };
            if known.blacklisted {
                return refuse(Rule::Blacklist, leg.asset.into(), 0);
            }
            let amount = leg.moved.coming.max(leg.moved.going);
            let value = self.value(view, leg.asset, amount)?;
            let max = self.own[usize::from(view.strategy)].swap_value_max;
            if value > max {
                return refuse(Rule::SwapValue, value, max);
            }
            exposed |= !self.config.economics[usize::from(economic)].account;
        }
        if stage == Stage::Reduce && !exposed {
            return refuse(Rule::Stage, stage as i128, Stage::Running as i128);
        }
        for leg in legs {
            let economic = whole(self.config.economic(leg.asset))?;
            if !self.config.economics[economic].account {
                self.check_position(view, economic, leg, stage)?;
            }
        }
        Ok(())
    }

    fn check_known(&self, view: &RiskView<impl Holdings>) -> Result<(), Rejection> {
        let strategies = self.by_strategy.len();
        if usize::from(view.strategy) >= strategies || view.holdings.rows() < strategies {
            return refuse(Rule::Unknown, view.strategy.into(), strategies as i128);
        }
        Ok(())
    }

    fn check_book(&self, top: &Top, now_ns: i64) -> Result<(), Rejection> {
        let (age, max) = (now_ns.saturating_sub(top.changed_ns), self.config.limits.book_age_ns_max);
        if !top.is_whole() || age > max {
            return refuse(Rule::StaleBook, age.into(), max.into());
        }
        Ok(())
    }

    fn check_size(&self, view: &RiskView<impl Holdings>, terms: &Terms, request: &NewOrder) -> Result<(), Rejection> {
        if terms.order_lots_max > 0 && request.size > terms.order_lots_max {
            return refuse(Rule::OrderSize, request.size.into(), terms.order_lots_max.into());
        }
        let units = whole(self.quote_units(terms, request.price, request.size))?;
        let value = self.value(view, terms.quote, units)?;
        let max = self.own[usize::from(view.strategy)].order_value_max;
        if value > max {
            return refuse(Rule::OrderValue, value, max);
        }
        if units < terms.value_min {
            return refuse(Rule::OrderSize, units, terms.value_min);
        }
        Ok(())
    }

    fn check_collar(&self, top: &Top, request: &NewOrder) -> Result<(), Rejection> {
        // 2 * price against bid + ask: the mid may lie between two ticks.
        let mid = i128::from(top.bid) + i128::from(top.ask);
        let beyond = (2 * i128::from(request.price) - mid) * if request.side == BUY { 1 } else { -1 };
        let max = i128::from(self.config.limits.collar_ppm);
        if beyond * MILLION > mid * max {
            return refuse(Rule::Collar, (beyond * MILLION + mid - 1).div_euclid(mid), max);
        }
        Ok(())
    }

    fn check_open_orders(&self, view: &RiskView<impl Holdings>) -> Result<(), Rejection> {
        let (limits, own_max) = (&self.config.limits, self.own[usize::from(view.strategy)].open_orders_max);
        if view.open_orders >= own_max {
            return refuse(Rule::OpenOrders, view.open_orders.into(), own_max.into());
        }
        if view.open_orders_total >= limits.open_orders_total_max {
            return refuse(Rule::OpenOrdersTotal, view.open_orders_total.into(), limits.open_orders_total_max.into());
        }
        Ok(())
    }

    /// A reduce-only order works against what the strategy holds, of the very contract or of the spot asset, with all
    /// that is under way.
    fn check_reduce_only(
        &self,
        view: &RiskView<impl Holdings>,
        terms: &Terms,
        request: &NewOrder,
        added: i64,
    ) -> Result<(), Rejection> {
        let lots = view.holdings.lots(usize::from(view.strategy), request.instrument as usize);
        let held = if terms.contract {
            i128::from(lots.held)
        } else {
            let economic = whole(self.config.economic(terms.base))?;
            whole(self.spot_lots(view.holdings, view.strategy, economic, terms))?.0
        };
        let (room, under_way) =
            if request.side == BUY { (whole(held.checked_neg())?, lots.buying) } else { (held, lots.selling) };
        let after = i128::from(under_way) + i128::from(added);
        if after > room {
            return refuse(Rule::ReduceOnly, after, room.max(0));
        }
        Ok(())
    }

    /// Judges the worst that can come of it: everything under way in its direction executes, nothing against it.
    fn check_position(
        &self,
        view: &RiskView<impl Holdings>,
        economic: usize,
        added: Added,
        stage: Stage,
    ) -> Result<(), Rejection> {
        let limits = &self.config.limits;
        let strategy = usize::from(view.strategy);
        let own = self.span(view, strategy..strategy + 1, economic, Some(added))?;
        let after = if added.rises { own.high } else { own.low };
        let (after_abs, held_abs) = (whole(after.checked_abs())?, whole(own.held.checked_abs())?);
        if stage == Stage::Reduce {
            let reduces = if added.rises { own.held < 0 && after <= 0 } else { own.held > 0 && after >= 0 };
            if !reduces {
                return refuse(Rule::Stage, stage as i128, Stage::Running as i128);
            }
        }
        if after_abs <= held_abs {
            return Ok(());
        }
        if after_abs > self.own[strategy].position_value_max {
            return refuse(Rule::Position, after, self.own[strategy].position_value_max);
        }
        let (mut exposure, mut used) = (0i128, 0i128);
        for other in 0..self.config.economics.len() {
            if self.config.economics[other].account {
                continue;
            }
            let extra = (other == economic).then_some(added);
            let all = whole(self.span(view, 0..view.holdings.rows(), other, extra)?.worst())?;
            exposure = whole(exposure.checked_add(all))?;
            let own = if other == economic { own } else { self.span(view, strategy..strategy + 1, other, None)? };
            used = whole(used.checked_add(whole(own.worst())?))?;
        }
        if exposure > limits.exposure_value_max {
            return refuse(Rule::Exposure, exposure, limits.exposure_value_max);
        }
        // What a strategy lost is gone from its share; what it won is not added to it.
        let share = whole(self.config.shares[strategy].checked_add(self.losses[strategy].last.min(0)))?;
        if used > share {
            return refuse(Rule::Capital, used, share);
        }
        Ok(())
    }

    /// Returns the value of one economic asset over some rows, with what a request adds.
    pub(super) fn span(
        &self,
        view: &RiskView<impl Holdings>,
        rows: Range<usize>,
        economic: usize,
        added: Option<Added>,
    ) -> Result<Span, Rejection> {
        let mut span = Span::default();
        let mut add = |asset: u16, moved: &Moved| match span.add(asset, moved, view.holdings) {
            Some(true) => Ok(()),
            Some(false) => refuse(Rule::NoMark, asset.into(), 0),
            None => whole(None),
        };
        for &asset in &self.forms[economic] {
            let mut sum = Moved::default();
            for row in rows.clone() {
                whole(sum.add(view.holdings.moved(row, usize::from(asset))))?;
            }
            for &at in &self.instruments_of[usize::from(asset)] {
                let terms = &self.config.instruments[at];
                let mut inverse = Moved::default();
                for row in rows.clone() {
                    let lots = view.holdings.lots(row, at);
                    if lots != Lots::default() {
                        let (_, moved) = whole(as_asset(terms, &lots))?;
                        whole(if terms.inverse { inverse.add(moved) } else { sum.add(moved) })?;
                    }
                }
                add(terms.quote, &inverse)?;
            }
            if let Some(added) = added.filter(|added| added.asset == asset) {
                whole(sum.add(added.moved))?;
            }
            add(asset, &sum)?;
        }
        // An inverse contract adds quote, which is no form of the asset it is of.
        if let Some(added) = added.filter(|added| !self.forms[economic].contains(&added.asset)) {
            add(added.asset, &added.moved)?;
        }
        Ok(span)
    }

    fn value(&self, view: &RiskView<impl Holdings>, asset: u16, units: i128) -> Result<i128, Rejection> {
        match view.holdings.value(asset, units) {
            Some(value) => Ok(value),
            None => refuse(Rule::NoMark, asset.into(), 0),
        }
    }

    pub(crate) fn quote_units(&self, terms: &Terms, price: i64, size: i64) -> Option<i128> {
        if terms.inverse {
            i128::from(size).checked_mul(terms.quote_per_lot)
        } else {
            i128::from(price).checked_mul(size.into())?.checked_mul(terms.quote_per_tick_lot)
        }
    }
}

fn refuse<T>(rule: Rule, figure: i128, limit: i128) -> Result<T, Rejection> {
    Err(Rejection::new(rule, figure, limit))
}

/// A figure that left its range refuses.
fn whole<T>(figure: Option<T>) -> Result<T, Rejection> {
    figure.ok_or(Rejection { rule: Rule::Overflow, figure: i64::MAX, limit: i64::MAX })
}
