//! The live path on messages as Binance sends them: what comes out, and that a replay of its journal decides the same.

use std::sync::{Arc, Mutex};

use capstan_core::grid::Grid;
use capstan_core::orders::Side;
use capstan_engine::command::Kind as Ask;
use capstan_engine::config::{Asset, Economic, StrategySettings, Subscription, Venue};
use capstan_engine::event::{Event, Kind, Reason};
use capstan_engine::feed::{Decoder, Outcome, Source};
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::order_state::State;
use capstan_engine::{wakes, ClientId, Command, Config, Engine, Kernel, Strategy, Target};
use capstan_hot::binance::{self, Binance, Door};
use capstan_hot::live::{LiveError, LivePath};
use capstan_hot::{FreezeSwitch, Guard, Key, Listing, Refusal};

const TICK: Decimal = Decimal { digits: 1, scale: 2 };
const LOT: Decimal = Decimal { digits: 1, scale: 5 };
const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_790_000_000 * SECOND;

/// Quotes one tick behind the touch.
struct Quoter;

impl Strategy for Quoter {
    fn id(&self) -> u8 {
        0
    }

    fn on_event(&mut self, kernel: &mut Kernel, _event: &Event) {
        let book = kernel.book(0);
        let (Some((bid, _)), Some((ask, _))) = (book.best(Side::Buy), book.best(Side::Sell)) else { return };
        let (bids, asks) = ([Target { price: bid - 1, size: 100 }], [Target { price: ask + 1, size: 100 }]);
        kernel.set_targets(0, 0, &bids, &asks);
    }

    fn state(&self) -> Vec<u8> {
        Vec::new()
    }
}

fn engine() -> Engine {
    let asset = |id: &str, economic| Asset { id: id.into(), decimals: 8, economic: Some(economic) };
    let economic = |symbol: &str, mark| Economic { symbol: symbol.into(), mark };
    let config = Config {
        assets: vec![asset("v/BTC", 0), asset("v/USDT", 1)],
        economics: vec![economic("BTC", Some(0)), economic("USDT", None)],
        venues: vec![Venue { name: "v".into(), fee_asset: None, can_amend: false }],
        instruments: vec![Instrument {
            symbol: "BTCUSDT".into(),
            venue: 0,
            base: 0,
            quote: 1,
            tick: TICK,
            lot: LOT,
            contract: Contract::Spot,
            notional_min: 0,
            maker_fee: 0,
            taker_fee: 0,
            base_decimals: 8,
            quote_decimals: 8,
        }],
        strategies: vec![StrategySettings {
            name: "quoter".into(),
            subscriptions: vec![Subscription { instrument: Some(0), why: wakes::BOOK }],
            capital: 1 << 60,
        }],
        ..Config::empty(7)
    };
    let mut engine = Engine::new(config).unwrap();
    engine.add(Box::new(Quoter));
    engine
}

fn path(switch: &FreezeSwitch) -> LivePath {
    let grid = |step| Grid::new(step).unwrap();
    let source = Source { symbol: "BTCUSDT".into(), instrument: 0, tick: grid("0.01"), lot: grid("0.00001") };
    let config = binance::Config {
        venue: "v".into(),
        door: Door::WebSocket,
        api_key: "key".into(),
        recv_window_ms: 5_000,
        instruments: vec![Listing { index: 0, symbol: "BTCUSDT".into(), tick: TICK, lot: LOT }],
    };
    let key = Key::hmac(b"a shared secret").unwrap();
    let signer = Binance::new(config, key, Guard::freeze_only(switch.clone())).unwrap();
    let mut path = LivePath::new(engine(), Decoder::new(vec![source]));
    assert!(path.set_encoder(0, Arc::new(Mutex::new(signer))));
    assert!(!path.set_encoder(1, Arc::new(Mutex::new(Nobody))));
    path
}

struct Nobody;

impl capstan_hot::Encoder for Nobody {
    fn encode(&mut self, _: &Command, _: i64, _: &mut capstan_hot::Frames) -> Result<(), Refusal> {
        Err(Refusal::Closed)
    }

    fn set_offset(&mut self, _: i64) {}

    fn close(&mut self) {}
}

const SNAPSHOT: &[u8] = br#"{"lastUpdateId":10,"bids":[["100.00","1.0"],["99.99","2.0"]],"asks":[["100.02","1.0"]]}"#;

fn diff(update: u64, bids: &str, asks: &str) -> Vec<u8> {
    format!(
        r#"{{"stream":"btcusdt@depth","data":{{"e":"depthUpdate","E":1790000000000,"s":"BTCUSDT","U":{update},"u":{update},"b":[{bids}],"a":[{asks}]}}}}"#
    )
    .into_bytes()
}

