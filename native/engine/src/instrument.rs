//! What a venue trades: its grid, its contract and its fees, with exact amounts in smallest units.

/// A decimal number: `digits * 10^-scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    pub digits: i64,
    pub scale: u8,
}

/// How a trade turns into amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Base changes hands against quote; a lot is base.
    Spot,
    /// Margined and settled in quote; a lot is base.
    Linear,
    /// Margined and settled in base; a lot is a number of contracts of `face` quote units each (COIN-M).
    Inverse { face: Decimal },
}

/// One instrument of one venue. Indices point into the run's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    pub symbol: String,
    pub venue: u16,
    pub base: u16,
    pub quote: u16,
    pub tick: Decimal,
    pub lot: Decimal,
    pub contract: Contract,
    /// In the quote asset's smallest unit.
    pub notional_min: i128,
    /// In 1e-8 of the traded value; negative: a rebate.
    pub maker_fee: i64,
    pub taker_fee: i64,
    pub base_decimals: u8,
    pub quote_decimals: u8,
}

/// Says why an instrument cannot be counted exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inexact(pub &'static str);

/// The factors that turn ticks and lots into smallest units; made once per instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Base smallest units in one lot (spot and linear).
    pub base_per_lot: i128,
    /// Quote smallest units in one tick times one lot (spot and linear).
    pub quote_per_tick_lot: i128,
    /// Inverse: `settled_raw = lots * inverse_numerator / price_ticks`, in the base asset's smallest unit.
    pub inverse_numerator: i128,
    /// Inverse: quote smallest units in one lot.
    pub quote_per_lot: i128,
}

impl Instrument {
    /// Returns the factors, or why amounts would not be whole.
    pub fn scale(&self) -> Result<Scale, Inexact> {
        let whole = |digits: i128, exponent: i32, why: &'static str| -> Result<i128, Inexact> {
            let factor = 10i128.checked_pow(exponent.unsigned_abs()).ok_or(Inexact(why))?;
            if exponent >= 0 {
                digits.checked_mul(factor).ok_or(Inexact(why))
            } else if digits % factor == 0 {
                Ok(digits / factor)
            } else {
                Err(Inexact(why))
            }
        };
        let (tick, lot) = (i128::from(self.tick.digits), i128::from(self.lot.digits));
        let (tick_scale, lot_scale) = (i32::from(self.tick.scale), i32::from(self.lot.scale));
        let (base, quote) = (i32::from(self.base_decimals), i32::from(self.quote_decimals));
        if tick <= 0 || lot <= 0 {
            return Err(Inexact("tick and lot must be positive"));
        }
        Ok(match self.contract {
            Contract::Spot | Contract::Linear => Scale {
                base_per_lot: whole(lot, base - lot_scale, "a lot is finer than the base asset's unit")?,
                quote_per_tick_lot: whole(
                    tick * lot,
                    quote - tick_scale - lot_scale,
                    "a tick times a lot is finer than the quote asset's unit",
                )?,
                inverse_numerator: 0,
                quote_per_lot: 0,
            },
            Contract::Inverse { face } => {
                let digits = lot.checked_mul(i128::from(face.digits)).ok_or(Inexact("too large"))?;
                let scale = lot_scale + i32::from(face.scale);
                // lots * lot * face / (ticks * tick), in 10^-base: the tick's digits stay in the denominator's place.
                let numerator = whole(digits, base + tick_scale - scale, "the face is too fine")?;
                if numerator % tick != 0 {
                    return Err(Inexact("the face is no multiple of the tick"));
                }
                Scale {
                    base_per_lot: 0,
                    quote_per_tick_lot: 0,
                    inverse_numerator: numerator / tick,
                    quote_per_lot: whole(digits, quote - scale, "a lot is finer than the quote asset's unit")?,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn btc(contract: Contract, tick: Decimal, lot: Decimal) -> Instrument {
        Instrument {
            symbol: "BTC".into(),
            venue: 0,
            base: 0,
            quote: 1,
            tick,
            lot,
            contract,
            notional_min: 0,
            maker_fee: 0,
            taker_fee: 0,
            base_decimals: 8,
            quote_decimals: 8,
        }
    }

    #[test]
    fn a_spot_trade_is_whole_in_smallest_units() {
        let spot = btc(Contract::Spot, Decimal { digits: 1, scale: 2 }, Decimal { digits: 1, scale: 5 });
        let scale = spot.scale().unwrap();
        assert_eq!((scale.base_per_lot, scale.quote_per_tick_lot), (1_000, 10));
        let fine = btc(Contract::Spot, Decimal { digits: 1, scale: 6 }, Decimal { digits: 1, scale: 5 });
        assert!(fine.scale().is_err());
    }

    #[test]
    fn an_inverse_contract_settles_face_over_price() {
        // COIN-M BTC: 100 USD a contract, tick 0.1; one contract at 50,000.0 is 0.002 BTC.
        let face = Decimal { digits: 100, scale: 0 };
        let inverse = btc(Contract::Inverse { face }, Decimal { digits: 1, scale: 1 }, Decimal { digits: 1, scale: 0 });
        let scale = inverse.scale().unwrap();
        assert_eq!(scale.inverse_numerator / 500_000, 200_000);
        assert_eq!(scale.quote_per_lot, 10_000_000_000);
    }
}
