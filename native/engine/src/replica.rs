//! A local copy of one pool, kept by events: believed only from a snapshot on, and until something contradicts it.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::payload::PoolUpdate;
use capstan_amm::{v2, v3, AmmError, Pool, U256};

/// What a configuration says of a pool. Indices point into the run's assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    pub id: String,
    pub token0: u16,
    pub token1: u16,
    pub fee_pips: u32,
}

/// Says why a pool gives no quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuoteError {
    /// Not known well enough to trade on, and why.
    Stale(String),
    Amm(AmmError),
}

/// The copy. Events of blocks that the snapshot already holds are ignored, as is everything but a snapshot while it is
/// invalid.
#[derive(Debug, Clone)]
pub struct Replica {
    fee_pips: u32,
    pool: Option<Pool>,
    invalid: String,
    snapshot_block: u64,
    block_number: u64,
    changes: u64,
}

impl Replica {
    pub fn new(fee_pips: u32) -> Self {
        let invalid = "no snapshot yet".into();
        Self { fee_pips, pool: None, invalid, snapshot_block: 0, block_number: 0, changes: 0 }
    }

    /// Returns why it may not be used, or nothing while it may.
    pub fn invalid_reason(&self) -> Option<&str> {
        if self.invalid.is_empty() {
            None
        } else {
            Some(&self.invalid)
        }
    }

    /// Returns the last block whose events are in.
    pub fn block_number(&self) -> u64 {
        self.block_number
    }

    /// Returns the pool, or why it may not be used.
    pub fn pool(&self) -> Result<&Pool, QuoteError> {
        match &self.pool {
            Some(pool) if self.invalid.is_empty() => Ok(pool),
            _ => Err(QuoteError::Stale(self.invalid.clone())),
        }
    }

    /// Returns the pool to trade on, where this copy is the truth (a simulated chain), or nothing while it is invalid.
    pub fn pool_mut(&mut self) -> Option<&mut Pool> {
        if self.invalid.is_empty() {
            self.pool.as_mut()
        } else {
            None
        }
    }

    /// Returns the output of a swap of exactly `amount_in`, as the contract rounds it.
    pub fn quote_exact_in_down(&self, zero_for_one: bool, amount_in: U256) -> Result<U256, QuoteError> {
        self.pool()?.quote_exact_in_down(zero_for_one, amount_in).map_err(QuoteError::Amm)
    }

    /// Returns the input that buys exactly `amount_out`, as the contract rounds it.
    pub fn quote_exact_out_up(&self, zero_for_one: bool, amount_out: U256) -> Result<U256, QuoteError> {
        self.pool()?.quote_exact_out_up(zero_for_one, amount_out).map_err(QuoteError::Amm)
    }

    /// Takes one update of this pool. What cannot be makes the copy invalid, until the next snapshot.
    pub fn apply(&mut self, block_number: u64, update: PoolUpdate) {
        self.changes += 1;
        match update {
            PoolUpdate::Invalid(reason) => {
                self.invalid = if reason.is_empty() { "invalidated".into() } else { reason };
            }
            PoolUpdate::Reserves { reserve0, reserve1, is_snapshot: true } => {
                let pair = v2::Pair::new(reserve0, reserve1, self.fee_pips);
                self.load(block_number, pair.map(Pool::V2));
            }
            PoolUpdate::Ticks { slot, spacing, ticks } => {
                self.load(block_number, v3::Pool::new(slot, self.fee_pips, spacing, ticks).map(Pool::V3));
            }
            change => {
                if self.invalid.is_empty() && block_number > self.snapshot_block {
                    match self.change(change) {
                        Ok(()) => self.block_number = self.block_number.max(block_number),
                        Err(e) => self.invalid = e.to_string(),
                    }
                }
            }
        }
    }

    /// Returns a number that is another after every update, for those who keep a copy.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the state as the update that would make it, or the reason why there is none.
    pub fn snapshot(&self) -> PoolUpdate {
        match &self.pool {
            Some(Pool::V2(pair)) if self.invalid.is_empty() => {
                let [reserve0, reserve1] = pair.reserves();
                PoolUpdate::Reserves { reserve0, reserve1, is_snapshot: true }
            }
            Some(Pool::V3(pool)) if self.invalid.is_empty() => {
                let (spacing, ticks) = (pool.ticks().spacing(), pool.ticks().iter().collect());
                PoolUpdate::Ticks { slot: pool.slot(), spacing, ticks }
            }
            _ => PoolUpdate::Invalid(self.invalid.clone()),
        }
    }

