use super::error::FeedError;
use super::layout::Layout;
use super::message::{clear, find_symbol, levels, nanoseconds, Fields, Values};
use super::sync::{Ids, Sync, Verdict};
use crate::book::Staleness;
use crate::event::{Event, Kind, BUY, EXCHANGE, LAST, LOCAL, SELL, SIDE_NONE, SNAPSHOT};
use bytemuck::Zeroable;
use capstan_core::grid::{Finer, Grid};
use capstan_core::json::{Cursor, JsonError};
use std::collections::BTreeMap;

/// How many forms of messages are learnt; more are read the general way.
const LAYOUTS_MAX: usize = 64;

/// One instrument whose messages come over this connection.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the venue writes it.
    pub symbol: String,
    /// What events call it.
    pub instrument: u32,
    /// Prices must lie on it, marks are rounded down to it.
    pub tick: Grid,
    /// Sizes are rounded down to it.
    pub lot: Grid,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Records were appended.
    Events,
    /// The book has it already.
    Old,
    /// A diff waits for a snapshot, which the caller should ask for.
    Kept,
    /// Updates are missing: a [`Kind::Stale`] record was appended, and the caller should ask for a snapshot.
    Gap,
    /// The snapshot is older than the diffs that wait: the caller should ask for a newer one.
    TooOld,
    /// No market data (a reply, a kind of message that is not ours).
    Ignored,
}

/// Decodes one connection's messages. See the module.
#[derive(Debug)]
pub struct Decoder {
    feeds: Vec<Feed>,
    by_symbol: BTreeMap<Vec<u8>, usize>,
    by_instrument: BTreeMap<u32, usize>,
    /// Whose message came last: the likeliest for the next.
    latest: usize,
    /// Forms of messages that were seen.
    layouts: Vec<Layout>,
    /// How far our clock was behind the venue's sending at the last message that told its time.
    lag_ns: i64,
}

#[derive(Debug)]
struct Feed {
    source: Source,
    sync: Sync,
    /// Time and rate of the next funding, as last announced.
    funding: Option<(u64, i64)>,
    time_exchange_ns: i64,
}

/// What a message says outside its levels, once they are read.
struct Head {
    feed: usize,
    template: Event,
}

impl Decoder {
    /// Returns a decoder of these sources, all waiting for a snapshot. Of two with one symbol the last counts.
    pub fn new(sources: Vec<Source>) -> Self {
        let by_symbol = sources.iter().enumerate().map(|(n, s)| (s.symbol.as_bytes().to_vec(), n)).collect();
        let by_instrument = sources.iter().enumerate().map(|(n, s)| (s.instrument, n)).collect();
        let feed = |source| Feed { source, sync: Sync::new(), funding: None, time_exchange_ns: 0 };
        Self {
            feeds: sources.into_iter().map(feed).collect(),
            by_symbol,
            by_instrument,
            latest: 0,
            layouts: Vec::new(),
            lag_ns: 0,
        }
    }

    /// Reads a message that came at `time_local_ns` and appends its records. `asked` names the instrument of an answer to a
    /// question (a REST snapshot does not say whose it is).
    pub fn decode(
        &mut self,
        message: &[u8],
        time_local_ns: i64,
        asked: Option<u32>,
        out: &mut Vec<Event>,
    ) -> Result<Outcome, FeedError> {
        let start = out.len();
        let outcome = match self.read_known(message, time_local_ns, asked, out, start) {
            Some(outcome) => outcome,
            None => self.read(message, time_local_ns, asked, out, start),
        };
        if !matches!(outcome, Ok(Outcome::Events | Outcome::Gap)) {
            out.truncate(start);
        }
        outcome
    }

    /// Declares every book stale: the connection was lost.
    pub fn disconnected(&mut self, time_local_ns: i64, out: &mut Vec<Event>) {
        for at in 0..self.feeds.len() {
            self.lose(at, Staleness::Disconnected, time_local_ns, out);
        }
    }

    /// Declares one book stale until the next snapshot: somebody found it wrong.
    pub fn invalidate(&mut self, instrument: u32, why: Staleness, time_local_ns: i64, out: &mut Vec<Event>) {
        if let Some(at) = self.by_instrument.get(&instrument) {
            self.lose(*at, why, time_local_ns, out);
        }
    }

    /// Returns whether an instrument's book is known and followed.
    pub fn is_following(&self, instrument: u32) -> bool {
        self.by_instrument.get(&instrument).is_some_and(|at| self.feeds[*at].sync.is_following())
    }

