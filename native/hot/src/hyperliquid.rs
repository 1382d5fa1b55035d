//! Hyperliquid: order actions signed by an agent's key (what the venue calls an API wallet: it trades and cannot withdraw).
//!
//! The action is packed as MessagePack, its keys in the order the venue packs them; after it follow the nonce (8 bytes,
//! big-endian) and a zero for "no vault". The Keccak hash of that is the `connectionId` of an EIP-712 document
//! `Agent(string source,bytes32 connectionId)` of the domain "Exchange", version 1, chain 1337, contract zero.

use capstan_engine::command::{ClientId, Command, Kind, OrderType, TimeInForce};
use capstan_engine::event::{BUY, SELL};
use capstan_keys::keccak256;

use crate::guard::{Encoder, Guard, Listing, AMEND_IN_PLACE};
use crate::template::{Slot, Template, Values};
use crate::text::{decimal, hex, integer, Text, Zeros};
use crate::{Frames, Key, Refusal};

/// Where and for whom.
#[derive(Debug, Clone)]
pub struct Config {
    pub venue: String,
    pub is_mainnet: bool,
    /// The `Host` of HTTP requests; none: messages for the WebSocket.
    pub host: Option<String>,
    /// With the venue's number of each.
    pub instruments: Vec<(Listing, u32)>,
}

struct Prepared {
    listing: Listing,
    asset: u32,
    asset_text: Text<48>,
    value: i128,
}

/// Encodes and signs for one agent.
pub struct Hyperliquid {
    key: Option<Key>,
    guard: Guard,
    instruments: Vec<Option<Prepared>>,
    source_hash: [u8; 32],
    domain: [u8; 32],
    host: Option<Template>,
    nonce: u64,
    offset_ns: i64,
    packed: Vec<u8>,
    body: Vec<u8>,
}

const AGENT: &[u8] = b"Agent(string source,bytes32 connectionId)";
const DOMAIN: &[u8] = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const CHAIN_ID: u64 = 1337;

impl Hyperliquid {
    pub fn new(config: Config, key: Key, guard: Guard) -> Result<Self, Refusal> {
        if !matches!(key, Key::Secp256k1(_)) {
            return Err(Refusal::Unsupported("agents have secp256k1 keys"));
        }
        if guard.warden().is_none() {
            return Err(Refusal::Untrusted("secp256k1 keys sign under a certificate of custody only"));
        }
        guard.check_scope(&format!("venue/{}", config.venue))?;
        let mut instruments = Vec::new();
        for (listing, asset) in config.instruments {
            let at = listing.index as usize;
            if at >= 65_536 {
                return Err(Refusal::Malformed("an instrument's number is too large"));
            }
            if instruments.len() <= at {
                instruments.resize_with(at + 1, || None);
            }
            let (value, mut asset_text) = (guard.value_of(&listing)?, Text::default());
            integer(u64::from(asset), &mut asset_text);
            instruments[at] = Some(Prepared { listing, asset, asset_text, value });
        }
        let host = config.host.map(|host| {
            let head = "POST /exchange HTTP/1.1\r\nHost: ".to_owned() + &host;
            Template::default()
                .text(&head)
                .text("\r\nContent-Type: application/json\r\nContent-Length: ")
                .slot(Slot::Size)
                .text("\r\n\r\n")
        });
        Ok(Self {
            key: Some(key),
            guard,
            instruments,
            source_hash: keccak256(if config.is_mainnet { b"a" } else { b"b" }),
            domain: domain(),
            host,
            nonce: 0,
            offset_ns: 0,
            packed: Vec::with_capacity(512),
            body: Vec::with_capacity(1_024),
        })
    }

    /// Returns what is signed for packed bytes.
    fn digest(&self) -> [u8; 32] {
        let mut document = [0; 96];
        document[..32].copy_from_slice(&keccak256(AGENT));
        document[32..64].copy_from_slice(&self.source_hash);
        document[64..].copy_from_slice(&keccak256(&self.packed));
        let mut message = [0; 66];
        message[..2].copy_from_slice(&[0x19, 0x01]);
        message[2..34].copy_from_slice(&self.domain);
        message[34..].copy_from_slice(&keccak256(&document));
        keccak256(&message)
    }

