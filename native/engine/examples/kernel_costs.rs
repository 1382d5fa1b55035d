//! What the kernel's steps cost, on one thread: `cargo run --release --example kernel_costs`. Prints JSON, nanoseconds.

use std::time::Instant;

use bytemuck::Zeroable;
use capstan_engine::command::{Command, OrderType, TimeInForce};
use capstan_engine::config::{Asset, Config, Economic, StrategySettings, Subscription, Venue};
use capstan_engine::event::{Answer, Event, Kind, Reason, ReportState, BUY, LAST, SELL, SIDE_NONE};
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::journal::Encoder;
use capstan_engine::{wakes, ClientId, Kernel, NewOrder, Target};

fn config(why: u16) -> Config {
    let asset = |id: &str, economic| Asset { id: id.into(), decimals: 8, economic: Some(economic) };
    let mut config = Config {
        assets: vec![asset("a/BTC", 0), asset("a/USDT", 1)],
        economics: vec![
            Economic { symbol: "BTC".into(), mark: Some(0) },
            Economic { symbol: "USDT".into(), mark: None },
        ],
        venues: vec![Venue { name: "a".into(), fee_asset: None, can_amend: true }],
        instruments: vec![Instrument {
            symbol: "BTCUSDT".into(),
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
        }],
        strategies: vec![StrategySettings {
            name: "s".into(),
            capital: 10i128.pow(30),
            subscriptions: vec![Subscription { instrument: None, why }],
        }],
        ..Config::empty(1)
    };
    config.limits.open_orders_max = 10_000;
    config
}

fn record(kind: Kind, side: u8, price: i64, size: i64, flags: u16, now_ns: i64) -> Event {
    Event { kind: kind as u8, side, price, size, flags, time_local_ns: now_ns, ..Event::zeroed() }
}

/// A book of fifty levels a side, and changes near its touch.
fn market(changes: usize) -> (Vec<Event>, Vec<Event>) {
    let mut opening = vec![record(Kind::Clear, SIDE_NONE, 0, 0, 0, 1)];
    for at in 0..50 {
        opening.push(record(Kind::Level, BUY, 600_000 - at, 10, 0, 1));
        opening.push(record(Kind::Level, SELL, 600_001 + at, 10, if at == 49 { LAST } else { 0 }, 1));
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let change = |at: usize| {
        let (away, size, side) = (1 + draw(40) as i64, draw(20) as i64, draw(2) as u8);
        let price = if side == BUY { 600_000 - away } else { 600_001 + away };
        record(Kind::Level, side, price, size, if at % 4 == 3 { LAST } else { 0 }, 2 + at as i64 * 1_000)
    };
    (opening, (0..changes).map(change).collect())
}

/// Returns the least of five measurements of `work`, per unit.
fn least(units: usize, mut work: impl FnMut() -> u64) -> f64 {
    let mut kept = 0;
    let nanoseconds = (0..5).map(|_| {
        let began = Instant::now();
        kept ^= work();
        began.elapsed().as_nanos() as f64 / units as f64
    });
    let found = nanoseconds.fold(f64::INFINITY, f64::min);
    std::hint::black_box(kept);
    found
}

fn opened(why: u16, opening: &[Event]) -> Kernel {
    let mut kernel = Kernel::new(config(why)).expect("sound");
    for event in opening {
        kernel.ingest(event, &[]).expect("sound");
    }
    kernel
}

fn report(id: ClientId, state: ReportState) -> Event {
    let price = Answer { state, answers: 0, reason: Reason::None }.pack();
    Event { kind: Kind::Report as u8, price, size: -1, aux: [id.0 as i64, 0], time_local_ns: 2, ..Event::zeroed() }
}

fn main() {
    let (opening, changes) = market(1_000_000);
    let market_event = least(changes.len(), || {
        let mut kernel = opened(0, &opening);
        for event in &changes {
            kernel.ingest(event, &[]).expect("sound");
        }
        kernel.events()
    });
    let journaled = least(changes.len(), || {
        let mut encoder = Encoder::after(0);
        let mut bytes = 0;
        for event in &changes {
            if encoder.add(event, &[]) {
                let written = encoder.finish(|block| -> Result<(), ()> {
                    bytes += block.len() as u64;
                    Ok(())
                });
                written.expect("nothing fails");
            }
        }
        bytes
    });
    let orders = 200_000;
    let request = NewOrder {
        instrument: 0,
        side: BUY,
        price: 599_999,
        size: 1,
        order_type: OrderType::LimitMaker,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
    };
    let mut out: Vec<Command> = Vec::with_capacity(64);
    let mut place_alone = f64::INFINITY;
    let life = least(orders, || {
        let mut kernel = opened(0, &opening);
        let mut placing = 0;
        for at in 0..orders {
            // The gate lets a million messages a second pass: time goes on.
            let now = record(Kind::Trade, BUY, 600_000, 1, LAST, 2 + at as i64 * 10_000);
            kernel.ingest(&now, &[]).expect("sound");
            let began = Instant::now();
            let id = kernel.place(0, request).expect("passes");
            kernel.take_commands(&mut out);
            placing += began.elapsed().as_nanos();
            out.clear();
            kernel.ingest(&report(id, ReportState::Accepted), &[]).expect("sound");
            kernel.cancel(id);
            kernel.take_commands(&mut out);
            out.clear();
            kernel.ingest(&report(id, ReportState::Canceled), &[]).expect("sound");
        }
        place_alone = place_alone.min(placing as f64 / orders as f64);
        kernel.events()
    });
    let targets = least(orders, || {
        let mut kernel = opened(0, &opening);
        for at in 0..orders as i64 {
            let now = record(Kind::Trade, BUY, 600_000, 1, LAST, 2 + at * 10_000);
            kernel.ingest(&now, &[]).expect("sound");
            let bid = [Target { price: 599_990 - at % 2, size: 1 }];
            kernel.set_targets(0, 0, &bid, &[Target { price: 600_010, size: 1 }]);
            kernel.take_commands(&mut out);
            for command in out.drain(..) {
                let answers = command.kind;
                let price = Answer { state: ReportState::Accepted, answers, reason: Reason::None }.pack();
                let told = Event { price, ..report(ClientId(command.client_id), ReportState::Accepted) };
                kernel.ingest(&told, &[]).expect("sound");
            }
        }
        kernel.events()
    });
    let woken = least(changes.len(), || {
        let mut kernel = opened(wakes::BOOK, &opening);
        let mut count = 0;
        for event in &changes {
            kernel.ingest(event, &[]).expect("sound");
            count += u64::from(kernel.wakes().has(0));
        }
        count
    });
    println!(
        "{{\"market_event\": {market_event:.1}, \"market_event_with_subscriber\": {woken:.1}, \"journal\": {journaled:.1}, \
         \"place\": {place_alone:.1}, \"place_accept_cancel_end\": {life:.1}, \"targets_amend_ack\": {targets:.1}}}"
    );
}
