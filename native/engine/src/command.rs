//! What the kernel asks the world for: 64-byte records like the events, and the ids orders are known by.

use bytemuck::{Pod, Zeroable};

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Place = 1,
    /// Change price and size of a resting order in one message, where the venue can.
    Amend = 2,
    Cancel = 3,
    /// Cancel every open order at venue `aux[0]`, also ones this process does not know.
    CancelAll = 4,
    /// Ask what became of an order.
    Ask = 5,
    /// A swap for custody, as payload; `client_id` is its intent.
    Swap = 6,
    /// Nothing is sent: `rule` says which rule refused.
    Rejected = 7,
    /// The staged kill reached `stage`.
    Stage = 8,
    /// Wake strategy `strategy` at `aux[0]` with `aux[1]`.
    Timer = 9,
    /// Nothing is sent: reconciliation found what nobody here ordered. `rule` says what (`reconcile::Finding`), `aux` the
    /// figures.
    Notice = 10,
}

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderType {
    Limit = 0,
    /// Rests or is rejected; never takes.
    LimitMaker = 1,
    Market = 2,
}

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeInForce {
    Gtc = 0,
    Ioc = 1,
    Fok = 2,
}

/// One command.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Command {
    pub client_id: u64,
    /// The local time of the event that led to it.
    pub time_ns: i64,
    /// Ticks.
    pub price: i64,
    /// Lots.
    pub size: i64,
    pub instrument: u32,
    pub kind: u8,
    pub side: u8,
    pub order_type: u8,
    pub time_in_force: u8,
    pub strategy: u8,
    pub rule: u8,
    pub stage: u8,
    pub reduce_only: u8,
    pub reserved: u32,
    pub aux: [i64; 2],
}

const _: () = assert!(std::mem::size_of::<Command>() == 64 && std::mem::align_of::<Command>() == 8);

/// An order's or swap's own id, chosen before it is sent: `run 16 | epoch 12 | strategy 8 | sequence 28` bits.
///
/// Deterministic, so that a replay gives the same, and whatever is found at a venue after a crash is ours by name. The
/// epoch goes up with every start: an id from a stretch of journal that a power cut took is never given twice. On the
/// wire it is `c` and sixteen hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

impl ClientId {
    pub const EPOCH_MAX: u16 = (1 << 12) - 1;
    pub const SEQUENCE_MAX: u32 = (1 << 28) - 1;

    /// Returns the id, or nothing when epoch or sequence are used up.
    pub fn new(run: u16, epoch: u16, strategy: u8, sequence: u32) -> Option<Self> {
        if epoch > Self::EPOCH_MAX || sequence > Self::SEQUENCE_MAX {
            return None;
        }
        Some(Self(u64::from(run) << 48 | u64::from(epoch) << 36 | u64::from(strategy) << 28 | u64::from(sequence)))
    }

    pub fn run(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub fn epoch(self) -> u16 {
        (self.0 >> 36) as u16 & Self::EPOCH_MAX
    }

    pub fn strategy(self) -> u8 {
        (self.0 >> 28) as u8
    }

    pub fn sequence(self) -> u32 {
        self.0 as u32 & Self::SEQUENCE_MAX
    }

    /// Returns the id as venues see it.
    pub fn text(self) -> [u8; 17] {
        let mut text = [b'c'; 17];
        for (at, digit) in text[1..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(self.0 >> (60 - 4 * at)) as usize & 15];
        }
        text
    }

    /// Returns the id that a text is, or nothing: it is not ours.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (b'c', digits) = text.split_first()? else { return None };
        if digits.len() != 16 {
            return None;
        }
        let mut id = 0;
        for digit in digits {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            id = id << 4 | u64::from(value);
        }
        Some(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_parts_and_its_text() {
        let id = ClientId::new(0xbeef, 4095, 200, ClientId::SEQUENCE_MAX).unwrap();
        assert_eq!((id.run(), id.epoch(), id.strategy(), id.sequence()), (0xbeef, 4095, 200, ClientId::SEQUENCE_MAX));
        assert_eq!(ClientId::parse(&id.text()), Some(id));
        assert_eq!(ClientId::new(1, 4096, 0, 0), None);
        assert_eq!(ClientId::new(1, 0, 0, 1 << 28), None);
        for foreign in [&b"c0123"[..], b"x0123456789abcdef", b"c0123456789abcdeF", b""] {
            assert_eq!(ClientId::parse(foreign), None);
        }
    }
}
