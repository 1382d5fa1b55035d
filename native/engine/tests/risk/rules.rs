use crate::world::*;
use capstan_engine::command::OrderType;
use capstan_engine::event::{BUY, SELL};
use capstan_engine::risk::*;

fn refused(view: &RiskView<Held>, request: &NewOrder) -> Option<Rule> {
    rule_of(|_| {}, view, request)
}

#[test]
fn an_ordinary_order_passes() {
    let held = Held::default();
    assert_eq!(refused(&view(&held), &buy(3_000, 100)), None);
    assert_eq!(refused(&view(&held), &sell(3_000, 100)), None);
    assert_eq!(refused(&view(&held), &order(LINEAR, SELL, 3_000, 100)), None);
    assert_eq!(refused(&view(&held), &order(INVERSE, BUY, 3_000, 30)), None);
}

#[test]
fn what_is_blacklisted_is_refused() {
    let held = Held::default();
    let changes: [fn(&mut RiskConfig); 3] = [
        |c| c.instruments[0].blacklisted = true,
        |c| c.assets[usize::from(ETH)].blacklisted = true,
        |c| c.assets[usize::from(USD)].blacklisted = true,
    ];
    for change in changes {
        assert_eq!(rule_of(change, &view(&held), &buy(3_000, 1)), Some(Rule::Blacklist));
    }
    let mut gate = gate(|c| c.pools[0] = true);
    let sell_weth = swap(WETH, 1_000_000, USD, 3_000);
    assert_eq!(gate.check_swap(&view(&held), &sell_weth).unwrap_err().rule, Rule::Blacklist);
}

#[test]
fn what_is_no_order_is_refused() {
    let held = Held::default();
    for request in [buy(3_000, 0), buy(0, 1), buy(-1, 1), buy(3_000, -5), order(SPOT, 7, 3_000, 1)] {
        assert_eq!(refused(&view(&held), &request), Some(Rule::OrderSize));
    }
    let market = NewOrder { order_type: OrderType::Market, ..buy(3_000, 1) };
    assert_eq!(refused(&view(&held), &market), Some(Rule::Unbounded));
    assert_eq!(refused(&view(&held), &order(9, BUY, 3_000, 1)), Some(Rule::Unknown));
    assert_eq!(refused(&RiskView { strategy: 2, ..view(&held) }, &buy(3_000, 1)), Some(Rule::Unknown));
}

#[test]
fn an_order_has_a_largest_size_and_a_least_value() {
    let held = Held::default();
    let fifty: fn(&mut RiskConfig) = |c| c.instruments[0].order_lots_max = 50;
    assert_eq!(rule_of(fifty, &view(&held), &buy(3_000, 50)), None);
    assert_eq!(rule_of(fifty, &view(&held), &buy(3_000, 51)), Some(Rule::OrderSize));
    let six_dollars: fn(&mut RiskConfig) = |c| c.instruments[0].value_min = 6_000;
    assert_eq!(rule_of(six_dollars, &view(&held), &buy(3_000, 2)), None);
    assert_eq!(rule_of(six_dollars, &view(&held), &buy(2_999, 2)), Some(Rule::OrderSize));
}

#[test]
fn an_order_has_a_largest_value() {
    let held = Held::default();
    let gate = |max: i128| move |c: &mut RiskConfig| c.limits.order_value_max = max;
    assert_eq!(rule_of(gate(300_000), &view(&held), &buy(3_000, 100)), None);
    assert_eq!(rule_of(gate(299_999), &view(&held), &buy(3_000, 100)), Some(Rule::OrderValue));
    // An inverse lot is ten dollars whatever the price.
    assert_eq!(rule_of(gate(300_000), &view(&held), &order(INVERSE, BUY, 3_000, 30)), None);
    assert_eq!(rule_of(gate(299_999), &view(&held), &order(INVERSE, BUY, 3_000, 30)), Some(Rule::OrderValue));
}

#[test]
fn a_limit_far_beyond_the_mid_is_refused_where_it_costs_us() {
    let held = Held::default();
    // One percent of 3,000 is 30.
    assert_eq!(refused(&view(&held), &buy(3_030, 1)), None);
    assert_eq!(refused(&view(&held), &buy(3_031, 1)), Some(Rule::Collar));
    assert_eq!(refused(&view(&held), &sell(2_970, 1)), None);
    assert_eq!(refused(&view(&held), &sell(2_969, 1)), Some(Rule::Collar));
    assert_eq!(refused(&view(&held), &buy(100, 1)), None);
    assert_eq!(refused(&view(&held), &sell(300_000, 1)), None);
    let rejection = gate(|_| {}).check(&view(&held), &buy(3_031, 1)).unwrap_err();
    assert_eq!((rejection.figure, rejection.limit), (10_334, 10_000));
}

