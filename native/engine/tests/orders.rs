//! An order's life as venues really tell it: late, twice, contradicting themselves, or not at all.

mod support;

use bytemuck::Zeroable;
use capstan_engine::command::{Kind as Do, OrderType, TimeInForce};
use capstan_engine::event::{Event, Kind, Reason, ReportState, BUY, SELL};
use capstan_engine::order_state::State;
use capstan_engine::orders::NewOrder;
use capstan_engine::Broken;
use support::*;

const ENDS: [ReportState; 4] =
    [ReportState::Filled, ReportState::Canceled, ReportState::Expired, ReportState::Rejected];

#[test]
fn trades_are_booked_once_to_the_last_unit() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    let first = desk.fill(id, 40);
    desk.report(id, ReportState::Accepted);
    desk.tell(first);
    desk.fill(id, 60);
    desk.report(id, ReportState::Expired);
    assert_eq!(desk.kernel.orders().get(id).unwrap().state, State::Filled);
    assert_eq!(desk.kernel.position(0, SPOT), 100);
    assert_eq!(desk.kernel.portfolio().balance(BTC), 100_000);
    assert_eq!(desk.kernel.portfolio().balance(USD), -50 * 100_000_000);
    desk.check();
}

#[test]
fn an_end_reported_before_its_trades_waits_for_them_and_is_asked_about() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.tell(report(id, ReportState::Canceled, 40));
    assert!(desk.kernel.orders().get(id).unwrap().state.is_open());
    let commands = desk.timer(10 * SECOND);
    assert_eq!(kinds(&commands), [Do::Ask as u8]);
    desk.fill(id, 40);
    assert_eq!(desk.kernel.orders().get(id).unwrap().state, State::Canceled);
    desk.check();
}

#[test]
fn the_first_end_stands_and_a_trade_told_after_it_counts() {
    for end in ENDS {
        for lots in [40, 100] {
            let mut desk = Desk::new();
            let id = desk.place(BUY, 500_000, 100);
            if end == ReportState::Filled {
                desk.fill(id, 100);
            } else {
                desk.report(id, end);
                desk.fill(id, lots);
            }
            let order = *desk.kernel.orders().get(id).unwrap();
            let is_filled = lots == 100 || end == ReportState::Filled;
            assert_eq!(order.state, if is_filled { State::Filled } else { State::told(end) });
            for second in ENDS {
                desk.report(id, second);
            }
            assert_eq!(desk.kernel.orders().get(id).unwrap().state, order.state);
            assert_eq!(desk.kernel.position(0, SPOT), order.filled);
            desk.check();
        }
    }
}

#[test]
fn more_trades_than_the_order_is_worth_stop_the_run() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.fill(id, 100);
    let told = desk.kernel.ingest(&fill(id, BUY, 1, 99), &[]);
    assert_eq!(told, Err(Broken::Overfilled { id, left: 0, found: 1 }));
}

#[test]
fn a_trade_of_another_side_or_instrument_than_its_order_stops_the_run() {
    for change in [|e: &mut Event| e.side = SELL, |e: &mut Event| e.instrument = PLAIN] {
        let mut desk = Desk::new();
        let id = desk.accepted(BUY, 500_000, 100);
        let mut told = fill(id, BUY, 1, 1);
        change(&mut told);
        assert_eq!(desk.kernel.ingest(&told, &[]), Err(Broken::Fill { id }));
    }
}

#[test]
fn an_unanswered_order_is_asked_about_and_never_sent_again() {
    let mut desk = Desk::new();
    let id = desk.place(BUY, 500_000, 100);
    let asked: Vec<_> = (2..11).map(|s| kinds(&desk.timer(s * SECOND)).len()).collect();
    assert_eq!(asked, [0, 0, 1, 0, 0, 1, 0, 0, 1]);
    desk.report(id, ReportState::Unknown);
    assert_eq!(desk.kernel.orders().get(id).unwrap().state, State::Rejected);
    assert_eq!(desk.timer(100 * SECOND), []);
    desk.check();
}

