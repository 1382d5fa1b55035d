//! Binance spot: orders by REST and by the WebSocket API.
//!
//! A REST signature covers the query string as sent. A WebSocket signature covers the parameters sorted by name as `k=v`
//! joined with `&`; here both are sorted, so that one template serves both. A session that is logged on (Ed25519 keys only)
//! signs nothing but its logon: the connection is what is trusted then.

use capstan_engine::command::{ClientId, Command, Kind, OrderType, TimeInForce};
use capstan_engine::event::{BUY, SELL};

use crate::guard::{Encoder, Guard, Listing, AMEND_IN_PLACE};
use crate::keys::HmacState;
use crate::template::{members, query, Slot, Template, Value, Values};
use crate::text::{decimal, integer, Zeros};
use crate::{Frames, Key, Refusal};

/// How orders are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// HTTP/1.1 requests, with this `Host`.
    Rest { host: String },
    /// Messages of `/ws-api/v3`, each signed.
    WebSocket,
    /// The same on a session that logged on with [`Binance::logon`].
    Session,
}

/// Where and as whom.
#[derive(Debug, Clone)]
pub struct Config {
    pub venue: String,
    pub door: Door,
    pub api_key: String,
    pub recv_window_ms: u32,
    pub instruments: Vec<Listing>,
}

/// The forms of an order: what the type says and what must be in its time in force.
const STYLES: [(OrderType, TimeInForce, &str, &str); 5] = [
    (OrderType::Limit, TimeInForce::Gtc, "LIMIT", "GTC"),
    (OrderType::Limit, TimeInForce::Ioc, "LIMIT", "IOC"),
    (OrderType::Limit, TimeInForce::Fok, "LIMIT", "FOK"),
    (OrderType::LimitMaker, TimeInForce::Gtc, "LIMIT_MAKER", ""),
    (OrderType::Market, TimeInForce::Gtc, "MARKET", ""),
];

/// A request of one form.
struct Operation {
    signed: Template,
    /// With its first bytes hashed, for HMAC keys.
    prefix: Option<(Box<HmacState>, usize)>,
    /// Before the signed text (REST), or the message up to the signature (WebSocket).
    head: Template,
}

struct Prepared {
    listing: Listing,
    value: i128,
    /// By side, then by style.
    place: [Vec<Operation>; 2],
    replace: [Vec<Operation>; 2],
    cancel: Operation,
    cancel_all: Operation,
}

/// Encodes and signs for one account.
pub struct Binance {
    config: Config,
    key: Option<Key>,
    guard: Guard,
    instruments: Vec<Option<Prepared>>,
    /// What ends a REST request.
    tail: Vec<u8>,
    scratch: Vec<u8>,
    offset_ns: i64,
}

impl Binance {
    pub fn new(config: Config, key: Key, guard: Guard) -> Result<Self, Refusal> {
        let is_name = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            !text.is_empty() && text.len() <= 128 && text.bytes().all(plain)
        };
        if !is_name(&config.api_key) || config.instruments.iter().any(|listing| !is_name(&listing.symbol)) {
            return Err(Refusal::Malformed("an API key and a symbol are letters, digits and -_.:"));
        }
        if let Door::Rest { host } = &config.door {
            if !is_name(host) {
                return Err(Refusal::Malformed("a host is a name and perhaps a port"));
            }
        }
        match (&config.door, &key) {
            (Door::Session, Key::Ed25519(_)) => {}
            (Door::Session, _) => return Err(Refusal::Unsupported("sessions log on with Ed25519 keys")),
            (_, Key::Secp256k1(_)) => return Err(Refusal::Unsupported("Binance takes HMAC and Ed25519 keys")),
            _ => {}
        }
        if config.recv_window_ms == 0 || config.recv_window_ms > 60_000 {
            return Err(Refusal::Malformed("a receive window is 1 to 60000 ms"));
        }
        guard.check_scope(&format!("venue/{}", config.venue))?;
        let mut instruments = Vec::new();
        for listing in &config.instruments {
            let at = listing.index as usize;
            if at >= 65_536 {
                return Err(Refusal::Malformed("an instrument's number is too large"));
            }
            if instruments.len() <= at {
                instruments.resize_with(at + 1, || None);
            }
            instruments[at] = Some(Prepared::new(&config, &key, listing, guard.value_of(listing)?));
        }
        let tail = format!(
            " HTTP/1.1\r\nHost: {}\r\nX-MBX-APIKEY: {}\r\nContent-Length: 0\r\n\r\n",
            if let Door::Rest { host } = &config.door { host } else { "" },
            config.api_key
        );
        let scratch = Vec::with_capacity(1_024);
        Ok(Self { config, key: Some(key), guard, instruments, tail: tail.into_bytes(), scratch, offset_ns: 0 })
    }

    /// Appends the message that logs a session on; everything after it is trusted by the connection.
    pub fn logon(&mut self, now_ns: i64, out: &mut Frames) -> Result<(), Refusal> {
        let key = self.key.as_ref().ok_or(Refusal::Closed)?;
        if self.config.door != Door::Session {
            return Err(Refusal::Unsupported("only sessions log on"));
        }
        let time = (now_ns + self.offset_ns) / 1_000_000;
        let (api_key, window) = (&self.config.api_key, self.config.recv_window_ms);
        let signed = format!("apiKey={api_key}&recvWindow={window}&timestamp={time}");
        out.bytes.extend(
            format!(
                r#"{{"id":"logon","method":"session.logon","params":{{"apiKey":"{api_key}","recvWindow":{window},"timestamp":{time},"signature":""#
            )
            .as_bytes(),
        );
        key.sign_text(signed.as_bytes(), None, false, &mut out.bytes)?;
        out.bytes.extend(b"\"}}");
        out.end();
        Ok(())
    }
}

