//! Everything that decides, as bytes: a kernel restored from them goes on as the one that wrote them, and two kernels with
//! equal bytes give equal commands for equal events.
//!
//! What follows from the rest (reservations, lists of open orders) is left out and made anew.

use std::collections::{BTreeMap, BTreeSet};

use bytemuck::Zeroable;
use capstan_core::orders::Side;
use sha2::{Digest as _, Sha256};

use crate::book::Book;
use crate::bytes::{Corrupt, Reader, Writer};
use crate::command::{ClientId, OrderType, TimeInForce};
use crate::event::{Answer, Event, Kind, Reason, BUY, LAST, SELL, SIDE_NONE};
use crate::kernel::{Head, Kernel, Timer};
use crate::order_state::State;
use crate::orders::{Amend, NewOrder, Order, Orders};
use crate::portfolio::Position;
use crate::reconcile::{Answering, Finding};
use crate::reservations::Reservations;
use crate::swaps::{Swap, SwapChange};
use crate::targets::Target;
use crate::trades::Trades;

const VERSION: u64 = 1;

impl Kernel {
    /// Returns SHA-256 over everything that decides.
    pub fn state_hash(&self) -> [u8; 32] {
        Sha256::digest(self.state()).into()
    }

    /// Returns the state as bytes, or nothing in the middle of a message of a book, or after a change of what the
    /// kernel is made of.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let is_whole = !self.is_changed && self.unfinished.iter().all(|u| !u);
        is_whole.then(|| self.state())
    }

    fn state(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(VERSION);
        for number in [self.now_ns, self.due_ns] {
            out.i64(number);
        }
        for number in [self.events, self.epoch.into(), self.sequence.into(), self.stopping.into()] {
            out.u64(number);
        }
        out.u64(self.head.number);
        out.i64(self.head.time_s);
        out.i64(self.head.base_fee_wei);
        for book in &self.books {
            write_book(book, &mut out);
        }
        for replica in &self.replicas {
            replica.save(&mut out);
        }
        write_orders(&self.orders, &mut out);
        self.write_portfolio(&mut out);
        let trades = self.trades.sorted();
        out.u64(trades.len() as u64);
        for (trade, key) in trades {
            out.u64(trade);
            out.u64(key);
        }
        out.u64(self.swaps.len() as u64);
        for (id, swap) in &self.swaps {
            out.u64(*id);
            out.u64(swap.strategy.into());
            let change = swap.change;
            for number in [change.pool.into(), change.asset_in.into(), change.asset_out.into()] {
                out.u64(number);
            }
            out.i128(change.amount_in);
            out.i128(change.amount_out);
            out.bytes(&swap.payload);
        }
        out.u64(self.timers.len() as u64);
        for timer in &self.timers {
            out.i64(timer.at_ns);
            out.u64(timer.strategy.into());
            out.i64(timer.tag);
        }
        for wish in &self.wishes.slots {
            out.u64(wish.deferred.into());
            for side in [&wish.bids, &wish.asks] {
                // What waits for nothing is forgotten: only a wish that is looked at again decides anything.
                let kept: &[Target] = if wish.deferred { side } else { &[] };
                out.u64(kept.len() as u64);
                for target in kept {
                    out.i64(target.price);
                    out.i64(target.size);
                }
            }
        }
        self.write_reconciliation(&mut out);
        let mut gate = Vec::new();
        self.gate.save(&mut gate);
        out.bytes(&gate);
        out.bytes(&self.digest.chain);
        out.bytes(&self.digest.batch);
        out.u64(self.digest.count);
        out.0
    }

    /// Takes back what [`Kernel::snapshot`] gave, into a new kernel of the same configuration. After an error the kernel
    /// must not be used.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Corrupt> {
        let r = &mut Reader(state);
        if r.u64()? != VERSION {
            return Err(Corrupt("another version"));
        }
        (self.now_ns, self.due_ns) = (r.i64()?, r.i64()?);
        (self.events, self.epoch, self.sequence, self.stopping) = (r.u64()?, r.small()?, r.small()?, r.bool()?);
        self.head = Head { number: r.u64()?, time_s: r.i64()?, base_fee_wei: r.i64()? };
        for book in &mut self.books {
            *book = read_book(r)?;
        }
        for replica in &mut self.replicas {
            replica.restore(r)?;
        }
        self.read_orders(r)?;
        self.read_portfolio(r)?;
        self.trades = Trades::default();
        for _ in 0..r.count(16)? {
            self.trades.insert_key((r.u64()?, r.u64()?));
        }
        self.read_swaps(r)?;
        self.timers.clear();
        for _ in 0..r.count(24)? {
            self.timers.push(Timer { at_ns: r.i64()?, strategy: r.small()?, tag: r.i64()? });
        }
        for wish in &mut self.wishes.slots {
            wish.deferred = r.bool()?;
            for side in [&mut wish.bids, &mut wish.asks] {
                side.clear();
                for _ in 0..r.count(16)? {
                    side.push(Target { price: r.i64()?, size: r.i64()? });
                }
            }
        }
        self.read_reconciliation(r)?;
        self.gate.load(r.bytes()?).map_err(|_| Corrupt("the gate's part"))?;
        self.digest.chain = r.bytes()?.try_into().map_err(|_| Corrupt("the digest's part"))?;
        self.digest.batch = r.bytes()?.to_vec();
        self.digest.count = r.u64()?;
        self.unfinished.fill(false);
        if r.0.is_empty() {
            Ok(())
        } else {
            Err(Corrupt("longer than it should be"))
        }
    }

    fn read_orders(&mut self, r: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (instruments, strategies) = (self.books.len(), self.config.strategies.len());
        self.orders = Orders::new(instruments, self.config.patience.ended_kept);
        self.reservations = Reservations::new(strategies, instruments);
        for _ in 0..r.count(100)? {
            let order = read_order(r)?;
            if order.instrument as usize >= instruments || usize::from(order.strategy) >= strategies {
                return Err(Corrupt("an order of what is not configured"));
            }
            if self.orders.is_before_last(order.id) {
                return Err(Corrupt("orders out of order"));
            }
            self.orders.put(order);
            self.reservations.change(Default::default(), &order);
        }
        for _ in 0..r.count(8)? {
            let id = ClientId(r.u64()?);
            self.orders.put_ended(id).ok_or(Corrupt("an ended order that is none"))?;
        }
        Ok(())
    }

    fn write_portfolio(&self, out: &mut Writer) {
        let p = &self.portfolio;
        out.u64(p.has_derivatives.into());
        for mark in &p.marks {
            out.i64(*mark);
        }
        for (raw, opened) in p.balances.iter().zip(&p.opened) {
            out.i128(*raw);
            out.u64((*opened).into());
        }
        for raw in &p.ledger {
            out.i128(*raw);
        }
        for position in &p.positions {
            out.i64(position.lots);
            out.i128(position.cost);
            out.u64(position.volume);
        }
    }

    fn read_portfolio(&mut self, r: &mut Reader<'_>) -> Result<(), Corrupt> {
        let p = &mut self.portfolio;
        p.has_derivatives = r.bool()?;
        for mark in &mut p.marks {
            *mark = r.i64()?;
        }
        for (raw, opened) in p.balances.iter_mut().zip(&mut p.opened) {
            (*raw, *opened) = (r.i128()?, r.bool()?);
        }
        for raw in &mut p.ledger {
            *raw = r.i128()?;
        }
        for position in &mut p.positions {
            *position = Position { lots: r.i64()?, cost: r.i128()?, volume: r.u64()? };
        }
        Ok(())
    }

    fn read_swaps(&mut self, r: &mut Reader<'_>) -> Result<(), Corrupt> {
        self.swaps = BTreeMap::new();
        self.under_way.fill(Default::default());
        for _ in 0..r.count(80)? {
            let (id, strategy) = (r.u64()?, r.small::<u8>()?);
            let (pool, asset_in, asset_out) = (r.small()?, r.small::<u16>()?, r.small::<u16>()?);
            let (amount_in, amount_out) = (r.i128()?, r.i128()?);
            let assets = self.config.assets.len();
            let is_known = usize::from(asset_in) < assets && usize::from(asset_out) < assets;
            if !is_known || usize::from(strategy) >= self.config.strategies.len() {
                return Err(Corrupt("a swap of what is not configured"));
            }
            let change = SwapChange { pool, asset_in, amount_in, asset_out, amount_out };
            self.under_way(strategy, &change, 1);
            self.swaps.insert(id, Swap { strategy, change, payload: r.bytes()?.to_vec() });
        }
        Ok(())
    }

    fn write_reconciliation(&self, out: &mut Writer) {
        let own = &self.reconciliation;
        out.u64(own.pass.into());
        out.u64(own.changes.into());
        for opened in &own.opened {
            out.u64((*opened).into());
        }
        write_findings(&own.findings, out);
        out.u64(own.answer.is_some().into());
        if let Some(answer) = &own.answer {
            out.u64(answer.venue.into());
            out.i64(answer.asked_ns);
            out.u64(answer.changes.into());
            write_findings(&answer.findings, out);
            out.u64(answer.balances.len() as u64);
            for (asset, raw) in &answer.balances {
                out.u64((*asset).into());
                out.i128(*raw);
            }
            out.u64(answer.positions.len() as u64);
            for (instrument, lots) in &answer.positions {
                out.u64((*instrument).into());
                out.i64(*lots);
            }
        }
    }

    fn read_reconciliation(&mut self, r: &mut Reader<'_>) -> Result<(), Corrupt> {
        let own = &mut self.reconciliation;
        (own.pass, own.changes) = (r.small()?, r.small()?);
        for opened in &mut own.opened {
            *opened = r.bool()?;
        }
        own.findings = read_findings(r)?;
        own.answer = None;
        if r.bool()? {
            let mut answer = Answering {
                venue: r.small()?,
                asked_ns: r.i64()?,
                changes: r.small()?,
                findings: read_findings(r)?,
                balances: Vec::new(),
                positions: Vec::new(),
            };
            for _ in 0..r.count(24)? {
                answer.balances.push((r.small()?, r.i128()?));
            }
            for _ in 0..r.count(16)? {
                answer.positions.push((r.small()?, r.i64()?));
            }
            own.answer = Some(answer);
        }
        Ok(())
    }
}