fn methods(path: &LivePath) -> Vec<String> {
    let method = |frame: &[u8]| {
        let text = String::from_utf8(frame.to_vec()).unwrap();
        let from = text.find(r#""method":""#).unwrap() + 10;
        text[from..].split('"').next().unwrap().to_owned()
    };
    path.frames().map(|(venue, frame)| (assert_eq!(venue, 0), method(frame)).1).collect()
}

fn start(switch: &FreezeSwitch) -> LivePath {
    let mut path = path(switch);
    assert_eq!(path.on_message(&diff(9, "", ""), NOW, None).unwrap(), Outcome::Kept);
    assert_eq!(path.on_message(SNAPSHOT, NOW + 1, Some(0)).unwrap(), Outcome::Events);
    path
}

#[test]
fn a_tick_becomes_signed_orders() {
    let mut path = start(&FreezeSwitch::default());
    assert_eq!(methods(&path), ["order.place", "order.place"], "{:?}", path.commands());
    assert_eq!(path.commands().iter().filter(|c| c.kind == Ask::Place as u8).count(), 2);
    let texts: Vec<_> = path.frames().map(|(_, frame)| String::from_utf8(frame.to_vec()).unwrap()).collect();
    assert!(texts[0].contains(r#""price":"99.99","quantity":"0.00100""#), "{}", texts[0]);
    assert!(texts[1].contains(r#""price":"100.03","quantity":"0.00100""#), "{}", texts[1]);
    // The touch moves and both orders are in flight: nothing is sent twice.
    path.on_message(&diff(11, "", r#"["100.05","1"]"#), NOW + 2, None).unwrap();
    assert!(methods(&path).is_empty());
    assert!(path.refused().is_empty());
}

#[test]
fn what_is_not_signed_is_told_to_the_kernel_with_the_next_input() {
    let switch = FreezeSwitch::default();
    switch.freeze();
    let mut path = start(&switch);
    assert_eq!(path.frames().len(), 0);
    assert!(path.refused().iter().all(|refused| refused.why == Refusal::Frozen));
    assert_eq!(path.refused().len(), 2);
    assert_eq!(path.engine.kernel.orders().open_count(), 2);
    let (before, first) = (path.journal().len(), path.refused()[0].command);
    path.on_message(br#"{"result":null,"id":1}"#, NOW + 2, None).unwrap();
    assert_eq!(path.journal().len(), before + 2 * 64, "two rejections, journaled like what venues say");
    let told = path.engine.kernel.orders().get(ClientId(first.client_id)).unwrap();
    assert_eq!((told.state, told.reason), (State::Rejected, Reason::Disconnected));
    // The kernel, which was told why, wants its quotes still: it tries again once per input, and not without end.
    assert_eq!(path.refused().len(), 2);
    assert!(path.refused().iter().all(|refused| refused.command.client_id > first.client_id));
}

#[test]
fn a_message_that_is_none_changes_nothing() {
    let mut path = start(&FreezeSwitch::default());
    let (journal, digest) = (path.journal().to_vec(), path.engine.kernel.digest());
    assert!(matches!(path.on_message(br#"{"e":"depthUpdate","#, NOW + 2, None), Err(LiveError::Feed(_))));
    let event =
        Event { kind: Kind::Timer as u8, flags: capstan_engine::event::PAYLOAD, ..bytemuck::Zeroable::zeroed() };
    assert!(matches!(path.on_event(&event, b"x"), Err(LiveError::Payload)));
    assert_eq!((path.journal(), path.engine.kernel.digest()), (&journal[..], digest));
    assert_eq!(path.frames().len(), 0, "and what was to be sent before is not sent again");
}

#[test]
fn a_replay_of_the_journal_decides_the_same() {
    let mut path = start(&FreezeSwitch::default());
    let mut sent: Vec<Command> = path.commands().to_vec();
    for round in 0..200u64 {
        let ask = format!(r#"["100.{:02}","{}"],["100.02","0"]"#, 3 + round % 40, 1 + round % 3);
        path.on_message(&diff(11 + round, "", &ask), NOW + 2 + round as i64 * SECOND, None).unwrap();
        sent.extend(path.commands());
        let time = NOW + 3 + round as i64 * SECOND;
        let timer = Event { kind: Kind::Timer as u8, time_local_ns: time, ..bytemuck::Zeroable::zeroed() };
        path.on_event(&timer, &[]).unwrap();
        sent.extend(path.commands());
        if round == 100 {
            path.on_disconnected(time + 1).unwrap();
            sent.extend(path.commands());
        }
    }
    let (mut again, mut replayed) = (engine(), Vec::new());
    for record in path.journal().chunks_exact(64) {
        again.step(&bytemuck::pod_read_unaligned(record), &[], &mut replayed).unwrap();
    }
    assert!(sent.len() > 10);
    assert_eq!(replayed, sent);
    assert_eq!(again.kernel.digest(), path.engine.kernel.digest());
    path.clear_journal();
    assert!(path.journal().is_empty());
}
