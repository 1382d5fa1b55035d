//! What the venue books for us, exactly: position, cash, fees and funding per instrument.
//!
//! Cash is the sum of what each trade moves in the settlement asset: a buy of `n` lots at `p` moves `-n * p` (spot,
//! linear, in quote) or `+n * face / p` (inverse, in base, where short contracts are what one is paid in). What the
//! account is worth is cash plus the position at a mark, less fees, plus funding. Divisions round against us.

use super::fees::{ceil_div, fee_up, FeeAsset, FeeSettings};
use crate::event::{FEE_BASE, FEE_OTHER};
use crate::instrument::{Contract, Inexact, Instrument, Scale};

/// A sum of money that no longer fits: the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// One instrument's account, in smallest units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Lots, signed.
    pub position: i64,
    /// What trades moved, in the settlement asset (quote; base for inverse contracts).
    pub cash: i128,
    /// What trades cost, by the asset it was paid in: settlement, base, third. Rebates are negative.
    pub fees: [i128; 3],
    /// What funding moved, in the settlement asset.
    pub funding: i128,
}

/// A contract's arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Books {
    scale: Scale,
    inverse: bool,
    spot: bool,
}

/// A fee as a fill event carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fee {
    pub raw: i64,
    pub flag: u16,
}

impl Books {
    pub fn new(instrument: &Instrument) -> Result<Self, Inexact> {
        let inverse = matches!(instrument.contract, Contract::Inverse { .. });
        Ok(Self { scale: instrument.scale()?, inverse, spot: instrument.contract == Contract::Spot })
    }

    /// Returns what a trade moves in the settlement asset.
    pub fn flow(&self, is_buy: bool, lots: i64, price: i64) -> Option<i128> {
        if self.inverse {
            let numerator = i128::from(lots).checked_mul(self.scale.inverse_numerator)?;
            let price = i128::from(price);
            return if is_buy {
                numerator.checked_div_euclid(price)
            } else {
                ceil_div(numerator, price)?.checked_neg()
            };
        }
        let value = (i128::from(lots) * i128::from(price)).checked_mul(self.scale.quote_per_tick_lot)?;
        Some(if is_buy { -value } else { value })
    }

    /// Returns a trade's value in the quote asset: what minima and volumes are counted in.
    pub fn quote_value(&self, lots: i64, price: i64) -> Option<i128> {
        if self.inverse {
            return i128::from(lots).checked_mul(self.scale.quote_per_lot);
        }
        (i128::from(lots) * i128::from(price)).checked_mul(self.scale.quote_per_tick_lot)
    }

    /// Returns a trade's fee at a rate in 1e-8.
    pub fn fee(&self, settings: &FeeSettings, rate: i64, is_buy: bool, lots: i64, price: i64) -> Option<Fee> {
        let in_base = match settings.asset {
            FeeAsset::Base => self.spot,
            FeeAsset::Received => self.spot && is_buy,
            FeeAsset::Settlement | FeeAsset::Other { .. } => false,
        };
        if in_base {
            let value = i128::from(lots).checked_mul(self.scale.base_per_lot)?;
            return Some(Fee { raw: i64::try_from(fee_up(value, rate)?).ok()?, flag: FEE_BASE });
        }
        if let FeeAsset::Other { units, per_quote_units } = settings.asset {
            let value = self.quote_value(lots, price)?.checked_mul(i128::from(units))?;
            let raw = fee_up(value, rate)?;
            return Some(Fee {
                raw: i64::try_from(ceil_div(raw, i128::from(per_quote_units))?).ok()?,
                flag: FEE_OTHER,
            });
        }
        let value = self.flow(is_buy, lots, price)?.checked_abs()?;
        Some(Fee { raw: i64::try_from(fee_up(value, rate)?).ok()?, flag: 0 })
    }

    /// Books a trade.
    pub fn trade(&self, account: &mut Account, is_buy: bool, lots: i64, price: i64, fee: Fee) -> Result<(), Overflow> {
        let flow = self.flow(is_buy, lots, price).ok_or(Overflow)?;
        let signed = if is_buy { lots } else { -lots };
        account.position = account.position.checked_add(signed).ok_or(Overflow)?;
        account.cash = account.cash.checked_add(flow).ok_or(Overflow)?;
        let kind = match fee.flag {
            FEE_BASE => 1,
            FEE_OTHER => 2,
            _ => 0,
        };
        account.fees[kind] = account.fees[kind].checked_add(i128::from(fee.raw)).ok_or(Overflow)?;
        Ok(())
    }