    fn lose(&mut self, at: usize, why: Staleness, time_local_ns: i64, out: &mut Vec<Event>) {
        let feed = &mut self.feeds[at];
        if feed.sync.is_following() {
            out.push(feed.stale(why, time_local_ns));
        }
        feed.sync.lose();
    }

    /// Reads a message whose form is known; nothing when it is not.
    #[inline]
    fn read_known(
        &mut self,
        message: &[u8],
        time_local_ns: i64,
        asked: Option<u32>,
        out: &mut Vec<Event>,
        start: usize,
    ) -> Option<Result<Outcome, FeedError>> {
        if asked.is_some() {
            return None;
        }
        for layout in &mut self.layouts {
            let Some(first) = layout.begins(message) else { continue };
            let feed = &mut self.feeds[layout.feed];
            let lag_ns = self.lag_ns;
            let template = |values: &Values| feed.template(values, lag_ns, time_local_ns);
            if let Some(template) = layout.read(message, first, &feed.source, template, out) {
                self.latest = layout.feed;
                return Some(feed.finish(layout.kind, &layout.values, template, &mut self.lag_ns, out, start));
            }
            out.truncate(start);
        }
        None
    }

    fn read(
        &mut self,
        message: &[u8],
        time_local_ns: i64,
        asked: Option<u32>,
        out: &mut Vec<Event>,
        start: usize,
    ) -> Result<Outcome, FeedError> {
        if let Err(e) = std::str::from_utf8(message) {
            return Err(FeedError::Malformed { expected: "UTF-8", at: e.valid_up_to() });
        }
        let asked = match asked {
            None => None,
            Some(instrument) => {
                Some(*self.by_instrument.get(&instrument).ok_or(FeedError::Unexpected("no such instrument"))?)
            }
        };
        let mut reader = Reader { decoder: self, time_local_ns, asked, stream: None, head: None, bad: None };
        let mut fields = Fields::default();
        let mut cursor = Cursor::new(message);
        let (mut wrapped, mut bare) = (false, false);
        let whole = cursor.clone();
        let read = cursor.object(|c, key| match key {
            b"data" if c.peek() == Some(b'{') => {
                if std::mem::replace(&mut wrapped, true) {
                    return c.fail("one data field");
                }
                let object = c.clone();
                c.object(|c, key| reader.field(c, key, &object, &mut fields, out))
            }
            b"stream" => {
                reader.stream = Some(c.string()?);
                Ok(())
            }
            _ => {
                bare = true;
                reader.field(c, key, &whole, &mut fields, out)
            }
        });
        if let Err(e) = read.and_then(|()| cursor.end()) {
            return Err(reader.bad.unwrap_or_else(|| e.into()));
        }
        if wrapped && bare {
            return Err(FeedError::Unexpected("a wrapped message has fields beside stream and data"));
        }
        let Some(kind) = kind_of(&fields) else { return Ok(Outcome::Ignored) };
        let head = match reader.head.take() {
            Some(head) => head,
            None => reader.head(&fields, &[])?,
        };
        self.latest = head.feed;
        let feed = &mut self.feeds[head.feed];
        let values = if kind == Message::Mark {
            feed.mark(&fields, head.template, message, out)?;
            fields.head()
        } else {
            fields.values(message, &feed.source.tick, &feed.source.lot)?
        };
        let mut lag_ns = self.lag_ns;
        let outcome = feed.finish(kind, &values, head.template, &mut lag_ns, out, start);
        if asked.is_none() {
            self.lag_ns = lag_ns;
        }
        if outcome.is_ok() && asked.is_none() && self.layouts.len() < LAYOUTS_MAX {
            let learnt = Layout::learn(message, head.feed, kind);
            self.layouts.extend(learnt.filter(|new| !self.layouts.iter().any(|known| known.is_same(new))));
        }
        outcome
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    Diff,
    Snapshot,
    Trade,
    Best,
    Mark,
}

#[inline]
fn kind_of(fields: &Fields<'_>) -> Option<Message> {
    match fields.event {
        Some(b"depthUpdate") => Some(Message::Diff),
        Some(b"trade" | b"aggTrade") => Some(Message::Trade),
        Some(b"bookTicker") => Some(Message::Best),
        Some(b"markPriceUpdate") => Some(Message::Mark),
        Some(_) => None,
        None if fields.snapshot_id.is_some() => Some(Message::Snapshot),
        // Spot sends its BBO without a name.
        None if fields.bid.is_some() && fields.ask.is_some() => Some(Message::Best),
        None if fields.has_bids || fields.has_asks => Some(Message::Snapshot),
        None => None,
    }
}

/// Reads the fields of one message.
struct Reader<'d, 'a> {
    decoder: &'d Decoder,
    time_local_ns: i64,
    asked: Option<usize>,
    stream: Option<&'a [u8]>,
    head: Option<Head>,
    bad: Option<FeedError>,
}

impl<'a> Reader<'_, 'a> {
    #[inline]
    fn field(
        &mut self,
        c: &mut Cursor<'a>,
        key: &[u8],
        object: &Cursor<'a>,
        fields: &mut Fields<'a>,
        out: &mut Vec<Event>,
    ) -> Result<(), JsonError> {
        let (side, snapshot) = match key {
            b"b" => (BUY, false),
            b"a" => (SELL, false),
            b"bids" => (BUY, true),
            b"asks" => (SELL, true),
            _ => return fields.take(c, key),
        };
        if c.peek() != Some(b'[') {
            return fields.take(c, key);
        }
        if fields.event.is_some_and(|event| event != b"depthUpdate") {
            return c.skip();
        }
        let seen = if side == BUY { &mut fields.has_bids } else { &mut fields.has_asks };
        if std::mem::replace(seen, true) {
            // A second list under the other name would silently overwrite the first.
            return c.fail("one list of levels a side");
        }
        let read = self.levels(c, side, snapshot, object, fields, out);
        read.map_err(|bad| {
            self.bad = Some(bad);
            JsonError { expected: "levels", at: c.at() }
        })
    }

