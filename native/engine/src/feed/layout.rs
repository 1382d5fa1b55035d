//! The fast way: a venue writes every message of a stream in the same form, so the form is learnt from the first one.
//!
//! A layout is the text between the fields that vary, and those fields. A message that agrees with it byte for byte is
//! read without looking for keys, symbols or white space; one that does not is read the general way, which decides what
//! is right and may teach another layout. Both ways give the same records or the same refusal.

use super::decoder::{Message, Source};
use super::message::Values;
use crate::event::Event;
use capstan_core::digits::unsigned;
use capstan_core::grid::Finer;
use capstan_core::json::{Cursor, JsonError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    EventTime,
    TransactTime,
    FirstId,
    LastId,
    PreviousId,
    TradeId,
    /// A number that means nothing to us.
    Number,
    Price,
    Quantity,
    Bid,
    BidSize,
    Ask,
    AskSize,
    BuyerIsMaker,
    Bids,
    Asks,
}

/// Text that must stand where it stood, with its first eight bytes as a word to compare at once.
#[derive(Debug)]
struct Literal {
    text: Box<[u8]>,
    word: u64,
    mask: u64,
}

impl Literal {
    fn new(text: &[u8]) -> Self {
        let length = text.len().min(8);
        let mut word = [0; 8];
        word[..length].copy_from_slice(&text[..length]);
        let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        Self { text: text.into(), word: u64::from_le_bytes(word), mask }
    }

    /// Returns where the text ends if it stands at `at`.
    #[inline(always)]
    fn pass(&self, message: &[u8], at: usize) -> Option<usize> {
        let rest = message.get(at..)?;
        let stands = match rest.first_chunk::<8>() {
            Some(chunk) if (u64::from_le_bytes(*chunk) ^ self.word) & self.mask != 0 => false,
            Some(_) if self.text.len() <= 8 => true,
            _ => rest.starts_with(&self.text),
        };
        stands.then_some(at + self.text.len())
    }
}

/// The form of one kind of message of one instrument.
#[derive(Debug)]
pub struct Layout {
    pub feed: usize,
    pub kind: Message,
    parts: Vec<(Literal, Field)>,
    end: Literal,
    /// What the last message said; every read writes all that the form has.
    pub values: Values,
}

impl Layout {
    /// Learns the form of a message that was read; nothing when it is of a kind that comes rarely.
    pub fn learn(message: &[u8], feed: usize, kind: Message) -> Option<Self> {
        if !matches!(kind, Message::Diff | Message::Trade | Message::Best) {
            return None;
        }
        let mut spots = Vec::new();
        let mut aggregate = false;
        let mut cursor = Cursor::new(message);
        let mut spot = |c: &mut Cursor<'_>, key: &[u8]| -> Result<(), JsonError> {
            let first = c.peek();
            let start = c.at();
            c.skip()?;
            aggregate |= key == b"e" && &message[start..c.at()] == b"\"aggTrade\"";
            if let Some(field) = first.and_then(|first| field_of(kind, key, first, aggregate)) {
                let quotes = usize::from(first == Some(b'"'));
                spots.push((start + quotes, c.at() - quotes, field));
            }
            Ok(())
        };
        cursor
            .object(|c, key| match key {
                b"data" if c.peek() == Some(b'{') => c.object(&mut spot),
                _ => spot(c, key),
            })
            .ok()?;
        if kind != Message::Trade && spots.iter().any(|(_, _, field)| *field == Field::TransactTime) {
            // When it was sent is of no use beside when it happened.
            spots.iter_mut().filter(|spot| spot.2 == Field::EventTime).for_each(|spot| spot.2 = Field::Number);
        }
        let mut parts = Vec::with_capacity(spots.len());
        let mut at = 0;
        for (start, end, field) in spots {
            parts.push((Literal::new(&message[at..start]), field));
            at = end;
        }
        Some(Self { feed, kind, parts, end: Literal::new(&message[at..]), values: Values::default() })
    }

    /// Returns whether another layout is the same form: a message that neither could read teaches nothing new.
    pub fn is_same(&self, other: &Self) -> bool {
        self.parts.len() == other.parts.len()
            && self.end.text == other.end.text
            && self.parts.iter().zip(&other.parts).all(|((a, x), (b, y))| x == y && a.text == b.text)
    }

    /// Returns where a message's first field is if it begins like this one; most others are told apart here.
    #[inline(always)]
    pub fn begins(&self, message: &[u8]) -> Option<usize> {
        self.parts.first()?.0.pass(message, 0)
    }

    /// Reads a message of this form from its first field on: its values, and its levels as records made after what
    /// `template` gives for the fields before them. Returns the template; nothing when it is not of this form, and then
    /// levels may have been appended.
    #[inline(always)]
    pub fn read(
        &mut self,
        message: &[u8],
        first: usize,
        source: &Source,
        template: impl Fn(&Values) -> Event,
        out: &mut Vec<Event>,
    ) -> Option<Event> {
        let values = &mut self.values;
        let mut made: Option<Event> = None;
        let mut at = first;
        let (tick, lot) = (&source.tick, &source.lot);
        let price = |at, slot: &mut Option<i64>| {
            let (value, end) = tick.read_short(message, at, Finer::Refused)?;
            *slot = Some(value);
            Some(end)
        };
        let size = |at, slot: &mut Option<i64>| {
            let (value, end) = lot.read_short(message, at, Finer::Dropped)?;
            *slot = Some(value);
            Some(end)
        };
        let id = |at, slot: &mut Option<u64>| {
            let (value, end) = unsigned(message, at)?;
            *slot = Some(value);
            Some(end)
        };
        for (place, (before, field)) in self.parts.iter().enumerate() {
            if place > 0 {
                at = before.pass(message, at)?;
            }
            at = match field {
                Field::EventTime => {
                    let (value, end) = unsigned(message, at)?;
                    values.event_time = value;
                    end
                }
                Field::TransactTime => {
                    let (value, end) = unsigned(message, at)?;
                    values.transact_time = value;
                    end
                }
                Field::Number => unsigned(message, at)?.1,
                Field::FirstId => id(at, &mut values.first_id)?,
                Field::LastId => id(at, &mut values.last_id)?,
                Field::PreviousId => id(at, &mut values.previous_id)?,
                Field::TradeId => id(at, &mut values.trade_id)?,
                Field::Price => price(at, &mut values.price)?,
                Field::Quantity => size(at, &mut values.quantity)?,
                Field::Bid => price(at, &mut values.bid)?,
                Field::BidSize => size(at, &mut values.bid_size)?,
                Field::Ask => price(at, &mut values.ask)?,
                Field::AskSize => size(at, &mut values.ask_size)?,
                Field::BuyerIsMaker => {
                    let (truth, end) = boolean(message, at)?;
                    values.buyer_is_maker = Some(truth);
                    end
                }
                Field::Bids | Field::Asks => {
                    let side = u8::from(*field == Field::Asks);
                    let seen = if side == 0 { &mut values.has_bids } else { &mut values.has_asks };
                    *seen = true;
                    let made = made.get_or_insert_with(|| template(values));
                    levels(message, at, source, &Event { side, ..*made }, out)?
                }
            };
        }
        let end = self.end.pass(message, at)?;
        (end == message.len()).then(|| made.unwrap_or_else(|| template(values)))
    }
}

