//! What does not fit 64 bytes: pool states, swap requests and settlements, as little-endian bytes.
//!
//! Decoding checks everything: a payload comes from a file or a process that may lie. Amounts are raw token units.

use capstan_amm::ticks::Tick;
use capstan_amm::v3::Slot;
use capstan_amm::U256;
use std::fmt;

/// A payload that is not what its event says. Nothing was taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed payload: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// What an event of kind `Pool` carries; the block is the event's `sequence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolUpdate {
    /// A V2 pair's whole state: a snapshot, or a `Sync` log, which says as much.
    Reserves { reserve0: U256, reserve1: U256, is_snapshot: bool },
    /// A V3 pool's whole state.
    Ticks { slot: Slot, spacing: i32, ticks: Vec<(i32, Tick)> },
    /// A V3 `Swap` log.
    Moved(Slot),
    /// A V3 `Mint` (positive) or `Burn`.
    Liquidity { lower: i32, upper: i32, delta: i128 },
    /// The replica may be wrong: no quotes until a snapshot.
    Invalid(String),
}

/// What a `Swap` command carries. Exact input, bounded output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapRequest {
    pub pool: u32,
    pub zero_for_one: bool,
    pub amount_in: U256,
    pub amount_out_min: U256,
    /// Chain time in seconds after which it must not execute.
    pub deadline_s: i64,
}

#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapStatus {
    /// Executed; amounts and gas are exact.
    Mined = 1,
    /// Mined and reverted: gas was paid, nothing moved.
    Failed = 2,
    /// Nothing was sent.
    Refused = 3,
}

/// What an event of kind `Settled` carries. Terminal: told once per intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub status: SwapStatus,
    pub amount_in: U256,
    pub amount_out: U256,
    pub gas_cost_wei: U256,
    pub block_number: u64,
    pub tx_hash: [u8; 32],
    pub reason: String,
}

impl PoolUpdate {
    /// Appends the update's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Reserves { reserve0, reserve1, is_snapshot } => {
                out.push(if *is_snapshot { 1 } else { 2 });
                out.extend(reserve0.to_le_bytes::<32>());
                out.extend(reserve1.to_le_bytes::<32>());
            }
            Self::Ticks { slot, spacing, ticks } => {
                out.push(3);
                write_slot(slot, out);
                out.extend(spacing.to_le_bytes());
                out.extend((ticks.len() as u32).to_le_bytes());
                for (number, tick) in ticks {
                    out.extend(number.to_le_bytes());
                    out.extend(tick.net.to_le_bytes());
                    out.extend(tick.gross.to_le_bytes());
                }
            }
            Self::Moved(slot) => {
                out.push(4);
                write_slot(slot, out);
            }
            Self::Liquidity { lower, upper, delta } => {
                out.push(5);
                out.extend(lower.to_le_bytes());
                out.extend(upper.to_le_bytes());
                out.extend(delta.to_le_bytes());
            }
            Self::Invalid(reason) => {
                out.push(6);
                out.extend(reason.as_bytes());
            }
        }
    }

    /// Returns the update in a payload.
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(payload);
        let update = match reader.u8()? {
            kind @ (1 | 2) => {
                Self::Reserves { reserve0: reader.u256()?, reserve1: reader.u256()?, is_snapshot: kind == 1 }
            }
            3 => {
                let (slot, spacing, count) = (reader.slot()?, reader.i32()?, reader.u32()? as usize);
                if reader.0.len() != count.saturating_mul(36) {
                    return Err(Malformed("the ticks are not as many as it says"));
                }
                let ticks = (0..count)
                    .map(|_| Ok((reader.i32()?, Tick { net: reader.i128()?, gross: reader.i128()? as u128 })))
                    .collect::<Result<_, Malformed>>()?;
                Self::Ticks { slot, spacing, ticks }
            }
            4 => Self::Moved(reader.slot()?),
            5 => Self::Liquidity { lower: reader.i32()?, upper: reader.i32()?, delta: reader.i128()? },
            6 => Self::Invalid(reader.text()?),
            _ => return Err(Malformed("an unknown pool update")),
        };
        reader.end(update)
    }
}

impl SwapRequest {
    /// Returns the request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(77);
        out.extend(self.pool.to_le_bytes());
        out.push(u8::from(self.zero_for_one));
        out.extend(self.amount_in.to_le_bytes::<32>());
        out.extend(self.amount_out_min.to_le_bytes::<32>());
        out.extend(self.deadline_s.to_le_bytes());
        out
    }

    /// Returns the request in a payload.
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(payload);
        let request = Self {
            pool: reader.u32()?,
            zero_for_one: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Malformed("a direction is 0 or 1")),
            },
            amount_in: reader.u256()?,
            amount_out_min: reader.u256()?,
            deadline_s: reader.i64()?,
        };
        reader.end(request)
    }
}

