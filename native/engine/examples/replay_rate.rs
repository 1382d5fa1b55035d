//! How fast a recorded market runs: without orders, and with a quoting strategy behind queue, latency, kernel and gate.
//!
//! `cargo run --release --example replay_rate [RECORDS]`: RECORDS is a file of 64-byte events of one instrument (index
//! 0); without it a market that walks is made up. Rates are per second of processor time (of the clock where the system does
//! not say), best of three.

use bytemuck::Zeroable;
use capstan_core::orders::Side;
use capstan_engine::config::{Asset, Config, Economic, StrategySettings, Subscription, Venue};
use capstan_engine::engine::{Engine, Strategy};
use capstan_engine::event::{Event, Kind, BUY, LAST, SELL, SIDE_NONE, SNAPSHOT};
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::kernel::Kernel;
use capstan_engine::sim::{Backtest, Exchange, ExchangeSettings, Journal, Latencies, Stop};
use capstan_engine::targets::Target;
use capstan_engine::wakes;
use std::sync::OnceLock;
use std::time::Instant;

const MS: i64 = 1_000_000;

/// Returns the seconds this thread has run: a busy machine's other work does not count.
fn seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let scheduled = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran: Option<f64> = scheduled.and_then(|text| text.split(' ').next()?.parse().ok());
    ran.map_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64(), |ns| ns / 1e9)
}

struct Quoter {
    every_ns: i64,
    next_ns: i64,
}

impl Strategy for Quoter {
    fn id(&self) -> u8 {
        0
    }
    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        if event.time_local_ns < self.next_ns {
            return;
        }
        self.next_ns = event.time_local_ns + self.every_ns;
        let book = kernel.book(0);
        let (Some(bid), Some(ask)) = (book.best(Side::Buy), book.best(Side::Sell)) else { return };
        let position = kernel.position(0, 0);
        let bids = [Target { price: bid.0 - 1, size: 1 }];
        let asks = [Target { price: ask.0 + 1, size: 1 }];
        kernel.set_targets(0, 0, &bids[..usize::from(position < 200)], &asks[..usize::from(position > -200)]);
    }
    fn state(&self) -> Vec<u8> {
        self.next_ns.to_le_bytes().to_vec()
    }
}

/// Copies every record, as a journal's buffer does.
#[derive(Default)]
struct Copies(Vec<Event>);

impl Journal for Copies {
    fn event(&mut self, event: &Event, _: &[u8]) {
        if self.0.len() == 4096 {
            self.0.clear();
        }
        self.0.push(*event);
    }
}

fn config(why: u16) -> Config {
    let decimal = |digits, scale| Decimal { digits, scale };
    Config {
        assets: vec![
            Asset { id: "v/BTC".into(), decimals: 8, economic: Some(0) },
            Asset { id: "v/USD".into(), decimals: 8, economic: Some(1) },
        ],
        economics: vec![
            Economic { symbol: "BTC".into(), mark: Some(0) },
            Economic { symbol: "USD".into(), mark: None },
        ],
        venues: vec![Venue { name: "v".into(), fee_asset: None, can_amend: true }],
        instruments: vec![Instrument {
            symbol: "BTCUSD".into(),
            venue: 0,
            base: 0,
            quote: 1,
            tick: decimal(1, 1),
            lot: decimal(1, 3),
            contract: Contract::Linear,
            notional_min: 0,
            maker_fee: 20_000,
            taker_fee: 50_000,
            base_decimals: 8,
            quote_decimals: 8,
        }],
        strategies: vec![StrategySettings {
            name: "quoter".into(),
            subscriptions: vec![Subscription { instrument: Some(0), why }],
            capital: 10i128.pow(30),
        }],
        ..Config::empty(1)
    }
}

