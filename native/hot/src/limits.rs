//! What a key may sign: custody's certificate, its allotments, the window, and the freeze.
//!
//! A certificate is custody's signed word on one key: where it may trade, which instruments and calls, for how much at
//! once and within a window, until when. What may be signed right now is allotted in blocks. Custody writes a block down
//! before it signs it, for one signer's life (`instance`) and a short time, and counts it as spent: so the window holds
//! across restarts, no block can be shown twice, and where custody is frozen, revoked or gone a key falls silent by itself
//! when its block is over. A block that is not used up may be renewed: it lasts longer then and holds no more.
//!
//! Taking an order back needs none of this. It is refused only when the key is wiped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use capstan_engine::instrument::Decimal;

use crate::statement::{number, Statement};
use crate::text::{from_hex, hex, SCALE_MAX};
use crate::window::Window;
use crate::Refusal;

const CERTIFICATE: &str = "capstan/session-key/v1";
const ALLOTMENT: &str = "capstan/session-allotment/v1";
const BLOCKS_MAX: usize = 8;

/// Stops every signer that holds it. Nothing starts one again: that takes a new process, which asks custody first.
#[derive(Debug, Clone, Default)]
pub struct FreezeSwitch(Arc<AtomicBool>);

impl FreezeSwitch {
    pub fn freeze(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_frozen(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// An instrument that a certificate lists, on the grid it was listed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub symbol: String,
    pub tick: Decimal,
    pub lot: Decimal,
}

/// A contract's function that a certificate lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub to: [u8; 20],
    pub selector: [u8; 4],
    /// Which 32-byte argument is the amount that counts; none: the value sent with it.
    pub amount_word: Option<u16>,
}

/// Custody's word on one key. Amounts are in the smallest unit of one asset, which custody chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub id: u64,
    /// See `Key::name`.
    pub key: String,
    /// `venue/NAME` or `chain/ID`.
    pub scope: String,
    pub decimals: u8,
    pub from_ns: i64,
    pub until_ns: i64,
    pub order_max: i128,
    pub window_ns: i64,
    pub window_max: i128,
    pub window_count: u32,
    pub instruments: Vec<Listed>,
    pub calls: Vec<Call>,
    /// The most gas may cost in one transaction, in wei.
    pub fee_max: u128,
}

impl Certificate {
    /// Reads a certificate that `authority` signed.
    pub fn open(text: &[u8], signature: &[u8; 64], authority: &[u8; 32]) -> Result<Self, Refusal> {
        let mut said = Statement::open(text, signature, authority, CERTIFICATE)?;
        let certificate = Self {
            id: said.number("id")?,
            key: said.one("key")?.to_owned(),
            scope: said.one("scope")?.to_owned(),
            decimals: said.number("decimals")?,
            from_ns: said.number("from_ns")?,
            until_ns: said.number("until_ns")?,
            order_max: said.number("order_max")?,
            window_ns: said.number("window_ns")?,
            window_max: said.number("window_max")?,
            window_count: said.number("window_count")?,
            instruments: said.many("instrument").into_iter().map(listed).collect::<Result<_, _>>()?,
            calls: said.many("call").into_iter().map(call).collect::<Result<_, _>>()?,
            fee_max: said.number("fee_max")?,
        };
        said.end()?;
        if certificate.window_ns == 0 || certificate.until_ns <= certificate.from_ns || certificate.decimals > 36 {
            return Err(Refusal::Untrusted("a certificate's times or decimals make no sense"));
        }
        Ok(certificate)
    }

    /// Returns what one tick times one lot of a listed instrument is worth, given the grid it is used with.
    pub fn value_of(&self, symbol: &str, tick: Decimal, lot: Decimal) -> Result<i128, Refusal> {
        let listed = self.instruments.iter().find(|listed| listed.symbol == symbol).ok_or(Refusal::NotListed)?;
        if (listed.tick, listed.lot) != (tick, lot) {
            return Err(Refusal::Untrusted("the certificate lists the instrument with another tick or lot"));
        }
        let inexact = Refusal::Untrusted("the certificate's asset is too coarse for the instrument");
        let digits = i128::from(tick.digits) * i128::from(lot.digits);
        let exponent = i32::from(self.decimals) - i32::from(tick.scale) - i32::from(lot.scale);
        let factor = 10i128.checked_pow(exponent.unsigned_abs()).ok_or(inexact)?;
        if exponent >= 0 {
            digits.checked_mul(factor).ok_or(inexact)
        } else if digits % factor == 0 {
            Ok(digits / factor)
        } else {
            Err(inexact)
        }
    }
}

