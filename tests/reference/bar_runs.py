"""What `native/core/src/batch` does, in plain Python: bar by bar, with `engine.signals` and `engine.sizing`.

The oracle of tests and a peer of the bench; slow on purpose.
"""

from __future__ import annotations

import math
from typing import Any

from engine import signals
from engine.research.bar_runs import FIGURES, BarRuns
from engine.sizing import atr_units, fixed_fraction, volatility_target


def rule_of(parameters: dict[str, Any]) -> signals.Rule:
    """Make the rule of a parameter set."""
    p = dict(parameters)
    match p["kind"]:
        case "moving-average":
            return signals.MovingAverages.of(
                p["fast"], p["slow"], band_bps=p.get("band_bps", 0.0), exponential=p.get("exponential", False)
            )
        case "macd":
            return signals.MacdTrend.of(p["fast"], p["slow"], p["signal"], band_bps=p.get("band_bps", 0.0))
        case "rsi":
            return signals.RsiLevels.of(p["length"], low=p["low"], high=p["high"], reverts=p.get("reverts", False))
        case "breakout":
            return signals.Breakout.of(p["enter"], p["leave"])
    raise AssertionError(p["kind"])


class Sizer:
    def __init__(self, parameters: dict[str, Any], equity: float) -> None:
        self.terms = {"kind": "fixed-fraction", "fraction": 1.0, "leverage_max": 1.0} | parameters.get("sizing", {})
        self.equity = equity
        self.volatility = signals.Volatility.of(parameters.get("sizing_bars", 24))
        self.atr = signals.Atr.of(parameters.get("sizing_bars", 24))

    def update(self, high: float, low: float, close: float) -> float:
        volatility, atr = self.volatility.update(close), self.atr.update(high, low, close)
        terms, most = self.terms, self.terms["leverage_max"]
        match terms["kind"]:
            case "fixed-fraction":
                return fixed_fraction(self.equity, close, min(terms["fraction"], most))
            case "volatility-target":
                return volatility_target(self.equity, close, volatility, terms["target"], leverage_max=most)
            case _:
                known = 0.0 if math.isnan(atr) else atr
                return atr_units(
                    self.equity, close, known, risk=terms["risk"], multiple=terms["multiple"], leverage_max=most
                )


class Ledger:
    def __init__(self, runs: BarRuns) -> None:
        self.runs = runs
        self.cash = self.units = self.target = self.net = self.peak = 0.0
        self.figures = dict.fromkeys(FIGURES.names or (), 0.0)

    def bar(self, at: int, is_last: bool) -> None:
        bars, runs, figures = self.runs.bars, self.runs, self.figures
        if self.units != self.target:
            room, wanted = float(runs.depth[at]), self.target - self.units
            if abs(wanted) <= room:
                self.trade(wanted, float(bars.open[at]), at)
                self.units = self.target
            elif room > 0.0:
                self.trade(math.copysign(room, wanted), float(bars.open[at]), at)
                self.units += math.copysign(room, wanted)
        close = float(bars.close[at])
        if self.units != 0.0:
            paid = self.units * close * float(bars.funding[at])
            self.cash -= paid
            figures["funding"] += paid
            figures["bars_held"] += 1
            if is_last and runs.terms.closes:
                self.trade(-self.units, close, at)
                self.units = 0.0
        before, self.net = self.net, self.cash + self.units * close
        change = (self.net - before) / runs.terms.equity
        figures["bars"] += 1
        figures["net"] = self.net
        square = change * change
        for name, power in (("sum1", change), ("sum2", square), ("sum3", square * change), ("sum4", square * square)):
            figures[name] += power
        figures["down2"] += square if change < 0.0 else 0.0
        figures["bars_up"] += change > 0.0
        self.peak = max(self.peak, self.net)
        figures["drawdown"] = max(figures["drawdown"], self.peak - self.net)

    def trade(self, units: float, price: float, at: int) -> None:
        terms, figures = self.runs.terms, self.figures
        value = abs(units) * price
        spread = value * (terms.spread_bps / 20_000)
        slippage = value * (float(self.runs.slip[at]) * math.sqrt(abs(units)))
        paid = value + (spread + slippage) if units > 0.0 else value - (spread + slippage)
        fee = paid * (terms.fee_bps / 10_000)
        self.cash -= units * price + (spread + slippage + fee)
        for name, amount in (("fees", fee), ("spread", spread), ("slippage", slippage), ("turnover", value)):
            figures[name] += amount
        figures["orders"] += 1


def run(
    runs: BarRuns, parameters: dict[str, Any], begin: int, end: int, history: int
) -> tuple[list[float], list[float], dict[str, float]]:
    """Run one set; give units and result bar by bar, and its figures."""
    bars, rule, sizer = runs.bars, rule_of(parameters), Sizer(parameters, runs.terms.equity)
    ledger, held, units, net = Ledger(runs), 0, [], []
    for at in range(max(0, begin - history), end):
        if at >= begin:
            ledger.bar(at, at + 1 == end)
            units.append(ledger.units)
            net.append(ledger.net)
        bar = float(bars.high[at]), float(bars.low[at]), float(bars.close[at])
        side = rule.update(*bar)
        side = side if parameters.get("shorts", False) else max(side, 0)
        size = sizer.update(*bar)
        if side != held and (side == 0 or size > 0.0):
            held = side
            ledger.target = side * size if side else 0.0
    return units, net, ledger.figures