impl Encoder for Binance {
    fn encode(&mut self, command: &Command, now_ns: i64, out: &mut Frames) -> Result<(), Refusal> {
        let Self { config, key, guard, instruments, tail, scratch, offset_ns } = self;
        let key = key.as_ref().ok_or(Refusal::Closed)?;
        let mut values = Values::default();
        integer(((now_ns + *offset_ns) / 1_000_000).max(0) as u64, &mut values.time);
        let id = ClientId(command.client_id).text();
        values.id.set(&id);
        let mut send = |operation: &Operation| {
            operation.write(&config.door, key, &values, tail, scratch, out).inspect_err(|_| out.drop_unfinished())
        };
        if command.kind == Kind::CancelAll as u8 {
            guard.permit(command, 0, now_ns)?;
            return instruments.iter().flatten().try_for_each(|prepared| send(&prepared.cancel_all));
        }
        let prepared = instruments.get(command.instrument as usize).and_then(Option::as_ref);
        let prepared = prepared.ok_or(Refusal::Malformed("the instrument is none of this venue's"))?;
        if command.kind == Kind::Cancel as u8 {
            guard.permit(command, 0, now_ns)?;
            return send(&prepared.cancel);
        }
        let operations = match command.kind {
            kind if kind == Kind::Place as u8 => &prepared.place,
            kind if kind == Kind::Amend as u8 => {
                if command.aux[0] == 0 {
                    return Err(AMEND_IN_PLACE);
                }
                values.replaced.set(&id);
                values.id.set(&ClientId(command.aux[0] as u64).text());
                &prepared.replace
            }
            _ => return Err(Refusal::Unsupported("not a request to a venue")),
        };
        let operation = operations
            .get(usize::from(command.side))
            .filter(|_| command.side == BUY || command.side == SELL)
            .zip(style(command))
            .map(|(styles, style)| &styles[style])
            .ok_or(Refusal::Malformed("no such side, type or time in force"))?;
        if command.order_type != OrderType::Market as u8 {
            decimal(command.price, prepared.listing.tick, Zeros::Kept, &mut values.price)?;
        }
        decimal(command.size, prepared.listing.lot, Zeros::Kept, &mut values.size)?;
        guard.permit(command, prepared.value, now_ns)?;
        operation.write(&config.door, key, &values, tail, scratch, out).inspect_err(|_| out.drop_unfinished())
    }

    fn set_offset(&mut self, offset_ns: i64) {
        self.offset_ns = offset_ns;
    }

    fn close(&mut self) {
        self.key = None;
        // The states in the templates sign as well as the key does.
        self.instruments.clear();
        if let Some(warden) = self.guard.warden() {
            crate::guard::lock(warden).close();
        }
    }
}

/// Returns the place of the command's form in `STYLES`.
fn style(command: &Command) -> Option<usize> {
    STYLES.iter().position(|(order_type, time_in_force, ..)| {
        *order_type as u8 == command.order_type && *time_in_force as u8 == command.time_in_force
    })
}

