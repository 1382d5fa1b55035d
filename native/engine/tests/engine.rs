//! An engine with native strategies: told in order, woken by subscription, restored with what they remember.

mod support;

use bytemuck::Zeroable;
use capstan_engine::event::{Event, Kind, LAST};
use capstan_engine::{Engine, Kernel, Strategy, Target};
use support::*;

/// Quotes one tick lower with every trade it hears of.
struct Counter {
    id: u8,
    heard: i64,
}

impl Strategy for Counter {
    fn id(&self) -> u8 {
        self.id
    }

    fn on_event(&mut self, kernel: &mut Kernel, event: &Event) {
        if event.kind == Kind::Trade as u8 {
            self.heard += 1;
            let bid = Target { price: 499_000 - 100 * i64::from(self.id) - self.heard, size: 1 };
            kernel.set_targets(self.id, SPOT, &[bid], &[]);
        }
    }

    fn state(&self) -> Vec<u8> {
        self.heard.to_le_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        state.try_into().map(|bytes| self.heard = i64::from_le_bytes(bytes)).is_ok()
    }
}

fn engine() -> Engine {
    let mut engine = Engine::new(config()).unwrap();
    for id in 0..2 {
        engine.add(Box::new(Counter { id, heard: 0 }));
    }
    engine
}

fn events() -> Vec<Event> {
    let base = Event { instrument: SPOT, time_local_ns: SECOND, ..Event::zeroed() };
    let level = |side, price, flags| Event { kind: Kind::Level as u8, side, price, size: 9, flags, ..base };
    let mut events =
        vec![Event { kind: Kind::Clear as u8, side: 255, ..base }, level(0, 500_000, 0), level(1, 500_001, LAST)];
    for at in 0..20 {
        events.push(Event { kind: Kind::Trade as u8, price: 500_000, size: 1, sequence: at, flags: LAST, ..base });
    }
    events
}

#[test]
fn strategies_act_in_their_order_and_a_restored_engine_goes_on_as_the_whole() {
    let (events, mut whole, mut out) = (events(), engine(), Vec::new());
    for event in &events[..12] {
        whole.step(event, &[], &mut out).unwrap();
    }
    let places: Vec<_> = out.iter().take(2).map(|c| (c.strategy, c.price)).collect();
    assert_eq!(places, [(0, 498_999), (1, 498_899)]);
    let mut restored = engine();
    restored.restore(&whole.snapshot().unwrap()).unwrap();
    assert_eq!(restored.state_hash(), whole.state_hash());
    assert_ne!(engine().state_hash(), whole.state_hash());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for event in &events[12..] {
        whole.step(event, &[], &mut first).unwrap();
        restored.step(event, &[], &mut second).unwrap();
    }
    assert_eq!(first, second);
    assert_eq!(restored.state_hash(), whole.state_hash());
    assert_eq!(restored.kernel.digest(), whole.kernel.digest());
}

#[test]
fn a_strategy_that_cannot_take_its_state_back_is_an_error() {
    let whole = engine();
    let mut other = Engine::new(config()).unwrap();
    other.add(Box::new(Counter { id: 0, heard: 0 }));
    assert!(other.restore(&whole.snapshot().unwrap()).is_err());
    assert!(engine().restore(&whole.snapshot().unwrap()[..40]).is_err());
}
