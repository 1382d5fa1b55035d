//! What went wrong elsewhere (docs/kernel.md names each), as scripts: every one converges in at most two passes, and a
//! further pass changes nothing.

mod support;

use bytemuck::Zeroable;
use capstan_engine::command::{Command, Kind as Do};
use capstan_engine::event::{Answer, Event, Kind, Reason, ReportState, ASKED, BUY, PAYLOAD};
use capstan_engine::order_state::State;
use capstan_engine::reconcile::Finding;
use capstan_engine::ClientId;
use support::*;

/// Id, state, filled, terms, the venue's number.
type Open = (ClientId, ReportState, i64, (i64, i64), u64);

/// What the venue would answer now.
#[derive(Default, Clone)]
struct Venue {
    open: Vec<Open>,
    trades: Vec<Event>,
    balances: Vec<(u16, i128)>,
    positions: Vec<(u32, i64)>,
}

impl Venue {
    fn with(id: ClientId, filled: i64, terms: (i64, i64)) -> Self {
        let state = if filled > 0 { ReportState::PartiallyFilled } else { ReportState::Accepted };
        Self { open: vec![(id, state, filled, terms, 1)], ..Self::default() }
    }

    /// Tells the whole answer to a question asked so long from now.
    fn tell(&self, desk: &mut Desk, offset_ns: i64) -> Vec<Command> {
        let asked_ns = desk.now_ns + offset_ns;
        let bracket = |end: i64| Event { kind: Kind::Reconcile as u8, aux: [end, asked_ns], ..Event::zeroed() };
        let mut out = desk.tell(bracket(0));
        for trade in &self.trades {
            out.extend(desk.tell(Event { flags: trade.flags | ASKED, ..*trade }));
        }
        for (id, state, filled, (price, size), number) in &self.open {
            let mut terms = [0; 16];
            terms[..8].copy_from_slice(&price.to_le_bytes());
            terms[8..].copy_from_slice(&size.to_le_bytes());
            let answer = Answer { state: *state, answers: 0, reason: Reason::None };
            let told = Event {
                flags: ASKED | PAYLOAD,
                price: answer.pack(),
                sequence: *number,
                aux: [id.0 as i64, 16],
                ..report(*id, *state, *filled)
            };
            out.extend(desk.tell_with(told, &terms));
        }
        for (asset, raw) in &self.balances {
            let told =
                Event { kind: Kind::Balance as u8, aux: [i64::from(*asset), 16], flags: PAYLOAD, ..Event::zeroed() };
            out.extend(desk.tell_with(told, &raw.to_le_bytes()));
        }
        for (instrument, size) in &self.positions {
            let told = Event {
                kind: Kind::Balance as u8,
                instrument: *instrument,
                size: *size,
                aux: [-1, 0],
                ..Event::zeroed()
            };
            out.extend(desk.tell(told));
        }
        out.extend(desk.tell(bracket(1)));
        out
    }
}

/// A run whose first answer is behind it, at ten seconds.
fn running() -> Desk {
    let mut desk = Desk::new();
    let empty = Venue { balances: vec![(0, 0), (1, 0)], ..Venue::default() };
    empty.tell(&mut desk, 0);
    desk.timer(10 * SECOND);
    desk
}

/// Tells the answer until nothing changes; asserts two passes at most, and that a third is a repetition of the second.
fn converge(desk: &mut Desk, venue: &Venue) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut hashes = Vec::new();
    for pass in 0..3 {
        desk.now_ns += SECOND;
        commands.extend(venue.tell(desk, -1));
        desk.check();
        let facts: Vec<_> = desk.kernel.orders().all().map(|o| (o.id, o.state, o.price, o.size, o.filled)).collect();
        let held = (desk.kernel.portfolio().balance(BTC), desk.kernel.portfolio().balance(USD));
        hashes.push((facts, held, desk.kernel.reconciliation().findings().copied().collect::<Vec<_>>()));
        if pass > 0 {
            assert_eq!(desk.kernel.reconciliation().changes(), 0, "pass {pass} still changed something");
        }
    }
    assert_eq!(hashes[1], hashes[2]);
    commands
}

fn state(desk: &Desk, id: ClientId) -> State {
    desk.kernel.orders().get(id).expect("known").state
}

fn traded(desk: &Desk, id: ClientId, size: i64, trade: u64) -> Event {
    let order = desk.kernel.orders().get(id).expect("known");
    Event { price: order.price, ..fill(id, order.side, size, trade) }
}

fn findings(desk: &Desk) -> Vec<Finding> {
    desk.kernel.reconciliation().findings().copied().collect()
}

fn notices(commands: &[Command]) -> usize {
    commands.iter().filter(|c| c.kind == Do::Notice as u8).count()
}

#[test]
fn lost_acknowledgement_of_an_order_that_rests() {
    let mut desk = running();
    let id = desk.place(BUY, 500_000, 100);
    converge(&mut desk, &Venue::with(id, 0, (500_000, 100)));
    assert_eq!(state(&desk, id), State::Accepted);
    assert_eq!(findings(&desk), []);
}

