//! One run to play with: BTC/USD spot at a venue that amends and one that does not, a linear and an inverse contract.
#![allow(dead_code)] // Each test file uses its part.

use bytemuck::Zeroable;
use capstan_engine::command::{ClientId, Command, Kind as Do, OrderType, TimeInForce};
use capstan_engine::config::{Asset, Config, Economic, StrategySettings, Subscription, Venue};
use capstan_engine::event::{self, Answer, Event, Kind, Reason, ReportState};
use capstan_engine::instrument::{Contract, Decimal, Instrument};
use capstan_engine::orders::NewOrder;
use capstan_engine::{wakes, Kernel};

pub const SECOND: i64 = 1_000_000_000;
/// Spot, at a venue that can amend.
pub const SPOT: u32 = 0;
/// Spot, at a venue that cannot.
pub const PLAIN: u32 = 1;
pub const LINEAR: u32 = 2;
pub const INVERSE: u32 = 3;
pub const BTC: u16 = 0;
pub const USD: u16 = 1;

fn decimal(digits: i64, scale: u8) -> Decimal {
    Decimal { digits, scale }
}

pub fn config() -> Config {
    let instrument = |symbol: &str, venue, contract, lot| Instrument {
        symbol: symbol.into(),
        venue,
        base: BTC,
        quote: USD,
        tick: decimal(1, 1),
        lot,
        contract,
        notional_min: 0,
        maker_fee: 0,
        taker_fee: 0,
        base_decimals: 8,
        quote_decimals: 8,
    };
    let strategy = |name: &str| StrategySettings {
        name: name.into(),
        capital: 10i128.pow(30),
        subscriptions: vec![Subscription { instrument: None, why: wakes::BOOK | wakes::TRADE | wakes::TIMER }],
    };
    let venue = |name: &str, can_amend| Venue { name: name.into(), fee_asset: None, can_amend };
    Config {
        assets: vec![
            Asset { id: "a/BTC".into(), decimals: 8, economic: Some(0) },
            Asset { id: "a/USD".into(), decimals: 8, economic: Some(1) },
        ],
        economics: vec![
            Economic { symbol: "BTC".into(), mark: Some(SPOT) },
            Economic { symbol: "USD".into(), mark: None },
        ],
        venues: vec![venue("a", true), venue("b", false)],
        instruments: vec![
            instrument("SPOT", 0, Contract::Spot, decimal(1, 5)),
            instrument("PLAIN", 1, Contract::Spot, decimal(1, 5)),
            instrument("LINEAR", 0, Contract::Linear, decimal(1, 3)),
            instrument("INVERSE", 0, Contract::Inverse { face: decimal(100, 0) }, decimal(1, 0)),
        ],
        strategies: vec![strategy("first"), strategy("second")],
        ..Config::empty(7)
    }
}

/// A kernel and what it commanded.
pub struct Desk {
    pub kernel: Kernel,
    pub now_ns: i64,
    pub trade: u64,
}

impl Desk {
    /// A run with a book of 50,000.0 / 50,000.1 on every instrument.
    pub fn new() -> Self {
        Self::of(config())
    }

    pub fn of(config: Config) -> Self {
        let instruments = config.instruments.len() as u32;
        let kernel = Kernel::new(config).expect("a sound configuration");
        let mut desk = Self { kernel, now_ns: SECOND, trade: 0 };
        for instrument in 0..instruments {
            desk.book(instrument, 500_000, 500_001);
        }
        desk
    }

    pub fn tell(&mut self, event: Event) -> Vec<Command> {
        self.tell_with(event, &[])
    }

    pub fn tell_with(&mut self, event: Event, payload: &[u8]) -> Vec<Command> {
        let event = Event { time_local_ns: self.now_ns, time_exchange_ns: self.now_ns, ..event };
        self.kernel.ingest(&event, payload).expect("nothing contradicts what is known");
        self.commands()
    }

