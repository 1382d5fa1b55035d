//! The gate's state as bytes: for snapshots and for the digest over everything that decides.

use super::stage::{Stage, Staging};
use super::RiskGate;

/// Bytes that are no gate's state, or another configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

trait Place {
    /// Writes a number, or reads it in its place.
    fn i64(&mut self, number: &mut i64) -> Result<(), Corrupt>;

    fn i128(&mut self, number: &mut i128) -> Result<(), Corrupt> {
        let (mut high, mut low) = ((*number >> 64) as i64, *number as i64);
        self.i64(&mut high)?;
        self.i64(&mut low)?;
        *number = i128::from(high) << 64 | i128::from(low as u64);
        Ok(())
    }

    fn count(&mut self, number: &mut u32) -> Result<(), Corrupt> {
        let mut wide = i64::from(*number);
        self.i64(&mut wide)?;
        *number = u32::try_from(wide).map_err(|_| Corrupt)?;
        Ok(())
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Place for Writer<'_> {
    fn i64(&mut self, number: &mut i64) -> Result<(), Corrupt> {
        self.0.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl Place for Reader<'_> {
    fn i64(&mut self, number: &mut i64) -> Result<(), Corrupt> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(Corrupt)?;
        (*number, self.0) = (i64::from_le_bytes(*bytes), rest);
        Ok(())
    }
}

impl RiskGate {
    /// Appends the state.
    pub fn save(&self, out: &mut Vec<u8>) {
        // One walk serves both ways; writing leaves what it walks as it was.
        let written = self.clone().walk(&mut Writer(out));
        debug_assert!(written.is_ok());
    }

    /// Takes the state that a gate of the same configuration saved. On failure the gate is as it was.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let mut loaded = self.clone();
        let mut reader = Reader(bytes);
        loaded.walk(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(Corrupt);
        }
        *self = loaded;
        Ok(())
    }

    fn walk(&mut self, place: &mut impl Place) -> Result<(), Corrupt> {
        for bucket in &mut self.buckets {
            for part in bucket.parts() {
                place.i64(part)?;
            }
        }
        for executions in &mut self.executions {
            let mut length = executions.times_ns.len() as u32;
            place.count(&mut length)?;
            if length > self.config.limits.executions_max {
                return Err(Corrupt);
            }
            executions.times_ns.resize(length as usize, 0);
            for time in &mut executions.times_ns {
                place.i64(time)?;
            }
        }
        for losses in &mut self.losses {
            for number in [&mut losses.day, &mut losses.slot] {
                place.i64(number)?;
            }
            for number in [&mut losses.base, &mut losses.peak, &mut losses.day_base, &mut losses.last] {
                place.i128(number)?;
            }
            for high in &mut losses.highs {
                place.i128(high)?;
            }
        }
        walk_staging(&mut self.whole, place)?;
        for scope in &mut self.by_strategy {
            walk_staging(scope, place)?;
        }
        for closing in &mut self.closing {
            place.count(&mut closing.attempts)?;
            place.i64(&mut closing.sent_ns)?;
            place.i64(&mut closing.left)?;
        }
        for held in &mut self.held {
            let mut number = *held as i64;
            place.i64(&mut number)?;
            *held = usize::try_from(number).map_err(|_| Corrupt)?;
        }
        Ok(())
    }
}

fn walk_staging(scope: &mut Staging, place: &mut impl Place) -> Result<(), Corrupt> {
    let flags = i64::from(scope.all_cancelled) << 16 | i64::from(scope.told) << 17;
    let mut packed = scope.stage as i64 | (scope.target as i64) << 8 | flags;
    place.i64(&mut packed)?;
    place.i64(&mut scope.since_ns)?;
    let stage = |shift: u32| Stage::from_number((packed >> shift) as u8).ok_or(Corrupt);
    (scope.stage, scope.target) = (stage(0)?, stage(8)?);
    (scope.all_cancelled, scope.told) = (packed >> 16 & 1 == 1, packed >> 17 & 1 == 1);
    if packed >> 18 != 0 {
        return Err(Corrupt);
    }
    Ok(())
}