#[test]
fn order_that_never_arrived() {
    let mut desk = running();
    let id = desk.place(BUY, 500_000, 100);
    desk.now_ns += 5 * SECOND;
    converge(&mut desk, &Venue::default());
    assert_eq!(state(&desk, id), State::Rejected);
}

#[test]
fn order_on_its_way_is_not_given_up_and_is_asked_about() {
    let mut desk = running();
    let id = desk.place(BUY, 500_000, 100);
    let asked = Venue::default().tell(&mut desk, 1);
    assert_eq!(kinds(&asked), [Do::Ask as u8]);
    assert_eq!(state(&desk, id), State::Pending);
    let id = desk.place(BUY, 499_000, 100);
    Venue::default().tell(&mut desk, 0);
    assert_eq!(state(&desk, id), State::Pending, "sent when the question was out already");
}

#[test]
fn filled_while_away() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    let venue = Venue { trades: vec![traded(&desk, id, 60, 1), traded(&desk, id, 40, 2)], ..Venue::default() };
    converge(&mut desk, &venue);
    assert_eq!((state(&desk, id), desk.kernel.position(0, SPOT)), (State::Filled, 100));
}

#[test]
fn partly_filled_then_cancelled_while_away() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    let venue = Venue { trades: vec![traded(&desk, id, 60, 1)], ..Venue::default() };
    converge(&mut desk, &venue);
    assert_eq!((state(&desk, id), desk.kernel.position(0, SPOT)), (State::Canceled, 60));
}

#[test]
fn cancelled_while_away() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    converge(&mut desk, &Venue::default());
    assert_eq!(state(&desk, id), State::Canceled);
}

#[test]
fn partial_fill_whose_cancel_was_lost_is_cancelled_again() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.cancel(id);
    desk.commands();
    let mut venue = Venue::with(id, 30, (500_000, 100));
    venue.trades = vec![traded(&desk, id, 30, 1)];
    converge(&mut desk, &venue);
    assert_eq!(state(&desk, id), State::PartiallyFilled);
    assert_eq!(kinds(&desk.timer(desk.now_ns + SECOND)), [Do::Cancel as u8]);
}

#[test]
fn order_of_a_stretch_of_journal_that_was_lost_is_named_and_cancelled() {
    let mut desk = running();
    let lost = ClientId::new(7, 0, 1, 4_000).unwrap();
    let commands = converge(&mut desk, &Venue::with(lost, 0, (400_000, 10)));
    assert_eq!(findings(&desk), [Finding::Lost { venue: 0, id: lost.0, venue_order: 1 }]);
    assert_eq!(notices(&commands), 1, "named once, not at every pass");
    let cancels = commands.iter().filter(|c| c.kind == Do::Cancel as u8);
    assert!(cancels.clone().count() > 0 && cancels.clone().all(|c| c.client_id == lost.0));
    assert!(desk.kernel.orders().get(lost).is_none(), "not adopted");
}

#[test]
fn orders_of_a_person_and_of_another_run_are_named_and_left_alone() {
    let mut desk = running();
    let another = ClientId::new(8, 0, 0, 1).unwrap();
    let mut venue = Venue::with(another, 0, (400_000, 10));
    venue.open.push((ClientId(0), ReportState::Accepted, 0, (400_000, 10), 2));
    let commands = converge(&mut desk, &venue);
    assert_eq!(
        findings(&desk),
        [
            Finding::ForeignOrder { venue: 0, id: 0, venue_order: 2 },
            Finding::ForeignOrder { venue: 0, id: another.0, venue_order: 1 },
        ]
    );
    assert_eq!((notices(&commands), commands.len()), (2, 2));
    assert_eq!(desk.kernel.orders().open_count(), 0);
}

#[test]
fn two_runs_trade_on_one_account_and_each_books_its_own() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    let theirs = ClientId::new(8, 0, 0, 1).unwrap();
    let venue = Venue { trades: vec![traded(&desk, id, 100, 1), fill(theirs, BUY, 5, 2)], ..Venue::default() };
    converge(&mut desk, &venue);
    assert_eq!(desk.kernel.position(0, SPOT), 100);
    assert_eq!(desk.kernel.position(capstan_engine::config::FOREIGN, SPOT), 5);
}

#[test]
fn duplicate_reports_and_trades_change_nothing() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    let trade = desk.fill(id, 30);
    let mut venue = Venue::with(id, 30, (500_000, 100));
    venue.trades = vec![trade, trade];
    venue.open.push(venue.open[0]);
    converge(&mut desk, &venue);
    assert_eq!((state(&desk, id), desk.kernel.position(0, SPOT)), (State::PartiallyFilled, 30));
}