    pub fn commands(&mut self) -> Vec<Command> {
        let mut out = Vec::new();
        self.kernel.take_commands(&mut out);
        out
    }

    pub fn book(&mut self, instrument: u32, bid: i64, ask: i64) -> Vec<Command> {
        let level = |side, price, flags| Event {
            kind: Kind::Level as u8,
            instrument,
            side,
            price,
            size: 1_000_000,
            flags,
            ..Event::zeroed()
        };
        let clear = Event { kind: Kind::Clear as u8, instrument, side: event::SIDE_NONE, ..Event::zeroed() };
        let mut out = self.tell(clear);
        out.extend(self.tell(level(event::BUY, bid, 0)));
        out.extend(self.tell(level(event::SELL, ask, event::LAST)));
        out
    }

    pub fn timer(&mut self, now_ns: i64) -> Vec<Command> {
        self.now_ns = now_ns;
        self.tell(Event { kind: Kind::Timer as u8, ..Event::zeroed() })
    }

    pub fn place(&mut self, side: u8, price: i64, size: i64) -> ClientId {
        let id = self.kernel.place(0, quote(SPOT, side, price, size)).expect("the gate lets it pass");
        assert_eq!(kinds(&self.commands()), [Do::Place as u8]);
        id
    }

    pub fn report(&mut self, id: ClientId, state: ReportState) -> Vec<Command> {
        self.tell(report(id, state, -1))
    }

    pub fn accepted(&mut self, side: u8, price: i64, size: i64) -> ClientId {
        let id = self.place(side, price, size);
        self.report(id, ReportState::Accepted);
        id
    }

    /// Tells a trade of a known order at its price.
    pub fn fill(&mut self, id: ClientId, size: i64) -> Event {
        self.trade += 1;
        let order = self.kernel.orders().get(id).expect("an order that is known");
        let event = Event { price: order.price, ..fill(id, order.side, size, self.trade) };
        self.tell(event);
        event
    }

    /// Asserts what must hold whatever happened.
    pub fn check(&self) {
        for instrument in 0..self.kernel.config().instruments.len() as u32 {
            for strategy in 0..self.kernel.config().strategies.len() as u8 {
                let mut expected = capstan_engine::reservations::Reserved::default();
                for order in self.kernel.orders().open_of(instrument).filter(|o| o.strategy == strategy) {
                    let own = capstan_engine::reservations::reserved_by(order);
                    expected.buying += own.buying;
                    expected.selling += own.selling;
                    expected.cost += own.cost;
                    expected.orders += own.orders;
                }
                assert_eq!(self.kernel.reservations().of(strategy, instrument), expected);
            }
        }
        assert_eq!(self.kernel.orders().open_count(), self.kernel.orders().all().filter(|o| o.state.is_open()).count());
    }
}

pub fn quote(instrument: u32, side: u8, price: i64, size: i64) -> NewOrder {
    NewOrder {
        instrument,
        side,
        price,
        size,
        order_type: OrderType::LimitMaker,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
    }
}

pub fn answer(id: ClientId, state: ReportState, answers: u8, reason: Reason, filled: i64) -> Event {
    Event {
        kind: Kind::Report as u8,
        price: Answer { state, answers, reason }.pack(),
        size: filled,
        aux: [id.0 as i64, 0],
        ..Event::zeroed()
    }
}

pub fn report(id: ClientId, state: ReportState, filled: i64) -> Event {
    answer(id, state, 0, Reason::None, filled)
}

pub fn fill(id: ClientId, side: u8, size: i64, trade: u64) -> Event {
    Event {
        kind: Kind::Fill as u8,
        instrument: SPOT,
        side,
        price: 500_000,
        size,
        sequence: trade,
        aux: [id.0 as i64, 0],
        ..Event::zeroed()
    }
}

pub fn kinds(commands: &[Command]) -> Vec<u8> {
    commands.iter().map(|c| c.kind).collect()
}
