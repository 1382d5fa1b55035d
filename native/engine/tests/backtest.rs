//! Kernel, venue and a recorded market together, on two timelines.

mod support;

use bytemuck::Zeroable;
use capstan_amm::U256;
use capstan_core::orders::Side;
use capstan_engine::config::Config;
use capstan_engine::engine::{Engine, Strategy};
use capstan_engine::event::{Event, Kind, BUY, LAST, LOCAL, PAYLOAD, SELL, SIDE_NONE, SNAPSHOT};
use capstan_engine::kernel::Kernel;
use capstan_engine::payload::{PoolUpdate, Settlement, SwapRequest};
use capstan_engine::replica::PoolSpec;
use capstan_engine::risk::SwapChange;
use capstan_engine::sim::pool_venue::{BlockOrder, ChainModel, PoolVenue};
use capstan_engine::sim::{Backtest, Exchange, ExchangeSettings, FaultSettings, Journal, Latencies, Stop};
use capstan_engine::sim::{Chain, Failed};
use capstan_engine::targets::Target;
use std::sync::{Arc, Mutex};
use support::LINEAR;

const MS: i64 = 1_000_000;

/// The run of the other tests, with Bitcoin marked by the contract that is traded here.
fn config() -> Config {
    let mut config = support::config();
    config.economics[0].mark = Some(LINEAR);
    config
}

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

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);
impl Journal for Seen {
    fn event(&mut self, event: &Event, _: &[u8]) {
        self.0.lock().unwrap().push(*event);
    }
}

#[test]
fn orders_and_answers_take_their_latency_and_books_run_on_two_clocks() {
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
    let seen = Seen::default();
    let mut whole = backtest(faulty).with_journal(Box::new(seen.clone()));
    whole.run(&feed, 0, usize::MAX).unwrap();

    for records in [1, 7, 1_000] {
        let taken = Seen::default();
        let mut pieces = backtest(faulty).with_journal(Box::new(taken.clone()));
        while pieces.run(&feed, 0, records).unwrap() != Stop::End {}
        assert!(*taken.0.lock().unwrap() == *seen.0.lock().unwrap(), "in pieces of {records}");
        assert_eq!(pieces.engine.kernel.digest(), whole.engine.kernel.digest());
    }

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

/// Swaps once, when it first hears of a block.
struct Swapper;

impl Strategy for Swapper {
    fn id(&self) -> u8 {
        0
    }
    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        if event.kind != Kind::Block as u8 || event.sequence != 1 {
            return;
        }
        let request = SwapRequest {
            pool: 0,
            zero_for_one: true,
            amount_in: U256::from(1_000),
            amount_out_min: U256::from(1),
            deadline_s: 1_000,
        };
        let change =
            SwapChange { pool: 0, asset_in: support::BTC, amount_in: 1_000, asset_out: support::USD, amount_out: 990 };
        kernel.swap(0, &request.bytes(), change).unwrap();
    }
    fn state(&self) -> Vec<u8> {
        Vec::new()
    }
}

