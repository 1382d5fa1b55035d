use super::*;
use crate::book::{Book, Staleness};
use crate::event::{Event, Kind, BUY, LAST, SELL, SNAPSHOT};
use capstan_core::grid::Grid;
use capstan_core::orders::Side;

fn decoder() -> Decoder {
    let source = |symbol: &str, instrument, tick, lot| Source {
        symbol: symbol.into(),
        instrument,
        tick: Grid::new(tick).unwrap(),
        lot: Grid::new(lot).unwrap(),
    };
    Decoder::new(vec![source("AB", 7, "0.1", "0.001"), source("CD", 8, "0.01", "1")])
}

fn decode(decoder: &mut Decoder, message: &str, asked: Option<u32>) -> (Outcome, Vec<Event>) {
    let mut out = Vec::new();
    let outcome = decoder.decode(message.as_bytes(), 5_000_000_000, asked, &mut out).unwrap();
    (outcome, out)
}

fn spot(first: u64, last: u64, bids: &str) -> String {
    format!(r#"{{"e":"depthUpdate","E":1700000000000,"s":"AB","U":{first},"u":{last},"b":{bids},"a":[]}}"#)
}

fn futures(first: u64, last: u64, previous: u64) -> String {
    format!(
        r#"{{"stream":"ab@depth@0ms","data":{{"e":"depthUpdate","E":1700000000001,"T":1700000000000,"s":"AB","U":{first},"u":{last},"pu":{previous},"b":[["99.5","0.0019"]],"a":[]}}}}"#
    )
}

fn snapshot(id: u64) -> String {
    format!(r#"{{"lastUpdateId":{id},"bids":[["99.0","1"],["98.9","2"]],"asks":[["100.0","1.5"]]}}"#)
}

#[test]
fn a_snapshot_is_a_clear_and_its_levels_and_the_diffs_that_waited() {
    let mut decoder = decoder();
    assert_eq!(decode(&mut decoder, &spot(5, 9, r#"[["97.0","9"]]"#), None), (Outcome::Kept, vec![]));
    assert_eq!(decode(&mut decoder, &spot(10, 12, r#"[["99.0","0.000"]]"#), None).0, Outcome::Kept);
    let (outcome, events) = decode(&mut decoder, &snapshot(10), Some(7));
    assert_eq!(outcome, Outcome::Events);
    let seen: Vec<_> = events.iter().map(|e| (e.kind().unwrap(), e.side, e.price, e.size, e.sequence)).collect();
    assert_eq!(
        seen,
        [
            (Kind::Clear, 255, 0, 0, 10),
            (Kind::Level, BUY, 990, 1000, 10),
            (Kind::Level, BUY, 989, 2000, 10),
            (Kind::Level, SELL, 1000, 1500, 10),
            (Kind::Level, BUY, 990, 0, 12),
        ]
    );
    assert!(events.iter().all(|e| e.instrument == 7 && e.time_local_ns == 5_000_000_000));
    assert_eq!(events.iter().map(|e| e.flags & LAST != 0).collect::<Vec<_>>(), [false, false, false, false, true]);
    assert!(events[..4].iter().all(|e| e.flags & SNAPSHOT != 0));
    let mut book = Book::new();
    events.iter().for_each(|e| book.apply(e));
    assert_eq!((book.best(Side::Buy), book.best(Side::Sell)), (Some((989, 2000)), Some((1000, 1500))));
}

#[test]
fn spot_diffs_follow_by_first_id_and_overlap_is_harmless() {
    let mut decoder = decoder();
    decode(&mut decoder, &snapshot(10), Some(7));
    assert_eq!(decode(&mut decoder, &spot(9, 10, "[]"), None).0, Outcome::Old);
    assert_eq!(decode(&mut decoder, &spot(9, 11, "[]"), None).0, Outcome::Events);
    assert_eq!(decode(&mut decoder, &spot(12, 13, "[]"), None).0, Outcome::Events);
    assert_eq!(decode(&mut decoder, &spot(15, 16, "[]"), None).0, Outcome::Gap);
}

#[test]
fn futures_diffs_follow_by_the_previous_id_they_name() {
    let mut decoder = decoder();
    decode(&mut decoder, &snapshot(100), Some(7));
    assert_eq!(decode(&mut decoder, &futures(80, 95, 70), None).0, Outcome::Old);
    assert_eq!(decode(&mut decoder, &futures(97, 110, 95), None).0, Outcome::Events);
    let (outcome, events) = decode(&mut decoder, &futures(150, 160, 110), None);
    assert_eq!(outcome, Outcome::Events, "ids have holes, only pu counts");
    assert_eq!((events[0].time_exchange_ns, events[0].size), (1_700_000_000_000_000_000, 1));
    assert_eq!(events[0].aux, [150, 110]);
    assert_eq!(decode(&mut decoder, &futures(150, 160, 110), None).0, Outcome::Old);
    assert_eq!(decode(&mut decoder, &futures(161, 170, 159), None).0, Outcome::Gap);
}

#[test]
fn a_gap_is_said_at_once_and_a_snapshot_that_is_new_enough_repairs_it() {
    let mut decoder = decoder();
    let mut book = Book::new();
    let mut feed = |message: &str, asked| {
        let (outcome, events) = decode(&mut decoder, message, asked);
        events.iter().for_each(|e| book.apply(e));
        (outcome, book.staleness(), book.best(Side::Buy))
    };
    assert_eq!(feed(&snapshot(100), Some(7)), (Outcome::Events, None, Some((990, 1000))));
    assert_eq!(feed(&futures(97, 110, 95), None), (Outcome::Events, None, Some((995, 1))));
    assert_eq!(feed(&futures(131, 140, 130), None), (Outcome::Gap, Some(Staleness::Gap), None));
    assert_eq!(feed(&futures(141, 150, 140), None), (Outcome::Kept, Some(Staleness::Gap), None));
    assert_eq!(feed(&snapshot(120), Some(7)), (Outcome::TooOld, Some(Staleness::Gap), None));
    assert_eq!(feed(&snapshot(135), Some(7)), (Outcome::Events, None, Some((995, 1))));
    assert_eq!(feed(&snapshot(135), Some(7)).0, Outcome::Old, "the book is further than that");
    assert_eq!(feed(&futures(151, 160, 150), None), (Outcome::Events, None, Some((995, 1))));
}

#[test]
fn a_lost_connection_makes_every_followed_book_stale() {
    let mut decoder = decoder();
    decode(&mut decoder, &snapshot(100), Some(7));
    let mut out = Vec::new();
    decoder.disconnected(9, &mut out);
    let seen: Vec<_> = out.iter().map(|e| (e.kind().unwrap(), e.instrument, e.aux[0], e.is_last())).collect();
    assert_eq!(seen, [(Kind::Stale, 7, Staleness::Disconnected as i64, true)]);
    assert!(!decoder.is_following(7));
}

#[test]
fn trades_say_the_takers_side() {
    let mut decoder = decoder();
    let text =
        r#"{"e":"trade","E":2000000000000,"s":"CD","t":42,"p":"5.01","q":"3","T":1999999999999,"m":true,"M":true}"#;
    let (_, events) = decode(&mut decoder, text, None);
    let trade = events[0];
    assert_eq!((trade.kind(), trade.side, trade.price, trade.size), (Some(Kind::Trade), SELL, 501, 3));
    assert_eq!((trade.sequence, trade.instrument, trade.time_exchange_ns), (42, 8, 1_999_999_999_999_000_000));
    assert!(trade.is_last());
    let aggregate = r#"{"e":"aggTrade","E":2,"s":"CD","a":43,"p":"5.01","q":"3","f":1,"l":2,"T":1,"m":false}"#;
    let (_, events) = decode(&mut decoder, aggregate, None);
    assert_eq!((events[0].side, events[0].sequence), (BUY, 43));
    let none = r#"{"e":"trade","E":2,"s":"CD","t":44,"p":"0","q":"0","X":"NA","T":1,"m":false}"#;
    assert_eq!(decode(&mut decoder, none, None), (Outcome::Ignored, vec![]));
}

#[test]
fn the_venues_best_comes_in_pairs_and_spots_gets_a_time() {
    let mut decoder = decoder();
    // Our clock is 3 s behind the sending of this one.
    decode(&mut decoder, r#"{"e":"trade","E":2000,"s":"CD","t":4,"p":"5","q":"3","T":2000,"m":true}"#, None);
    let text = r#"{"u":400,"s":"CD","b":"5.00","B":"31","a":"5.01","A":"40"}"#;
    let (outcome, events) = decode(&mut decoder, text, None);
    assert_eq!(outcome, Outcome::Events);
    let seen: Vec<_> = events.iter().map(|e| (e.kind, e.side, e.price, e.size, e.sequence, e.is_last())).collect();
    assert_eq!(seen, [(4, BUY, 500, 31, 400, false), (4, SELL, 501, 40, 400, true)]);
    assert_eq!(events[0].time_exchange_ns, 2_000_000_000);
}

#[test]
fn funding_is_due_when_the_next_one_is_announced() {
    let mut decoder = decoder();
    let mark = |time: u64, next: u64, rate: &str| {
        format!(
            r#"{{"e":"markPriceUpdate","E":{time},"s":"AB","p":"99.58000000","i":"99.61","P":"1","r":"{rate}","T":{next}}}"#
        )
    };
    let (_, events) = decode(&mut decoder, &mark(900, 1000, "-0.00010000"), None);
    let seen: Vec<_> = events.iter().map(|e| (e.kind().unwrap(), e.price, e.is_last())).collect();
    assert_eq!(seen, [(Kind::Mark, 995, false), (Kind::Index, 996, true)]);
    assert_eq!(events[0].time_exchange_ns, 900_000_000);
    let (_, events) = decode(&mut decoder, &mark(1003, 2000, "0.0003"), None);
    assert_eq!(events[0].kind(), Some(Kind::Funding));
    assert_eq!((events[0].aux[0], events[0].time_exchange_ns), (-100_000_000, 1_000_000_000));
    assert_eq!(decode(&mut decoder, &mark(1004, 2000, "0.0003"), None).1.len(), 2, "once");
}

#[test]
fn a_bad_message_appends_nothing_and_is_forgotten() {
    let mut decoder = decoder();
    decode(&mut decoder, &snapshot(10), Some(7));
    let bad = [
        spot(11, 12, r#"[["99.05","1"]]"#),
        spot(11, 12, r#"[["99.1","0.0.5"]]"#),
        spot(11, 12, r#"[["99.1"]]"#),
        spot(12, 11, "[]"),
        spot(11, 12, r#"[["99.1","1"]]"#).replace("AB", "XY"),
        spot(11, 12, r#"[["99.1","1"]]"#).replace("\"a\":[]", "\"a\":[],\"a\":[]"),
        spot(11, 12, r#"[["99.1","1"]]"#).replace(",\"a\":[]", ""),
        spot(11, 12, r#"[["99.1","1"]]"#).replace("\"U\":11,", ""),
        spot(11, 12, r#"[["99.1","1"]]"#) + "x",
        format!(r#"{{"stream":"ab@depth","data":{},"u":3}}"#, spot(11, 12, "[]")),
        r#"{"e":"trade","s":"AB","p":"1","q":"1","T":1}"#.into(),
        r#"{"bids":[],"asks":[]}"#.into(),
        String::new(),
    ];
    for message in bad {
        let mut out = vec![];
        assert!(decoder.decode(message.as_bytes(), 1, None, &mut out).is_err(), "{message}");
        assert!(out.is_empty());
    }
    assert!(decoder.decode(b"{\"e\":\"\xff\"}", 1, None, &mut vec![]).is_err());
    assert_eq!(decode(&mut decoder, &spot(11, 12, "[]"), None).0, Outcome::Events);
    assert_eq!(decode(&mut decoder, r#"{"result":null,"id":1}"#, None).0, Outcome::Ignored);
}

#[test]
fn keys_in_another_order_and_white_space_say_the_same() {
    let mut one = decoder();
    let mut two = decoder();
    for decoder in [&mut one, &mut two] {
        decode(decoder, &snapshot(10), Some(7));
    }
    let usual = spot(11, 12, r#"[["99.1","1"],["99.0","0"]]"#);
    let odd = r#" { "a" : [ ] , "b":[ [ "99.1" , "1" ],["99.0","0"]], "u":12,"U":11 ,"s":"AB","E":1700000000000,"e":"depthUpdate"} "#;
    assert_eq!(decode(&mut one, &usual, None), decode(&mut two, odd, None));
}

#[test]
fn a_message_without_a_symbol_is_known_by_its_stream() {
    let mut decoder = decoder();
    let text = format!(r#"{{"stream":"ab@depth20","data":{}}}"#, snapshot(10));
    let (outcome, events) = decode(&mut decoder, &text, None);
    assert_eq!((outcome, events[0].instrument), (Outcome::Events, 7));
}