#[test]
fn a_book_that_is_stale_old_empty_or_crossed_is_not_traded_on() {
    let held = Held::default();
    let at = |top: Top| refused(&RiskView { top, ..view(&held) }, &buy(3_000, 1));
    assert_eq!(at(Top { changed_ns: NOW - 2 * SECOND, ..top() }), None);
    for bad in [
        Top { changed_ns: NOW - 2 * SECOND - 1, ..top() },
        Top { stale: true, ..top() },
        Top { bid: 0, ..top() },
        Top { ask: 0, ..top() },
        Top { ask: 2_999, ..top() },
    ] {
        assert_eq!(at(bad), Some(Rule::StaleBook));
    }
}

#[test]
fn what_has_no_price_is_not_traded() {
    let held = Held { price: None, ..Held::default() };
    assert_eq!(refused(&view(&held), &buy(3_000, 1)), Some(Rule::NoMark));
    let sold = gate(|_| {}).check_swap(&view(&held), &swap(WETH, 1_000_000, USD, 3_000));
    assert_eq!(sold.unwrap_err().rule, Rule::NoMark);
    let coin = gate(|_| {}).check_swap(&view(&Held::default()), &swap(COIN, 5, USD, 3_000));
    assert_eq!(coin.unwrap_err().rule, Rule::NoMark);
}

#[test]
fn open_orders_are_counted_per_strategy_and_in_all() {
    let held = Held::default();
    let with = |own: u32, all: u32| RiskView { open_orders: own, open_orders_total: all, ..view(&held) };
    assert_eq!(refused(&with(2, 4), &buy(3_000, 1)), None);
    assert_eq!(refused(&with(3, 3), &buy(3_000, 1)), Some(Rule::OpenOrders));
    assert_eq!(refused(&with(0, 5), &buy(3_000, 1)), Some(Rule::OpenOrdersTotal));
    // One that takes the place of another opens none.
    assert_eq!(refused(&RiskView { replaces: 1, ..with(3, 5) }, &buy(3_000, 1)), None);
}

#[test]
fn no_order_trades_with_our_own() {
    let held = Held::default();
    let view = RiskView { own_bid: 2_998, own_ask: 3_002, ..view(&held) };
    assert_eq!(refused(&view, &buy(3_001, 1)), None);
    assert_eq!(refused(&view, &buy(3_002, 1)), Some(Rule::SelfTrade));
    assert_eq!(refused(&view, &sell(2_999, 1)), None);
    assert_eq!(refused(&view, &sell(2_998, 1)), Some(Rule::SelfTrade));
}

#[test]
fn a_position_counts_everything_under_way_over_all_forms_and_instruments() {
    let pending = |change: fn(&mut Held)| {
        let mut held = Held::default();
        change(&mut held);
        // 200 lots are 600 dollars, the limit is 2,000.
        (refused(&view(&held), &buy(3_000, 200)), refused(&view(&held), &sell(3_000, 200)))
    };
    let refused = Some(Rule::Position);
    assert_eq!(pending(|h| h.lots[0][0].buying = 466), (None, None));
    assert_eq!(pending(|h| h.lots[0][0].buying = 467), (refused, None));
    assert_eq!(pending(|h| h.lots[0][1].held = 467), (refused, None));
    assert_eq!(pending(|h| h.lots[0][2].held = 141), (refused, None));
    assert_eq!(pending(|h| h.moved[0][0].held = 467_000), (refused, None));
    assert_eq!(pending(|h| h.moved[0][2].held = 467_000_000), (refused, None));
    assert_eq!(pending(|h| h.moved[0][2].coming = 467_000_000), (refused, None));
    assert_eq!(pending(|h| h.moved[0][2].going = 467_000_000), (None, refused));
    // What another strategy has under way is not this one's position, and cash is none.
    assert_eq!(pending(|h| h.lots[1][0].buying = 467), (None, None));
    assert_eq!(pending(|h| h.moved[0][1].held = 9_000_000), (None, None));
    // Spot lots are in the ledger: the instrument's own count is not counted again.
    assert_eq!(pending(|h| h.lots[0][0].held = 9_000), (None, None));
}