fn listed(line: &str) -> Result<Listed, Refusal> {
    let malformed = Refusal::Untrusted("an instrument is: symbol, digits and scale of tick and lot");
    let words: Vec<&str> = line.split(' ').collect();
    let [symbol, tick_digits, tick_scale, lot_digits, lot_scale] = words[..] else { return Err(malformed) };
    let unit = |digits, scale| -> Result<Decimal, Refusal> {
        let unit = Decimal { digits: number(digits)?, scale: number(scale)? };
        if unit.digits <= 0 || unit.scale > SCALE_MAX {
            return Err(malformed);
        }
        Ok(unit)
    };
    Ok(Listed { symbol: symbol.to_owned(), tick: unit(tick_digits, tick_scale)?, lot: unit(lot_digits, lot_scale)? })
}

fn call(line: &str) -> Result<Call, Refusal> {
    let malformed = Refusal::Untrusted("a call is: contract, selector, and the amount's place or -");
    let words: Vec<&str> = line.split(' ').collect();
    let [to, selector, word] = words[..] else { return Err(malformed) };
    Ok(Call {
        to: from_hex(to).ok_or(malformed)?,
        selector: from_hex(selector).ok_or(malformed)?,
        amount_word: if word == "-" { None } else { Some(number(word)?) },
    })
}

/// A block of value and count that custody has written down as spent already.
#[derive(Debug, Clone, Copy)]
struct Block {
    sequence: u64,
    value: i128,
    count: u32,
    until_ns: i64,
}

/// What a request takes out of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Gives or changes an order of this value.
    Spend(i128),
    /// Takes orders back.
    TakeBack,
}

/// Holds one key to its certificate. Whoever signs asks `permit` first, every time.
#[derive(Debug)]
pub struct Warden {
    certificate: Certificate,
    authority: [u8; 32],
    instance: [u8; 16],
    switch: FreezeSwitch,
    is_closed: bool,
    window: Window,
    blocks: [Option<Block>; BLOCKS_MAX],
    sequence: u64,
    now_ns: i64,
}