impl Settlement {
    /// Appends the settlement's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.status as u8);
        for amount in [self.amount_in, self.amount_out, self.gas_cost_wei] {
            out.extend(amount.to_le_bytes::<32>());
        }
        out.extend(self.block_number.to_le_bytes());
        out.extend(self.tx_hash);
        out.extend(self.reason.as_bytes());
    }

    /// Returns the settlement in a payload.
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(payload);
        let status = match reader.u8()? {
            1 => SwapStatus::Mined,
            2 => SwapStatus::Failed,
            3 => SwapStatus::Refused,
            _ => return Err(Malformed("an unknown status")),
        };
        let settlement = Self {
            status,
            amount_in: reader.u256()?,
            amount_out: reader.u256()?,
            gas_cost_wei: reader.u256()?,
            block_number: reader.i64()? as u64,
            tx_hash: *reader.take::<32>()?,
            reason: reader.text()?,
        };
        reader.end(settlement)
    }
}

fn write_slot(slot: &Slot, out: &mut Vec<u8>) {
    out.extend(slot.sqrt_price.to_le_bytes::<32>());
    out.extend(slot.tick.to_le_bytes());
    out.extend(slot.liquidity.to_le_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed("it is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(*self.take()?))
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(*self.take()?))
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(*self.take()?))
    }

    fn i128(&mut self) -> Result<i128, Malformed> {
        Ok(i128::from_le_bytes(*self.take()?))
    }

    fn u256(&mut self) -> Result<U256, Malformed> {
        Ok(U256::from_le_bytes(*self.take::<32>()?))
    }

    fn slot(&mut self) -> Result<Slot, Malformed> {
        Ok(Slot { sqrt_price: self.u256()?, tick: self.i32()?, liquidity: self.i128()? as u128 })
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let bytes = std::mem::take(&mut self.0);
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a text is not UTF-8"))
    }

    fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Malformed("there is more than it should hold"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updates() -> Vec<PoolUpdate> {
        let slot = Slot { sqrt_price: U256::MAX, tick: -3, liquidity: u128::MAX };
        let ticks = vec![(-5, Tick { net: -1, gross: 2 }), (7, Tick { net: i128::MAX, gross: u128::MAX })];
        vec![
            PoolUpdate::Reserves { reserve0: U256::from(1), reserve1: U256::MAX, is_snapshot: true },
            PoolUpdate::Reserves { reserve0: U256::from(2), reserve1: U256::ZERO, is_snapshot: false },
            PoolUpdate::Ticks { slot, spacing: 60, ticks },
            PoolUpdate::Moved(slot),
            PoolUpdate::Liquidity { lower: -1, upper: 1, delta: i128::MIN },
            PoolUpdate::Invalid("a reorganisation".into()),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for update in updates() {
            let mut bytes = Vec::new();
            update.write(&mut bytes);
            assert_eq!(PoolUpdate::read(&bytes), Ok(update));
        }
        let request = SwapRequest {
            pool: 3,
            zero_for_one: true,
            amount_in: U256::from(5),
            amount_out_min: U256::MAX,
            deadline_s: -1,
        };
        assert_eq!(SwapRequest::read(&request.bytes()), Ok(request));
        let settlement = Settlement {
            status: SwapStatus::Failed,
            amount_in: U256::ZERO,
            amount_out: U256::MAX,
            gas_cost_wei: U256::from(21_000),
            block_number: u64::MAX,
            tx_hash: [7; 32],
            reason: "reverted".into(),
        };
        let mut bytes = Vec::new();
        settlement.write(&mut bytes);
        assert_eq!(Settlement::read(&bytes), Ok(settlement));
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        for update in &updates()[..5] {
            let mut bytes = Vec::new();
            update.write(&mut bytes);
            for end in 0..bytes.len() {
                assert!(PoolUpdate::read(&bytes[..end]).is_err(), "{update:?} cut at {end}");
            }
            bytes.push(0);
            assert!(PoolUpdate::read(&bytes).is_err());
        }
        assert!(PoolUpdate::read(&[6, 0xff]).is_err());
        assert!(PoolUpdate::read(&[9]).is_err());
        assert!(SwapRequest::read(&[0; 76]).is_err());
        assert!(Settlement::read(&[4; 200]).is_err());
    }
}