#[test]
fn a_swap_waits_for_its_block_and_its_outcome_takes_its_time() {
    let on_chain = |at: i64, kind: Kind, sequence: u64, aux: [i64; 2], flags: u16| Event {
        time_exchange_ns: at,
        time_local_ns: at + 2 * MS,
        kind: kind as u8,
        side: SIDE_NONE,
        flags: flags | LAST,
        sequence,
        aux,
        ..Event::zeroed()
    };
    let mut all = feed(0, 2 * MS);
    for event in &mut all {
        event.instrument = support::SPOT; // What swaps are valued by.
    }
    let mut payload = Vec::new();
    let reserve = U256::from(1_000_000);
    PoolUpdate::Reserves { reserve0: reserve, reserve1: reserve, is_snapshot: true }.write(&mut payload);
    all.push(on_chain(MS, Kind::Pool, 0, [0, payload.len() as i64], PAYLOAD));
    payload.resize(payload.len().next_multiple_of(64), 0);
    all.extend(payload.chunks_exact(64).map(bytemuck::pod_read_unaligned::<Event>));
    for number in 1..=3 {
        all.push(on_chain(number * 10 * MS, Kind::Block, number as u64, [number, 7], 0));
    }
    let model = ChainModel {
        pools: vec![PoolSpec { id: "pool".into(), token0: support::BTC, token1: support::USD, fee_pips: 3_000 }],
        reach_ns: MS,
        tell_ns: 2 * MS,
        order: BlockOrder::First,
        gas_swap: 100,
        gas_reverted: 40,
        tip_wei: 0,
        missed_ppm: 0,
        sandwiched_ppm: 0,
        seed: 1,
    };
    #[derive(Clone, Default)]
    struct Settled(Arc<Mutex<Vec<(i64, Settlement)>>>);
    impl Journal for Settled {
        fn event(&mut self, event: &Event, payload: &[u8]) {
            if event.kind == Kind::Settled as u8 {
                self.0.lock().unwrap().push((event.time_local_ns, Settlement::read(payload).unwrap()));
            }
        }
    }
    let mut config = config();
    config.economics[0].mark = Some(support::SPOT);
    config.pools = model.pools.clone();
    config.strategies[0].subscriptions[0].why |= capstan_engine::wakes::BLOCK;
    let mut engine = Engine::new(config.clone()).unwrap();
    engine.add(Box::new(Swapper));
    let settled = Settled::default();
    let mut run = Backtest::new(engine, vec![venue(|_| {})])
        .with_chain(Chain::new(PoolVenue::new(model.clone())))
        .with_journal(Box::new(settled.clone()));
    assert_eq!(run.run(&all, 0, usize::MAX), Ok(Stop::End));
    let settled = settled.0.lock().unwrap();
    let [(at, settlement)] = &settled[..] else { panic!("{settled:?}") };
    // Heard of block 1 at 12 ms, out by 13, in block 2 at 20, known at 22.
    assert_eq!((*at, settlement.block_number, settlement.amount_out), (22 * MS, 2, U256::from(996)));
    assert_eq!(run.engine.kernel.swaps().count(), 0);
    // Asked for one record at a time, it does not stumble over the payload's.
    let mut engine = Engine::new(config).unwrap();
    engine.add(Box::new(Swapper));
    let mut steps = Backtest::new(engine, vec![venue(|_| {})]).with_chain(Chain::new(PoolVenue::new(model.clone())));
    while steps.run(&all, 0, 1) != Ok(Stop::End) {}
    assert_eq!(steps.engine.kernel.digest(), run.engine.kernel.digest());
    all.truncate(all.len() - 4); // The pool's payload is cut off.
    let mut broken = Backtest::new(Engine::new(support::config()).unwrap(), vec![venue(|_| {})]);
    assert!(matches!(broken.run(&all, 0, usize::MAX), Err(Failed::Feed(_))));
}

#[test]
fn two_venues_keep_time_each_for_itself() {
    // The spot venue's feed is 9 ms old when it is known, the contracts' 1 ms: the array is in local order, and the
    // exchange times in it go up and down.
    let mut all = feed(800, 9 * MS);
    for event in &mut all {
        event.instrument = support::PLAIN;
    }
    all.extend(feed(800, MS));
    all.sort_by_key(|event| event.time_local_ns);
    let plain = {
        let mut settings = ExchangeSettings::plain(1);
        settings.latencies = Latencies::constant(0, 0);
        Exchange::new(settings, &config().instruments).unwrap()
    };
    let run = |events: &[Event], exchanges| {
        let mut config = config();
        config.strategies[0].subscriptions[0].instrument = Some(LINEAR);
        let mut engine = Engine::new(config).unwrap();
        engine.add(Box::new(Quoter));
        let mut run = Backtest::new(engine, exchanges);
        run.run(events, 0, usize::MAX).unwrap();
        let venue = run.exchanges().find(|exchange| exchange.has(LINEAR)).unwrap();
        assert_ne!(venue.account(LINEAR).unwrap().cash, 0);
        run.engine.kernel.digest()
    };
    let both = run(&all, vec![plain, venue(|_| {})]);
    assert_eq!(both, run(&feed(800, MS), vec![venue(|_| {})]), "a venue does not notice that there is another");
}
