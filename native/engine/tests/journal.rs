//! Journal and snapshot: what survives, what is cut, what is refused; snapshot and tail are the whole.

mod support;

use std::fs;
use std::path::PathBuf;

use bytemuck::Zeroable;
use capstan_engine::command::Command;
use capstan_engine::event::{Event, Kind, BUY, PAYLOAD, SELL};
use capstan_engine::journal::{Contents, Encoder, Header, Journal, JournalError, SLOT};
use capstan_engine::{store, ClientId, Kernel, Target};
use support::*;

const HEADER: Header = Header { run: 7, seed: 11, config: [5; 32] };

/// A folder of its own that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("capstan-journal-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn event(number: u64) -> (Event, Vec<u8>) {
    let payload = vec![number as u8; if number.is_multiple_of(3) { (number % 200) as usize } else { 0 }];
    let flags = if payload.is_empty() { 0 } else { PAYLOAD };
    let event =
        Event { kind: Kind::Trade as u8, flags, sequence: number, aux: [0, payload.len() as i64], ..Event::zeroed() };
    (event, payload)
}

/// A journal of so many events in blocks of so many.
fn journal(events: u64, per_block: u64) -> Vec<u8> {
    let mut bytes = HEADER.bytes().to_vec();
    let mut encoder = Encoder::after(0);
    for number in 0..events {
        let (event, payload) = event(number);
        let is_full = encoder.add(&event, &payload);
        if is_full || (number + 1) % per_block == 0 || number + 1 == events {
            encoder
                .finish(|block| -> Result<(), ()> {
                    bytes.extend_from_slice(block);
                    Ok(())
                })
                .unwrap();
        }
    }
    bytes
}

fn held(contents: &Contents<'_>, skip: u64) -> Vec<(u64, usize)> {
    let mut out = Vec::new();
    let took = contents.each(skip, |event, payload| -> Result<(), ()> {
        assert!(payload.iter().all(|b| *b == event.sequence as u8));
        out.push((event.sequence, payload.len()));
        Ok(())
    });
    took.unwrap();
    out
}

#[test]
fn what_was_written_is_read_back() {
    let bytes = journal(5_000, 700);
    let contents = Contents::read(&bytes).unwrap();
    assert_eq!((contents.header, contents.events, contents.good), (HEADER, 5_000, bytes.len()));
    let all = held(&contents, 0);
    assert_eq!(all.len(), 5_000);
    assert!(all
        .iter()
        .enumerate()
        .all(|(at, (number, length))| { *number == at as u64 && *length == event(at as u64).1.len() }));
    assert_eq!(held(&contents, 4_990), all[4_990..]);
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let bytes = journal(40, 10);
    let whole = Contents::read(&bytes).unwrap();
    let ends: Vec<usize> = (1..=4u64).map(|n| Contents::read(&journal(10 * n, 10)).unwrap().good).collect();
    assert_eq!(ends[3], whole.good);
    for length in SLOT..bytes.len() {
        let contents = Contents::read(&bytes[..length]).unwrap();
        let blocks = ends.iter().filter(|end| **end <= length).count() as u64;
        assert_eq!(contents.events, 10 * blocks, "cut at {length}");
        assert_eq!(held(&contents, 0).len() as u64, contents.events);
    }
}

