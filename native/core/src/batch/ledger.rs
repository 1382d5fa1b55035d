//! What a run holds and has paid, and the figures that are summed up on the way.

use super::Bars;

/// What trading costs and how much there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Quote units that positions are sized by and results are shares of; profits are not added to it.
    pub equity: f64,
    /// Of what is traded.
    pub fee: f64,
    /// Half the spread as a share of the price.
    pub half_spread: f64,
    /// Whether what is left is sold at the last close.
    pub closes: bool,
}

/// One run's figures, in quote units and sums; `COLUMNS` names them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    pub net: f64,
    pub fees: f64,
    pub spread: f64,
    pub slippage: f64,
    /// Paid; negative when received.
    pub funding: f64,
    /// Value traded.
    pub turnover: f64,
    pub orders: f64,
    pub bars: f64,
    /// Bars at whose close something was held.
    pub bars_held: f64,
    /// Deepest fall of the result below its peak (and below its start).
    pub drawdown: f64,
    /// Sums of powers of the bars' returns, which are shares of equity.
    pub sums: [f64; 4],
    /// Sum of squares of the negative ones.
    pub down: f64,
    /// Bars whose return was positive.
    pub up: f64,
}

/// Names of `Figures::columns`.
pub const COLUMNS: [&str; 16] = [
    "net",
    "fees",
    "spread",
    "slippage",
    "funding",
    "turnover",
    "orders",
    "bars",
    "bars_held",
    "drawdown",
    "sum1",
    "sum2",
    "sum3",
    "sum4",
    "down2",
    "bars_up",
];

impl Figures {
    /// Returns everything in the order of `COLUMNS`.
    pub fn columns(&self) -> [f64; 16] {
        let [a, b, c, d] = self.sums;
        [
            self.net,
            self.fees,
            self.spread,
            self.slippage,
            self.funding,
            self.turnover,
            self.orders,
            self.bars,
            self.bars_held,
            self.drawdown,
            a,
            b,
            c,
            d,
            self.down,
            self.up,
        ]
    }
}

#[derive(Debug)]
pub(super) struct Ledger {
    costs: Costs,
    cash: f64,
    pub units: f64,
    pub target: f64,
    pub net: f64,
    peak: f64,
    pub figures: Figures,
}

impl Ledger {
    pub fn new(costs: Costs) -> Self {
        Self { costs, cash: 0.0, units: 0.0, target: 0.0, net: 0.0, peak: 0.0, figures: Figures::default() }
    }

    /// Takes a bar: trades at its open, is funded and valued at its close, sells out there when it is the last.
    #[inline]
    pub fn bar(&mut self, bars: &Bars<'_>, at: usize, is_last: bool) {
        if self.units != self.target {
            let room = bars.depth[at];
            let wanted = self.target - self.units;
            if wanted.abs() <= room {
                self.trade(wanted, bars.open[at], bars.slip[at]);
                self.units = self.target;
            } else if room > 0.0 {
                let lots = if wanted > 0.0 { room } else { -room };
                self.trade(lots, bars.open[at], bars.slip[at]);
                self.units += lots;
            }
        }
        let close = bars.close[at];
        if self.units != 0.0 {
            let paid = self.units * close * bars.funding[at];
            self.cash -= paid;
            self.figures.funding += paid;
            self.figures.bars_held += 1.0;
            if is_last && self.costs.closes {
                self.trade(-self.units, close, bars.slip[at]);
                self.units = 0.0;
            }
        }
        let before = self.net;
        self.net = self.cash + self.units * close;
        self.count((self.net - before) / self.costs.equity);
    }

    fn trade(&mut self, units: f64, price: f64, slip: f64) {
        let value = units.abs() * price;
        let spread = value * self.costs.half_spread;
        let slippage = value * (slip * units.abs().sqrt());
        let paid = if units > 0.0 { value + (spread + slippage) } else { value - (spread + slippage) };
        let fee = paid * self.costs.fee;
        self.cash -= units * price + (spread + slippage + fee);
        self.figures.fees += fee;
        self.figures.spread += spread;
        self.figures.slippage += slippage;
        self.figures.turnover += value;
        self.figures.orders += 1.0;
    }

    #[inline]
    fn count(&mut self, change: f64) {
        let figures = &mut self.figures;
        figures.bars += 1.0;
        figures.net = self.net;
        let square = change * change;
        figures.sums[0] += change;
        figures.sums[1] += square;
        figures.sums[2] += square * change;
        figures.sums[3] += square * square;
        if change < 0.0 {
            figures.down += square;
        }
        if change > 0.0 {
            figures.up += 1.0;
        }
        self.peak = self.peak.max(self.net);
        figures.drawdown = figures.drawdown.max(self.peak - self.net);
    }
}