impl Prepared {
    fn new(config: &Config, key: &Key, listing: &Listing, value: i128) -> Self {
        let fixed = |text: &str| Value::Fixed(text.to_owned());
        let operation = |verb: Verb, mut params: Params| {
            params.push(("recvWindow", Value::Number(config.recv_window_ms.to_string())));
            params.push(("symbol", fixed(&listing.symbol)));
            params.push(("timestamp", Value::Slot(Slot::Time)));
            if config.door == Door::WebSocket {
                params.push(("apiKey", fixed(&config.api_key)));
            }
            params.sort_by_key(|(name, _)| *name);
            Operation::new(config, key, verb, &listing.symbol, &params)
        };
        let order = |side: &str, style: usize| {
            let (order_type, _, name, time_in_force) = STYLES[style];
            let mut params = vec![
                ("newClientOrderId", Value::Slot(Slot::Id)),
                ("newOrderRespType", fixed("ACK")),
                ("quantity", Value::Slot(Slot::Size)),
                ("side", fixed(side)),
                ("type", fixed(name)),
            ];
            if order_type != OrderType::Market {
                params.push(("price", Value::Slot(Slot::Price)));
            }
            if !time_in_force.is_empty() {
                params.push(("timeInForce", fixed(time_in_force)));
            }
            params
        };
        let replacement = |side: &str, style: usize| {
            let mut params = order(side, style);
            params.push(("cancelOrigClientOrderId", Value::Slot(Slot::Replaced)));
            params.push(("cancelReplaceMode", fixed("STOP_ON_FAILURE")));
            params
        };
        let styles = |verb: Verb, params: &dyn Fn(&str, usize) -> Params| {
            ["BUY", "SELL"].map(|side| (0..STYLES.len()).map(|style| operation(verb, params(side, style))).collect())
        };
        Self {
            listing: listing.clone(),
            value,
            place: styles(PLACE, &order),
            replace: styles(REPLACE, &replacement),
            cancel: operation(CANCEL, vec![("origClientOrderId", Value::Slot(Slot::Id))]),
            cancel_all: operation(CANCEL_ALL, vec![]),
        }
    }
}

type Params = Vec<(&'static str, Value)>;

/// A request's names: the letter that begins a message's id, the WebSocket API's method, and REST's.
type Verb = (&'static str, &'static str, &'static str);

const PLACE: Verb = ("p", "order.place", "POST /api/v3/order");
const REPLACE: Verb = ("r", "order.cancelReplace", "POST /api/v3/order/cancelReplace");
const CANCEL: Verb = ("x", "order.cancel", "DELETE /api/v3/order");
const CANCEL_ALL: Verb = ("z", "openOrders.cancelAll", "DELETE /api/v3/openOrders");

impl Operation {
    fn new(config: &Config, key: &Key, verb: Verb, symbol: &str, params: &[(&str, Value)]) -> Self {
        let (letter, method, line) = verb;
        let signed = query(params);
        let prefix = signed.prefix();
        let prefix = key.prefix(prefix).map(|state| (state, prefix.len()));
        let head = Template::default();
        let head = match &config.door {
            Door::Rest { .. } => head.text(line).text("?"),
            Door::WebSocket | Door::Session => {
                let head = head.text("{\"id\":\"").text(letter).slot(Slot::Id);
                // Answers to the cancels of all instruments are told apart by the symbol.
                let head = if verb == CANCEL_ALL { head.text("-").text(symbol) } else { head };
                let head = head.text("\",\"method\":\"").text(method).text("\",\"params\":{");
                let head = members(head, params);
                head.text(if config.door == Door::Session { "}}" } else { ",\"signature\":\"" })
            }
        };
        Self { signed, prefix, head }
    }

    fn write(
        &self,
        door: &Door,
        key: &Key,
        values: &Values,
        tail: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Frames,
    ) -> Result<(), Refusal> {
        let prefix = self.prefix.as_ref().map(|(state, taken)| (&**state, *taken));
        let bytes = &mut out.bytes;
        self.head.write(values, bytes);
        match door {
            Door::Rest { .. } => {
                scratch.clear();
                self.signed.write(values, scratch);
                bytes.extend_from_slice(scratch);
                bytes.extend_from_slice(b"&signature=");
                key.sign_text(scratch, prefix, true, bytes)?;
                bytes.extend_from_slice(tail);
            }
            Door::WebSocket => {
                scratch.clear();
                self.signed.write(values, scratch);
                key.sign_text(scratch, prefix, false, bytes)?;
                bytes.extend_from_slice(b"\"}}");
            }
            Door::Session => {}
        }
        out.end();
        Ok(())
    }
}
