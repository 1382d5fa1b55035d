//! A run that changes while it goes on: a strategy that joins, limits that are others.

mod support;

use capstan_engine::command::Kind as Do;
use capstan_engine::config::{StrategySettings, FOREIGN};
use capstan_engine::event::{ReportState, BUY, SELL};
use capstan_engine::risk::{LossLimit, LossLimits, OwnLimits, Rule, Stage};
use capstan_engine::ClientId;
use support::*;

/// A dollar, as values are counted.
const DOLLAR: i128 = 100_000_000;

/// A run of one strategy, which the second of the configuration joins after `history`.
fn joined(history: impl Fn(&mut Desk)) -> Desk {
    let mut one = config();
    let second: StrategySettings = one.strategies.pop().expect("there are two");
    let share = one.strategies[0].capital;
    let mut desk = Desk::of(one);
    history(&mut desk);
    desk.kernel.join(second, vec![share, share]).expect("there is room");
    desk
}

/// Trades of strategy 0, and one that nobody ordered.
fn history(desk: &mut Desk) {
    let id = desk.accepted(BUY, 499_990, 100);
    desk.fill(id, 40);
    desk.accepted(SELL, 500_100, 30);
    desk.tell(fill(ClientId(0), BUY, 7, 900));
}

fn goes_on(desk: &mut Desk) {
    let id = desk.kernel.place(1, quote(SPOT, SELL, 500_200, 50)).expect("it may trade");
    desk.commands();
    desk.report(id, ReportState::Accepted);
    desk.fill(id, 20);
    desk.book(SPOT, 500_050, 500_051);
}

#[test]
fn a_strategy_that_joins_finds_everything_as_if_it_had_been_there() {
    let mut late = joined(history);
    let mut early = Desk::new();
    history(&mut early);
    for desk in [&mut late, &mut early] {
        goes_on(desk);
        desk.check();
    }
    assert_eq!(late.kernel.state_hash(), early.kernel.state_hash());
    assert_eq!(late.kernel.digest(), early.kernel.digest());
    assert_eq!(late.kernel.position(FOREIGN, SPOT), 7);
    assert_eq!((late.kernel.position(0, SPOT), late.kernel.position(1, SPOT)), (40, -20));
    assert_eq!(late.kernel.portfolio().lots_total(SPOT), 27);
    assert!(late.kernel.wakes().has(1));
}

#[test]
fn a_kernel_that_was_changed_gives_no_snapshot() {
    assert!(Desk::new().kernel.snapshot().is_some());
    assert!(joined(|_| {}).kernel.snapshot().is_none());
}

#[test]
fn who_cannot_join_changes_nothing() {
    let mut desk = Desk::new();
    let (before, third) = (desk.kernel.state_hash(), config().strategies[0].clone());
    assert!(desk.kernel.join(third.clone(), vec![1, 1, 1]).is_err(), "two of one name");
    let named = StrategySettings { name: "third".into(), ..third };
    assert!(desk.kernel.join(named.clone(), vec![1, 1]).is_err(), "a share is missing");
    assert!(desk.kernel.join(named.clone(), vec![i128::MAX, 1, 1]).is_err(), "more than there is");
    assert_eq!(desk.kernel.state_hash(), before);
    assert!(desk.kernel.snapshot().is_some());
    assert!(desk.kernel.join(named, vec![1, 1, 1]).is_ok());
}

#[test]
fn a_strategys_own_limits_bind_it_and_no_other() {
    let mut desk = Desk::new();
    let limits = desk.kernel.config().limits.clone();
    let all = OwnLimits::from(&limits);
    // 100 lots at 50,000.0 are 50 dollars.
    let own = OwnLimits { order_value_max: 40 * DOLLAR, open_orders_max: 1, ..all };
    let shares = vec![limits.capital / 2; 2];
    desk.kernel.set_limits(limits.clone(), vec![own, all], shares.clone()).expect("sound");
    let refused = desk.kernel.place(0, quote(SPOT, BUY, 499_990, 100)).expect_err("too large");
    assert_eq!(refused.rule, Rule::OrderValue);
    assert!(desk.kernel.place(1, quote(SPOT, BUY, 499_990, 100)).is_ok());
    assert!(desk.kernel.place(0, quote(SPOT, BUY, 499_980, 50)).is_ok());
    let second = desk.kernel.place(0, quote(SPOT, BUY, 499_970, 50)).expect_err("one is all");
    assert_eq!(second.rule, Rule::OpenOrders);
    let own = OwnLimits { position_value_max: 30 * DOLLAR, ..all };
    desk.kernel.set_limits(limits, vec![own, all], shares).expect("sound");
    let third = desk.kernel.place(0, quote(SPOT, BUY, 499_970, 20)).expect_err("too much in all");
    assert_eq!(third.rule, Rule::Position);
}

#[test]
fn a_loss_limit_that_is_exceeded_already_stops_at_once() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.fill(id, 100);
    desk.book(SPOT, 490_000, 490_001);
    let used = desk.kernel.usage();
    assert!(used[0].falls.drawdown > DOLLAR / 2 && used[2].falls.drawdown == used[0].falls.drawdown, "{used:?}");
    assert_eq!((used[1].falls.drawdown, used[0].falls.velocity), (0, None));
    assert!(used[0].position > Some(48 * DOLLAR) && used[0].position == used[2].exposure, "{used:?}");
    let limits = desk.kernel.config().limits.clone();
    let losses =
        LossLimits { drawdown: Some(LossLimit { max: DOLLAR / 2, stage: Stage::Cancel }), ..LossLimits::default() };
    let all = OwnLimits::from(&limits);
    let shares = vec![limits.capital / 2; 2];
    desk.kernel.set_limits(limits, vec![OwnLimits { losses, ..all }, all], shares).expect("sound");
    assert_eq!(kinds(&desk.commands()), [Do::Stage as u8]);
    assert_eq!((desk.kernel.stage_of(0), desk.kernel.stage_of(1)), (Stage::Cancel, Stage::Running));
}

#[test]
fn limits_that_are_unsound_change_nothing() {
    let mut desk = Desk::new();
    let limits = desk.kernel.config().limits.clone();
    let (all, shares) = (OwnLimits::from(&limits), vec![1, 1]);
    let mut throttle = limits.clone();
    throttle.messages_per_second_max = 1;
    assert!(desk.kernel.set_limits(throttle, vec![all, all], shares.clone()).is_err());
    assert!(desk.kernel.set_limits(limits.clone(), vec![all], shares.clone()).is_err());
    let negative = OwnLimits { order_value_max: -1, ..all };
    assert!(desk.kernel.set_limits(limits.clone(), vec![all, negative], shares).is_err());
    assert!(desk.kernel.set_limits(limits.clone(), vec![all, all], vec![limits.capital, 1]).is_err());
    assert!(desk.kernel.snapshot().is_some(), "it is as it was");
}