    /// Appends the state, for snapshots and hashes. While it is invalid nothing of it is used but why.
    pub(crate) fn save(&self, out: &mut Writer) {
        let mut update = Vec::new();
        self.snapshot().write(&mut update);
        out.bytes(&update);
        out.u64(self.snapshot_block);
        out.u64(self.block_number);
    }

    /// Takes back what [`Replica::save`] wrote.
    pub(crate) fn restore(&mut self, r: &mut Reader<'_>) -> Result<(), Corrupt> {
        let update = PoolUpdate::read(r.bytes()?).map_err(|e| Corrupt(e.0))?;
        let (snapshot_block, block_number) = (r.u64()?, r.u64()?);
        self.apply(snapshot_block, update);
        (self.snapshot_block, self.block_number) = (snapshot_block, block_number);
        Ok(())
    }

    fn load(&mut self, block_number: u64, pool: Result<Pool, AmmError>) {
        (self.snapshot_block, self.block_number) = (block_number, block_number);
        match pool {
            Ok(pool) => {
                self.invalid.clear();
                self.pool = Some(pool);
            }
            Err(e) => self.invalid = e.to_string(),
        }
    }

    fn change(&mut self, update: PoolUpdate) -> Result<(), AmmError> {
        match (&mut self.pool, update) {
            (Some(Pool::V2(pair)), PoolUpdate::Reserves { reserve0, reserve1, .. }) => {
                *pair = v2::Pair::new(reserve0, reserve1, self.fee_pips)?;
                Ok(())
            }
            (Some(Pool::V3(pool)), PoolUpdate::Moved(slot)) => pool.move_to(slot),
            (Some(Pool::V3(pool)), PoolUpdate::Liquidity { lower, upper, delta }) => {
                pool.change_liquidity(lower, upper, delta)
            }
            _ => Err(AmmError::State("an update of another kind of pool")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capstan_amm::v3::Slot;

    fn snapshot(reserve: u64) -> PoolUpdate {
        PoolUpdate::Reserves { reserve0: U256::from(reserve), reserve1: U256::from(reserve), is_snapshot: true }
    }

    fn synced(reserve: u64) -> PoolUpdate {
        PoolUpdate::Reserves { reserve0: U256::from(reserve), reserve1: U256::from(reserve), is_snapshot: false }
    }

    fn reserve(replica: &Replica) -> Option<U256> {
        match replica.pool() {
            Ok(Pool::V2(pair)) => Some(pair.reserves()[0]),
            _ => None,
        }
    }

    #[test]
    fn only_what_comes_after_the_snapshot_counts() {
        let mut replica = Replica::new(3_000);
        assert!(matches!(replica.quote_exact_in_down(true, U256::from(1)), Err(QuoteError::Stale(_))));
        replica.apply(9, synced(5));
        assert_eq!(reserve(&replica), None);
        replica.apply(10, snapshot(100));
        replica.apply(10, synced(50));
        assert_eq!(reserve(&replica), Some(U256::from(100)));
        replica.apply(11, synced(60));
        assert_eq!((reserve(&replica), replica.block_number()), (Some(U256::from(60)), 11));
    }

    #[test]
    fn a_contradiction_makes_it_invalid_until_a_snapshot() {
        let mut replica = Replica::new(3_000);
        replica.apply(10, snapshot(100));
        replica.apply(11, PoolUpdate::Moved(Slot { sqrt_price: U256::from(1) << 96, tick: 0, liquidity: 0 }));
        assert_eq!(replica.invalid_reason(), Some("an update of another kind of pool"));
        replica.apply(12, synced(60));
        assert_eq!(reserve(&replica), None);
        replica.apply(13, snapshot(70));
        assert_eq!(reserve(&replica), Some(U256::from(70)));
        replica.apply(14, PoolUpdate::Invalid("a reorganisation".into()));
        assert_eq!(replica.invalid_reason(), Some("a reorganisation"));
    }
}