fn field_of(kind: Message, key: &[u8], first: u8, aggregate: bool) -> Option<Field> {
    use Message::{Best, Diff, Trade};
    let digit = first.is_ascii_digit();
    Some(match (kind, key, first) {
        (_, b"E", _) if digit => Field::EventTime,
        (_, b"T", _) if digit => Field::TransactTime,
        (Diff, b"U", _) if digit => Field::FirstId,
        (Diff | Best, b"u", _) if digit => Field::LastId,
        (Diff, b"pu", _) if digit => Field::PreviousId,
        (Diff, b"b", b'[') => Field::Bids,
        (Diff, b"a", b'[') => Field::Asks,
        (Trade, b"t", _) if digit && !aggregate => Field::TradeId,
        (Trade, b"a", _) if digit && aggregate => Field::TradeId,
        (Trade, b"p", b'"') => Field::Price,
        (Trade, b"q", b'"') => Field::Quantity,
        (Trade, b"m", b't' | b'f') => Field::BuyerIsMaker,
        (Best, b"b", b'"') => Field::Bid,
        (Best, b"B", b'"') => Field::BidSize,
        (Best, b"a", b'"') => Field::Ask,
        (Best, b"A", b'"') => Field::AskSize,
        _ if digit => Field::Number,
        _ => return None,
    })
}

#[inline]
fn boolean(message: &[u8], at: usize) -> Option<(bool, usize)> {
    let rest = message.get(at..)?;
    if rest.starts_with(b"true") {
        return Some((true, at + 4));
    }
    rest.starts_with(b"false").then_some((false, at + 5))
}

/// Reads `[["price","size"],…]` without white space; returns where it ends.
#[inline]
fn levels(message: &[u8], at: usize, source: &Source, template: &Event, out: &mut Vec<Event>) -> Option<usize> {
    let next = |at: usize| message.get(at..).and_then(|rest| rest.first_chunk::<3>());
    if message.get(at) != Some(&b'[') {
        return None;
    }
    if message.get(at + 1) == Some(&b']') {
        return Some(at + 2);
    }
    // Every level ends with `"],` before the next `["`, the last with `"]]`.
    let mut at = at + 1;
    loop {
        if next(at).map(|three| (three[0], three[1])) != Some((b'[', b'"')) {
            return None;
        }
        let (price, quote) = source.tick.read_short(message, at + 2, Finer::Refused)?;
        if next(quote) != Some(b"\",\"") {
            return None;
        }
        let (size, quote) = source.lot.read_short(message, quote + 3, Finer::Dropped)?;
        out.push(Event { price, size, ..*template });
        at = quote + 3;
        match next(quote) {
            Some(b"\"],") => {}
            Some(b"\"]]") => return Some(at),
            _ => return None,
        }
    }
}
