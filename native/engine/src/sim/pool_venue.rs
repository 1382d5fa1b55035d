//! A chain's pools on a block clock: swaps wait for a block, execute exactly or revert, and pay gas either way.
//!
//! ```text
//!  command ──reach──> waiting ──Block n──> executed at the head or the end of block n ──tell──> Settled, Pool
//! ```
//!
//! The market's own changes come from the feed as absolute states, so our impact on a pool lasts until the feed's next
//! change of that pool: the same rule as for shown liquidity on an exchange. Nothing is drawn at random; who is missed
//! or sandwiched follows from the seed and the swap's own id.

use super::draw::draw_ppm;
use crate::event::{Event, Kind, EXCHANGE, LAST, LOCAL, PAYLOAD, SIDE_NONE};
use crate::payload::{Malformed, PoolUpdate, Settlement, SwapRequest, SwapStatus};
use crate::replica::{PoolSpec, Replica};
use capstan_amm::{Pool, U256};

/// Where in its block a swap of ours stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockOrder {
    /// Before everything the feed says of the block: it trades on the state the block before left.
    First,
    /// After everything the feed says of the block.
    Last,
}

/// How the chain treats us. Shares are in parts per million of the swaps.
#[derive(Debug, Clone)]
pub struct ChainModel {
    pub pools: Vec<PoolSpec>,
    /// From the command to where builders see it.
    pub reach_ns: i64,
    /// From a block's time to our knowing of it.
    pub tell_ns: i64,
    pub order: BlockOrder,
    pub gas_swap: u64,
    pub gas_reverted: u64,
    pub tip_wei: u64,
    /// How many miss the block they could have been in, once.
    pub missed_ppm: u32,
    /// How many are sandwiched: they get their minimum and no more.
    pub sandwiched_ppm: u32,
    pub seed: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    client_id: u64,
    arrival_ns: i64,
    request: SwapRequest,
    missed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Block {
    number: u64,
    time_ns: i64,
    time_s: i64,
    base_fee_wei: u64,
}

/// One event with its payload.
pub type Told = (Event, Vec<u8>);

/// The pools of one chain and the swaps that wait.
#[derive(Debug, Clone)]
pub struct PoolVenue {
    model: ChainModel,
    pools: Vec<Replica>,
    waiting: Vec<Waiting>,
    /// What stands at the end of the open block.
    closing: Vec<Waiting>,
    block: Option<Block>,
}

impl PoolVenue {
    pub fn new(model: ChainModel) -> Self {
        let pools = model.pools.iter().map(|spec| Replica::new(spec.fee_pips)).collect();
        Self { model, pools, waiting: Vec::new(), closing: Vec::new(), block: None }
    }

    /// Returns a pool as the chain has it, our impact included.
    pub fn pool(&self, index: u32) -> Option<&Replica> {
        self.pools.get(index as usize)
    }

    /// Returns how many swaps have no outcome yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.closing.len()
    }

    /// Takes a swap that was asked for at `time_ns`.
    pub fn submit(&mut self, client_id: u64, request: SwapRequest, time_ns: i64) {
        let arrival_ns = time_ns + self.model.reach_ns;
        self.waiting.push(Waiting { client_id, arrival_ns, request, missed: false });
    }