    /// Writes the action in both forms, into `packed` and `body`.
    fn write_action(&mut self, command: &Command) -> Result<i128, Refusal> {
        let Self { instruments, packed, body, .. } = self;
        let prepared = instruments.get(command.instrument as usize).and_then(Option::as_ref);
        let prepared = prepared.ok_or(Refusal::Malformed("the instrument is none of this venue's"))?;
        let id = order_id(command.client_id);
        packed.clear();
        body.clear();
        body.extend(b"{\"action\":{\"type\":\"");
        if command.kind == Kind::Cancel as u8 {
            packed.extend(b"\x82\xa4type\xadcancelByCloid\xa7cancels\x91\x82\xa5asset");
            pack_number(packed, prepared.asset);
            packed.extend(b"\xa5cloid");
            pack_text(packed, &id);
            body.extend(b"cancelByCloid\",\"cancels\":[{\"asset\":");
            body.extend(prepared.asset_text.as_bytes());
            body.extend(b",\"cloid\":\"");
            body.extend(id);
            body.extend(b"\"}]}");
            return Ok(prepared.value);
        }
        if command.kind != Kind::Place as u8 && command.kind != Kind::Amend as u8 {
            return Err(Refusal::Unsupported("the venue has no such request: cancels are sent one by one"));
        }
        if command.kind == Kind::Amend as u8 && command.aux[0] == 0 {
            return Err(AMEND_IN_PLACE);
        }
        let order = Order::new(command, prepared)?;
        if command.kind == Kind::Place as u8 {
            packed.extend(b"\x83\xa4type\xa5order\xa6orders\x91");
            body.extend(b"order\",\"orders\":[");
            order.write(packed, body, &id);
            packed.extend(b"\xa8grouping\xa2na");
            body.extend(b"],\"grouping\":\"na\"}");
        } else {
            packed.extend(b"\x82\xa4type\xabbatchModify\xa8modifies\x91\x82\xa3oid");
            pack_text(packed, &id);
            packed.extend(b"\xa5order");
            body.extend(b"batchModify\",\"modifies\":[{\"oid\":\"");
            body.extend(id);
            body.extend(b"\",\"order\":");
            order.write(packed, body, &order_id(command.aux[0] as u64));
            body.extend(b"}]}");
        }
        Ok(prepared.value)
    }
}

impl Encoder for Hyperliquid {
    fn encode(&mut self, command: &Command, now_ns: i64, out: &mut Frames) -> Result<(), Refusal> {
        if self.key.is_none() {
            return Err(Refusal::Closed);
        }
        let value = self.write_action(command)?;
        self.guard.permit(command, value, now_ns)?;
        // Milliseconds, and never one twice: the venue remembers the highest.
        let time = ((now_ns + self.offset_ns) / 1_000_000).max(0) as u64;
        self.nonce = time.max(self.nonce + 1);
        self.packed.extend(self.nonce.to_be_bytes());
        self.packed.push(0);
        let digest = self.digest();
        let signature = self.key.as_ref().ok_or(Refusal::Closed)?.sign_digest(&digest)?;
        let mut values = Values::default();
        integer(self.nonce, &mut values.time);
        let body = &mut self.body;
        body.extend(b",\"nonce\":");
        body.extend(values.time.as_bytes());
        body.extend(b",\"signature\":{\"r\":\"0x");
        hex(&signature[..32], body);
        body.extend(b"\",\"s\":\"0x");
        hex(&signature[32..64], body);
        body.extend(b"\",\"v\":");
        body.extend(if signature[64] == 0 { b"27" } else { b"28" });
        body.extend(b"}}");
        match &self.host {
            Some(head) => {
                integer(body.len() as u64, &mut values.size);
                head.write(&values, &mut out.bytes);
                out.bytes.extend_from_slice(body);
            }
            None => {
                out.bytes.extend(b"{\"method\":\"post\",\"id\":");
                out.bytes.extend(values.time.as_bytes());
                out.bytes.extend(b",\"request\":{\"type\":\"action\",\"payload\":");
                out.bytes.extend_from_slice(body);
                out.bytes.extend(b"}}");
            }
        }
        out.end();
        Ok(())
    }

    fn set_offset(&mut self, offset_ns: i64) {
        self.offset_ns = offset_ns;
    }

    fn close(&mut self) {
        self.key = None;
        if let Some(warden) = self.guard.warden() {
            crate::guard::lock(warden).close();
        }
    }
}

