use crate::world::*;
use capstan_engine::command::TimeInForce;
use capstan_engine::event::{BUY, SELL};
use capstan_engine::risk::*;

fn results(gate: &mut RiskGate, now_ns: i64, results: [i128; 2]) -> Vec<Breach> {
    let mut breaches = vec![];
    gate.on_mark(now_ns, &results, &mut breaches);
    breaches
}

fn limit(max: i128, stage: Stage) -> Option<LossLimit> {
    Some(LossLimit { max, stage })
}

#[test]
fn each_loss_limit_leads_to_its_own_stage() {
    const DAY: i64 = 86_400 * SECOND;
    let mut gate = gate(|c| {
        c.limits.losses.drawdown = limit(100, Stage::Reduce);
        c.limits.losses.total = limit(100, Stage::Cancel);
        c.limits.strategy_losses.daily = limit(50, Stage::Flatten);
    });
    assert_eq!(results(&mut gate, 0, [200, 0]), []);
    assert_eq!(results(&mut gate, 1, [100, 0]), []);
    let reached = results(&mut gate, 2, [99, 0]);
    assert_eq!(
        reached,
        [Breach { rule: Rule::Drawdown, strategy: None, figure: 101, limit: 100, stage: Stage::Reduce }]
    );
    assert_eq!(results(&mut gate, 3, [98, 0]), [], "told once");
    // A day begins with what the last one ended with: at event time, whatever the clock says.
    assert_eq!(results(&mut gate, DAY, [98, -50]), []);
    let reached = results(&mut gate, DAY + 1, [47, -50]);
    assert_eq!((reached[0].rule, reached[0].strategy, reached[0].figure), (Rule::DailyLoss, Some(0), 51));
    // FLATTEN goes through CANCEL.
    assert_eq!((gate.stage(0), gate.stage(1)), (Stage::Cancel, Stage::Reduce));
    let reached = results(&mut gate, DAY + 2, [-51, -50]);
    assert_eq!((reached[0].rule, reached[0].strategy, reached[0].stage), (Rule::Loss, None, Stage::Cancel));
}

#[test]
fn what_nobody_ordered_counts_towards_the_whole() {
    let mut gate = gate(|c| c.limits.losses.drawdown = limit(100, Stage::Reduce));
    let mut breaches = vec![];
    gate.on_mark(0, &[0, 0, -101], &mut breaches);
    assert_eq!((breaches.len(), breaches[0].strategy), (1, None));
}

#[test]
fn a_loss_within_the_window_counts_and_an_older_one_does_not() {
    let mut gate = gate(|c| {
        c.limits.losses.velocity = limit(100, Stage::Freeze);
        c.limits.losses.velocity_window_ns = 32 * SECOND;
    });
    for at in 0..100 {
        assert_eq!(results(&mut gate, at * SECOND, [i128::from(-3 * at), 0]), [], "slow: {at}");
    }
    // A result holds until the next: the fall is between them, however long nothing was heard.
    let reached = results(&mut gate, 10_000 * SECOND, [-398, 0]);
    assert_eq!((reached[0].rule, reached[0].figure, reached[0].stage), (Rule::LossVelocity, 101, Stage::Freeze));
    assert_eq!(gate.whole(), Stage::Freeze);
}

/// A venue by hand: what is open, and the messages that went out.
struct Desk {
    gate: RiskGate,
    held: Held,
    orders: Vec<OpenOrder>,
    tops: [Top; 3],
    now_ns: i64,
}

impl Desk {
    fn new(change: impl FnOnce(&mut RiskConfig)) -> Self {
        Self { gate: gate(change), held: Held::default(), orders: vec![], tops: [top(); 3], now_ns: NOW }
    }

    fn open(&mut self, client_id: u64, strategy: u8, instrument: u32, side: u8) {
        self.orders.push(OpenOrder { client_id, instrument, strategy, side, resting: true, cancel_ns: 0 });
    }

    /// Lets time pass with fresh books, acts, and notes cancels as sent.
    fn act_after(&mut self, ns: i64) -> Vec<Action> {
        self.now_ns += ns;
        for top in &mut self.tops {
            top.changed_ns = self.now_ns;
        }
        let mut out = vec![];
        let world = World { now_ns: self.now_ns, orders: &self.orders, tops: &self.tops, holdings: &self.held };
        self.gate.act(&world, &mut out);
        for action in &out {
            if let Action::Cancel { client_id } = action {
                let order = self.orders.iter_mut().find(|order| order.client_id == *client_id).unwrap();
                order.cancel_ns = self.now_ns;
            }
        }
        out
    }

    fn raise(&mut self, strategy: Option<u8>, stage: Stage) {
        assert!(self.gate.raise(self.now_ns, Rule::Operator, strategy, 0, 0, stage).is_some());
    }

