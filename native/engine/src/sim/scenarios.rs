//! The contract's rules on one instrument each, told as short stories. The differential tests in
//! tests/engine/test_native_simulator.py tell the long ones.

use super::*;
use crate::command::{Command, Kind as Ask, OrderType, TimeInForce};
use crate::event::{Answer, Event, Kind, Reason, ReportState, BUY, MAKER, SELL, SIDE_NONE};
use crate::instrument::{Contract, Decimal, Instrument};
use bytemuck::Zeroable;

fn instrument() -> Instrument {
    Instrument {
        symbol: "AB".into(),
        venue: 0,
        base: 0,
        quote: 1,
        tick: Decimal { digits: 1, scale: 1 },
        lot: Decimal { digits: 1, scale: 3 },
        contract: Contract::Linear,
        notional_min: 0,
        maker_fee: 0,
        taker_fee: 0,
        base_decimals: 8,
        quote_decimals: 8,
    }
}

struct Venue(Exchange, i64);

/// (id, what, lots, price): a trade is "taker" or "maker", a report its state and reason.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Maker(u64, i64, i64),
    Taker(u64, i64, i64),
    Said(u64, ReportState, Reason),
}
use Told::*;

impl Venue {
    fn with(change: impl FnOnce(&mut ExchangeSettings)) -> Self {
        let mut settings = ExchangeSettings::plain(0);
        change(&mut settings);
        let mut venue = Self(Exchange::new(settings, &[instrument()]).unwrap(), 0);
        for (side, price, lots) in [(BUY, 99, 10), (BUY, 98, 20), (SELL, 101, 10), (SELL, 102, 20)] {
            venue.level(side, price, lots);
        }
        venue
    }

    fn feed(&mut self, kind: Kind, side: u8, price: i64, size: i64, aux: i64) -> Vec<Told> {
        self.1 += 1;
        let event = Event {
            time_exchange_ns: self.1,
            time_local_ns: self.1,
            kind: kind as u8,
            side,
            price,
            size,
            aux: [aux, 0],
            ..Event::zeroed()
        };
        self.0.feed(&event).unwrap();
        self.told()
    }

    fn level(&mut self, side: u8, price: i64, lots: i64) -> Vec<Told> {
        self.feed(Kind::Level, side, price, lots, 0)
    }

    fn trade(&mut self, taker: u8, price: i64, lots: i64) -> Vec<Told> {
        self.feed(Kind::Trade, taker, price, lots, 0)
    }

    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while self.0.next_report_ns() < i64::MAX {
            let Some(report) = self.0.take_report() else { continue };
            let event = report.event;
            let id = event.aux[0] as u64;
            told.push(match Answer::unpack(event.price) {
                _ if event.kind == Kind::Fill as u8 && event.flags & MAKER != 0 => Maker(id, event.size, event.price),
                _ if event.kind == Kind::Fill as u8 => Taker(id, event.size, event.price),
                answer => Said(id, answer.unwrap().state, answer.unwrap().reason),
            });
        }
        told
    }

    fn send(&mut self, command: Command) -> Vec<Told> {
        self.0.submit(&command, self.1);
        while self.0.next_arrival_ns() < i64::MAX {
            self.0.arrive().unwrap();
        }
        self.told()
    }

    fn place(&mut self, id: u64, side: u8, price: i64, size: i64) -> Vec<Told> {
        self.send(limit(id, side, price, size))
    }
}

fn limit(id: u64, side: u8, price: i64, size: i64) -> Command {
    Command { client_id: id, kind: Ask::Place as u8, side, price, size, ..Command::zeroed() }
}

fn accepted(id: u64) -> Told {
    Said(id, ReportState::Accepted, Reason::None)
}

#[test]
fn a_taker_walks_the_shown_levels_and_rests_with_what_is_left() {
    let mut venue = Venue::with(|_| {});
    assert_eq!(venue.place(1, BUY, 102, 35), [accepted(1), Taker(1, 10, 101), Taker(1, 20, 102)]);
    assert_eq!(venue.trade(SELL, 102, 3), [Maker(1, 3, 102)]);
    assert_eq!(venue.0.account(0).unwrap().position, 33);
}