/// Writes the events that make the same book.
fn write_book(book: &Book, out: &mut Writer) {
    let mut events: Vec<Event> = Vec::new();
    let (time_exchange_ns, time_local_ns) = book.times_ns();
    let base = Event { time_exchange_ns, time_local_ns, sequence: book.sequence(), ..Event::zeroed() };
    events.push(Event { kind: Kind::Clear as u8, side: SIDE_NONE, ..base });
    for (side, number) in [(Side::Buy, BUY), (Side::Sell, SELL)] {
        for (price, size) in book.levels(side) {
            events.push(Event { kind: Kind::Level as u8, side: number, price, size, ..base });
        }
    }
    if let Some(last) = events.last_mut() {
        last.flags |= LAST;
    }
    for (side, number) in [(Side::Buy, BUY), (Side::Sell, SELL)] {
        if let Some((price, size)) = book.venue_best(side) {
            events.push(Event { kind: Kind::Best as u8, side: number, price, size, ..Event::zeroed() });
        }
    }
    if let Some(trade) = book.last_trade() {
        events.push(Event {
            kind: Kind::Trade as u8,
            side: trade.side as u8,
            price: trade.price,
            size: trade.size,
            time_exchange_ns: trade.time_exchange_ns,
            ..Event::zeroed()
        });
    }
    if let Some(why) = book.staleness() {
        events.push(Event { kind: Kind::Stale as u8, aux: [why as i64, 0], ..Event::zeroed() });
    }
    out.bytes(crate::event::as_bytes(&events));
}