#[test]
fn foreign_balance_and_position_are_named_and_the_books_do_not_move() {
    let mut desk = running();
    let venue = Venue { balances: vec![(BTC, 500)], positions: vec![(LINEAR, -3)], ..Venue::default() };
    let commands = converge(&mut desk, &venue);
    assert_eq!(
        findings(&desk),
        [
            Finding::Balance { venue: 0, asset: BTC, theirs: 500, ours: 0 },
            Finding::Position { venue: 0, instrument: LINEAR, theirs: -3, ours: 0 },
        ]
    );
    assert_eq!(notices(&commands), 2);
    assert_eq!(desk.kernel.portfolio().balance(BTC), 0);
    assert_eq!(desk.kernel.portfolio().lots_total(LINEAR), 0);
    // Put right by a person: the finding is gone with the next answer.
    Venue { balances: vec![(BTC, 0)], positions: vec![(LINEAR, 0)], ..Venue::default() }.tell(&mut desk, 0);
    assert_eq!(findings(&desk), []);
}

#[test]
fn late_fill_after_a_cancel_counts_and_opens_nothing_else() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.report(id, ReportState::Canceled);
    let venue = Venue { trades: vec![traded(&desk, id, 40, 1)], ..Venue::default() };
    converge(&mut desk, &venue);
    assert_eq!((state(&desk, id), desk.kernel.position(0, SPOT)), (State::Canceled, 40));
}

#[test]
fn reject_after_accept_ends_as_cancelled() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.report(id, ReportState::Rejected);
    converge(&mut desk, &Venue::default());
    assert_eq!(state(&desk, id), State::Canceled);
}

#[test]
fn amended_while_away_has_the_venues_terms() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.amend(id, 499_990, 150).unwrap();
    desk.commands();
    converge(&mut desk, &Venue::with(id, 0, (499_990, 150)));
    let order = *desk.kernel.orders().get(id).unwrap();
    assert_eq!((order.price, order.size, order.amend), (499_990, 150, None));
}

#[test]
fn amend_that_never_arrived_leaves_the_old_terms() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.kernel.amend(id, 499_990, 150).unwrap();
    desk.commands();
    converge(&mut desk, &Venue::with(id, 0, (500_000, 100)));
    let order = *desk.kernel.orders().get(id).unwrap();
    assert_eq!((order.price, order.size, order.amend), (500_000, 100, None));
}

#[test]
fn trades_older_than_the_run_are_in_the_opening_balances() {
    let mut desk = Desk::new();
    let older = ClientId::new(3, 0, 0, 1).unwrap();
    let venue = Venue { trades: vec![fill(older, BUY, 10, 5)], balances: vec![(BTC, 10_000)], ..Venue::default() };
    converge(&mut desk, &venue);
    desk.tell(fill(older, BUY, 10, 5));
    assert_eq!(desk.kernel.portfolio().balance(BTC), 10_000);
    assert_eq!(desk.kernel.position(capstan_engine::config::FOREIGN, SPOT), 0);
    assert_eq!(findings(&desk), []);
}

#[test]
fn a_warm_restart_with_a_position_flattens_nothing() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.fill(id, 100);
    desk.tell(Event { kind: Kind::Restart as u8, aux: [1, 0], ..Event::zeroed() });
    let held = desk.kernel.portfolio().balance(BTC);
    let venue = Venue {
        trades: vec![Event { sequence: desk.trade, ..traded(&desk, id, 100, 0) }],
        balances: vec![(BTC, held)],
        ..Venue::default()
    };
    let commands = converge(&mut desk, &venue);
    assert_eq!((commands.len(), desk.kernel.position(0, SPOT), findings(&desk)), (0, 100, vec![]));
}

#[test]
fn an_order_given_up_that_lives_is_named_and_cancelled() {
    let mut desk = running();
    let id = desk.place(BUY, 500_000, 100);
    desk.report(id, ReportState::Unknown);
    desk.now_ns += SECOND;
    let commands = Venue::with(id, 0, (500_000, 100)).tell(&mut desk, 0);
    assert_eq!(findings(&desk), [Finding::Risen { venue: 0, id: id.0 }]);
    assert_eq!(kinds(&commands), [Do::Cancel as u8, Do::Notice as u8]);
}

#[test]
fn an_end_without_its_trades_is_named_until_they_come() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    desk.tell(report(id, ReportState::Canceled, 40));
    converge(&mut desk, &Venue::default());
    assert_eq!(findings(&desk), [Finding::MissingTrades { venue: 0, id: id.0, lots: 40 }]);
    let venue = Venue { trades: vec![traded(&desk, id, 40, 1)], ..Venue::default() };
    converge(&mut desk, &venue);
    assert_eq!((state(&desk, id), findings(&desk)), (State::Canceled, vec![]));
}

#[test]
fn an_answer_that_breaks_off_concludes_nothing() {
    let mut desk = running();
    let id = desk.accepted(BUY, 500_000, 100);
    let begin = Event { kind: Kind::Reconcile as u8, aux: [0, 11 * SECOND], ..Event::zeroed() };
    desk.now_ns = 12 * SECOND;
    desk.tell(begin);
    desk.tell(Event { kind: Kind::Restart as u8, aux: [1, 0], ..Event::zeroed() });
    desk.tell(Event { aux: [1, 0], ..begin });
    assert_eq!(state(&desk, id), State::Accepted);
}