    fn refuses(&mut self, request: &NewOrder) -> Option<Rule> {
        let view = RiskView { now_ns: self.now_ns, top: self.tops[0], ..view(&self.held) };
        self.gate.check(&view, request).err().map(|rejection| rejection.rule)
    }
}

fn cancel(client_id: u64) -> Action {
    Action::Cancel { client_id }
}

fn reached(action: &Action) -> (Rule, Option<u8>, Stage) {
    match action {
        Action::Reached(breach) => (breach.rule, breach.strategy, breach.stage),
        other => panic!("{other:?}"),
    }
}

fn closing(action: &Action) -> (u8, NewOrder) {
    match action {
        Action::Close { strategy, order } => (*strategy, *order),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reduce_lets_only_what_reduces_pass_and_cancels_what_adds() {
    let mut desk = Desk::new(|_| {});
    desk.held.moved[0][0].held = 100_000; // 100 lots long
    desk.open(1, 0, SPOT, BUY);
    desk.open(2, 0, SPOT, SELL);
    desk.open(3, 1, SPOT, SELL); // Strategy 1 holds nothing: any order of it adds.
    desk.open(4, 0, LINEAR, SELL); // Nor does strategy 0 hold the contract.
    assert!(!desk.gate.is_acting());
    desk.raise(None, Stage::Reduce);
    assert!(desk.gate.is_acting());
    assert_eq!(desk.act_after(0), [cancel(1), cancel(3), cancel(4)]);
    assert_eq!(desk.refuses(&buy(3_000, 1)), Some(Rule::Stage));
    assert_eq!(desk.refuses(&sell(3_000, 100)), None);
    assert_eq!(desk.refuses(&sell(3_000, 101)), Some(Rule::Stage), "it would turn the position");
    let sells = swap(WETH, 100_000_000, USD, 300_000);
    assert!(desk.gate.check_swap(&view(&desk.held), &sells).is_ok());
    let buys = swap(USD, 300_000, WETH, 100_000_000);
    assert_eq!(desk.gate.check_swap(&view(&desk.held), &buys).unwrap_err().rule, Rule::Stage);
}

#[test]
fn cancel_ends_every_order_and_asks_again_until_it_is_gone() {
    let mut desk = Desk::new(|_| {});
    for id in 1..=4 {
        desk.open(id, (id % 2) as u8, SPOT, SELL);
    }
    desk.raise(None, Stage::Cancel);
    let all = [Action::CancelAll { venue: 0 }, Action::CancelAll { venue: 1 }];
    assert_eq!(desk.act_after(0), [&all[..], &[cancel(1), cancel(2), cancel(3), cancel(4)]].concat());
    assert_eq!(desk.refuses(&sell(3_000, 1)), Some(Rule::Stage));
    // Nothing is sent twice at once; one is ended, one was rejected, one is only partly filled: all but the first remain.
    assert_eq!(desk.act_after(SECOND), []);
    desk.orders.remove(0);
    // One that nobody knew of is found meanwhile.
    desk.open(9, 0, LINEAR, BUY);
    assert_eq!(desk.act_after(0), [cancel(9)]);
    assert_eq!(desk.act_after(SECOND), [cancel(2), cancel(3), cancel(4)]);
    desk.orders.clear();
    assert_eq!(desk.act_after(600 * SECOND), []);
    assert_eq!(desk.gate.whole(), Stage::Cancel, "it stays until an operator lowers it");
}

#[test]
fn cancels_that_do_not_end_are_told_once() {
    let mut desk = Desk::new(|_| {});
    desk.open(1, 0, SPOT, SELL);
    desk.raise(None, Stage::Cancel);
    desk.act_after(0);
    let out = desk.act_after(10 * SECOND);
    assert_eq!(out[0], cancel(1));
    assert_eq!(reached(&out[1]), (Rule::Overdue, None, Stage::Cancel));
    assert_eq!(desk.act_after(2 * SECOND), [cancel(1)]);
}

#[test]
fn one_strategys_stage_leaves_the_others_alone() {
    let mut desk = Desk::new(|_| {});
    desk.open(1, 0, SPOT, SELL);
    desk.open(2, 1, SPOT, SELL);
    desk.raise(Some(1), Stage::Cancel);
    assert_eq!(desk.act_after(0), [cancel(2)]);
    assert_eq!(desk.refuses(&buy(3_000, 1)), None);
    assert_eq!((desk.gate.whole(), desk.gate.stage(1)), (Stage::Running, Stage::Cancel));
}

#[test]
fn flatten_waits_for_the_cancels_then_closes_by_bounded_immediate_orders() {
    let mut desk = Desk::new(|_| {});
    desk.held.moved[0][0].held = 500_000; // 500 lots long at the exchange,
    desk.held.moved[0][2].held = -100_000_500; // 100.0005 short on chain: 399.9995 net
    desk.held.lots[1][1].held = -20;
    desk.open(1, 0, SPOT, BUY);
    desk.raise(None, Stage::Flatten);
    assert_eq!(desk.gate.whole(), Stage::Cancel);
    assert_eq!(desk.act_after(0)[2..], [cancel(1)]);
    assert_eq!(desk.act_after(SECOND), [], "nothing is closed while the order may still trade");
    desk.orders.clear();
    let out = desk.act_after(0);
    assert_eq!(reached(&out[0]), (Rule::Stage, None, Stage::Flatten));
    let out = desk.act_after(0);
    // 1,000 dollars an order at most: 340 lots at 2,940, two percent below the mid.
    let (strategy, order) = closing(&out[0]);
    assert_eq!((strategy, order.instrument, order.side, order.price, order.size), (0, SPOT, SELL, 2_940, 340));
    assert_eq!((order.time_in_force, order.reduce_only), (TimeInForce::Ioc, false));
    let (strategy, order) = closing(&out[1]);
    assert_eq!((strategy, order.instrument, order.side, order.price, order.size), (1, LINEAR, BUY, 3_060, 20));
    assert!(order.reduce_only);
    // The first is under way; the second was filled in part. The rest follows, no sooner than after a second.
    desk.held.lots[0][0].selling = 340;
    desk.held.lots[1][1].held = -5;
    assert_eq!(desk.act_after(SECOND - 1), []);
    let out = desk.act_after(1);
    assert_eq!((out.len(), closing(&out[0]).0, closing(&out[0]).1.size), (1, 1, 5));
    desk.held.lots[0][0].selling = 0;
    desk.held.moved[0][0].held = 160_000;
    desk.held.lots[1][1].held = 0;
    let out = desk.act_after(0);
    assert_eq!((out.len(), closing(&out[0]).1.size), (1, 59));
    // Half a thousandth of a lot is left: as flat as the venue allows.
    desk.held.moved[0][0].held = 101_000;
    assert_eq!(desk.act_after(SECOND), []);
    assert_eq!(desk.gate.whole(), Stage::Flatten);
}

#[test]
fn flatten_that_makes_no_progress_freezes() {
    let mut desk = Desk::new(|_| {});
    desk.held.lots[0][1].held = 10;
    desk.raise(None, Stage::Flatten);
    desk.act_after(0);
    let mut sent = 0;
    for _ in 0..2 {
        sent += desk.act_after(SECOND).len();
    }
    desk.held.lots[0][1].held = 9; // Progress: counted from here.
    for _ in 0..3 {
        sent += desk.act_after(SECOND).len();
    }
    assert_eq!(sent, 5);
    let out = desk.act_after(SECOND);
    assert_eq!(reached(&out[0]), (Rule::Overdue, Some(0), Stage::Freeze));
    assert_eq!(reached(&out[1]), (Rule::Overdue, None, Stage::Freeze));
    assert_eq!(desk.act_after(SECOND), []);
    assert_eq!(desk.refuses(&buy(3_000, 1)), Some(Rule::Stage));
}

#[test]
fn flatten_without_a_usable_book_sends_nothing_and_freezes_in_the_end() {
    let mut desk = Desk::new(|_| {});
    desk.held.lots[0][1].held = 10;
    desk.raise(None, Stage::Flatten);
    desk.act_after(0);
    desk.tops[1].stale = true;
    for _ in 0..59 {
        assert_eq!(desk.act_after(SECOND), []);
    }
    let out = desk.act_after(SECOND);
    assert_eq!(reached(&out[0]), (Rule::Overdue, None, Stage::Freeze));
}

#[test]
fn flatten_goes_on_when_a_cancel_never_ends() {
    let mut desk = Desk::new(|_| {});
    desk.held.lots[0][1].held = 10;
    desk.open(1, 0, SPOT, BUY);
    desk.raise(None, Stage::Flatten);
    desk.act_after(0);
    let out = desk.act_after(10 * SECOND);
    assert_eq!(reached(&out[1]), (Rule::Overdue, None, Stage::Flatten));
    let out = desk.act_after(0);
    assert_eq!(closing(&out[0]).1.size, 10);
    // A closing order is immediate; the resting one is cancelled on and on.
    desk.orders.push(OpenOrder { client_id: 2, resting: false, ..desk.orders[0] });
    desk.orders[1].cancel_ns = 0;
    desk.held.lots[0][1].selling = 10;
    assert_eq!(desk.act_after(2 * SECOND), [cancel(1)]);
}

#[test]
fn freeze_may_follow_when_everything_is_flat() {
    let mut desk = Desk::new(|c| c.limits.kill.freeze_when_flat = true);
    desk.held.moved[1][2].held = 5_000_000; // 5 lots
    desk.held.moved[1][2].going = 1; // A swap has not settled: neither closed nor flat.
    desk.raise(None, Stage::Flatten);
    desk.act_after(0);
    assert_eq!(desk.act_after(SECOND), []);
    desk.held.moved[1][2].going = 0;
    assert_eq!(closing(&desk.act_after(SECOND)[0]).1.size, 5);
    desk.held.moved[1][2].held = 0;
    let out = desk.act_after(SECOND);
    assert_eq!(reached(&out[0]), (Rule::Stage, None, Stage::Freeze));
}

#[test]
fn freeze_cancels_at_once_and_lets_nothing_else_leave() {
    let mut desk = Desk::new(|_| {});
    desk.held.lots[0][1].held = 10;
    desk.open(1, 0, SPOT, BUY);
    desk.raise(Some(0), Stage::Freeze);
    assert_eq!(desk.gate.whole(), Stage::Freeze, "the keys are the whole run's");
    assert_eq!(desk.act_after(0)[2..], [cancel(1)]);
    assert_eq!(desk.act_after(2 * SECOND), [cancel(1)], "a cancel is never held back");
    assert_eq!(desk.refuses(&sell(3_000, 1)), Some(Rule::Stage));
    let sells = swap(WETH, 1_000_000, USD, 3_000);
    assert_eq!(desk.gate.check_swap(&view(&desk.held), &sells).unwrap_err().rule, Rule::Stage);
}

#[test]
fn closing_orders_keep_to_the_message_budget_and_are_sent_later() {
    let mut desk = Desk::new(|c| c.limits.messages_per_second_max = 1);
    desk.held.lots[0][1].held = 10;
    desk.raise(None, Stage::Flatten);
    desk.act_after(0);
    desk.gate.count_message(1, desk.now_ns);
    assert_eq!(desk.act_after(SECOND / 2), []);
    desk.act_after(SECOND);
    assert_eq!(closing(&desk.act_after(SECOND)[0]).1.size, 10);
}

#[test]
fn stages_go_up_by_themselves_and_down_by_an_operator() {
    let mut desk = Desk::new(|c| c.limits.losses.drawdown = limit(100, Stage::Cancel));
    assert_eq!(results(&mut desk.gate, NOW, [0, -101]).len(), 1);
    assert!(desk.gate.raise(NOW, Rule::Operator, None, 0, 0, Stage::Reduce).is_none());
    assert_eq!(results(&mut desk.gate, NOW, [500, 500]), []);
    assert_eq!(desk.gate.whole(), Stage::Cancel);
    desk.raise(Some(0), Stage::Reduce);
    assert!(!desk.gate.lower(NOW, None, Stage::Freeze), "an operator's lowering raises nothing");
    assert!(desk.gate.lower(NOW, None, Stage::Reduce));
    assert_eq!((desk.gate.whole(), desk.gate.stage(0)), (Stage::Reduce, Stage::Reduce));
    assert!(desk.gate.lower(NOW, None, Stage::Running));
    assert_eq!((desk.gate.whole(), desk.gate.stage(0)), (Stage::Running, Stage::Running));
    // The loss is accepted: the next is counted from here.
    assert_eq!(results(&mut desk.gate, NOW, [400, 500]), []);
    assert_eq!(results(&mut desk.gate, NOW, [399, 500]).len(), 1);
}

#[test]
fn a_gate_is_what_it_saved_and_takes_nothing_that_is_not_whole() {
    let setup = |c: &mut RiskConfig| {
        c.limits.losses.drawdown = limit(100, Stage::Flatten);
        c.limits.losses.velocity = limit(i128::MAX, Stage::Freeze);
        c.limits.losses.velocity_window_ns = 3_200;
    };
    let mut desk = Desk::new(setup);
    desk.held.lots[0][1].held = 10;
    desk.gate.on_fill(NOW, 1, true);
    results(&mut desk.gate, NOW, [i128::from(i64::MAX) * 9, -7]);
    results(&mut desk.gate, NOW + 1, [-5, 3]);
    desk.act_after(0);
    desk.act_after(SECOND);
    let mut saved = vec![];
    desk.gate.save(&mut saved);
    let mut restored = gate(setup);
    restored.load(&saved).unwrap();
    assert_eq!(restored.whole(), Stage::Flatten);
    let mut again = vec![];
    restored.save(&mut again);
    assert_eq!(again, saved);
    desk.gate = restored;
    assert_eq!(closing(&desk.act_after(SECOND)[0]).1.size, 10);
    let mut other = gate(setup);
    let (mut before, mut after) = (vec![], vec![]);
    other.save(&mut before);
    assert_eq!(other.load(&saved[..saved.len() - 1]), Err(Corrupt));
    assert_eq!(other.load(&[&saved[..], &[0]].concat()), Err(Corrupt));
    other.save(&mut after);
    assert_eq!(before, after);
}