#[test]
fn what_we_took_is_gone_until_the_level_is_told_anew() {
    let mut venue = Venue::with(|_| {});
    let ioc = |id| Command { time_in_force: TimeInForce::Ioc as u8, ..limit(id, BUY, 101, 7) };
    assert_eq!(venue.send(ioc(1)), [accepted(1), Taker(1, 7, 101)]);
    let unfilled = |id| Said(id, ReportState::Expired, Reason::Unfilled);
    assert_eq!(venue.send(ioc(2)), [accepted(2), Taker(2, 3, 101), unfilled(2)]);
    venue.level(SELL, 101, 10); // The same size: nothing new.
    assert_eq!(venue.send(ioc(3)), [accepted(3), unfilled(3)]);
    venue.level(SELL, 101, 4);
    assert_eq!(venue.send(ioc(4)), [accepted(4), Taker(4, 4, 101), unfilled(4)]);
}

#[test]
fn fill_or_kill_is_all_or_nothing() {
    let mut venue = Venue::with(|_| {});
    let fok = |id, size| Command { time_in_force: TimeInForce::Fok as u8, ..limit(id, SELL, 98, size) };
    assert_eq!(venue.send(fok(1, 31)), [accepted(1), Said(1, ReportState::Expired, Reason::Unfilled)]);
    assert_eq!(venue.send(fok(2, 30)), [accepted(2), Taker(2, 10, 99), Taker(2, 20, 98)]);
}

#[test]
fn post_only_rests_or_is_rejected() {
    let mut venue = Venue::with(|_| {});
    let maker = |id, price| Command { order_type: OrderType::LimitMaker as u8, ..limit(id, BUY, price, 5) };
    assert_eq!(venue.send(maker(1, 101)), [Said(1, ReportState::Rejected, Reason::WouldTake)]);
    assert_eq!(venue.send(maker(2, 100)), [accepted(2)]);
    assert_eq!(venue.send(Command { client_id: 2, kind: Ask::Cancel as u8, ..limit(2, BUY, 0, 0) }).len(), 1);
}

#[test]
fn the_queue_goes_first_and_one_trade_is_given_once() {
    let mut venue = Venue::with(|_| {});
    venue.place(1, BUY, 99, 4);
    venue.place(2, BUY, 99, 4);
    assert_eq!(venue.trade(SELL, 99, 8), []);
    assert_eq!(venue.trade(SELL, 99, 5), [Maker(1, 3, 99)]);
    assert_eq!(venue.trade(SELL, 99, 3), [Maker(1, 1, 99), Maker(2, 2, 99)]);
    venue.place(3, BUY, 100, 2);
    assert_eq!(venue.trade(SELL, 98, 3), [Maker(3, 2, 100), Maker(2, 1, 99)]);
}

#[test]
fn an_opposite_quote_at_our_price_would_have_traded_with_us() {
    let mut venue = Venue::with(|_| {});
    venue.place(1, BUY, 100, 9);
    assert_eq!(venue.level(SELL, 100, 4), [Maker(1, 4, 100)]);
    assert_eq!(venue.level(SELL, 100, 4), [], "told again, it is the same quote");
    assert_eq!(venue.level(SELL, 99, 8), [Maker(1, 5, 100)]);
}

#[test]
fn less_at_the_same_price_keeps_its_place_and_everything_else_loses_it() {
    let mut venue = Venue::with(|_| {});
    venue.place(1, BUY, 99, 4);
    venue.level(BUY, 99, 15);
    let amend = |price, size| Command { kind: Ask::Amend as u8, ..limit(1, BUY, price, size) };
    let partly = Said(1, ReportState::PartiallyFilled, Reason::None);
    assert_eq!(venue.send(amend(99, 3)), [accepted(1)]);
    assert_eq!(venue.trade(SELL, 99, 11), [Maker(1, 1, 99)]);
    assert_eq!(venue.send(amend(99, 4)), [partly]);
    assert_eq!(venue.trade(SELL, 99, 14), [], "behind fifteen");
    assert_eq!(venue.send(amend(99, 1)), [Said(1, ReportState::Canceled, Reason::None)], "one is filled already");
    assert_eq!(venue.send(amend(99, 1)), [Said(1, ReportState::Canceled, Reason::UnknownOrder)]);
}

#[test]
fn reduce_only_never_turns_a_position() {
    let mut venue = Venue::with(|settings| settings.positions = vec![(0, 6)]);
    let reduce = |id, side, price, size| Command { reduce_only: 1, ..limit(id, side, price, size) };
    assert_eq!(venue.send(reduce(1, BUY, 99, 1)), [Said(1, ReportState::Rejected, Reason::ReduceOnly)]);
    assert_eq!(venue.send(reduce(2, SELL, 103, 4)), [accepted(2)]);
    let ended = |id| Said(id, ReportState::Expired, Reason::ReduceOnly);
    assert_eq!(venue.send(reduce(3, SELL, 99, 10)), [accepted(3), Taker(3, 6, 99), ended(3), ended(2)]);
    assert!(venue.0.is_idle());
}