fn read_book(r: &mut Reader<'_>) -> Result<Book, Corrupt> {
    let mut book = Book::new();
    let bytes = r.bytes()?;
    if bytes.len() % 64 != 0 {
        return Err(Corrupt("a book of broken records"));
    }
    for record in bytes.chunks_exact(64) {
        let mut event = Event::zeroed();
        bytemuck::bytes_of_mut(&mut event).copy_from_slice(record);
        book.apply(&event);
    }
    Ok(book)
}

fn write_orders(orders: &Orders, out: &mut Writer) {
    out.u64(orders.all().count() as u64);
    for order in orders.all() {
        write_order(order, out);
    }
    let ended: Vec<ClientId> = orders.ended().map(|order| order.id).collect();
    out.u64(ended.len() as u64);
    for id in ended {
        out.u64(id.0);
    }
}

fn write_order(order: &Order, out: &mut Writer) {
    out.u64(order.id.0);
    let (state, end) = (order.state as u8, order.ending.map_or(0, |(state, _)| state as u8));
    let flags = u8::from(order.reduce_only) | u8::from(order.presumed) << 1 | u8::from(order.amend.is_some()) << 2;
    out.u64(u64::from_le_bytes([
        order.strategy,
        order.side,
        order.order_type as u8,
        order.time_in_force as u8,
        state,
        end,
        order.reason as u8,
        flags,
    ]));
    out.u64(order.instrument.into());
    out.u64(order.venue_order);
    out.u64(order.seen.into());
    let amend = order.amend.unwrap_or(Amend { price: 0, size: 0, sent_ns: 0 });
    for number in [
        order.price,
        order.size,
        order.filled,
        order.sent_ns,
        order.cancel_ns,
        order.asked_ns,
        order.ended_ns,
        order.ending.map_or(0, |(_, until)| until),
        amend.price,
        amend.size,
        amend.sent_ns,
    ] {
        out.i64(number);
    }
}

