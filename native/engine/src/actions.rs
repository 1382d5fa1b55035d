//! What strategies and people do: orders, amends, cancels, timers, stages. Each takes effect at once; the world learns
//! of it when the commands are taken.

use crate::command::{ClientId, Command, Kind, OrderType};
use crate::gate::{self, Rejection, Stage};
use crate::kernel::{Kernel, Timer};
use crate::order_state::State;
use crate::orders::{Amend, NewOrder, Order};

impl Kernel {
    /// Puts an order through the gate; records it and commands it, or commands the refusal.
    pub fn place(&mut self, strategy: u8, request: NewOrder) -> Result<ClientId, Rejection> {
        let judged = self.judge(strategy, &request).and_then(|()| self.next_id(strategy));
        let id = match judged {
            Ok(id) => id,
            Err(rejection) => {
                self.reject(strategy, &request, rejection);
                return Err(rejection);
            }
        };
        let order = Order::new(id, strategy, &request, self.now_ns);
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
        Ok(id)
    }

    /// Changes price and size (filled lots included) of a resting order in one message. One change at a time.
    pub fn amend(&mut self, id: ClientId, price: i64, size: i64) -> Result<(), Rejection> {
        let refused = |rule| Rejection { rule, figure: id.0 as i64, limit: 0 };
        let handle = self.orders.handle(id).ok_or(refused(gate::NOT_OPEN))?;
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
            Err(refused(gate::NOT_OPEN))
        } else if !self.config.venues[usize::from(venue)].can_amend {
            Err(refused(gate::CANNOT_AMEND))
        } else if size <= order.filled {
            Err(Rejection { rule: gate::ORDER_SIZE, figure: size, limit: order.filled })
        } else {
            self.judge_amend(&order, &request)
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

    /// Stops the run as far as the stage says, if that is further than it is stopped already.
    pub fn raise_stage(&mut self, stage: Stage, rule: u8) {
        if stage <= self.stage {
            return;
        }
        let before = std::mem::replace(&mut self.stage, stage);
        if before < Stage::Cancel && stage >= Stage::Cancel {
            for instrument in 0..self.books.len() as u32 {
                for at in 0..self.orders.open_handles(instrument).len() {
                    let handle = self.orders.open_handles(instrument)[at];
                    self.orders.at_mut(handle).cancel_ns = self.now_ns.max(1);
                }
            }
            self.due(self.now_ns + self.config.patience.cancel_again_ns);
            for venue in 0..self.config.venues.len() {
                let mut command = self.command(Kind::CancelAll);
                command.aux[0] = venue as i64;
                self.commands.push(command);
            }
        }
        self.push_stage(rule);
    }

    pub(crate) fn lower_stage(&mut self) {
        if self.stage != Stage::Running {
            self.stage = Stage::Running;
            self.push_stage(0);
        }
    }

    fn push_stage(&mut self, rule: u8) {
        let mut command = self.command(Kind::Stage);
        (command.stage, command.rule) = (self.stage as u8, rule);
        self.commands.push(command);
    }

    /// Returns the id of the next order or swap.
    pub(crate) fn next_id(&mut self, strategy: u8) -> Result<ClientId, Rejection> {
        let sequence = self.sequence + 1;
        let id = ClientId::new(self.config.run, self.epoch, strategy, sequence);
        let id = id.ok_or(Rejection { rule: gate::IDS, figure: sequence.into(), limit: 0 })?;
        self.sequence = sequence;
        Ok(id)
    }

    fn judge(&mut self, strategy: u8, request: &NewOrder) -> Result<(), Rejection> {
        let refused = |rule, figure: i64, limit: i64| Err(Rejection { rule, figure, limit });
        let Some(book) = self.books.get(request.instrument as usize) else {
            return refused(gate::UNKNOWN, request.instrument.into(), 0);
        };
        if usize::from(strategy) >= self.config.strategies.len() {
            return refused(gate::UNKNOWN, strategy.into(), 0);
        }
        if self.stage != Stage::Running {
            return refused(gate::STAGE, self.stage as i64, 0);
        }
        if request.size <= 0 || (request.price <= 0 && request.order_type != OrderType::Market) {
            return refused(gate::ORDER_SIZE, request.size, 0);
        }
        if !book.is_valid() {
            return refused(gate::STALE_BOOK, self.now_ns.saturating_sub(book.times_ns().1), 0);
        }
        Ok(())
    }

    fn judge_amend(&mut self, order: &Order, request: &NewOrder) -> Result<(), Rejection> {
        self.judge(order.strategy, &NewOrder { size: request.size - order.filled, ..*request })
    }

    fn reject(&mut self, strategy: u8, request: &NewOrder, rejection: Rejection) {
        self.commands.push(Command {
            price: request.price,
            size: request.size,
            instrument: request.instrument,
            side: request.side,
            strategy,
            rule: rejection.rule,
            stage: self.stage as u8,
            aux: [rejection.figure, rejection.limit],
            ..self.command(Kind::Rejected)
        });
    }
}