fn made_up(rows: usize) -> Vec<Event> {
    let mut state = 42u64;
    let mut random = move |n: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as i64
    };
    let event = |at: i64, kind: Kind, side, price, size, flags| Event {
        time_exchange_ns: at,
        time_local_ns: at + MS,
        kind: kind as u8,
        side,
        flags,
        price,
        size,
        ..Event::zeroed()
    };
    let mut mid = 500_000;
    let mut events = vec![event(0, Kind::Clear, SIDE_NONE, 0, 0, SNAPSHOT)];
    for depth in 1..=500 {
        events.push(event(0, Kind::Level, BUY, mid - depth, 10, SNAPSHOT));
        events.push(event(0, Kind::Level, SELL, mid + depth, 10, SNAPSHOT | if depth == 500 { LAST } else { 0 }));
    }
    let mut at = 0;
    while events.len() < rows {
        at += 440_000;
        if random(8) == 0 {
            let side = random(2) as u8;
            let price = if side == BUY { mid + 1 } else { mid - 1 };
            events.push(event(at, Kind::Trade, side, price, 1 + random(9), LAST));
            continue;
        }
        let step = random(3) - 1;
        mid += step;
        // Whatever stood between the old and the new touch goes; the book is never crossed.
        events.push(event(at, Kind::Level, SELL, mid, 0, 0));
        events.push(event(at, Kind::Level, BUY, mid, 0, 0));
        for _ in 0..6 {
            let side = random(2) as u8;
            let depth = 1 + random(40);
            let price = if side == BUY { mid - depth } else { mid + depth };
            events.push(event(at, Kind::Level, side, price, random(30), 0));
        }
        events.push(event(at, Kind::Level, BUY, mid - 1, 1 + random(30), 0));
        events.push(event(at, Kind::Level, SELL, mid + 1, 1 + random(30), LAST));
    }
    events
}

/// Runs often enough that the scheduler's clock, which moves by milliseconds, is fine enough; says the best of three.
fn measure<T>(name: &str, feed: &[Event], make: impl Fn() -> T, run: impl Fn(&mut T), say: impl Fn(&T) -> String) {
    let times = 20_000_000usize.div_ceil(feed.len().max(1));
    let (mut best, mut said) = (f64::MAX, String::new());
    for _ in 0..3 {
        let start = seconds();
        for _ in 0..times {
            let mut made = make();
            run(&mut made);
            said = say(&made);
        }
        best = best.min(seconds() - start);
    }
    println!("{name:<34} {:>6.2} M rows/s   {said}", (times * feed.len()) as f64 / best / 1e6);
}

fn rate(name: &str, feed: &[Event], make: impl Fn() -> Backtest) {
    let run = |run: &mut Backtest| assert_eq!(run.run(feed, 0, usize::MAX), Ok(Stop::End));
    measure(name, feed, make, run, |run| {
        let position = run.exchanges().next().and_then(|v| v.account(0)).map_or(0, |account| account.position);
        format!("{} events taken, position {position}", run.engine.kernel.events())
    });
}

fn backtest(quote_every_ns: Option<i64>, journal: bool) -> Backtest {
    let mut engine = Engine::new(config(if quote_every_ns.is_some() { wakes::BOOK } else { 0 })).expect("a fit run");
    if let Some(every_ns) = quote_every_ns {
        engine.add(Box::new(Quoter { every_ns, next_ns: 0 }));
    }
    let mut settings = ExchangeSettings::plain(0);
    settings.latencies = Latencies::constant(MS, MS);
    let exchange = Exchange::new(settings, &engine.kernel.config().instruments.clone()).expect("a fit venue");
    let run = Backtest::new(engine, vec![exchange]);
    if journal {
        run.with_journal(Box::new(Copies::default()))
    } else {
        run
    }
}

fn main() {
    let feed = match std::env::args().nth(1) {
        None => made_up(2_000_000),
        Some(path) => {
            let bytes = std::fs::read(&path).expect("the records can be read");
            bytes.chunks_exact(64).map(bytemuck::pod_read_unaligned).collect()
        }
    };
    println!("{} rows", feed.len());
    rate("no orders, both timelines", &feed, || backtest(None, false));
    let venue = || Exchange::new(ExchangeSettings::plain(0), &config(0).instruments).expect("a fit venue");
    let through = |venue: &mut Exchange| feed.iter().for_each(|event| venue.feed(event).expect("money fits"));
    measure("  of it: the venue's side", &feed, venue, through, |_| String::new());
    let kernel = || Kernel::new(config(0)).expect("a fit run");
    let through = |kernel: &mut Kernel| feed.iter().for_each(|event| kernel.ingest(event, &[]).expect("a fit feed"));
    measure("  of it: the kernel's side", &feed, kernel, through, |_| String::new());
    for (name, every) in [("100 ms", 100 * MS), ("10 ms", 10 * MS), ("1 ms", MS)] {
        rate(&format!("quoting, looks every {name}"), &feed, || backtest(Some(every), false));
        rate("  and a copy of every record", &feed, || backtest(Some(every), true));
    }
}