#[test]
fn damage_before_a_whole_block_is_an_error_and_in_the_last_one_a_torn_tail() {
    let bytes = journal(40, 10);
    let last = Contents::read(&journal(30, 10)).unwrap().good;
    for at in (SLOT..bytes.len()).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        match Contents::read(&damaged) {
            Err(JournalError::Damaged(_)) => assert!(at < last, "byte {at}"),
            Ok(contents) => assert!(at >= last && contents.events == 30, "byte {at}"),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    let mut header = bytes;
    header[20] ^= 1;
    assert!(matches!(Contents::read(&header), Err(JournalError::NotOne)));
}

#[test]
fn a_file_is_continued_after_its_torn_tail_and_by_one_process_only() {
    let folder = Folder::new("continued");
    let path = folder.0.join("journal");
    let (mut first, recovered) = Journal::open(&path, &HEADER).unwrap();
    assert_eq!(recovered, HEADER.bytes());
    assert!(matches!(Journal::open(&path, &HEADER), Err(JournalError::Locked)));
    for number in 0..10 {
        let (event, payload) = event(number);
        first.append(&event, &payload).unwrap();
    }
    first.sync().unwrap();
    drop(first);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(&[1; 100]);
    fs::write(&path, &torn).unwrap();
    let (mut second, recovered) = Journal::open(&path, &HEADER).unwrap();
    assert_eq!((Contents::read(&recovered).unwrap().events, second.count()), (10, 10));
    let (tenth, payload) = event(10);
    second.append(&tenth, &payload).unwrap();
    second.flush().unwrap();
    drop(second);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(Contents::read(&bytes).unwrap().events, 11);
    let other = Header { seed: 12, ..HEADER };
    assert!(matches!(Journal::open(&path, &other), Err(JournalError::Other(HEADER))));
}

#[test]
fn a_header_that_was_not_finished_is_written_again() {
    let folder = Folder::new("header");
    let path = folder.0.join("journal");
    for length in 0..SLOT {
        fs::write(&path, &HEADER.bytes()[..length]).unwrap();
        let (journal, _) = Journal::open(&path, &HEADER).unwrap();
        assert_eq!(journal.count(), 0);
        drop(journal);
        assert_eq!(fs::read(&path).unwrap(), HEADER.bytes());
    }
    fs::write(&path, b"something else").unwrap();
    assert!(matches!(Journal::open(&path, &HEADER), Err(JournalError::NotOne)));
}

#[test]
fn a_snapshot_file_is_whole_and_of_this_run_or_none() {
    let folder = Folder::new("snapshot");
    let path = folder.0.join("snapshot");
    assert_eq!(store::read(&path, &HEADER), None);
    store::write(&path, &HEADER, 42, b"the state").unwrap();
    assert_eq!(store::read(&path, &HEADER), Some((42, b"the state".to_vec())));
    assert_eq!(store::read(&path, &Header { seed: 1, ..HEADER }), None);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(store::read(&path, &HEADER), None, "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(store::read(&path, &HEADER), None, "cut at {at}");
    }
}

/// A life of orders of every kind, told to a kernel event by event.
fn life() -> Vec<(Event, Vec<u8>)> {
    let mut desk = Desk::new();
    let mut told = Vec::new();
    let mut seed = 88_172_645_463_325_252u64;
    let mut draw = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut trade = 0;
    for step in 0..400u64 {
        desk.now_ns += 100_000_000;
        let instrument = draw(4) as u32;
        let mid = 500_000 + draw(40) as i64;
        let level = |side, price, flags| Event {
            kind: Kind::Level as u8,
            instrument,
            side,
            price,
            size: 5,
            flags,
            time_local_ns: desk.now_ns,
            ..Event::zeroed()
        };
        let clear =
            Event { kind: Kind::Clear as u8, instrument, side: 255, time_local_ns: desk.now_ns, ..Event::zeroed() };
        let mut batch = vec![clear, level(BUY, mid, 0), level(SELL, mid + 1, 1)];
        let open: Vec<_> = desk.kernel.orders().open().copied().collect();
        if !open.is_empty() {
            let order = open[draw(open.len() as u64) as usize];
            let (id, now) = (ClientId(order.id.0), desk.now_ns);
            let left = order.size.min(order.amend.map_or(order.size, |a| a.size)) - order.filled;
            batch.push(match draw(6) {
                0 | 1 if left > 0 => {
                    trade += 1;
                    let lots = 1 + draw(left as u64) as i64;
                    let told = fill(id, order.side, lots, trade);
                    Event {
                        instrument: order.instrument,
                        price: order.price,
                        aux: [told.aux[0], 3],
                        time_local_ns: now,
                        ..told
                    }
                }
                2 => Event {
                    time_local_ns: now,
                    ..report(id, capstan_engine::event::ReportState::Canceled, order.filled)
                },
                3 => Event { time_local_ns: now, ..report(id, capstan_engine::event::ReportState::Lost, -1) },
                _ => Event { time_local_ns: now, ..report(id, capstan_engine::event::ReportState::Accepted, -1) },
            });
        }
        if step % 5 == 0 {
            batch.push(Event { kind: Kind::Timer as u8, time_local_ns: desk.now_ns, ..Event::zeroed() });
        }
        for event in batch {
            desk.kernel.ingest(&event, &[]).unwrap();
            act(&mut desk.kernel, &event);
            told.push((event, Vec::new()));
        }
    }
    told
}

/// A strategy without a memory: it quotes around the mid by what it sees, and looks closer when asked by a timer.
fn act(kernel: &mut Kernel, event: &Event) -> Vec<Command> {
    if kernel.wakes().has(0) && event.kind == Kind::Level as u8 {
        let mid = kernel.portfolio().mark(event.instrument) / 2;
        let size = 1 + kernel.position(0, event.instrument).rem_euclid(4);
        let bids = [Target { price: mid - 3, size }, Target { price: mid - 6, size: 2 * size }];
        kernel.set_targets(0, event.instrument, &bids, &[Target { price: mid + 4, size }]);
        if mid % 7 == 0 {
            kernel.timer(0, kernel.now_ns() + 1_000, mid);
        }
    }
    let mut out = Vec::new();
    kernel.take_commands(&mut out);
    out
}

#[test]
fn a_snapshot_anywhere_and_the_tail_are_the_whole() {
    let life = life();
    let mut whole = Kernel::new(config()).unwrap();
    let mut decided = Vec::new();
    let mut snapshots = Vec::new();
    for (at, (event, payload)) in life.iter().enumerate() {
        whole.ingest(event, payload).unwrap();
        decided.push(act(&mut whole, event));
        if at % 97 == 0 {
            snapshots.push((at, whole.state_hash(), whole.snapshot()));
        }
    }
    let fills = whole.trades().len();
    assert!(fills > 100 && decided.iter().flatten().count() > 500, "a life with little in it shows little");
    let mut restored_from = 0;
    for (at, hash, snapshot) in snapshots {
        let Some(snapshot) = snapshot else { continue };
        restored_from += 1;
        let mut kernel = Kernel::new(config()).unwrap();
        kernel.restore(&snapshot).unwrap();
        assert_eq!(kernel.state_hash(), hash);
        for (offset, (event, payload)) in life[at + 1..].iter().enumerate() {
            kernel.ingest(event, payload).unwrap();
            assert_eq!(act(&mut kernel, event), decided[at + 1 + offset]);
        }
        assert_eq!(kernel.state_hash(), whole.state_hash());
        assert_eq!(kernel.digest(), whole.digest());
    }
    assert!(restored_from > 5);
}

#[test]
fn a_hundred_runs_have_one_digest_and_one_hash() {
    let life = life();
    let run = || {
        let mut kernel = Kernel::new(config()).unwrap();
        for (event, payload) in &life {
            kernel.ingest(event, payload).unwrap();
            act(&mut kernel, event);
        }
        (kernel.digest(), kernel.state_hash())
    };
    let first = run();
    assert!((1..100).all(|_| run() == first));
    assert_ne!(first.0, Kernel::new(config()).unwrap().digest());
}

#[test]
fn a_state_that_is_cut_or_of_another_configuration_is_refused() {
    let life = life();
    let mut kernel = Kernel::new(config()).unwrap();
    for (event, payload) in &life[..300] {
        kernel.ingest(event, payload).unwrap();
        act(&mut kernel, event);
    }
    let state = (300..).find_map(|at| {
        let (event, payload) = &life[at];
        kernel.ingest(event, payload).unwrap();
        kernel.snapshot()
    });
    let state = state.unwrap();
    for length in (0..state.len()).step_by(101) {
        assert!(Kernel::new(config()).unwrap().restore(&state[..length]).is_err());
    }
    let mut longer = state.clone();
    longer.push(0);
    assert!(Kernel::new(config()).unwrap().restore(&longer).is_err());
    let mut other = config();
    other.strategies.pop();
    assert!(Kernel::new(other).unwrap().restore(&state).is_err());
}