    fn levels(
        &mut self,
        c: &mut Cursor<'a>,
        side: u8,
        snapshot: bool,
        object: &Cursor<'a>,
        fields: &Fields<'a>,
        out: &mut Vec<Event>,
    ) -> Result<(), FeedError> {
        if self.head.is_none() {
            let head = self.head(fields, find_symbol_if_missing(fields, object))?;
            if snapshot {
                out.push(clear(&head.template));
            }
            self.head = Some(head);
        }
        let Some(head) = &self.head else { return Ok(()) };
        let source = &self.decoder.feeds[head.feed].source;
        let flags = head.template.flags | if snapshot { SNAPSHOT } else { 0 };
        let template = Event { side, flags, ..head.template };
        levels(c, &source.tick, &source.lot, &template, out)
    }

    /// Finds whose message this is and what all its records have in common, as far as is known yet.
    fn head(&self, fields: &Fields<'a>, ahead: &[u8]) -> Result<Head, FeedError> {
        let symbol = fields.symbol.unwrap_or(ahead);
        let feed = self.feed(symbol)?;
        let decoder = self.decoder;
        let template = decoder.feeds[feed].template(&fields.head(), decoder.lag_ns, self.time_local_ns);
        Ok(Head { feed, template })
    }

    #[inline]
    fn feed(&self, symbol: &[u8]) -> Result<usize, FeedError> {
        let decoder = self.decoder;
        if let Some(asked) = self.asked {
            let ours = &decoder.feeds[asked].source.symbol;
            if symbol.is_empty() || symbol == ours.as_bytes() {
                return Ok(asked);
            }
            return Err(FeedError::UnknownSymbol(String::from_utf8_lossy(symbol).into_owned()));
        }
        if decoder.feeds.get(decoder.latest).is_some_and(|feed| feed.source.symbol.as_bytes() == symbol) {
            return Ok(decoder.latest);
        }
        if let Some(at) = decoder.by_symbol.get(symbol) {
            return Ok(*at);
        }
        let name = self.stream.and_then(|stream| stream.split(|b| *b == b'@').next()).unwrap_or_default();
        if symbol.is_empty() {
            if let Some(at) = decoder.by_symbol.get(&name.to_ascii_uppercase()) {
                return Ok(*at);
            }
        }
        let symbol = if symbol.is_empty() { name } else { symbol };
        Err(FeedError::UnknownSymbol(String::from_utf8_lossy(symbol).into_owned()))
    }
}

#[inline]
fn find_symbol_if_missing<'a>(fields: &Fields<'a>, object: &Cursor<'a>) -> &'a [u8] {
    if fields.symbol.is_some() {
        return &[];
    }
    find_symbol(object).unwrap_or_default()
}