#[test]
fn a_lost_answer_is_asked_about_at_once() {
    let mut desk = Desk::new();
    let id = desk.place(BUY, 500_000, 100);
    desk.report(id, ReportState::Lost);
    let asked: Vec<_> = (1..9).map(|s| kinds(&desk.timer(s * SECOND)).len()).collect();
    assert_eq!(asked, [1, 0, 0, 1, 0, 0, 1, 0]);
}

#[test]
fn a_resting_order_is_left_alone_and_an_immediate_one_without_end_is_asked_about() {
    for (time_in_force, asks) in [(TimeInForce::Gtc, 0), (TimeInForce::Ioc, 1)] {
        let mut desk = Desk::new();
        let request = NewOrder { order_type: OrderType::Limit, time_in_force, ..quote(SPOT, BUY, 500_000, 100) };
        let id = desk.kernel.place(0, request).unwrap();
        desk.commands();
        desk.report(id, ReportState::Accepted);
        assert_eq!(desk.timer(4 * SECOND - 1), []);
        assert_eq!(desk.timer(4 * SECOND).len(), asks);
    }
}

#[test]
fn a_venue_that_forgot_an_accepted_order_ends_it() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.report(id, ReportState::Unknown);
    assert_eq!(desk.kernel.orders().get(id).unwrap().state, State::Canceled);
}

#[test]
fn an_order_that_was_given_up_and_lives_is_cancelled() {
    let mut desk = Desk::new();
    let id = desk.place(BUY, 500_000, 100);
    desk.report(id, ReportState::Unknown);
    assert_eq!(kinds(&desk.report(id, ReportState::Accepted)), [Do::Cancel as u8]);
    desk.check();
}

#[test]
fn a_cancel_that_did_not_end_its_order_is_sent_again() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.now_ns = 2 * SECOND;
    desk.timer(2 * SECOND);
    desk.kernel.cancel(id);
    assert_eq!(kinds(&desk.commands()), [Do::Cancel as u8]);
    desk.timer(3 * SECOND);
    desk.kernel.cancel(id);
    assert_eq!(desk.commands(), []);
    assert_eq!(kinds(&desk.timer(4 * SECOND)), [Do::Cancel as u8]);
    desk.report(id, ReportState::Canceled);
    assert_eq!(desk.timer(9 * SECOND), []);
    desk.check();
}

#[test]
fn a_cancel_refused_as_unknown_asks_instead_of_guessing() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.cancel(id);
    desk.commands();
    let refused = answer(id, ReportState::Unknown, Do::Cancel as u8, Reason::UnknownOrder, -1);
    assert_eq!(kinds(&desk.tell(refused)), [Do::Ask as u8]);
    assert!(desk.kernel.orders().get(id).unwrap().state.is_open());
}

#[test]
fn an_amend_reserves_the_worse_of_both_until_it_is_answered() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.amend(id, 499_990, 150).unwrap();
    assert_eq!(kinds(&desk.commands()), [Do::Amend as u8]);
    let reserved = desk.kernel.reservations().of(0, SPOT);
    assert_eq!((reserved.buying, reserved.cost), (150, 150 * 500_000));
    assert!(desk.kernel.amend(id, 499_980, 150).is_err(), "one change at a time");
    desk.tell(answer(id, ReportState::Accepted, Do::Amend as u8, Reason::None, 0));
    let order = *desk.kernel.orders().get(id).unwrap();
    assert_eq!((order.price, order.size, order.amend), (499_990, 150, None));
    desk.check();
}

#[test]
fn a_refused_amend_changes_nothing() {
    let mut desk = Desk::new();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.amend(id, 499_990, 150).unwrap();
    desk.tell(answer(id, ReportState::Accepted, Do::Amend as u8, Reason::WouldTake, 0));
    let order = *desk.kernel.orders().get(id).unwrap();
    assert_eq!((order.price, order.size, order.amend), (500_000, 100, None));
    desk.check();
}