/// An order as the venue writes it.
struct Order<'a> {
    prepared: &'a Prepared,
    is_buy: bool,
    price: Text<48>,
    size: Text<48>,
    is_reduce_only: bool,
    time_in_force: &'static [u8; 3],
}

impl<'a> Order<'a> {
    fn new(command: &Command, prepared: &'a Prepared) -> Result<Self, Refusal> {
        let (limit, maker) = (OrderType::Limit as u8, OrderType::LimitMaker as u8);
        let (gtc, ioc) = (TimeInForce::Gtc as u8, TimeInForce::Ioc as u8);
        let time_in_force = match (command.order_type, command.time_in_force) {
            form if form == (limit, gtc) => b"Gtc",
            form if form == (limit, ioc) => b"Ioc",
            form if form == (maker, gtc) => b"Alo",
            _ => return Err(Refusal::Unsupported("the venue takes limit orders: GTC, IOC and post-only")),
        };
        if command.side != BUY && command.side != SELL {
            return Err(Refusal::Malformed("no such side"));
        }
        let (mut price, mut size) = (Text::default(), Text::default());
        decimal(command.price, prepared.listing.tick, Zeros::Dropped, &mut price)?;
        decimal(command.size, prepared.listing.lot, Zeros::Dropped, &mut size)?;
        let (is_buy, is_reduce_only) = (command.side == BUY, command.reduce_only != 0);
        Ok(Self { prepared, is_buy, price, size, is_reduce_only, time_in_force })
    }

    fn write(&self, packed: &mut Vec<u8>, body: &mut Vec<u8>, id: &[u8; 34]) {
        packed.extend(b"\x87\xa1a");
        pack_number(packed, self.prepared.asset);
        packed.extend([0xa1, b'b', 0xc2 + u8::from(self.is_buy), 0xa1, b'p']);
        pack_text(packed, self.price.as_bytes());
        packed.extend(b"\xa1s");
        pack_text(packed, self.size.as_bytes());
        packed.extend([0xa1, b'r', 0xc2 + u8::from(self.is_reduce_only)]);
        packed.extend(b"\xa1t\x81\xa5limit\x81\xa3tif\xa3");
        packed.extend(self.time_in_force);
        packed.extend(b"\xa1c");
        pack_text(packed, id);

        body.extend(b"{\"a\":");
        body.extend(self.prepared.asset_text.as_bytes());
        body.extend(if self.is_buy { &b",\"b\":true,\"p\":\""[..] } else { b",\"b\":false,\"p\":\"" });
        body.extend(self.price.as_bytes());
        body.extend(b"\",\"s\":\"");
        body.extend(self.size.as_bytes());
        body.extend(if self.is_reduce_only { &b"\",\"r\":true"[..] } else { b"\",\"r\":false" });
        body.extend(b",\"t\":{\"limit\":{\"tif\":\"");
        body.extend(self.time_in_force);
        body.extend(b"\"}},\"c\":\"");
        body.extend(id);
        body.extend(b"\"}");
    }
}

/// Returns an id as the venue wants it: `0x` and sixteen bytes, the first half zero.
fn order_id(id: u64) -> [u8; 34] {
    let mut text = [b'0'; 34];
    text[1] = b'x';
    text[18..].copy_from_slice(&ClientId(id).text()[1..]);
    text
}

fn pack_text(packed: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..=31 => packed.push(0xa0 + length as u8),
        length => packed.extend([0xd9, length as u8]),
    }
    packed.extend_from_slice(text);
}

fn pack_number(packed: &mut Vec<u8>, number: u32) {
    match number {
        0..=0x7f => packed.push(number as u8),
        0x80..=0xff => packed.extend([0xcc, number as u8]),
        0x100..=0xffff => {
            packed.push(0xcd);
            packed.extend((number as u16).to_be_bytes());
        }
        _ => {
            packed.push(0xce);
            packed.extend(number.to_be_bytes());
        }
    }
}

fn domain() -> [u8; 32] {
    let mut words = [0; 160];
    words[..32].copy_from_slice(&keccak256(DOMAIN));
    words[32..64].copy_from_slice(&keccak256(b"Exchange"));
    words[64..96].copy_from_slice(&keccak256(b"1"));
    words[120..128].copy_from_slice(&CHAIN_ID.to_be_bytes());
    keccak256(&words)
}
