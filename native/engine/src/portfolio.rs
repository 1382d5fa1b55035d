//! What we hold and what it is worth, in whole numbers: balances by asset, a sub-ledger per strategy, positions in lots.
//!
//! Spot trades move base and quote. Derivatives move nothing but fees when they open; what a close realises, and funding,
//! is settled in the quote (linear) or base asset (inverse). What is not realised stays in the position's `cost`, so that
//! realised and unrealised results add up exactly however the shares of a partial close are rounded.

use crate::config::{Config, FOREIGN};
use crate::event::{Event, BUY, FEE_BASE, FEE_OTHER};
use crate::instrument::{Contract, Scale};

/// Why the books cannot go on: an amount does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// One strategy's stand in one instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Lots gained (+) or owed (-) since the start, fees left out.
    pub lots: i64,
    /// Derivatives: what the open lots were entered for, in the settlement asset's smallest unit, signed like
    /// the lots.
    pub cost: i128,
    /// Lots traded in all.
    pub volume: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AssetValue {
    economic: Option<u16>,
    /// `value = raw * mid_twice * numerator / denominator`; for the unit of account without the mid.
    numerator: i128,
    denominator: i128,
    mark: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leg {
    base: u16,
    quote: u16,
    fee_other: Option<u16>,
    contract: Contract,
    scale: Scale,
}

/// Balances and results. Every change names the strategy that caused it; [`FOREIGN`] is the last row.
#[derive(Debug, Clone)]
pub struct Portfolio {
    legs: Vec<Leg>,
    values: Vec<AssetValue>,
    /// Instruments that price something, and what their twice-mid was last.
    pub(crate) marks: Vec<i64>,
    is_mark: Vec<bool>,
    pub(crate) balances: Vec<i128>,
    pub(crate) opened: Vec<bool>,
    pub(crate) rows: usize,
    pub(crate) ledger: Vec<i128>,
    pub(crate) positions: Vec<Position>,
    /// A derivative position was ever held: results look at positions only then.
    pub(crate) has_derivatives: bool,
}

impl Portfolio {
    pub fn new(config: &Config, scales: &[Scale]) -> Self {
        let (rows, assets, instruments) = (config.strategies.len() + 1, config.assets.len(), config.instruments.len());
        let legs = config.instruments.iter().zip(scales).map(|(instrument, scale)| Leg {
            base: instrument.base,
            quote: instrument.quote,
            fee_other: config.venues[usize::from(instrument.venue)].fee_asset,
            contract: instrument.contract,
            scale: *scale,
        });
        let mut is_mark = vec![false; instruments];
        let values = config.assets.iter().map(|asset| {
            let mark = asset.economic.and_then(|e| config.economics[usize::from(e)].mark);
            let unit = 10i128.pow(u32::from(config.value_decimals));
            let own = 10i128.pow(u32::from(asset.decimals));
            let (numerator, denominator) = match mark {
                None => (unit, own),
                Some(index) => {
                    is_mark[index as usize] = true;
                    let tick = config.instruments[index as usize].tick;
                    (unit * i128::from(tick.digits), 2 * own * 10i128.pow(u32::from(tick.scale)))
                }
            };
            let shared = greatest_common_divisor(numerator, denominator);
            AssetValue {
                economic: asset.economic,
                numerator: numerator / shared,
                denominator: denominator / shared,
                mark,
            }
        });
        Self {
            legs: legs.collect(),
            values: values.collect(),
            marks: vec![0; instruments],
            is_mark,
            balances: vec![0; assets],
            opened: vec![false; assets],
            rows,
            ledger: vec![0; rows * assets],
            positions: vec![Position::default(); rows * instruments],
            has_derivatives: false,
        }
    }

    /// Returns what is held of an asset, by all strategies together.
    pub fn balance(&self, asset: u16) -> i128 {
        self.balances[usize::from(asset)]
    }

    /// Returns whether an asset's opening balance is known.
    pub fn is_opened(&self, asset: u16) -> bool {
        self.opened[usize::from(asset)]
    }

    /// Returns what a strategy gained (+) or owes (-) of an asset since the start.
    pub fn moved(&self, strategy: u8, asset: u16) -> i128 {
        self.ledger[self.row(strategy) * self.balances.len() + usize::from(asset)]
    }

    /// Returns a strategy's stand in an instrument.
    #[inline]
    pub fn position(&self, strategy: u8, instrument: u32) -> Position {
        self.positions[self.row(strategy) * self.legs.len() + instrument as usize]
    }

    /// Returns all strategies' lots in an instrument, those nobody ordered included.
    pub fn lots_total(&self, instrument: u32) -> i64 {
        (0..self.rows).map(|row| self.positions[row * self.legs.len() + instrument as usize].lots).sum()
    }

    /// Returns twice the mid that an instrument was last seen at, in ticks; 0 when it never had one.
    #[inline]
    pub fn mark(&self, instrument: u32) -> i64 {
        self.marks[instrument as usize]
    }

    /// Returns whether an instrument prices anything.
    #[inline]
    pub fn is_mark(&self, instrument: u32) -> bool {
        self.is_mark[instrument as usize]
    }

    /// Takes a valid book's mid; returns whether it moved. A book that goes stale keeps its last: results do not jump
    /// because a socket dropped.
    #[inline]
    pub fn set_mark(&mut self, instrument: u32, mid_twice: i64) -> bool {
        let mark = &mut self.marks[instrument as usize];
        let moved = *mark != mid_twice;
        *mark = mid_twice;
        moved
    }

    /// Takes the first report of a holding as the start; later ones do not move the books, trades do.
    pub fn open_balance(&mut self, asset: u16, raw: i128) -> bool {
        let is_first = !self.opened[usize::from(asset)];
        if is_first {
            self.opened[usize::from(asset)] = true;
            self.balances[usize::from(asset)] += raw;
        }
        is_first
    }

    /// Books a change of one asset: a swap's leg, its gas.
    pub fn change(&mut self, strategy: u8, asset: u16, raw: i128) -> Result<(), Overflow> {
        let assets = self.balances.len();
        let at = self.row(strategy) * assets + usize::from(asset);
        let balance = self.balances[usize::from(asset)].checked_add(raw).ok_or(Overflow)?;
        self.ledger[at] = self.ledger[at].checked_add(raw).ok_or(Overflow)?;
        self.balances[usize::from(asset)] = balance;
        Ok(())
    }

    /// Books a trade: both legs or what a close realises, and the fee; exact.
    pub fn fill(&mut self, strategy: u8, fill: &Event) -> Result<(), Overflow> {
        let leg = self.legs[fill.instrument as usize];
        let sign: i64 = if fill.side == BUY { 1 } else { -1 };
        let lots = sign.checked_mul(fill.size).ok_or(Overflow)?;
        let times = |a: i128, b: i128| a.checked_mul(b).ok_or(Overflow);
        match leg.contract {
            Contract::Spot => {
                let ticks = times(i128::from(lots), i128::from(fill.price))?;
                self.change(strategy, leg.base, times(i128::from(lots), leg.scale.base_per_lot)?)?;
                self.change(strategy, leg.quote, -times(ticks, leg.scale.quote_per_tick_lot)?)?;
                let position = self.position_mut(strategy, fill.instrument);
                position.lots = position.lots.checked_add(lots).ok_or(Overflow)?;
            }
            Contract::Linear | Contract::Inverse { .. } => {
                let value = entry_value(&leg, lots, fill.price).ok_or(Overflow)?;
                let realised = self.position_mut(strategy, fill.instrument).trade(lots, value, &leg)?;
                if realised != 0 {
                    self.change(strategy, leg.settlement(), realised)?;
                }
                self.has_derivatives = true;
            }
        }
        let position = self.position_mut(strategy, fill.instrument);
        position.volume = position.volume.saturating_add(fill.size.unsigned_abs());
        let fee = i128::from(fill.aux[1]);
        if fee != 0 {
            let asset = if fill.flags & FEE_OTHER != 0 {
                leg.fee_other
            } else if fill.flags & FEE_BASE != 0 {
                Some(leg.base)
            } else {
                Some(leg.settlement())
            };
            // A fee in a coin nobody configured has no value here; the venue's statement has it.
            if let Some(asset) = asset {
                self.change(strategy, asset, -fee)?;
            }
        }
        Ok(())
    }

    /// Settles funding for every holder: longs pay a positive rate. Rounded against us.
    pub fn fund(&mut self, event: &Event) -> Result<(), Overflow> {
        let leg = self.legs[event.instrument as usize];
        if leg.contract == Contract::Spot || event.price <= 0 {
            return Ok(());
        }
        for row in 0..self.rows {
            let strategy = self.strategy_of_row(row);
            let lots = self.position(strategy, event.instrument).lots;
            if lots == 0 {
                continue;
            }
            let value = match leg.contract {
                Contract::Inverse { .. } => i128::from(lots)
                    .checked_mul(leg.scale.inverse_numerator)
                    .ok_or(Overflow)?
                    .div_euclid(i128::from(event.price)),
                _ => i128::from(lots)
                    .checked_mul(i128::from(event.price))
                    .and_then(|v| v.checked_mul(leg.scale.quote_per_tick_lot))
                    .ok_or(Overflow)?,
            };
            let due = value.checked_mul(i128::from(event.aux[0])).ok_or(Overflow)?;
            // What we receive is rounded down, which for what we pay is up.
            self.change(strategy, leg.settlement(), (-due).div_euclid(1_000_000_000_000))?;
        }
        Ok(())
    }

    /// Returns profit and loss since the start, of one strategy or of all, in the configuration's value unit, rounded
    /// down; nothing while something held has no mark: a result would show a loss that never was.
    pub fn result(&self, strategy: Option<u8>) -> Option<i128> {
        let rows = match strategy {
            Some(strategy) => self.row(strategy)..self.row(strategy) + 1,
            None => 0..self.rows,
        };
        let assets = self.balances.len();
        let mut total = 0i128;
        for asset in 0..assets {
            let raw: i128 = rows.clone().map(|row| self.ledger[row * assets + asset]).sum();
            total = total.checked_add(self.value(asset as u16, raw)?)?;
        }
        if self.has_derivatives {
            for row in rows {
                for instrument in 0..self.legs.len() {
                    let position = self.positions[row * self.legs.len() + instrument];
                    if position.lots != 0 {
                        total = total.checked_add(self.unrealised_value(instrument as u32, position)?)?;
                    }
                }
            }
        }
        Some(total)
    }

    /// Returns an amount's value, rounded down; nothing when it has no mark yet. What belongs to no economic asset is
    /// worth nothing here.
    #[inline]
    pub fn value(&self, asset: u16, raw: i128) -> Option<i128> {
        if raw == 0 {
            return Some(0);
        }
        let value = &self.values[usize::from(asset)];
        if value.economic.is_none() {
            return Some(0);
        }
        let times = match value.mark {
            None => value.numerator,
            Some(index) => match self.marks[index as usize] {
                0 => return None,
                mid => value.numerator * i128::from(mid),
            },
        };
        Some(match raw.checked_mul(times) {
            Some(product) => product.div_euclid(value.denominator),
            // More than 10^38: the last digits of such an amount are below any value's unit.
            None => raw.div_euclid(value.denominator).checked_mul(times)?,
        })
    }

    /// Returns the economic asset that an asset is a form of.
    pub fn economic(&self, asset: u16) -> Option<u16> {
        self.values[usize::from(asset)].economic
    }

    /// Returns a position's unrealised result in its settlement asset's smallest unit, at its own last mid.
    pub fn unrealised(&self, instrument: u32, position: Position) -> Option<i128> {
        if position.lots == 0 {
            return Some(0);
        }
        let leg = &self.legs[instrument as usize];
        let mid = i128::from(self.marks[instrument as usize]);
        if mid == 0 {
            return None;
        }
        match leg.contract {
            Contract::Spot => Some(0),
            Contract::Linear => {
                let worth = i128::from(position.lots).checked_mul(mid)?.checked_mul(leg.scale.quote_per_tick_lot)?;
                worth.div_euclid(2).checked_sub(position.cost)
            }
            Contract::Inverse { .. } => {
                let worth = i128::from(position.lots).checked_mul(2)?.checked_mul(leg.scale.inverse_numerator)?;
                // Rounded up: it is what is owed against the entry.
                position.cost.checked_sub(-(-worth).div_euclid(mid))
            }
        }
    }

    fn unrealised_value(&self, instrument: u32, position: Position) -> Option<i128> {
        let leg = &self.legs[instrument as usize];
        self.value(leg.settlement(), self.unrealised(instrument, position)?)
    }

    #[inline]
    fn row(&self, strategy: u8) -> usize {
        usize::from(strategy).min(self.rows - 1)
    }

    fn strategy_of_row(&self, row: usize) -> u8 {
        if row + 1 == self.rows {
            FOREIGN
        } else {
            row as u8
        }
    }

    fn position_mut(&mut self, strategy: u8, instrument: u32) -> &mut Position {
        let at = self.row(strategy) * self.legs.len() + instrument as usize;
        &mut self.positions[at]
    }
}

impl Leg {
    fn settlement(&self) -> u16 {
        match self.contract {
            Contract::Inverse { .. } => self.base,
            _ => self.quote,
        }
    }

    /// Returns what a close of entries worth `entered` at `left` realises.
    fn realised(&self, entered: i128, left: i128) -> Option<i128> {
        match self.contract {
            Contract::Inverse { .. } => entered.checked_sub(left),
            _ => left.checked_sub(entered),
        }
    }
}

/// Returns what signed lots are worth at a price in the settlement asset, signed like them; inverse: rounded against us.
fn entry_value(leg: &Leg, lots: i64, price: i64) -> Option<i128> {
    match leg.contract {
        Contract::Inverse { .. } => {
            if price <= 0 {
                return None;
            }
            // A buy's entry is what we get credited, a sell's what we owe: down is against us for both signs.
            Some(i128::from(lots).checked_mul(leg.scale.inverse_numerator)?.div_euclid(i128::from(price)))
        }
        _ => i128::from(lots).checked_mul(i128::from(price))?.checked_mul(leg.scale.quote_per_tick_lot),
    }
}

impl Position {
    /// Takes signed lots worth `value`; returns what is realised. The share of the cost that closed lots take with them
    /// is rounded down; the rest stays, so nothing is lost.
    fn trade(&mut self, lots: i64, value: i128, leg: &Leg) -> Result<i128, Overflow> {
        let after = self.lots.checked_add(lots).ok_or(Overflow)?;
        let is_opening = self.lots == 0 || (self.lots > 0) == (lots > 0);
        let realised = if is_opening {
            self.cost = self.cost.checked_add(value).ok_or(Overflow)?;
            0
        } else {
            let closed = if lots.unsigned_abs() >= self.lots.unsigned_abs() { self.lots } else { -lots };
            let entered = share(self.cost, closed, self.lots)?;
            let left = -share(value, -closed, lots)?;
            self.cost = if closed == self.lots {
                value.checked_add(left).ok_or(Overflow)? // What opens the other way, zero when nothing does.
            } else {
                self.cost - entered
            };
            leg.realised(entered, left).ok_or(Overflow)?
        };
        self.lots = after;
        Ok(realised)
    }
}

/// Returns `whole * part / of`, rounded down.
fn share(whole: i128, part: i64, of: i64) -> Result<i128, Overflow> {
    if part == of {
        return Ok(whole);
    }
    let product = whole.checked_mul(i128::from(part)).ok_or(Overflow)?;
    let (product, of) = if of < 0 { (-product, -i128::from(of)) } else { (product, i128::from(of)) };
    Ok(product.div_euclid(of))
}

fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