#[test]
fn an_amend_whose_answer_was_lost_is_asked_about_and_the_terms_decide() {
    for (price, size) in [(499_990, 150), (500_000, 100)] {
        let mut desk = Desk::new();
        let id = desk.accepted(BUY, 500_000, 100);
        desk.kernel.amend(id, 499_990, 150).unwrap();
        desk.commands();
        let lost = answer(id, ReportState::Lost, Do::Amend as u8, Reason::None, -1);
        assert_eq!(kinds(&desk.tell(lost)), [Do::Ask as u8]);
        let mut terms = [0; 16];
        terms[..8].copy_from_slice(&i64::to_le_bytes(price));
        terms[8..].copy_from_slice(&i64::to_le_bytes(size));
        let asked = Event { flags: capstan_engine::event::ASKED, ..report(id, ReportState::Accepted, 0) };
        desk.tell_with(asked, &terms);
        let order = *desk.kernel.orders().get(id).unwrap();
        assert_eq!((order.price, order.size, order.amend), (price, size, None));
        desk.check();
    }
}

#[test]
fn trades_beyond_the_old_size_belong_to_the_amend_under_way() {
    let mut desk = Desk::new();
    let id = desk.accepted(SELL, 500_001, 100);
    desk.kernel.amend(id, 500_001, 150).unwrap();
    desk.fill(id, 100);
    assert!(desk.kernel.orders().get(id).unwrap().state.is_open(), "more may come");
    desk.tell(answer(id, ReportState::PartiallyFilled, Do::Amend as u8, Reason::Other, 100));
    assert_eq!(desk.kernel.orders().get(id).unwrap().state, State::Filled);
    desk.check();
}

#[test]
fn a_foreign_trade_is_booked_apart_and_once() {
    let mut desk = Desk::new();
    let theirs = capstan_engine::ClientId::new(99, 0, 0, 5).unwrap();
    for _ in 0..2 {
        desk.tell(fill(theirs, BUY, 10, 77));
    }
    assert_eq!(desk.kernel.position(capstan_engine::config::FOREIGN, SPOT), 10);
    assert_eq!(desk.kernel.position(0, SPOT), 0);
    assert_eq!(desk.kernel.portfolio().balance(BTC), 10_000);
}

#[test]
fn a_restart_asks_about_open_orders_distrusts_books_and_raises_the_epoch() {
    let mut desk = Desk::new();
    desk.accepted(BUY, 500_000, 100);
    let restart = Event { kind: Kind::Restart as u8, aux: [3, 0], ..Event::zeroed() };
    assert_eq!(kinds(&desk.tell(restart)), [Do::Ask as u8]);
    assert!(desk.kernel.place(0, quote(SPOT, BUY, 500_000, 1)).is_err());
    desk.commands();
    desk.book(SPOT, 500_000, 500_001);
    assert_eq!(desk.place(BUY, 500_000, 1).epoch(), 3);
}

#[test]
fn ended_orders_are_forgotten_oldest_first_and_their_trades_still_count() {
    let mut config = config();
    config.patience.ended_kept = 3;
    let mut desk = Desk::of(config);
    let ids: Vec<_> = (0..10).map(|_| desk.accepted(BUY, 500_000, 10)).collect();
    for id in &ids[1..] {
        desk.report(*id, ReportState::Canceled);
    }
    let known: Vec<_> = ids.iter().filter(|id| desk.kernel.orders().get(**id).is_some()).copied().collect();
    assert_eq!(known, [ids[0], ids[7], ids[8], ids[9]]);
    desk.tell(fill(ids[1], BUY, 10, 1));
    assert_eq!(desk.kernel.position(0, SPOT), 10);
    desk.check();
}
