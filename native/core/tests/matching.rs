//! Claims about the matching engine that a reader should not have to derive.

use capstan_core::matching::Engine;
use capstan_core::orders::{Event, Kind, NewOrder, Reject, SelfTrade, Side, Size, TimeInForce};

fn limit(id: u64, owner: u64, side: Side, price: i64, lots: i64) -> NewOrder {
    NewOrder {
        id,
        owner,
        side,
        kind: Kind::Limit,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTrade::ExpireMaker,
        price,
        size: Size::Lots(lots),
        display: 0,
    }
}

fn submit(engine: &mut Engine, order: NewOrder) -> Vec<Event> {
    let mut events = Vec::new();
    engine.submit(order, &mut events);
    events
}

/// Asks: 1 has 5 at 100, 2 has 5 at 100, 3 has 5 at 101.
fn asks() -> Engine {
    let mut engine = Engine::new();
    for (id, price) in [(1, 100), (2, 100), (3, 101)] {
        submit(&mut engine, limit(id, id, Side::Sell, price, 5));
    }
    engine
}

#[test]
fn price_goes_before_time_and_the_maker_sets_the_price() {
    let mut engine = asks();
    let events = submit(&mut engine, limit(9, 9, Side::Buy, 101, 12));
    assert_eq!(
        events,
        [
            Event::Traded { taker: 9, maker: 1, price: 100, lots: 5, maker_left: 0 },
            Event::Traded { taker: 9, maker: 2, price: 100, lots: 5, maker_left: 0 },
            Event::Level { side: Side::Sell, price: 100, lots: 0 },
            Event::Traded { taker: 9, maker: 3, price: 101, lots: 2, maker_left: 3 },
            Event::Level { side: Side::Sell, price: 101, lots: 3 },
        ]
    );
}

#[test]
fn a_limit_order_rests_with_what_is_left() {
    let mut engine = asks();
    let events = submit(&mut engine, limit(9, 9, Side::Buy, 100, 12));
    assert_eq!(
        events[3..],
        [Event::Rested { id: 9, price: 100, lots: 2, left: 2 }, Event::Level { side: Side::Buy, price: 100, lots: 2 }]
    );
    assert_eq!(engine.levels(Side::Buy).collect::<Vec<_>>(), [(100, 2)]);
}

#[test]
fn reducing_keeps_the_place_in_the_queue_and_replacing_loses_it() {
    let mut engine = asks();
    let mut events = Vec::new();
    engine.reduce(1, 2, &mut events);
    assert_eq!(
        events,
        [Event::Reduced { id: 1, price: 100, left: 2 }, Event::Level { side: Side::Sell, price: 100, lots: 7 }]
    );
    assert_eq!(engine.orders(Side::Sell).next().unwrap().id, 1);
    engine.replace(1, limit(4, 1, Side::Sell, 100, 2), &mut events);
    assert_eq!(engine.orders(Side::Sell).map(|o| o.id).collect::<Vec<_>>(), [2, 4, 3]);
    events.clear();
    engine.reduce(4, 2, &mut events);
    assert_eq!(events, [Event::Rejected { id: 4, why: Reject::BadSize }], "growing or keeping is no reduction");
}

