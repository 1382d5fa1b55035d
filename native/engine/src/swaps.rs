//! Swaps that custody executes: recorded before they are asked for, settled once.

use capstan_amm::U256;

use crate::broken::Broken;
use crate::command::{ClientId, Command, Kind};
use crate::event::{self, Event};
use crate::kernel::Kernel;
use crate::payload::{Settlement, SwapStatus};
use crate::risk::Rejection;
use crate::wakes;

pub use crate::risk::SwapChange;

/// A swap that has not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    pub strategy: u8,
    pub change: SwapChange,
    /// What custody is asked for, in its own words.
    pub payload: Vec<u8>,
}

impl Kernel {
    /// Puts a swap through the gate; records it and commands it, or commands the refusal. Custody reads the payload with
    /// [`Kernel::swap_payload`].
    pub fn swap(&mut self, strategy: u8, payload: &[u8], change: SwapChange) -> Result<ClientId, Rejection> {
        let judged = self.judge_swap(strategy, &change).and_then(|()| self.next_id(strategy));
        let id = match judged {
            Ok(id) => id,
            Err(rejection) => {
                self.commands.push(Command {
                    strategy,
                    rule: rejection.rule as u8,
                    stage: self.gate.stage(strategy) as u8,
                    aux: [rejection.figure, rejection.limit],
                    ..self.command(Kind::Rejected)
                });
                return Err(rejection);
            }
        };
        self.under_way(strategy, &change, 1);
        self.swaps.insert(id.0, Swap { strategy, change, payload: payload.to_vec() });
        self.push_swap(id.0, strategy);
        Ok(id)
    }

    /// Returns the swaps that have not settled, oldest first.
    pub fn swaps(&self) -> impl Iterator<Item = (ClientId, &Swap)> {
        self.swaps.iter().map(|(id, swap)| (ClientId(*id), swap))
    }

    /// Returns what custody is asked for by an unsettled swap.
    pub fn swap_payload(&self, id: ClientId) -> Option<&[u8]> {
        self.swaps.get(&id.0).map(|swap| swap.payload.as_slice())
    }

    /// Asks for every unsettled swap again: custody knows each by its id and executes it at most once.
    pub(crate) fn resubmit_swaps(&mut self) {
        let open: Vec<(u64, u8)> = self.swaps.iter().map(|(id, swap)| (*id, swap.strategy)).collect();
        for (id, strategy) in open {
            self.push_swap(id, strategy);
        }
    }

    pub(crate) fn on_settled(&mut self, event: &Event, payload: &[u8]) -> Result<(), Broken> {
        let id = ClientId(event.aux[0] as u64);
        let settlement = Settlement::read(payload);
        let settlement = settlement.map_err(|e| Broken::Payload { kind: event::Kind::Settled, why: e.0 })?;
        let Some(swap) = self.swaps.remove(&id.0) else {
            return Ok(()); // Told again after a restart: booked already.
        };
        self.under_way(swap.strategy, &swap.change, -1);
        if settlement.status == SwapStatus::Mined {
            self.portfolio.change(swap.strategy, swap.change.asset_in, -raw(settlement.amount_in)?)?;
            self.portfolio.change(swap.strategy, swap.change.asset_out, raw(settlement.amount_out)?)?;
        }
        let gas = raw(settlement.gas_cost_wei)?;
        if let Some(asset) = self.config.gas_asset.filter(|_| gas != 0) {
            self.portfolio.change(swap.strategy, asset, -gas)?;
        }
        self.digest.settled(event, payload);
        self.wake_owner(swap.strategy, wakes::REPORT);
        self.marked();
        self.act_if_needed();
        Ok(())
    }

    /// Adds a swap to what is under way, or takes it away.
    pub(crate) fn under_way(&mut self, strategy: u8, change: &SwapChange, sign: i128) {
        let row = usize::from(strategy) * self.config.assets.len();
        self.under_way[row + usize::from(change.asset_in)].going += sign * change.amount_in;
        self.under_way[row + usize::from(change.asset_out)].coming += sign * change.amount_out;
    }

    fn push_swap(&mut self, id: u64, strategy: u8) {
        let mut command = self.command(Kind::Swap);
        (command.client_id, command.strategy) = (id, strategy);
        self.commands.push(command);
    }
}

/// Returns a settled amount as what the books count in.
fn raw(amount: U256) -> Result<i128, Broken> {
    i128::try_from(amount).map_err(|_| Broken::Overflow)
}