    /// Takes one event of the feed's exchange timeline; appends what we are told, in order.
    ///
    /// Events other than blocks and pools are none of its business.
    pub fn on_event(&mut self, event: &Event, payload: &[u8], out: &mut Vec<Told>) -> Result<(), Malformed> {
        match event.kind() {
            Some(Kind::Block) => self.on_block(event, out),
            Some(Kind::Pool) => {
                let update = PoolUpdate::read(payload)?;
                let pool = self.pools.get_mut(event.instrument as usize).ok_or(Malformed("no such pool"))?;
                pool.apply(event.sequence, update);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the open block: the feed has no more. What no block took stays without an outcome.
    pub fn close(&mut self, out: &mut Vec<Told>) {
        if let Some(block) = self.block {
            for swap in std::mem::take(&mut self.closing) {
                self.execute(&swap, block, out);
            }
        }
    }

    fn on_block(&mut self, event: &Event, out: &mut Vec<Told>) {
        self.close(out);
        let block = Block {
            number: event.sequence,
            time_ns: event.time_exchange_ns,
            time_s: event.aux[0],
            base_fee_wei: event.aux[1].max(0) as u64,
        };
        self.block = Some(block);
        let mut taken = Vec::new();
        let (missed_ppm, seed) = (self.model.missed_ppm, self.model.seed);
        self.waiting.retain_mut(|swap| {
            if swap.arrival_ns > block.time_ns {
                return true;
            }
            if !swap.missed && draw_ppm(seed, swap.client_id, 1) < missed_ppm {
                swap.missed = true;
                return true;
            }
            taken.push(swap.clone());
            false
        });
        // Who came first goes first; the id decides between those that came at once.
        taken.sort_by_key(|swap| (swap.arrival_ns, swap.client_id));
        match self.model.order {
            BlockOrder::First => {
                for swap in &taken {
                    self.execute(swap, block, out);
                }
            }
            BlockOrder::Last => self.closing = taken,
        }
    }

    fn execute(&mut self, swap: &Waiting, block: Block, out: &mut Vec<Told>) {
        let result = self.trade(swap, block);
        let (status, amount_in, amount_out, reason) = match result {
            Ok(amount_out) => (SwapStatus::Mined, swap.request.amount_in, amount_out, String::new()),
            Err(reason) => (SwapStatus::Failed, U256::ZERO, U256::ZERO, reason.into()),
        };
        let gas = if status == SwapStatus::Mined { self.model.gas_swap } else { self.model.gas_reverted };
        let price = U256::from(block.base_fee_wei) + U256::from(self.model.tip_wei);
        let settlement = Settlement {
            status,
            amount_in,
            amount_out,
            gas_cost_wei: U256::from(gas) * price,
            block_number: block.number,
            tx_hash: [0; 32],
            reason,
        };
        let mut payload = Vec::new();
        settlement.write(&mut payload);
        if status == SwapStatus::Mined {
            // Our copy of the pool learns of our own swap as of anybody's.
            if let Some(told) = self.told_pool(swap.request.pool, block) {
                out.push(told);
            }
        }
        let (mut event, payload) = self.told(Kind::Settled, swap.request.pool, block, swap.client_id as i64, payload);
        event.price = status as i64;
        out.push((event, payload));
    }

    fn trade(&mut self, swap: &Waiting, block: Block) -> Result<U256, &'static str> {
        let request = &swap.request;
        if block.time_s > request.deadline_s {
            return Err("the deadline has passed");
        }
        let replica = self.pools.get_mut(request.pool as usize).ok_or("no such pool")?;
        let pool = replica.pool_mut().ok_or("the pool is not known")?;
        let mut after = pool.clone();
        let amount_out =
            after.swap_exact_in(request.zero_for_one, request.amount_in).map_err(|_| "the pool cannot take so much")?;
        if amount_out < request.amount_out_min {
            return Err("less than the minimum would come out");
        }
        *pool = after;
        if draw_ppm(self.model.seed, swap.client_id, 2) < self.model.sandwiched_ppm {
            return Ok(request.amount_out_min);
        }
        Ok(amount_out)
    }

    fn told_pool(&self, index: u32, block: Block) -> Option<Told> {
        let update = match self.pools.get(index as usize)?.pool().ok()? {
            Pool::V2(pair) => {
                let [reserve0, reserve1] = pair.reserves();
                PoolUpdate::Reserves { reserve0, reserve1, is_snapshot: false }
            }
            Pool::V3(pool) => PoolUpdate::Moved(pool.slot()),
        };
        let mut payload = Vec::new();
        update.write(&mut payload);
        Some(self.told(Kind::Pool, index, block, 0, payload))
    }

    fn told(&self, kind: Kind, instrument: u32, block: Block, client_id: i64, payload: Vec<u8>) -> Told {
        let event = Event {
            time_exchange_ns: block.time_ns,
            time_local_ns: block.time_ns + self.model.tell_ns,
            instrument,
            kind: kind as u8,
            side: SIDE_NONE,
            flags: LAST | EXCHANGE | LOCAL | PAYLOAD,
            price: 0,
            size: 0,
            sequence: block.number,
            aux: [client_id, payload.len() as i64],
        };
        (event, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHER: u64 = 1_000_000_000_000_000_000;

    fn model() -> ChainModel {
        ChainModel {
            pools: vec![PoolSpec { id: "WETH/USDC".into(), token0: 0, token1: 1, fee_pips: 3_000 }],
            reach_ns: 50,
            tell_ns: 7,
            order: BlockOrder::First,
            gas_swap: 120_000,
            gas_reverted: 40_000,
            tip_wei: 2,
            missed_ppm: 0,
            sandwiched_ppm: 0,
            seed: 1,
        }
    }

    fn block(number: u64) -> Event {
        Event {
            time_exchange_ns: number as i64 * 1_000,
            time_local_ns: number as i64 * 1_000,
            instrument: 0,
            kind: Kind::Block as u8,
            side: SIDE_NONE,
            flags: LAST,
            price: 0,
            size: 0,
            sequence: number,
            aux: [number as i64 * 12, 8],
        }
    }

    fn reserves(number: u64, reserve: u64, is_snapshot: bool) -> (Event, Vec<u8>) {
        let update = PoolUpdate::Reserves { reserve0: U256::from(reserve), reserve1: U256::from(reserve), is_snapshot };
        let mut payload = Vec::new();
        update.write(&mut payload);
        (Event { kind: Kind::Pool as u8, ..block(number) }, payload)
    }

    fn venue(model: ChainModel) -> PoolVenue {
        let mut venue = PoolVenue::new(model);
        let (event, payload) = reserves(0, ETHER, true);
        venue.on_event(&event, &payload, &mut Vec::new()).unwrap();
        venue
    }

    fn request(amount_in: u64, amount_out_min: u64) -> SwapRequest {
        SwapRequest {
            pool: 0,
            zero_for_one: true,
            amount_in: U256::from(amount_in),
            amount_out_min: U256::from(amount_out_min),
            deadline_s: 1_000_000,
        }
    }

    fn run(venue: &mut PoolVenue, event: (Event, Vec<u8>)) -> Vec<(u64, Settlement)> {
        let mut out = Vec::new();
        venue.on_event(&event.0, &event.1, &mut out).unwrap();
        settled(&out)
    }

    fn settled(told: &[Told]) -> Vec<(u64, Settlement)> {
        told.iter()
            .filter(|(event, _)| event.kind() == Some(Kind::Settled))
            .map(|(event, payload)| {
                let settlement = Settlement::read(payload).unwrap();
                assert_eq!(event.price, settlement.status as i64, "strategies see the record, not the payload");
                (event.aux[0] as u64, settlement)
            })
            .collect()
    }

    fn held(venue: &PoolVenue) -> [U256; 2] {
        match venue.pool(0).unwrap().pool().unwrap() {
            Pool::V2(pair) => pair.reserves(),
            Pool::V3(_) => unreachable!(),
        }
    }

    #[test]
    fn a_swap_waits_for_the_block_after_it_arrived_and_moves_what_the_pool_gives() {
        let mut venue = venue(model());
        venue.submit(9, request(ETHER / 100, 1), 980);
        assert!(run(&mut venue, (block(1), vec![])).is_empty(), "it arrives at 1030");
        let before = held(&venue);
        let done = run(&mut venue, (block(2), vec![]));
        let [(9, settlement)] = &done[..] else { panic!("{done:?}") };
        assert_eq!((settlement.status, settlement.block_number), (SwapStatus::Mined, 2));
        assert_eq!(settlement.gas_cost_wei, U256::from(120_000 * 10));
        let after = held(&venue);
        assert_eq!(after[0], before[0] + settlement.amount_in);
        assert_eq!(after[1], before[1] - settlement.amount_out);
        assert!(run(&mut venue, (block(3), vec![])).is_empty(), "told once");
    }

    #[test]
    fn what_misses_its_bounds_reverts_and_pays_gas() {
        let mut venue = venue(model());
        let before = held(&venue);
        venue.submit(1, request(ETHER / 100, ETHER / 100), 0);
        venue.submit(2, SwapRequest { deadline_s: 11, ..request(5, 0) }, 1);
        venue.submit(3, SwapRequest { amount_in: U256::from(1) << 112, ..request(5, 0) }, 2);
        venue.submit(4, SwapRequest { pool: 7, ..request(5, 0) }, 3);
        let done = run(&mut venue, (block(1), vec![]));
        assert_eq!(done.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        for (_, settlement) in &done {
            assert_eq!(settlement.status, SwapStatus::Failed, "{settlement:?}");
            assert_eq!((settlement.amount_in, settlement.amount_out), (U256::ZERO, U256::ZERO));
            assert_eq!(settlement.gas_cost_wei, U256::from(40_000 * 10));
        }
        assert_eq!(held(&venue), before);
    }

    #[test]
    fn first_trades_on_the_block_before_and_last_on_the_blocks_end() {
        let amount = ETHER / 10;
        let mut first = venue(model());
        let mut last = venue(ChainModel { order: BlockOrder::Last, ..model() });
        let mut outs = Vec::new();
        for venue in [&mut first, &mut last] {
            venue.submit(1, request(amount, 1), 0);
            let mut told = Vec::new();
            venue.on_event(&block(1), &[], &mut told).unwrap();
            let (event, payload) = reserves(1, ETHER / 2, false);
            venue.on_event(&event, &payload, &mut told).unwrap();
            venue.on_event(&block(2), &[], &mut told).unwrap();
            let [(1, settlement)] = &settled(&told)[..] else { panic!() };
            assert_eq!(settlement.block_number, 1);
            outs.push(settlement.amount_out);
        }
        assert!(outs[0] > outs[1], "the market halved the pool in between");
        assert_eq!(held(&first), [U256::from(ETHER / 2); 2], "the feed's word replaces our impact");
        assert_ne!(held(&last), [U256::from(ETHER / 2); 2]);
    }

    #[test]
    fn the_last_block_is_closed_by_the_end_of_the_feed() {
        let mut venue = venue(ChainModel { order: BlockOrder::Last, ..model() });
        venue.submit(1, request(5_000, 1), 0);
        venue.submit(2, request(5_000, 1), 10_000);
        assert!(run(&mut venue, (block(1), vec![])).is_empty());
        let mut told = Vec::new();
        venue.close(&mut told);
        assert_eq!(settled(&told).len(), 1);
        assert_eq!(venue.waiting(), 1, "no block took it: it has no outcome");
    }

    #[test]
    fn the_missed_come_a_block_later_and_the_sandwiched_get_their_minimum() {
        let mut venue = venue(ChainModel { missed_ppm: 1_000_000, sandwiched_ppm: 1_000_000, ..model() });
        venue.submit(1, request(ETHER / 100, 77), 0);
        assert!(run(&mut venue, (block(1), vec![])).is_empty());
        let done = run(&mut venue, (block(2), vec![]));
        assert_eq!(done[0].1.amount_out, U256::from(77));
        let mut shares = 0;
        for id in 0..10_000 {
            shares += u32::from(draw_ppm(3, id, 1) < 250_000);
        }
        assert!((2_300..2_700).contains(&shares), "{shares}");
    }

    #[test]
    fn our_copy_learns_of_our_own_swap_before_its_settlement() {
        let mut venue = venue(model());
        venue.submit(1, request(ETHER / 100, 1), 0);
        let mut told = Vec::new();
        venue.on_event(&block(1), &[], &mut told).unwrap();
        let kinds: Vec<_> = told.iter().map(|(event, _)| event.kind().unwrap()).collect();
        assert_eq!(kinds, [Kind::Pool, Kind::Settled]);
        assert_eq!(told[0].0.time_local_ns, 1_007);
        let mut copy = Replica::new(3_000);
        let (_, snapshot) = reserves(0, ETHER, true);
        copy.apply(0, PoolUpdate::read(&snapshot).unwrap());
        copy.apply(told[0].0.sequence, PoolUpdate::read(&told[0].1).unwrap());
        assert_eq!(
            copy.quote_exact_in_down(true, U256::from(9)),
            venue.pool(0).unwrap().quote_exact_in_down(true, U256::from(9))
        );
    }
}
