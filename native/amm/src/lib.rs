//! Automated market makers in exact integers: what a pool's contract would compute, to the last unit.
//!
//! A pool is its state and nothing else: no clock, no network, no ids. Quotes leave it as it is; swaps move it. Amounts
//! are raw token units in 256 bits, as in the contracts.
#![forbid(unsafe_code)]

pub mod math;
pub mod swap_math;
pub mod tick_math;
pub mod ticks;
pub mod v2;
pub mod v3;

use std::fmt;

pub type U256 = ruint::aliases::U256;

/// One part in a million, the unit of pool fees.
pub const PIPS: u64 = 1_000_000;

/// Says why a pool does not do what was asked. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmmError {
    /// Amounts must be positive.
    Amount,
    /// The pool cannot take or give so much: the contract would fill it only in part, or revert.
    Depth,
    /// A tick, price, fee or liquidity that no pool can have.
    State(&'static str),
}

impl fmt::Display for AmmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount => f.write_str("the amount must be positive"),
            Self::Depth => f.write_str("the amount exceeds the pool's liquidity"),
            Self::State(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for AmmError {}

/// A pool that can be quoted and traded. `zero_for_one`: token 0 comes in, token 1 goes out.
#[derive(Debug, Clone)]
pub enum Pool {
    V2(v2::Pair),
    V3(v3::Pool),
}

impl Pool {
    /// Returns the output of swapping exactly `amount_in`, rounded down as the contract does.
    pub fn quote_exact_in_down(&self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        match self {
            Self::V2(pair) => pair.quote_exact_in_down(zero_for_one, amount_in),
            Self::V3(pool) => pool.quote_exact_in_down(zero_for_one, amount_in),
        }
    }

    /// Returns the input, fee included, that buys exactly `amount_out`, rounded up as the contract does.
    pub fn quote_exact_out_up(&self, zero_for_one: bool, amount_out: U256) -> Result<U256, AmmError> {
        match self {
            Self::V2(pair) => pair.quote_exact_out_up(zero_for_one, amount_out),
            Self::V3(pool) => pool.quote_exact_out_up(zero_for_one, amount_out),
        }
    }

    /// Swaps exactly `amount_in` and returns the output.
    pub fn swap_exact_in(&mut self, zero_for_one: bool, amount_in: U256) -> Result<U256, AmmError> {
        match self {
            Self::V2(pair) => pair.swap_exact_in(zero_for_one, amount_in),
            Self::V3(pool) => pool.swap_exact_in(zero_for_one, amount_in),
        }
    }
}