#[test]
fn an_unknown_order_is_said_to_be_unknown() {
    let mut venue = Venue::with(|_| {});
    let about = |kind: Ask| Command { kind: kind as u8, ..limit(9, BUY, 0, 0) };
    assert_eq!(venue.send(about(Ask::Cancel)), [Said(9, ReportState::Unknown, Reason::UnknownOrder)]);
    assert_eq!(venue.send(about(Ask::Ask)), [Said(9, ReportState::Unknown, Reason::UnknownOrder)]);
    venue.place(9, SELL, 99, 10);
    assert_eq!(venue.send(about(Ask::Ask)), [Said(9, ReportState::Filled, Reason::None)]);
    assert_eq!(venue.place(9, SELL, 99, 10), [Said(9, ReportState::Rejected, Reason::Duplicate)]);
}

#[test]
fn throttled_messages_are_rejected_and_leave_orders_alone() {
    let limit_of_two = MessageLimit { window_ns: 1_000, max: 2, place: 1, amend: 1, cancel: 1 };
    let mut venue = Venue::with(|settings| settings.limits = vec![limit_of_two]);
    venue.place(1, BUY, 99, 1);
    venue.place(2, BUY, 99, 1);
    assert_eq!(venue.place(3, BUY, 99, 1), [Said(3, ReportState::Rejected, Reason::Throttled)]);
    let cancel = Command { kind: Ask::Cancel as u8, ..limit(1, BUY, 0, 0) };
    assert_eq!(venue.send(cancel), [Said(1, ReportState::Accepted, Reason::Throttled)]);
    venue.1 = 1_000;
    assert_eq!(venue.send(cancel), [Said(1, ReportState::Canceled, Reason::None)]);
}

#[test]
fn a_position_without_margin_is_closed_at_the_mark() {
    // 0.01 at 10.1 is worth 0.101; with 0.02 put up it is lost at about 8.1.
    let rule = Liquidation { collateral: 2_000_000, maintenance: 500_000, fee: 0 };
    let mut venue = Venue::with(|settings| settings.liquidation = Some(rule));
    venue.place(1, BUY, 101, 10);
    venue.place(2, BUY, 90, 1);
    assert_eq!(venue.feed(Kind::Mark, SIDE_NONE, 82, 0, 0), []);
    assert_eq!(
        venue.feed(Kind::Mark, SIDE_NONE, 81, 0, 0),
        [Said(2, ReportState::Canceled, Reason::Liquidated), Taker(0, 10, 81)]
    );
    assert_eq!(venue.0.account(0).unwrap().position, 0);
}

#[test]
fn an_l3_feed_tells_exactly_whose_turn_it_is() {
    let mut venue = Venue::with(|settings| settings.queue = QueueModel::Fifo);
    let l3 = |venue: &mut Venue, kind, id: u64, size| {
        let event = Event { kind: kind as u8, sequence: id, price: 95, size, ..Event::zeroed() };
        venue.0.feed(&event).unwrap();
        venue.told()
    };
    l3(&mut venue, Kind::Add, 1, 5);
    l3(&mut venue, Kind::Add, 2, 5);
    venue.place(1, BUY, 95, 3);
    l3(&mut venue, Kind::Add, 3, 5);
    assert_eq!(l3(&mut venue, Kind::Delete, 3, 0), [], "behind us");
    l3(&mut venue, Kind::Add, 4, 5);
    l3(&mut venue, Kind::Modify, 2, 2);
    l3(&mut venue, Kind::Execute, 1, 5);
    assert_eq!(venue.0.orders(0).next().unwrap().place.ahead, 2 << 16);
    l3(&mut venue, Kind::Modify, 2, 6); // More: it goes to the end, behind us.
    assert_eq!(venue.0.orders(0).next().unwrap().place.ahead, 0);
    assert_eq!(l3(&mut venue, Kind::Execute, 4, 2), [Maker(1, 2, 95)]);
    assert_eq!(l3(&mut venue, Kind::Execute, 2, 2), [Maker(1, 1, 95)]);
}
