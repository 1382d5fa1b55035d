//! Every order of ours, by the id we gave it: a slab with handles, open orders by instrument and age.

use std::collections::VecDeque;

use crate::command::{ClientId, OrderType, TimeInForce};
use crate::event::{Reason, BUY};
use crate::order_state::State;

pub use crate::risk::NewOrder;

/// A change of price and size that the venue has not answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amend {
    pub price: i64,
    pub size: i64,
    pub sent_ns: i64,
}

/// One order and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub id: ClientId,
    pub strategy: u8,
    pub instrument: u32,
    pub side: u8,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub reduce_only: bool,
    pub state: State,
    /// Why the venue refused or ended it.
    pub reason: Reason,
    pub price: i64,
    /// Lots in all, filled ones included.
    pub size: i64,
    pub filled: i64,
    pub venue_order: u64,
    pub sent_ns: i64,
    /// When its cancel was last asked for; 0 while it is wanted.
    pub cancel_ns: i64,
    /// When it was last asked about; 0 for never.
    pub asked_ns: i64,
    /// An end that waits for trades until so many lots are filled.
    pub ending: Option<(State, i64)>,
    pub amend: Option<Amend>,
    /// When it ended; 0 while it is open.
    pub ended_ns: i64,
    /// The end was concluded from the venue not knowing the order, not told by it.
    pub presumed: bool,
    /// The reconciliation pass that last saw it at the venue.
    pub seen: u32,
}

impl Order {
    #[inline]
    pub fn is_buy(&self) -> bool {
        self.side == BUY
    }

    /// Returns an order that is about to be sent.
    pub(crate) fn new(id: ClientId, strategy: u8, request: &NewOrder, now_ns: i64) -> Self {
        Self {
            id,
            strategy,
            instrument: request.instrument,
            side: request.side,
            order_type: request.order_type,
            time_in_force: request.time_in_force,
            reduce_only: request.reduce_only,
            state: State::Pending,
            reason: Reason::None,
            price: request.price,
            size: request.size,
            filled: 0,
            venue_order: 0,
            sent_ns: now_ns,
            cancel_ns: 0,
            asked_ns: 0,
            ending: None,
            amend: None,
            ended_ns: 0,
            presumed: false,
            seen: 0,
        }
    }

    /// Returns the lots that may still trade, the larger of what rests and what an amend under way would make of it.
    #[inline]
    pub fn open_lots(&self) -> i64 {
        if !self.state.is_open() {
            return 0;
        }
        let size = self.amend.map_or(self.size, |a| a.size.max(self.size));
        (size - self.filled).max(0)
    }

    /// Returns the most that an open lot may cost (buys) or the least it may bring (sells), in ticks.
    #[inline]
    pub fn worst_price(&self) -> i64 {
        match self.amend {
            Some(amend) if self.is_buy() => amend.price.max(self.price),
            Some(amend) => amend.price.min(self.price),
            None => self.price,
        }
    }

    /// Returns whether it is meant to stay in the book: it rests until cancelled and no cancel is under way.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.state.is_open() && self.cancel_ns == 0 && self.time_in_force == TimeInForce::Gtc
    }
}

const NONE: u32 = u32::MAX;

/// The orders of one run. Ended ones are kept for late reports, the oldest of them forgotten first.
#[derive(Debug, Clone)]
pub struct Orders {
    slab: Vec<Order>,
    free: Vec<u32>,
    /// Handle by `sequence - first_sequence`.
    by_sequence: VecDeque<u32>,
    first_sequence: u32,
    /// Handles of open orders by instrument, oldest first.
    open: Vec<Vec<u32>>,
    open_count: usize,
    /// Ended orders, oldest end first.
    ended: VecDeque<u32>,
    ended_kept: usize,
}

