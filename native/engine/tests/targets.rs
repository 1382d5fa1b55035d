//! Target quotes: the fewest messages, places in the queue kept, nothing cancelled and placed again.

mod support;

use capstan_engine::command::{Command, Kind as Do};
use capstan_engine::event::{Reason, ReportState, BUY, SELL};
use capstan_engine::{ClientId, Target};
use support::*;

fn target(price: i64, size: i64) -> Target {
    Target { price, size }
}

struct Quoter {
    desk: Desk,
    instrument: u32,
}

impl Quoter {
    fn new(instrument: u32) -> Self {
        Self { desk: Desk::new(), instrument }
    }

    fn want(&mut self, bids: &[Target], asks: &[Target]) -> Vec<Command> {
        self.desk.kernel.set_targets(0, self.instrument, bids, asks);
        self.desk.commands()
    }

    fn accept(&mut self, commands: &[Command]) -> Vec<ClientId> {
        let placed = commands.iter().filter(|c| c.kind == Do::Place as u8);
        let ids: Vec<_> = placed.map(|c| ClientId(c.client_id)).collect();
        for id in &ids {
            self.desk.report(*id, ReportState::Accepted);
        }
        ids
    }

    /// Open lots by price.
    fn resting(&self, side: u8) -> Vec<(i64, i64)> {
        let own = self.desk.kernel.orders().open_of(self.instrument);
        let mut levels: Vec<_> =
            own.filter(|o| o.side == side && o.is_wanted()).map(|o| (o.price, o.open_lots())).collect();
        levels.sort_unstable();
        levels
    }
}

#[test]
fn what_is_wanted_is_placed_once_and_left_alone() {
    let mut quoter = Quoter::new(SPOT);
    let (bids, asks) = ([target(499_990, 10), target(499_980, 20)], [target(500_010, 10)]);
    let first = quoter.want(&bids, &asks);
    assert_eq!(kinds(&first), [Do::Place as u8; 3]);
    assert_eq!(quoter.want(&bids, &asks), [], "not even acknowledged");
    quoter.accept(&first);
    assert_eq!(quoter.want(&bids, &asks), []);
    assert_eq!(quoter.resting(BUY), [(499_980, 20), (499_990, 10)]);
    quoter.desk.check();
}

#[test]
fn a_moved_quote_is_one_message_where_the_venue_can() {
    for (instrument, expected) in [(SPOT, vec![Do::Amend as u8]), (PLAIN, vec![Do::Cancel as u8, Do::Place as u8])] {
        let mut quoter = Quoter::new(instrument);
        let first = quoter.want(&[target(499_990, 10)], &[]);
        quoter.accept(&first);
        assert_eq!(kinds(&quoter.want(&[target(499_980, 10)], &[])), expected);
        quoter.desk.check();
    }
}

#[test]
fn a_level_that_grows_keeps_its_place_and_one_that_shrinks_too() {
    let mut quoter = Quoter::new(SPOT);
    let first = quoter.want(&[target(499_990, 10)], &[]);
    let ids = quoter.accept(&first);
    let grown = quoter.want(&[target(499_990, 15)], &[]);
    assert_eq!((kinds(&grown), grown[0].size), (vec![Do::Place as u8], 5));
    quoter.accept(&grown);
    let shrunk = quoter.want(&[target(499_990, 4)], &[]);
    let cancelled = shrunk.iter().filter(|c| c.kind == Do::Cancel as u8).map(|c| ClientId(c.client_id));
    assert!(!cancelled.clone().any(|id| id == ids[0]), "the older one keeps its place");
    let amended: Vec<_> = shrunk.iter().filter(|c| c.kind == Do::Amend as u8).collect();
    assert_eq!((amended.len(), amended[0].client_id, amended[0].size), (1, ids[0].0, 4));
    quoter.desk.check();
}

#[test]
fn a_partial_fill_is_topped_up_beside_what_is_left() {
    let mut quoter = Quoter::new(SPOT);
    let first = quoter.want(&[target(499_990, 10)], &[]);
    let ids = quoter.accept(&first);
    quoter.desk.fill(ids[0], 4);
    quoter.desk.commands();
    let topped = quoter.want(&[target(499_990, 10)], &[]);
    assert_eq!((kinds(&topped), topped[0].size), (vec![Do::Place as u8], 4));
}

#[test]
fn nothing_wanted_cancels_everything_once() {
    let mut quoter = Quoter::new(SPOT);
    let first = quoter.want(&[target(499_990, 10)], &[target(500_010, 10)]);
    quoter.accept(&first);
    assert_eq!(kinds(&quoter.want(&[], &[])), [Do::Cancel as u8; 2]);
    assert_eq!(quoter.want(&[], &[]), []);
    // Wanted again while the cancels are under way: what is on its way out is not counted on.
    assert_eq!(kinds(&quoter.want(&[target(499_990, 10)], &[])), [Do::Place as u8]);
    quoter.desk.check();
}