#[test]
fn what_reduces_passes_the_limit_it_serves() {
    let mut held = Held::default();
    held.moved[0][0].held = 5_000_000; // 15,000 dollars
    assert_eq!(refused(&view(&held), &sell(3_000, 200)), None);
    assert_eq!(refused(&view(&held), &buy(3_000, 1)), Some(Rule::Position));
    // As far as to the other side of the same size, no further.
    held.lots[0][0].selling = 9_900;
    assert_eq!(refused(&view(&held), &sell(3_000, 100)), None);
    assert_eq!(refused(&view(&held), &sell(3_000, 101)), Some(Rule::Position));
}

#[test]
fn exposure_counts_all_strategies_and_what_nobody_ordered() {
    for row in [1, 2] {
        let mut held = Held::default();
        held.lots[row][0].buying = 900; // 2,700 dollars of 3,000
        assert_eq!(refused(&view(&held), &buy(3_000, 100)), None);
        assert_eq!(refused(&view(&held), &buy(3_000, 101)), Some(Rule::Exposure));
        assert_eq!(refused(&view(&held), &sell(3_000, 200)), None);
    }
}

#[test]
fn a_strategy_uses_its_own_share_of_the_capital_and_no_other() {
    let held = Held::default();
    let shares = |own: i128, other: i128| move |c: &mut RiskConfig| c.shares = vec![own, other];
    assert_eq!(rule_of(shares(300_000, 0), &view(&held), &buy(3_000, 100)), None);
    assert_eq!(rule_of(shares(299_999, 9_000_000), &view(&held), &buy(3_000, 100)), Some(Rule::Capital));
    // What it lost is gone from it, what it won is not added.
    let mut gate = gate(shares(300_000, 0));
    gate.on_mark(NOW, &[-1, 50], &mut vec![]);
    assert_eq!(gate.check(&view(&held), &buy(3_000, 100)).unwrap_err().rule, Rule::Capital);
    gate.on_mark(NOW, &[900_000, 50], &mut vec![]);
    assert!(gate.check(&view(&held), &buy(3_000, 100)).is_ok());
    assert_eq!(gate.check(&view(&held), &buy(3_000, 101)).unwrap_err().rule, Rule::Capital);
}

#[test]
fn shares_never_sum_to_more_than_the_capital() {
    let mut config = config();
    config.shares = vec![5_000_000, 5_000_001];
    assert!(RiskGate::new(config.clone()).unwrap_err().0.contains("capital"));
    config.shares = vec![i128::MAX, i128::MAX];
    assert!(RiskGate::new(config).is_err());
}

#[test]
fn reduce_only_neither_opens_nor_turns() {
    let mut held = Held::default();
    held.lots[0][1].held = 100;
    held.moved[0][2].held = -50_000_000; // 50 lots of spot, short
    let only = |instrument, side, size| NewOrder { reduce_only: true, ..order(instrument, side, 3_000, size) };
    assert_eq!(refused(&view(&held), &only(LINEAR, SELL, 100)), None);
    assert_eq!(refused(&view(&held), &only(LINEAR, SELL, 101)), Some(Rule::ReduceOnly));
    assert_eq!(refused(&view(&held), &only(LINEAR, BUY, 1)), Some(Rule::ReduceOnly));
    assert_eq!(refused(&view(&held), &only(SPOT, BUY, 50)), None);
    assert_eq!(refused(&view(&held), &only(SPOT, BUY, 51)), Some(Rule::ReduceOnly));
    held.lots[0][1].selling = 60;
    assert_eq!(refused(&view(&held), &only(LINEAR, SELL, 40)), None);
    assert_eq!(refused(&view(&held), &only(LINEAR, SELL, 41)), Some(Rule::ReduceOnly));
    // Replacing 60 open lots by 100 adds 40.
    assert_eq!(refused(&RiskView { replaces: 60, ..view(&held) }, &only(LINEAR, SELL, 100)), None);
    assert_eq!(refused(&RiskView { replaces: 60, ..view(&held) }, &only(LINEAR, SELL, 101)), Some(Rule::ReduceOnly));
}

