//! Encoding and signing an order asks for no memory once the buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use capstan_engine::command::{Command, Kind};
use capstan_engine::instrument::Decimal;
use capstan_hot::binance::{Binance, Config, Door};
use capstan_hot::{Encoder, Frames, FreezeSwitch, Guard, Key, Listing};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn command(kind: Kind) -> Command {
    Command {
        kind: kind as u8,
        client_id: 7,
        price: 5_000_000,
        size: 1_500,
        aux: [9, 0],
        ..bytemuck::Zeroable::zeroed()
    }
}

fn signer(door: Door, key: Key) -> Binance {
    let (tick, lot) = (Decimal { digits: 1, scale: 2 }, Decimal { digits: 1, scale: 5 });
    let instruments = vec![Listing { index: 0, symbol: "BTCUSDT".into(), tick, lot }];
    let config = Config { venue: "v".into(), door, api_key: "k".repeat(64), recv_window_ms: 5_000, instruments };
    Binance::new(config, key, Guard::freeze_only(FreezeSwitch::default())).unwrap()
}

#[test]
fn an_order_asks_for_no_memory() {
    let key = || Key::hmac(b"a shared secret").unwrap();
    let doors = [
        (Door::Rest { host: "h".into() }, key()),
        (Door::WebSocket, key()),
        (Door::WebSocket, Key::ed25519(&[7; 32])),
        (Door::Session, Key::ed25519(&[7; 32])),
    ];
    for (door, key) in doors {
        let (mut signer, mut frames) = (signer(door, key), Frames::new());
        for round in 0..3 {
            for kind in [Kind::Place, Kind::Amend, Kind::Cancel, Kind::CancelAll] {
                frames.clear();
                let before = COUNT.with(Cell::get);
                signer.encode(&command(kind), 1_790_000_000_000_000_000, &mut frames).unwrap();
                let asked = COUNT.with(Cell::get) - before;
                assert!(round == 0 || asked == 0, "{asked} allocations for {kind:?}");
                assert_eq!(frames.len(), 1);
            }
        }
    }
}