impl Feed {
    /// Returns what all records of a message have in common, as far as is known yet.
    #[inline(always)]
    fn template(&self, values: &Values, lag_ns: i64, time_local_ns: i64) -> Event {
        let time_exchange_ns = values.time_ns().unwrap_or_else(|| {
            // Spot's BBO and snapshots tell no time: they were sent about as long ago as the last message that did.
            time_local_ns.saturating_sub(lag_ns).max(self.time_exchange_ns)
        });
        let (sequence, aux) = values.ids();
        Event {
            time_exchange_ns,
            time_local_ns,
            instrument: self.source.instrument,
            kind: Kind::Level as u8,
            side: SIDE_NONE,
            flags: EXCHANGE | LOCAL,
            sequence,
            aux,
            ..Event::zeroed()
        }
    }

    /// Does with a message's values and levels what its kind asks for.
    #[inline(always)]
    fn finish(
        &mut self,
        kind: Message,
        values: &Values,
        template: Event,
        lag_ns: &mut i64,
        out: &mut Vec<Event>,
        start: usize,
    ) -> Result<Outcome, FeedError> {
        let outcome = match kind {
            Message::Diff => self.diff(values, template, out, start),
            Message::Snapshot => self.snapshot(values, template, out, start),
            Message::Trade => self.trade(values, template, out),
            Message::Best => self.best(values, template, out),
            Message::Mark => Ok(Outcome::Events),
        }?;
        self.time_exchange_ns = self.time_exchange_ns.max(template.time_exchange_ns);
        // What happened and was sent at one time is told by a T alone; the lag is only missed where there is none.
        if values.event_time != 0 && (values.transact_time == 0 || kind == Message::Trade) {
            *lag_ns = template.time_local_ns.saturating_sub(nanoseconds(values.event_time));
        }
        Ok(outcome)
    }

    fn stale(&self, why: Staleness, time_local_ns: i64) -> Event {
        Event {
            time_exchange_ns: self.time_exchange_ns,
            time_local_ns,
            instrument: self.source.instrument,
            kind: Kind::Stale as u8,
            side: SIDE_NONE,
            flags: EXCHANGE | LOCAL | LAST,
            aux: [why as i64, 0],
            ..Event::zeroed()
        }
    }

    fn diff(
        &mut self,
        values: &Values,
        template: Event,
        out: &mut Vec<Event>,
        start: usize,
    ) -> Result<Outcome, FeedError> {
        let (Some(first), Some(last)) = (values.first_id, values.last_id) else {
            return Err(FeedError::Unexpected("expected a depthUpdate with U and u"));
        };
        if first > last {
            return Err(FeedError::Unexpected("U is greater than u"));
        }
        if !values.has_bids || !values.has_asks {
            return Err(FeedError::Unexpected("expected bids and asks"));
        }
        finish(values, template, &mut out[start..]);
        let ids = Ids { first, last, previous: values.previous_id };
        match self.sync.take(&ids) {
            Verdict::Apply => Ok(Outcome::Events),
            Verdict::Old => Ok(Outcome::Old),
            Verdict::Keep => {
                self.sync.keep(ids, &out[start..]);
                Ok(Outcome::Kept)
            }
            Verdict::Gap => {
                self.sync.lose();
                self.sync.keep(ids, &out[start..]);
                out.truncate(start);
                out.push(self.stale(Staleness::Gap, template.time_local_ns));
                Ok(Outcome::Gap)
            }
        }
    }

    fn snapshot(
        &mut self,
        values: &Values,
        template: Event,
        out: &mut Vec<Event>,
        start: usize,
    ) -> Result<Outcome, FeedError> {
        let Some(id) = values.snapshot_id else {
            return Err(FeedError::Unexpected("expected a snapshot with lastUpdateId"));
        };
        if !values.has_bids || !values.has_asks {
            return Err(FeedError::Unexpected("expected bids and asks"));
        }
        if self.sync.is_past(id) {
            return Ok(Outcome::Old);
        }
        finish(values, template, &mut out[start..]);
        let kept_from = out.len();
        if !self.sync.load(id, out) {
            return Ok(Outcome::TooOld);
        }
        // The diffs that waited are known from now on, and the book is whole once they are in.
        if out.len() > kept_from {
            for event in &mut out[kept_from - 1..] {
                event.flags &= !LAST;
            }
            for event in &mut out[kept_from..] {
                event.time_local_ns = template.time_local_ns;
            }
            if let Some(event) = out.last_mut() {
                event.flags |= LAST;
            }
        }
        Ok(Outcome::Events)
    }