#[test]
fn messages_have_a_budget_per_venue_that_cancels_use_and_never_wait_for() {
    let held = Held::default();
    let mut gate = gate(|_| {});
    for _ in 0..10 {
        assert!(gate.check(&view(&held), &buy(3_000, 1)).is_ok());
    }
    let rejection = gate.check(&view(&held), &buy(3_000, 1)).unwrap_err();
    assert_eq!((rejection.rule, rejection.figure), (Rule::Throttle, SECOND / 10));
    // Another venue has its own.
    assert!(gate.check(&view(&held), &order(LINEAR, BUY, 3_000, 1)).is_ok());
    // The figure is exact: a nanosecond earlier it is refused, then it passes.
    let fresh = |ns: i64| RiskView { now_ns: NOW + ns, ..view(&held) };
    assert!(gate.check(&fresh(SECOND / 10 - 1), &buy(3_000, 1)).is_err());
    assert!(gate.check(&fresh(SECOND / 10), &buy(3_000, 1)).is_ok());
    // Cancels pass an empty bucket; an order waits until they are paid for.
    gate.count_message(0, NOW + SECOND / 10);
    assert_eq!(gate.wait_ns(0, NOW + SECOND / 10), 2 * SECOND / 10);
    for _ in 0..1_000 {
        gate.count_message(0, NOW + SECOND / 10);
    }
    assert_eq!(gate.wait_ns(0, NOW + SECOND / 10), 11 * SECOND / 10);
    // A refused order takes nothing.
    let mut other = self::gate(|_| {});
    for _ in 0..20 {
        assert!(other.check(&view(&held), &buy(9_999, 1)).is_err());
    }
    assert_eq!(other.wait_ns(0, NOW), 0);
}

#[test]
fn a_strategy_executed_too_often_without_a_pause_is_stopped() {
    let mut gate = gate(|_| {});
    for at in [0, 1, 2] {
        assert_eq!(gate.on_fill(NOW + at * SECOND, 0, true), None);
        // Pieces of the same order are one execution.
        assert_eq!(gate.on_fill(NOW + at * SECOND, 0, false), None);
        assert_eq!(gate.on_fill(NOW + at * SECOND, 1, at == 0), None);
    }
    let breach = gate.on_fill(NOW + 3 * SECOND, 0, true).unwrap();
    assert_eq!((breach.rule, breach.strategy, breach.figure), (Rule::Executions, Some(0), 4));
    assert_eq!((gate.stage(0), gate.stage(1), gate.whole()), (Stage::Cancel, Stage::Running, Stage::Running));
    // A pause ends the row; so does the window.
    let mut paused = self::gate(|_| {});
    for at in [0, 1, 2, 4, 5, 6, 8] {
        assert_eq!(paused.on_fill(NOW + at * SECOND, 0, true), None, "{at}");
    }
    let mut slow = self::gate(|c| c.limits.executions_pause_ns = 60 * SECOND);
    for at in 0..50 {
        assert_eq!(slow.on_fill(NOW + at * 4 * SECOND, 0, true), None);
    }
}

#[test]
fn a_swap_is_judged_by_its_value_and_by_both_positions() {
    let mut held = Held::default();
    let check = |held: &Held, request: SwapChange| gate(|_| {}).check_swap(&view(held), &request).err().map(|r| r.rule);
    let (buys, sells) = (swap(USD, 600_000, WETH, 200_000_000), swap(WETH, 200_000_000, USD, 600_000));
    assert_eq!(check(&held, buys), None);
    assert_eq!(check(&held, sells), None);
    assert_eq!(check(&held, swap(USD, 1_000_001, WETH, 1)), Some(Rule::SwapValue));
    assert_eq!(check(&held, swap(USD, 1, WETH, 334_000_000)), Some(Rule::SwapValue));
    assert_eq!(check(&held, swap(USD, 0, WETH, 1)), Some(Rule::OrderSize));
    assert_eq!(check(&held, swap(WETH, 1, WETH, 1)), Some(Rule::OrderSize));
    assert_eq!(check(&held, swap(9, 1, WETH, 1)), Some(Rule::Unknown));
    held.lots[0][0].buying = 500;
    assert_eq!(check(&held, buys), Some(Rule::Position));
    assert_eq!(check(&held, sells), None);
    // A hedge passes whatever the size of what it hedges.
    held.moved[0][0].held = 9_000_000;
    assert_eq!(check(&held, sells), None);
}

#[test]
fn what_leaves_its_range_is_refused() {
    let held = Held::default();
    let unlimited = |c: &mut RiskConfig| {
        c.limits.order_value_max = i128::MAX;
        c.limits.collar_ppm = 999_999;
        c.instruments[0].order_lots_max = 0;
        c.instruments[0].quote_per_tick_lot = i128::MAX / 2;
    };
    assert_eq!(rule_of(unlimited, &view(&held), &buy(3_000, i64::MAX)), Some(Rule::Overflow));
    let mut full = Held::default();
    full.moved[0][2].held = i128::MAX;
    full.moved[0][2].coming = 1;
    assert_eq!(refused(&view(&full), &buy(3_000, 1)), Some(Rule::Overflow));
    let mut lots = Held::default();
    lots.lots[0][1].held = i64::MAX;
    lots.lots[0][1].buying = i64::MAX;
    assert!(refused(&view(&lots), &buy(3_000, 1)).is_some());
}