    /// Books funding at a rate in 1e-12 and a mark; positive: longs pay. Payers pay up, receivers get down.
    pub fn fund(&self, account: &mut Account, rate: i64, mark: i64) -> Result<(), Overflow> {
        if self.spot || account.position == 0 {
            return Ok(());
        }
        let worth = self.flow(false, account.position.abs(), mark).ok_or(Overflow)?.checked_abs().ok_or(Overflow)?;
        let paid = worth.checked_mul(i128::from(rate) * i128::from(account.position.signum())).ok_or(Overflow)?;
        let paid = ceil_div(paid, 1_000_000_000_000).ok_or(Overflow)?;
        account.funding = account.funding.checked_sub(paid).ok_or(Overflow)?;
        Ok(())
    }

    /// Returns what closing the position at a mark would move, in the settlement asset, and its size there.
    pub fn worth(&self, account: &Account, mark: i64) -> Option<(i128, i128)> {
        if account.position == 0 {
            return Some((0, 0));
        }
        let flow = self.flow(account.position < 0, account.position.checked_abs()?, mark)?;
        Some((flow, flow.checked_abs()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::Decimal;

    fn books(contract: Contract) -> Books {
        let lot = if matches!(contract, Contract::Inverse { .. }) { 0 } else { 3 };
        Books::new(&Instrument {
            symbol: "BTC".into(),
            venue: 0,
            base: 0,
            quote: 1,
            tick: Decimal { digits: 1, scale: 1 },
            lot: Decimal { digits: 1, scale: lot },
            contract,
            notional_min: 0,
            maker_fee: 0,
            taker_fee: 0,
            base_decimals: 8,
            quote_decimals: 8,
        })
        .unwrap()
    }

    const NO_FEE: Fee = Fee { raw: 0, flag: 0 };

    #[test]
    fn a_linear_round_trip_earns_the_difference() {
        let (books, mut account) = (books(Contract::Linear), Account::default());
        books.trade(&mut account, true, 2_000, 500_000, NO_FEE).unwrap(); // 2 BTC at 50,000.0
        books.trade(&mut account, false, 2_000, 500_010, NO_FEE).unwrap();
        assert_eq!((account.position, account.cash), (0, 2 * 100_000_000));
    }

    #[test]
    fn an_inverse_round_trip_earns_in_base() {
        let face = Decimal { digits: 100, scale: 0 };
        let (books, mut account) = (books(Contract::Inverse { face }), Account::default());
        books.trade(&mut account, true, 1_000, 500_000, NO_FEE).unwrap(); // 100,000 USD at 50,000.0: 2 BTC
        books.trade(&mut account, false, 1_000, 625_000, NO_FEE).unwrap(); // at 62,500.0: 1.6 BTC
        assert_eq!((account.position, account.cash), (0, 40_000_000));
        let mut losing = Account::default();
        books.trade(&mut losing, true, 1, 499_999, NO_FEE).unwrap();
        books.trade(&mut losing, false, 1, 499_999, NO_FEE).unwrap();
        assert_eq!(losing.cash, -1, "a division that leaves a rest costs, it never earns");
    }

    #[test]
    fn longs_pay_positive_funding_and_shorts_get_no_more() {
        // A lot at 50,000.0 is 50 USD; at this rate 500,000.1 of its hundred-millionths.
        let books = books(Contract::Linear);
        for (position, expected) in [(1, -500_001), (-1, 500_000)] {
            let mut account = Account { position, ..Account::default() };
            books.fund(&mut account, 100_000_020, 500_000).unwrap();
            assert_eq!(account.funding, expected);
        }
    }

    #[test]
    fn fees_are_in_the_asset_the_venue_takes() {
        let books = books(Contract::Spot);
        let settings = |asset| FeeSettings { asset, ..FeeSettings::default() };
        let fee = |asset, is_buy| books.fee(&settings(asset), 100_000, is_buy, 10, 500_000).unwrap();
        // 0.01 BTC at 50,000.0 is 500 USD; 10 bps.
        assert_eq!(fee(FeeAsset::Settlement, true), Fee { raw: 50_000_000, flag: 0 });
        assert_eq!(fee(FeeAsset::Received, true), Fee { raw: 1_000, flag: FEE_BASE });
        assert_eq!(fee(FeeAsset::Received, false), Fee { raw: 50_000_000, flag: 0 });
        let other = FeeAsset::Other { units: 1, per_quote_units: 500 };
        assert_eq!(fee(other, false), Fee { raw: 100_000, flag: FEE_OTHER });
    }
}