#[test]
fn an_amend_under_way_is_waited_for_and_then_moved_on() {
    let mut quoter = Quoter::new(SPOT);
    let first = quoter.want(&[target(499_990, 10)], &[]);
    let ids = quoter.accept(&first);
    quoter.want(&[target(499_980, 10)], &[]);
    assert_eq!(quoter.want(&[target(499_970, 10)], &[]), []);
    let done = answer(ids[0], ReportState::Accepted, Do::Amend as u8, Reason::None, 0);
    let next = quoter.desk.tell(done);
    assert_eq!((kinds(&next), next[0].price), (vec![Do::Amend as u8], 499_970));
    quoter.desk.tell(done);
    assert_eq!(quoter.resting(BUY), [(499_970, 10)]);
    quoter.desk.check();
}

#[test]
fn a_refused_amend_leaves_nothing_where_it_is_not_wanted() {
    let mut config = config();
    config.limits.collar_ppm = 1_000;
    let mut quoter = Quoter { desk: Desk::of(config), instrument: SPOT };
    let first = quoter.want(&[target(499_990, 10)], &[]);
    quoter.accept(&first);
    // 0.1 % beyond the mid is refused by the gate.
    let moved = quoter.want(&[target(500_900, 10)], &[]);
    assert_eq!(kinds(&moved), [Do::Rejected as u8, Do::Cancel as u8]);
    assert_eq!(quoter.resting(BUY), []);
}

#[test]
fn a_rest_below_the_venues_least_value_is_not_placed_beside() {
    let mut config = config();
    config.instruments[SPOT as usize].notional_min = 5 * 50_000_000;
    let mut quoter = Quoter { desk: Desk::of(config), instrument: SPOT };
    let first = quoter.want(&[target(500_000, 10)], &[]);
    let ids = quoter.accept(&first);
    quoter.desk.fill(ids[0], 4);
    quoter.desk.commands();
    assert_eq!(quoter.want(&[target(500_000, 10)], &[]), []);
    quoter.desk.fill(ids[0], 1);
    quoter.desk.commands();
    assert_eq!(kinds(&quoter.want(&[target(500_000, 10)], &[])), [Do::Place as u8]);
}

#[test]
fn another_strategys_orders_and_takers_are_left_alone() {
    let mut quoter = Quoter::new(SPOT);
    let other = quoter.desk.kernel.place(1, quote(SPOT, SELL, 500_020, 3)).unwrap();
    quoter.desk.commands();
    quoter.desk.report(other, ReportState::Accepted);
    assert_eq!(quoter.want(&[], &[]), []);
    assert_eq!(quoter.resting(SELL), [(500_020, 3)]);
}

/// Whatever is wanted after whatever, once everything is answered exactly that rests, and each wish took no more messages
/// than cancelling and placing everything would.
#[test]
fn any_wish_after_any_other_ends_in_what_is_wanted() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut draw = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for instrument in [SPOT, PLAIN] {
        let mut quoter = Quoter::new(instrument);
        for _ in 0..2_000 {
            let mut side = |from: i64, step: i64| {
                let mut levels: Vec<Target> = Vec::new();
                for at in 0..draw(4) as i64 {
                    if draw(3) > 0 {
                        levels.push(target(from + step * at, 1 + draw(5) as i64));
                    }
                }
                levels
            };
            let (bids, asks) = (side(499_990, -1), side(500_010, 1));
            let before = quoter.resting(BUY).len() + quoter.resting(SELL).len();
            let commands = quoter.want(&bids, &asks);
            assert!(commands.len() <= before + bids.len() + asks.len());
            answer_all(&mut quoter, commands);
            let wanted = |side: &[Target]| {
                let mut levels: Vec<_> = side.iter().map(|t| (t.price, t.size)).collect();
                levels.sort_unstable();
                levels
            };
            for (side, targets) in [(BUY, &bids), (SELL, &asks)] {
                let mut levels: Vec<(i64, i64)> = Vec::new();
                for (price, lots) in quoter.resting(side) {
                    match levels.last_mut() {
                        Some(last) if last.0 == price => last.1 += lots,
                        _ => levels.push((price, lots)),
                    }
                }
                assert_eq!(levels, wanted(targets));
            }
            quoter.desk.check();
        }
    }
}

fn answer_all(quoter: &mut Quoter, commands: Vec<Command>) {
    let mut waiting = commands;
    while let Some(command) = waiting.pop() {
        let id = ClientId(command.client_id);
        let (state, answers) = match command.kind {
            k if k == Do::Place as u8 => (ReportState::Accepted, Do::Place),
            k if k == Do::Amend as u8 => (ReportState::Accepted, Do::Amend),
            k if k == Do::Cancel as u8 => (ReportState::Canceled, Do::Cancel),
            other => panic!("command {other}"),
        };
        waiting.extend(quoter.desk.tell(answer(id, state, answers as u8, Reason::None, -1)));
    }
}