impl Orders {
    pub fn new(instruments: usize, ended_kept: u32) -> Self {
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            by_sequence: VecDeque::new(),
            first_sequence: 1,
            open: vec![Vec::new(); instruments],
            open_count: 0,
            ended: VecDeque::new(),
            ended_kept: ended_kept as usize,
        }
    }

    /// Returns the order with this id, if it is known.
    #[inline]
    pub fn get(&self, id: ClientId) -> Option<&Order> {
        self.handle(id).map(|h| &self.slab[h as usize])
    }

    /// Returns the handle of the order with this id: good until the order has ended and is forgotten.
    #[inline]
    pub fn handle(&self, id: ClientId) -> Option<u32> {
        let at = id.sequence().checked_sub(self.first_sequence)?;
        let handle = *self.by_sequence.get(at as usize)?;
        (handle != NONE && self.slab[handle as usize].id == id).then_some(handle)
    }

    #[inline]
    pub fn at(&self, handle: u32) -> &Order {
        &self.slab[handle as usize]
    }

    /// Returns handles of the orders that the venue may still hold, oldest first.
    #[inline]
    pub fn open_handles(&self, instrument: u32) -> &[u32] {
        self.open.get(instrument as usize).map_or(&[], Vec::as_slice)
    }

    /// Returns the orders that the venue may still hold, oldest first.
    pub fn open_of(&self, instrument: u32) -> impl Iterator<Item = &Order> + '_ {
        self.open_handles(instrument).iter().map(|h| &self.slab[*h as usize])
    }

    /// Returns every order that a venue may still hold, by instrument, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Order> + '_ {
        self.open.iter().flatten().map(|h| &self.slab[*h as usize])
    }

    #[inline]
    pub fn open_count(&self) -> usize {
        self.open_count
    }

    /// Returns every order that is remembered, in the order they were placed.
    pub fn all(&self) -> impl Iterator<Item = &Order> + '_ {
        self.by_sequence.iter().filter(|h| **h != NONE).map(|h| &self.slab[*h as usize])
    }

    /// Returns the ended orders that are remembered, in the order in which they ended.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Order> + '_ {
        self.ended.iter().map(|h| &self.slab[*h as usize])
    }

    /// Returns whether an order's sequence is not above every other's.
    pub(crate) fn is_before_last(&self, id: ClientId) -> bool {
        let next = u64::from(self.first_sequence) + self.by_sequence.len() as u64;
        u64::from(id.sequence()) < if self.by_sequence.is_empty() { 1 } else { next }
    }

    /// Puts an order back that a snapshot holds; ended ones are listed by [`Orders::put_ended`] afterwards.
    pub(crate) fn put(&mut self, order: Order) {
        if self.by_sequence.is_empty() {
            self.first_sequence = order.id.sequence();
        }
        let handle = self.add(order);
        if !order.state.is_open() {
            self.open[order.instrument as usize].pop();
            self.open_count -= 1;
        }
        debug_assert_eq!(self.handle(order.id), Some(handle));
    }

    /// Lists an order as ended, after those listed before; nothing when it is not one.
    pub(crate) fn put_ended(&mut self, id: ClientId) -> Option<()> {
        let handle = self.handle(id).filter(|h| !self.slab[*h as usize].state.is_open())?;
        self.ended.push_back(handle);
        Some(())
    }

    pub(crate) fn at_mut(&mut self, handle: u32) -> &mut Order {
        &mut self.slab[handle as usize]
    }

    /// Records an order before it is sent. Its sequence is greater than that of every order before.
    pub(crate) fn add(&mut self, order: Order) -> u32 {
        let handle = match self.free.pop() {
            Some(handle) => {
                self.slab[handle as usize] = order;
                handle
            }
            None => {
                self.slab.push(order);
                (self.slab.len() - 1) as u32
            }
        };
        let at = (order.id.sequence() - self.first_sequence) as usize;
        while self.by_sequence.len() < at {
            self.by_sequence.push_back(NONE); // Sequences that swaps took.
        }
        self.by_sequence.push_back(handle);
        self.open[order.instrument as usize].push(handle);
        self.open_count += 1;
        handle
    }

    /// Moves an order that has ended out of the open ones; forgets the oldest ended one when there are too many.
    pub(crate) fn close(&mut self, handle: u32) {
        let open = &mut self.open[self.slab[handle as usize].instrument as usize];
        if let Some(at) = open.iter().position(|h| *h == handle) {
            open.remove(at);
            self.open_count -= 1;
            self.ended.push_back(handle);
        }
        if self.ended.len() > self.ended_kept {
            if let Some(oldest) = self.ended.pop_front() {
                let at = self.slab[oldest as usize].id.sequence() - self.first_sequence;
                self.by_sequence[at as usize] = NONE;
                self.free.push(oldest);
            }
            while self.by_sequence.front() == Some(&NONE) {
                self.by_sequence.pop_front();
                self.first_sequence += 1;
            }
        }
    }
}