#[test]
fn replacing_an_unknown_order_or_by_an_unfit_one_changes_nothing() {
    let mut engine = asks();
    let mut events = Vec::new();
    engine.replace(77, limit(4, 1, Side::Sell, 100, 2), &mut events);
    engine.replace(1, limit(4, 1, Side::Sell, 0, 2), &mut events);
    engine.replace(1, limit(2, 1, Side::Sell, 100, 2), &mut events);
    assert_eq!(
        events,
        [
            Event::Rejected { id: 77, why: Reject::UnknownId },
            Event::Rejected { id: 4, why: Reject::BadPrice },
            Event::Rejected { id: 2, why: Reject::DuplicateId },
        ]
    );
    assert_eq!(engine.orders(Side::Sell).map(|o| o.id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn fill_or_kill_does_all_or_nothing() {
    let mut engine = asks();
    let fok = |lots| NewOrder { time_in_force: TimeInForce::Fok, ..limit(9, 9, Side::Buy, 100, lots) };
    assert_eq!(submit(&mut engine, fok(11)), [Event::Expired { id: 9, lots: 11 }]);
    assert_eq!(engine.lots_at(Side::Sell, 100), 10);
    assert_eq!(submit(&mut engine, fok(10)).len(), 3);
}

#[test]
fn fill_or_kill_does_not_count_the_owners_own_orders() {
    let mut engine = asks();
    let fok = |lots, self_trade| NewOrder {
        time_in_force: TimeInForce::Fok,
        self_trade,
        ..limit(9, 1, Side::Buy, 101, lots)
    };
    assert_eq!(submit(&mut engine, fok(11, SelfTrade::ExpireMaker)), [Event::Expired { id: 9, lots: 11 }]);
    assert_eq!(submit(&mut engine, fok(1, SelfTrade::ExpireTaker)), [Event::Expired { id: 9, lots: 1 }]);
    let events = submit(&mut engine, fok(10, SelfTrade::ExpireMaker));
    assert_eq!(events[0], Event::Prevented { id: 1, other: 9, price: 100, lots: 5, left: 0 });
    assert!(engine.orders(Side::Sell).next().is_none());
}

#[test]
fn post_only_never_takes() {
    let mut engine = asks();
    let maker = |price| NewOrder { kind: Kind::LimitMaker, ..limit(9, 9, Side::Buy, price, 1) };
    assert_eq!(submit(&mut engine, maker(100)), [Event::Rejected { id: 9, why: Reject::WouldTake }]);
    assert_eq!(submit(&mut engine, maker(99))[0], Event::Rested { id: 9, price: 99, lots: 1, left: 1 });
}

#[test]
fn a_budget_buys_whole_lots_and_keeps_the_change() {
    let mut engine = asks();
    let budget = |quote| NewOrder { kind: Kind::Market, size: Size::Quote(quote), ..limit(9, 9, Side::Buy, 0, 0) };
    assert_eq!(submit(&mut engine, budget(99)), [Event::Expired { id: 9, lots: 0 }]);
    assert_eq!(
        submit(&mut engine, budget(350))[..1],
        [Event::Traded { taker: 9, maker: 1, price: 100, lots: 3, maker_left: 2 }]
    );
    let events = submit(&mut engine, budget(1_000_000));
    assert_eq!(events.last(), Some(&Event::Expired { id: 9, lots: 0 }), "the book ran out");
}

#[test]
fn self_trade_prevention_expires_whom_the_taker_names() {
    for (mode, maker_stays, taker_rests) in [
        (SelfTrade::ExpireMaker, false, true),
        (SelfTrade::ExpireTaker, true, false),
        (SelfTrade::ExpireBoth, false, false),
    ] {
        let mut engine = Engine::new();
        submit(&mut engine, limit(1, 7, Side::Sell, 100, 5));
        let events = submit(&mut engine, NewOrder { self_trade: mode, ..limit(2, 7, Side::Buy, 100, 8) });
        assert_eq!(engine.order(1).is_some(), maker_stays, "{mode:?}");
        assert_eq!(engine.order(2).is_some(), taker_rests, "{mode:?}");
        let levels = events.iter().filter(|e| matches!(e, Event::Level { .. })).count();
        assert_eq!(levels, usize::from(!maker_stays) + usize::from(taker_rests), "{mode:?}: {events:?}");
        assert!(!events.iter().any(|e| matches!(e, Event::Traded { .. })));
    }
}

#[test]
fn unfit_orders_are_rejected_with_the_reason() {
    let mut engine = asks();
    for (order, why) in [
        (limit(1, 9, Side::Buy, 1, 1), Reject::DuplicateId),
        (limit(9, 9, Side::Buy, -1, 1), Reject::BadPrice),
        (limit(9, 9, Side::Buy, i64::MAX, 1), Reject::BadPrice),
        (limit(9, 9, Side::Buy, 1, 0), Reject::BadSize),
        (limit(9, 9, Side::Buy, 1, i64::MAX), Reject::BadSize),
        (NewOrder { size: Size::Quote(5), ..limit(9, 9, Side::Buy, 1, 1) }, Reject::BadSize),
    ] {
        assert_eq!(submit(&mut engine, order), [Event::Rejected { id: order.id, why }]);
    }
}