    #[inline]
    fn trade(&self, values: &Values, template: Event, out: &mut Vec<Event>) -> Result<Outcome, FeedError> {
        let (Some(price), Some(size), Some(buyer_is_maker)) = (values.price, values.quantity, values.buyer_is_maker)
        else {
            return Err(FeedError::Unexpected("expected a trade with p, q and m"));
        };
        if price == 0 {
            return Ok(Outcome::Ignored); // Seen on futures as X = "NA": no trade at all.
        }
        out.push(Event {
            kind: Kind::Trade as u8,
            side: if buyer_is_maker { SELL } else { BUY },
            flags: template.flags | LAST,
            price,
            size,
            sequence: values.trade_id.unwrap_or(0),
            ..template
        });
        Ok(Outcome::Events)
    }

    #[inline]
    fn best(&self, values: &Values, template: Event, out: &mut Vec<Event>) -> Result<Outcome, FeedError> {
        let (Some(bid), Some(bid_size), Some(ask), Some(ask_size)) =
            (values.bid, values.bid_size, values.ask, values.ask_size)
        else {
            return Err(FeedError::Unexpected("expected a best price of both sides"));
        };
        let kind = Kind::Best as u8;
        out.push(Event { kind, side: BUY, price: bid, size: bid_size, ..template });
        out.push(Event { kind, side: SELL, flags: template.flags | LAST, price: ask, size: ask_size, ..template });
        Ok(Outcome::Events)
    }

    /// Reads mark, index and the funding to come. Funding is due when the next one announced is a later one.
    fn mark(
        &mut self,
        fields: &Fields<'_>,
        template: Event,
        message: &[u8],
        out: &mut Vec<Event>,
    ) -> Result<Outcome, FeedError> {
        let Some(mark) = fields.price else {
            return Err(FeedError::Unexpected("expected a mark price"));
        };
        let next = fields.transact_time; // When funding is due.
        let price = read(&self.source.tick, message, mark, Finer::Dropped, "mark price")?;
        let index = match fields.index {
            Some(at) if message.get(at) != Some(&b'"') => {
                Some(read(&self.source.tick, message, at, Finer::Dropped, "index price")?)
            }
            _ => None,
        };
        let rate = match fields.rate {
            Some(text) if !text.is_empty() && next != 0 => Some(funding_rate(text)?),
            _ => None,
        };
        let event = Event { price, ..template };
        if let Some((due, rate)) = self.funding.filter(|(due, _)| next > *due && fields.event_time >= *due) {
            let time_exchange_ns = nanoseconds(due);
            out.push(Event { kind: Kind::Funding as u8, time_exchange_ns, aux: [rate, 0], ..event });
        }
        if let Some(rate) = rate {
            self.funding = Some((next, rate));
        }
        let last = if index.is_some() { 0 } else { LAST };
        out.push(Event { kind: Kind::Mark as u8, flags: event.flags | last, ..event });
        if let Some(price) = index {
            out.push(Event { kind: Kind::Index as u8, flags: event.flags | LAST, price, ..event });
        }
        Ok(Outcome::Events)
    }
}

#[inline]
fn read(grid: &Grid, message: &[u8], at: usize, finer: Finer, what: &'static str) -> Result<i64, FeedError> {
    match grid.read_quoted(message, at, finer) {
        Ok((count, _)) => Ok(count),
        Err(why) => Err(FeedError::Number { what, at, why }),
    }
}

/// Reads a signed rate into 1e-12.
fn funding_rate(text: &[u8]) -> Result<i64, FeedError> {
    let failed = |why| FeedError::Number { what: "funding rate", at: 0, why };
    let grid = Grid::new("0.000000000001").map_err(failed)?;
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    Ok(sign * grid.count_down(digits).map_err(failed)?)
}

/// Gives all records of a message what was read after its levels, if anything, and marks the last one.
#[inline]
fn finish(values: &Values, template: Event, events: &mut [Event]) {
    let (sequence, aux) = values.ids();
    let time_exchange_ns = values.time_ns().unwrap_or(template.time_exchange_ns);
    if (sequence, aux, time_exchange_ns) != (template.sequence, template.aux, template.time_exchange_ns) {
        for event in events.iter_mut() {
            event.sequence = sequence;
            event.aux = aux;
            event.time_exchange_ns = time_exchange_ns;
        }
    }
    if let Some(event) = events.last_mut() {
        event.flags |= LAST;
    }
}
