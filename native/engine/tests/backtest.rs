//! Kernel, venue and a recorded market together, on two timelines.

mod support;

use bytemuck::Zeroable;
use capstan_core::orders::Side;
use capstan_engine::engine::{Engine, Strategy};
use capstan_engine::event::{Event, Kind, BUY, LAST, LOCAL, SELL, SIDE_NONE, SNAPSHOT};
use capstan_engine::kernel::Kernel;
use capstan_engine::sim::{Backtest, Exchange, ExchangeSettings, FaultSettings, Journal, Latencies, Stop};
use capstan_engine::targets::Target;
use std::sync::{Arc, Mutex};
use support::{config, LINEAR};

const MS: i64 = 1_000_000;

/// Quotes one tick behind the touch on both sides.
struct Quoter;

fn quote(kernel: &mut Kernel) {
    let book = kernel.book(LINEAR);
    let (Some(bid), Some(ask)) = (book.best(Side::Buy), book.best(Side::Sell)) else { return };
    let position = kernel.position(0, LINEAR);
    let target = |price, wanted: bool| if wanted { vec![Target { price, size: 3 }] } else { vec![] };
    let bids = target(bid.0 - 1, position < 30);
    let asks = target(ask.0 + 1, position > -30);
    kernel.set_targets(0, LINEAR, &bids, &asks);
}

impl Strategy for Quoter {
    fn id(&self) -> u8 {
        0
    }
    fn on_event(&mut self, kernel: &mut Kernel, _: &Event) {
        quote(kernel);
    }
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// A market that walks, one message a millisecond, known locally `delay` later.
fn feed(messages: usize, delay: i64) -> Vec<Event> {
    let mut state = 42u64;
    let mut random = move |n: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as i64
    };
    let mut events = Vec::new();
    let mut put = |at: i64, kind: Kind, side: u8, price: i64, size: i64, flags: u16| {
        events.push(Event {
            time_exchange_ns: at,
            time_local_ns: at + delay,
            instrument: LINEAR,
            kind: kind as u8,
            side,
            flags,
            price,
            size,
            ..Event::zeroed()
        });
    };
    let (mut mid, mut at) = (500_000, 0);
    put(at, Kind::Clear, SIDE_NONE, 0, 0, SNAPSHOT);
    for depth in 1..=20 {
        put(at, Kind::Level, BUY, mid - depth, 10, SNAPSHOT);
        put(at, Kind::Level, SELL, mid + depth, 10, SNAPSHOT | if depth == 20 { LAST } else { 0 });
    }
    for _ in 0..messages {
        at += MS;
        match random(8) {
            0 => {
                put(at, Kind::Trade, SELL, mid - 1 - random(2), 1 + random(20), LAST);
            }
            1 => {
                put(at, Kind::Trade, BUY, mid + 1 + random(2), 1 + random(20), LAST);
            }
            2 => {
                mid += 1;
                put(at, Kind::Level, SELL, mid, 0, 0);
                put(at, Kind::Level, SELL, mid + 20, 10, 0);
                put(at, Kind::Level, BUY, mid - 20, 0, 0);
                put(at, Kind::Level, BUY, mid - 1, 5, LAST);
            }
            3 => {
                mid -= 1;
                put(at, Kind::Level, BUY, mid, 0, 0);
                put(at, Kind::Level, BUY, mid - 20, 10, 0);
                put(at, Kind::Level, SELL, mid + 20, 0, 0);
                put(at, Kind::Level, SELL, mid + 1, 5, LAST);
            }
            _ => {
                let side = random(2) as u8;
                let depth = 1 + random(5);
                let price = if side == BUY { mid - depth } else { mid + depth };
                put(at, Kind::Level, side, price, 1 + random(30), LAST);
            }
        }
    }
    events
}

fn venue(change: impl FnOnce(&mut ExchangeSettings)) -> Exchange {
    let mut settings = ExchangeSettings::plain(0);
    settings.latencies = Latencies::constant(3 * MS, 2 * MS);
    change(&mut settings);
    Exchange::new(settings, &config().instruments).unwrap()
}

fn backtest(change: impl FnOnce(&mut ExchangeSettings)) -> Backtest {
    let mut engine = Engine::new(config()).unwrap();
    engine.add(Box::new(Quoter));
    Backtest::new(engine, vec![venue(change)]).with_tick(100 * MS)
}

#[test]
fn orders_and_answers_take_their_latency_and_books_run_on_two_clocks() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<Event>>>);
    impl Journal for Seen {
        fn event(&mut self, event: &Event, _: &[u8]) {
            self.0.lock().unwrap().push(*event);
        }
    }
    let seen = Seen::default();
    let feed = feed(3_000, 4 * MS);
    let mut run = backtest(|_| {}).with_journal(Box::new(seen.clone()));
    assert_eq!(run.run(&feed, 0, usize::MAX), Ok(Stop::End));
    let seen = seen.0.lock().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].time_local_ns <= pair[1].time_local_ns));
    let ours = |event: &&Event| event.kind == Kind::Report as u8 || event.kind == Kind::Fill as u8;
    for event in seen.iter().filter(ours) {
        assert_eq!(event.time_local_ns - event.time_exchange_ns, 2 * MS);
    }
    // The snapshot is known at 4 ms, the first quotes arrive at 7 and are acknowledged at 9.
    let first = seen.iter().find(ours).unwrap();
    assert_eq!((first.time_exchange_ns, first.time_local_ns), (7 * MS, 9 * MS));
    let fills = seen.iter().filter(|event| event.kind == Kind::Fill as u8).count();
    assert!(fills > 20, "{fills}");
    assert_eq!(seen.iter().filter(|event| event.kind == Kind::Level as u8).count(), {
        feed.iter().filter(|event| event.kind == Kind::Level as u8).count()
    });
}

