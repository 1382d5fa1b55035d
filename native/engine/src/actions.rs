//! What strategies and people do: orders, amends, cancels, timers, stages. Each takes effect at once; the world learns
//! of it when the commands are taken.

use crate::command::{ClientId, Command, Kind};
use crate::gate::refusal;
use crate::instrument::Contract;
use crate::kernel::{Kernel, Timer};
use crate::order_state::State;
use crate::orders::{Amend, NewOrder, Order};
use crate::risk::{Rejection, Rule};

impl Kernel {
    /// Puts an order through the gate; records it and commands it, or commands the refusal.
    pub fn place(&mut self, strategy: u8, request: NewOrder) -> Result<ClientId, Rejection> {
        // No spot venue keeps a sell within what is held: what no venue would obey is refused, wherever it runs.
        let instrument = self.config.instruments.get(request.instrument as usize);
        let is_spot = instrument.is_some_and(|terms| terms.contract == Contract::Spot);
        let possible = if request.reduce_only && is_spot {
            Err(refusal(Rule::CannotReduce, request.instrument.into()))
        } else {
            Ok(())
        };
        let judged = possible.and_then(|()| self.judge(strategy, &request, None));
        match judged.and_then(|()| self.next_id(strategy)) {
            Ok(id) => {
                self.enter(id, strategy, &request);
                Ok(id)
            }
            Err(rejection) => {
                self.reject(strategy, &request, rejection);
                Err(rejection)
            }
        }
    }

    /// Records an order that passed and commands it.
    pub(crate) fn enter(&mut self, id: ClientId, strategy: u8, request: &NewOrder) {
        let order = Order::new(id, strategy, request, self.now_ns);
        let handle = self.orders.add(order);
        self.reservations.change(Default::default(), self.orders.at(handle));
        self.due(self.now_ns + self.config.patience.ask_after_ns);
        self.commands.push(Command {
            client_id: id.0,
            price: order.price,
            size: order.size,
            instrument: order.instrument,
            side: order.side,
            order_type: order.order_type as u8,
            time_in_force: order.time_in_force as u8,
            reduce_only: u8::from(order.reduce_only),
            strategy,
            ..self.command(Kind::Place)
        });
    }

    /// Changes price and size (filled lots included) of a resting order in one message. One change at a time.
    pub fn amend(&mut self, id: ClientId, price: i64, size: i64) -> Result<(), Rejection> {
        let refused = |rule| refusal(rule, id.0 as i64);
        let handle = self.orders.handle(id).ok_or(refused(Rule::NotOpen))?;
        let order = *self.orders.at(handle);
        let request = NewOrder {
            instrument: order.instrument,
            side: order.side,
            price,
            size,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            reduce_only: order.reduce_only,
        };
        let venue = self.config.instruments[order.instrument as usize].venue;
        let is_settled = matches!(order.state, State::Accepted | State::PartiallyFilled);
        let judged = if !is_settled || !order.is_wanted() || order.amend.is_some() || order.ending.is_some() {
            Err(refused(Rule::NotOpen))
        } else if !self.config.venues[usize::from(venue)].can_amend {
            Err(refused(Rule::CannotAmend))
        } else if size <= order.filled {
            Err(Rejection { rule: Rule::OrderSize, figure: size, limit: order.filled })
        } else {
            self.judge(order.strategy, &NewOrder { size: size - order.filled, ..request }, Some(&order))
        };
        if let Err(rejection) = judged {
            self.reject(order.strategy, &request, rejection);
            return Err(rejection);
        }
        let sent_ns = self.now_ns;
        self.change(handle, |order| order.amend = Some(Amend { price, size, sent_ns }));
        self.due(sent_ns + self.config.patience.ask_after_ns);
        self.commands.push(Command {
            client_id: id.0,
            price,
            size,
            instrument: order.instrument,
            side: order.side,
            order_type: order.order_type as u8,
            time_in_force: order.time_in_force as u8,
            reduce_only: u8::from(order.reduce_only),
            strategy: order.strategy,
            ..self.command(Kind::Amend)
        });
        Ok(())
    }

    /// Commands a cancel; cancels always pass. Asked for again while one is under way, it is not sent twice; the kernel
    /// itself repeats it until the order ends.
    pub fn cancel(&mut self, id: ClientId) {
        let Some(handle) = self.orders.handle(id) else { return };
        let order = self.orders.at(handle);
        let is_asked = order.cancel_ns != 0 && self.now_ns - order.cancel_ns < self.config.patience.cancel_again_ns;
        if order.state.is_open() && !is_asked {
            let venue = self.config.instruments[order.instrument as usize].venue;
            self.gate.count_message(venue, self.now_ns);
            self.push_cancel(handle);
        }
    }

    /// Wakes a strategy at an instant with a tag that is not zero.
    pub fn timer(&mut self, strategy: u8, at_ns: i64, tag: i64) {
        let timer = Timer { at_ns, strategy, tag: if tag == 0 { 1 } else { tag } };
        self.timers.push(timer);
        self.push_timer(timer);
    }

    pub(crate) fn push_timer(&mut self, timer: Timer) {
        let mut command = self.command(Kind::Timer);
        (command.strategy, command.aux) = (timer.strategy, [timer.at_ns, timer.tag]);
        self.commands.push(command);
    }

    pub(crate) fn push_cancel(&mut self, handle: u32) {
        let now_ns = self.now_ns;
        let order = self.orders.at_mut(handle);
        order.cancel_ns = now_ns.max(1);
        let (id, instrument, strategy, side) = (order.id, order.instrument, order.strategy, order.side);
        self.due(now_ns + self.config.patience.cancel_again_ns);
        self.commands.push(Command { client_id: id.0, instrument, strategy, side, ..self.command(Kind::Cancel) });
    }

    /// Returns the id of the next order or swap.
    pub(crate) fn next_id(&mut self, strategy: u8) -> Result<ClientId, Rejection> {
        let sequence = self.sequence + 1;
        let id = ClientId::new(self.config.run, self.epoch, strategy, sequence);
        let id = id.ok_or(refusal(Rule::Ids, sequence.into()))?;
        self.sequence = sequence;
        Ok(id)
    }

    pub(crate) fn reject(&mut self, strategy: u8, request: &NewOrder, rejection: Rejection) {
        self.commands.push(Command {
            price: request.price,
            size: request.size,
            instrument: request.instrument,
            side: request.side,
            strategy,
            rule: rejection.rule as u8,
            stage: self.gate.stage(strategy) as u8,
            aux: [rejection.figure, rejection.limit],
            ..self.command(Kind::Rejected)
        });
    }
}