impl Warden {
    /// Opens a certificate for the key it is about. Nothing is signed before the first allotment.
    pub fn new(
        text: &[u8],
        signature: &[u8; 64],
        authority: [u8; 32],
        key_name: &str,
        switch: FreezeSwitch,
    ) -> Result<Self, Refusal> {
        let certificate = Certificate::open(text, signature, &authority)?;
        if certificate.key != key_name {
            return Err(Refusal::Untrusted("the certificate is about another key"));
        }
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).map_err(|_| Refusal::Untrusted("no randomness to name this signer with"))?;
        let window = Window::new(certificate.window_ns);
        let blocks = [None; BLOCKS_MAX];
        Ok(Self {
            certificate,
            authority,
            instance,
            switch,
            is_closed: false,
            window,
            blocks,
            sequence: 0,
            now_ns: i64::MIN,
        })
    }

    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns this signer's name for this life, in hexadecimal; allotments are for it.
    pub fn instance(&self) -> String {
        let mut text = Vec::with_capacity(32);
        hex(&self.instance, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Takes a block that custody allotted, or makes one that is held last longer. Each is taken once, in order.
    pub fn allot(&mut self, text: &[u8], signature: &[u8; 64], now_ns: i64) -> Result<(), Refusal> {
        let mut said = Statement::open(text, signature, &self.authority, ALLOTMENT)?;
        let (id, instance): (u64, &str) = (said.number("key")?, said.one("instance")?);
        let sequence: u64 = said.number("sequence")?;
        let (from_ns, until_ns): (i64, i64) = (said.number("from_ns")?, said.number("until_ns")?);
        let block = Block { sequence, value: said.number("value")?, count: said.number("count")?, until_ns };
        said.end()?;
        if id != self.certificate.id || from_hex(instance) != Some(self.instance) {
            return Err(Refusal::Untrusted("the allotment is for another key or another signer"));
        }
        let now_ns = self.advance(now_ns);
        let stale = Refusal::Untrusted("the allotment was taken already, or is not for now");
        if now_ns < from_ns || now_ns >= until_ns {
            return Err(stale);
        }
        if sequence <= self.sequence {
            let mut held = self.blocks.iter_mut().flatten();
            let held = held.find(|held| held.sequence == sequence && held.until_ns > now_ns).ok_or(stale)?;
            held.until_ns = held.until_ns.max(until_ns);
            return Ok(());
        }
        // Blocks that are over or used up make room; a ninth that is good would only be lost.
        let free = self.blocks.iter_mut().find(|place| match place {
            Some(block) => block.until_ns <= now_ns || block.value == 0 || block.count == 0,
            None => true,
        });
        *free.ok_or(Refusal::Untrusted("more allotments than can be held"))? = Some(block);
        self.sequence = sequence;
        Ok(())
    }

    /// Returns value and count that are allotted and not used.
    pub fn allotted(&mut self, now_ns: i64) -> (i128, u32) {
        let now_ns = self.advance(now_ns);
        let open = self.blocks.iter().flatten().filter(|block| block.until_ns > now_ns);
        open.fold((0, 0), |sum, block| (sum.0 + block.value, sum.1 + block.count))
    }

    /// Returns the newest block while it lasts: its number, what is left of it, and until when.
    pub fn newest(&mut self, now_ns: i64) -> Option<(u64, i128, u32, i64)> {
        let now_ns = self.advance(now_ns);
        let open = self.blocks.iter().flatten().filter(|block| block.until_ns > now_ns);
        open.max_by_key(|block| block.sequence).map(|block| (block.sequence, block.value, block.count, block.until_ns))
    }

    /// Lets one request pass and counts it, before it is signed: what is not sent after all stays counted.
    pub fn permit(&mut self, request: Request, now_ns: i64) -> Result<(), Refusal> {
        if self.is_closed {
            return Err(Refusal::Closed);
        }
        let Request::Spend(value) = request else { return Ok(()) };
        if self.switch.is_frozen() {
            return Err(Refusal::Frozen);
        }
        let now_ns = self.advance(now_ns);
        let limits = &self.certificate;
        if now_ns < limits.from_ns || now_ns >= limits.until_ns {
            return Err(Refusal::NotValidNow);
        }
        if value < 0 {
            return Err(Refusal::Malformed("a value is not negative"));
        }
        if value > limits.order_max {
            return Err(Refusal::OrderLimit);
        }
        let (spent, count) = self.window.spent(now_ns);
        if spent + value > limits.window_max {
            return Err(Refusal::WindowLimit);
        }
        if count >= limits.window_count {
            return Err(Refusal::WindowCount);
        }
        self.take(value, now_ns)?;
        self.window.add(value);
        Ok(())
    }

    /// Wipes nothing itself, but signs nothing more, cancels included.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes value out of the blocks, the one that ends first before the others.
    fn take(&mut self, value: i128, now_ns: i64) -> Result<(), Refusal> {
        let mut open: [usize; BLOCKS_MAX] = [0; BLOCKS_MAX];
        let (mut found, mut total) = (0, 0);
        for (at, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block.filter(|block| block.until_ns > now_ns && block.count > 0) {
                open[found] = at;
                found += 1;
                total += block.value;
            }
        }
        let open = &mut open[..found];
        if found == 0 || total < value {
            return Err(Refusal::NoAllotment);
        }
        open.sort_unstable_by_key(|at| self.blocks[*at].map(|block| block.until_ns));
        let mut left = value;
        for (nth, at) in open.iter().enumerate() {
            if let Some(block) = &mut self.blocks[*at] {
                let part = left.min(block.value);
                block.value -= part;
                block.count -= u32::from(nth == 0);
                left -= part;
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Time never goes back here: what was over would be valid again.
    fn advance(&mut self, now_ns: i64) -> i64 {
        self.now_ns = self.now_ns.max(now_ns);
        self.now_ns
    }
}