fn faulty(settings: &mut ExchangeSettings) {
    settings.latencies.per_message_ns = 10_000;
    settings.faults = FaultSettings {
        seed: 11,
        request_lost: 20_000,
        report_lost: 20_000,
        duplicate: 20_000,
        delayed: 50_000,
        delay_ns: 7 * MS,
        disconnect: 5_000,
        down_ns: 40 * MS,
        cancel_on_disconnect: false,
    };
}

#[test]
fn a_hundred_runs_give_one_digest() {
    let feed = feed(1_500, 4 * MS);
    let digest = |seed| {
        let mut run = backtest(|settings| {
            faulty(settings);
            settings.faults.seed = seed;
        });
        run.run(&feed, 0, usize::MAX).unwrap();
        run.engine.kernel.digest()
    };
    let first = digest(11);
    assert!((1..100).all(|_| digest(11) == first));
    assert_ne!(digest(12), first, "another seed, other faults");
}

#[test]
fn by_pieces_and_with_the_strategy_outside_it_is_the_same_run() {
    let feed = feed(3_000, 4 * MS);
    let mut whole = backtest(faulty);
    whole.run(&feed, 0, usize::MAX).unwrap();

    let mut pieces = backtest(faulty);
    while pieces.run(&feed, 0, 7).unwrap() != Stop::End {}
    assert_eq!(pieces.engine.kernel.digest(), whole.engine.kernel.digest());

    let mut outside = Backtest::new(Engine::new(config()).unwrap(), vec![venue(faulty)]).with_tick(100 * MS);
    loop {
        match outside.run(&feed, 1, 1_000).unwrap() {
            Stop::Wake => quote(&mut outside.engine.kernel),
            Stop::Budget => {}
            Stop::End => break,
        }
    }
    assert_eq!(outside.engine.kernel.digest(), whole.engine.kernel.digest());
}

#[test]
fn whatever_gets_lost_kernel_and_venue_agree_in_the_end() {
    let feed = feed(6_000, 4 * MS);
    for seed in 0..20 {
        let mut run = backtest(|settings| {
            faulty(settings);
            settings.faults.seed = seed;
        })
        .with_settling(20_000 * MS);
        run.run(&feed, 0, usize::MAX).unwrap();
        let venue = run.exchanges().next().unwrap();
        let kernel = &run.engine.kernel;
        let mut theirs: Vec<_> = venue.orders(LINEAR).map(|order| (order.id, order.price, order.filled)).collect();
        let mut ours: Vec<_> =
            kernel.orders().open_of(LINEAR).map(|order| (order.id.0, order.price, order.filled)).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "seed {seed}");
        assert_eq!(kernel.position(0, LINEAR), venue.account(LINEAR).unwrap().position, "seed {seed}");
    }
}

#[test]
fn a_report_goes_before_the_feed_of_the_same_instant_and_a_tick_after_it() {
    let mut all = feed(0, 0);
    for at in [10 * MS, 20 * MS] {
        let base = Event { time_exchange_ns: at, time_local_ns: at, instrument: LINEAR, ..Event::zeroed() };
        all.push(Event { kind: Kind::Level as u8, price: 499_999, size: at, flags: LAST, ..base });
    }
    #[derive(Clone, Default)]
    struct Kinds(Arc<Mutex<Vec<u8>>>);
    impl Journal for Kinds {
        fn event(&mut self, event: &Event, _: &[u8]) {
            if event.time_local_ns == 10 * MS {
                self.0.lock().unwrap().push(event.kind);
            }
        }
    }
    let kinds = Kinds::default();
    let mut engine = Engine::new(config()).unwrap();
    engine.add(Box::new(Quoter));
    let exchange = venue(|settings| settings.latencies = Latencies::constant(6 * MS, 4 * MS));
    let run = Backtest::new(engine, vec![exchange]).with_tick(10 * MS).with_journal(Box::new(kinds.clone()));
    let mut run = run;
    run.run(&all, 0, usize::MAX).unwrap();
    let (report, level, timer) = (Kind::Report as u8, Kind::Level as u8, Kind::Timer as u8);
    assert_eq!(*kinds.0.lock().unwrap(), [report, report, level, timer]);
}

#[test]
fn events_of_one_timeline_are_seen_on_that_one_only() {
    let mut all = feed(0, 0);
    let base = Event { time_exchange_ns: MS, time_local_ns: MS, instrument: LINEAR, ..Event::zeroed() };
    let level = Event { kind: Kind::Level as u8, side: SELL, price: 500_001, size: 77, ..base };
    all.push(Event { flags: LAST | LOCAL, ..level });
    let mut run = Backtest::new(Engine::new(config()).unwrap(), vec![venue(|_| {})]);
    run.run(&all, 0, usize::MAX).unwrap();
    assert_eq!(run.engine.kernel.book(LINEAR).best(Side::Sell), Some((500_001, 77)));
    assert_eq!(run.position(), all.len());
    let mut other = Backtest::new(Engine::new(config()).unwrap(), vec![venue(|_| {})]);
    all.last_mut().unwrap().flags = LAST | capstan_engine::event::EXCHANGE;
    other.run(&all, 0, usize::MAX).unwrap();
    assert_eq!(other.engine.kernel.book(LINEAR).best(Side::Sell), Some((500_001, 10)));
}
