//! What open orders may still execute, by strategy and instrument, kept up with every change of an order.

use crate::orders::Order;

/// What may still be bought and sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved {
    pub buying: i64,
    pub selling: i64,
    /// Quote that open buys may still cost, in ticks times lots.
    pub cost: i128,
    pub orders: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservations {
    pub(crate) instruments: usize,
    pub(crate) by_strategy: Vec<Reserved>,
    pub(crate) open: Vec<u32>,
}

impl Reservations {
    pub fn new(strategies: usize, instruments: usize) -> Self {
        Self {
            instruments,
            by_strategy: vec![Reserved::default(); strategies * instruments],
            open: vec![0; strategies],
        }
    }

    /// Returns what a strategy's open orders in an instrument may still execute.
    #[inline]
    pub fn of(&self, strategy: u8, instrument: u32) -> Reserved {
        self.by_strategy.get(self.at(strategy, instrument)).copied().unwrap_or_default()
    }

    /// Returns how many orders of a strategy are open.
    #[inline]
    pub fn open_orders(&self, strategy: u8) -> u32 {
        self.open.get(usize::from(strategy)).copied().unwrap_or(0)
    }

    /// Returns what all open orders in an instrument may still execute.
    pub fn total(&self, instrument: u32) -> Reserved {
        let rows = self.by_strategy.iter().skip(instrument as usize).step_by(self.instruments.max(1));
        rows.fold(Reserved::default(), |sum, row| Reserved {
            buying: sum.buying + row.buying,
            selling: sum.selling + row.selling,
            cost: sum.cost + row.cost,
            orders: sum.orders + row.orders,
        })
    }

    /// Replaces what an order reserved before a change by what it reserves after it.
    #[inline]
    pub(crate) fn change(&mut self, before: Reserved, order: &Order) {
        let at = self.at(order.strategy, order.instrument);
        let after = reserved_by(order);
        let open = &mut self.open[usize::from(order.strategy)];
        *open = *open + after.orders - before.orders;
        let row = &mut self.by_strategy[at];
        row.buying += after.buying - before.buying;
        row.selling += after.selling - before.selling;
        row.cost += after.cost - before.cost;
        row.orders = row.orders + after.orders - before.orders;
    }

    #[inline]
    fn at(&self, strategy: u8, instrument: u32) -> usize {
        usize::from(strategy) * self.instruments + instrument as usize
    }
}

/// Returns what one order reserves: what may still trade of it, at the worst price it allows.
#[inline]
pub fn reserved_by(order: &Order) -> Reserved {
    let lots = order.open_lots();
    let orders = u32::from(order.state.is_open());
    if order.is_buy() {
        Reserved { buying: lots, selling: 0, cost: i128::from(lots) * i128::from(order.worst_price()), orders }
    } else {
        Reserved { buying: 0, selling: lots, cost: 0, orders }
    }
}