fn read_order(r: &mut Reader<'_>) -> Result<Order, Corrupt> {
    let id = ClientId(r.u64()?);
    let [strategy, side, order_type, time_in_force, state, end, reason, flags] = r.u64()?.to_le_bytes();
    let (instrument, venue_order, seen) = (r.small()?, r.u64()?, r.small()?);
    let request = NewOrder {
        instrument,
        side,
        price: r.i64()?,
        size: r.i64()?,
        order_type: *[OrderType::Limit, OrderType::LimitMaker, OrderType::Market]
            .get(usize::from(order_type))
            .ok_or(Corrupt("an order's type"))?,
        time_in_force: *[TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok]
            .get(usize::from(time_in_force))
            .ok_or(Corrupt("an order's time in force"))?,
        reduce_only: flags & 1 != 0,
    };
    let known = |code: u8| State::ALL.get(usize::from(code).wrapping_sub(1)).copied();
    let mut order = Order::new(id, strategy, &request, 0);
    order.state = known(state).ok_or(Corrupt("an order's state"))?;
    order.reason = reason_of(reason)?;
    order.presumed = flags & 2 != 0;
    (order.venue_order, order.seen) = (venue_order, seen);
    (order.filled, order.sent_ns, order.cancel_ns) = (r.i64()?, r.i64()?, r.i64()?);
    (order.asked_ns, order.ended_ns) = (r.i64()?, r.i64()?);
    let until = r.i64()?;
    order.ending = known(end).map(|state| (state, until));
    let amend = Amend { price: r.i64()?, size: r.i64()?, sent_ns: r.i64()? };
    order.amend = (flags & 4 != 0).then_some(amend);
    Ok(order)
}

fn reason_of(code: u8) -> Result<Reason, Corrupt> {
    Answer::unpack(1 | i64::from(code) << 16).map(|a| a.reason).ok_or(Corrupt("an order's reason"))
}

fn write_findings(findings: &BTreeSet<Finding>, out: &mut Writer) {
    out.u64(findings.len() as u64);
    for finding in findings {
        let (code, venue) = (u64::from(finding.code()), u64::from(finding.venue()));
        let (number, [first, second]) = finding.figures();
        for word in [code, venue, number] {
            out.u64(word);
        }
        out.i128(first);
        out.i128(second);
    }
}

fn read_findings(r: &mut Reader<'_>) -> Result<BTreeSet<Finding>, Corrupt> {
    let mut findings = BTreeSet::new();
    for _ in 0..r.count(56)? {
        let (code, venue, number) = (r.small()?, r.small()?, r.u64()?);
        let figures = [r.i128()?, r.i128()?];
        findings.insert(Finding::from_figures(code, venue, number, figures).ok_or(Corrupt("a finding"))?);
    }
    Ok(findings)
}
