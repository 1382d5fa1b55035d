"""Many parameter sets over one market's bars, by the native batch: what walk-forward and search are made of.

```python
bars = bars_of(read_bars(path), period=timedelta(hours=1))
runs = BarRuns(bars, BarTerms(fee_bps=5))
figures = runs.evaluate([{"kind": "breakout", "enter": 100, "leave": 50}, …], begin=0, end=len(bars))
figures["net"], figures["drawdown"], sharpe(figures, runs.periods_per_year)
```

A set is decided at each close and trades at the next open, by the arithmetic of `engine.signals` and `engine.sizing`:
the strategy of the same kind decides the same in the kernel. docs/research-bars.md says what the model leaves out.
Results depend on the set, the bars and the range alone: not on what else was asked for, nor on how many threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, TypeAlias

import capstan_native as native
import numpy as np
import numpy.typing as npt
import polars as pl

from domain import InputError
from engine.data.bar_market import trailing_mean

Floats = npt.NDArray[np.float64]
ParameterSet: TypeAlias = Mapping[str, Any]
"""The settings of a strategy of the catalog that say what it decides: `kind`, its `PARAMETERS`, `shorts`, `sizing` with
its kind and keys, and `sizing_bars`."""
Figures: TypeAlias = npt.NDArray[np.void]
"""One row a set, of `FIGURES`."""

FIGURES: Final = np.dtype([(name, "<f8") for name in native.BarRuns.COLUMNS])
"""Money in quote units: `net` (all costs paid), `fees`, `spread`, `slippage`, `funding` (paid), `turnover` (value
traded), `drawdown` (deepest, money). Counts: `orders`, `bars`, `bars_held`, `bars_up`. Sums of powers of each bar's
return, which is a share of equity: `sum1` to `sum4`, and `down2` of the negative ones."""

Defaults: TypeAlias = Mapping[str, float | None]
PARAMETERS: Final[Mapping[str, Defaults]] = {
    "moving-average": {"fast": None, "slow": None, "band_bps": 0.0},
    "macd": {"fast": 12.0, "slow": 26.0, "signal": 9.0, "band_bps": 0.0},
    "rsi": {"length": 14.0, "low": 45.0, "high": 55.0, "reverts": 0.0},
    "breakout": {"enter": None, "leave": None},
}
"""Names and defaults of each kind's parameters; None has to be given."""
_RULES: Final = {"moving-average": 0, "macd": 2, "rsi": 3, "breakout": 4}
_SIZINGS: Final[Mapping[str, tuple[int, Defaults]]] = {
    "fixed-fraction": (0, {"fraction": 0.1, "leverage_max": 1.0}),
    "volatility-target": (1, {"target": None, "leverage_max": 1.0}),
    "atr": (2, {"risk": 0.01, "multiple": 2.0, "leverage_max": 1.0}),
}
_WIDTH: Final = 11
_YEAR: Final = timedelta(days=365.25)


@dataclass(frozen=True, slots=True)
class BarTerms:
    """What trading costs; the same law as tradable bars of a kernel backtest (`engine.data.bar_market`)."""

    equity: float = 100_000.0
    """Quote units; sizes and returns are shares of it, profits are not added."""
    fee_bps: float = 5.0
    spread_bps: float = 2.0
    impact: float = 1.0
    """Who takes Q moves the price by impact * sigma * sqrt(Q / V), and pays two thirds of that in the mean."""
    depth_share: float = 0.1
    """Of a bar's mean volume that can be had at its open; what is wanted beyond waits for the next."""
    memory_bars: int = 24
    closes: bool = True
    """Whether what is held is sold at a range's last close, at cost."""


@dataclass(frozen=True, eq=False)
class Bars:
    """One market's bars, oldest first. `funding` is the rate that is due at each close, 0 mostly."""

    period: timedelta
    time_ns: npt.NDArray[np.int64]
    """When each bar closed."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    funding: Floats

    def __len__(self) -> int:
        return len(self.close)

    @property
    def periods_per_year(self) -> float:
        return _YEAR / self.period

    def index(self, time_ns: int) -> int:
        """Give the first bar that closes after an instant."""
        return int(np.searchsorted(self.time_ns, time_ns, side="right"))


def bars_of(table: pl.DataFrame, *, period: timedelta, funding: pl.DataFrame | None = None) -> Bars:
    """Take the tables of `engine.data.read_bars` and `read_funding`.

    Funding is due at the first close at or after its time; the exchange tells it some milliseconds late, so that up to
    a second after a close is that close. What was due before the first bar opened is left out.
    """
    step_ns = period // timedelta(microseconds=1) * 1_000
    closes = table["time"].dt.epoch("ns").to_numpy() + step_ns
    rates = np.zeros(len(closes))
    if funding is not None:
        times = funding["time"].dt.epoch("ns").to_numpy() - 10**9
        places = np.searchsorted(closes, times, side="left")
        inside = (places < len(closes)) & (times >= closes[0] - step_ns)
        np.add.at(rates, places[inside], funding["rate"].to_numpy()[inside])
    columns = {name: table[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close", "volume")}
    return Bars(period=period, time_ns=closes, funding=rates, **columns)


@dataclass(frozen=True, slots=True)
class Curve:
    """One set's run, bar by bar: units held after each open, result at each close; and its figures."""

    units: Floats
    net: Floats
    figures: Figures


class BarRuns:
    """One market, one set of costs: evaluates parameter sets over ranges of bars. Safe to use from several threads."""

    def __init__(self, bars: Bars, terms: BarTerms | None = None) -> None:
        self.bars = bars
        self.terms = terms = terms or BarTerms()
        self.depth, self.slip = depth_and_slip(bars, terms)
        columns = (bars.open, bars.high, bars.low, bars.close, bars.funding, self.depth, self.slip)
        try:
            self._native = native.BarRuns(
                [np.ascontiguousarray(column, "<f8").tobytes() for column in columns],
                equity=terms.equity,
                fee=terms.fee_bps / 10_000,
                half_spread=terms.spread_bps / 20_000,
                closes=terms.closes,
            )
        except ValueError as exc:
            raise InputError(f"these bars cannot be run over: {exc}") from exc

    @cached_property
    def periods_per_year(self) -> float:
        return self.bars.periods_per_year

    def evaluate(
        self, sets: Sequence[ParameterSet] | Floats, begin: int = 0, end: int | None = None, history: int | None = None
    ) -> Figures:
        """Run sets over the bars `begin` to `end` (not included), each from flat; give one row of `FIGURES` a set.

        Args:
            sets: Parameter sets, or what `encode` made of them.
            begin: First bar that is traded in, on what was decided at the close before.
            end: After the last; everything by default.
            history: Bars before `begin` that signals are warmed up on; by default ten times what a set looks back.

        Raises:
            InputError: A set that contradicts itself, or a range that is not there.
        """
        matrix = sets if isinstance(sets, np.ndarray) else encode(sets)
        end = len(self.bars) if end is None else end
        try:
            found = self._native.evaluate(np.ascontiguousarray(matrix, "<f8").tobytes(), begin, end, history)
        except (ValueError, OverflowError) as exc:
            raise InputError(str(exc)) from exc
        return np.frombuffer(found, FIGURES)

    def curve(
        self, parameters: ParameterSet, begin: int = 0, end: int | None = None, history: int | None = None
    ) -> Curve:
        """Run one set as `evaluate` does, and keep every bar."""
        end = len(self.bars) if end is None else end
        try:
            units, net, figures = self._native.curve(encode([parameters])[0].tobytes(), begin, end, history)
        except (ValueError, OverflowError) as exc:
            raise InputError(str(exc)) from exc
        return Curve(np.frombuffer(units, "<f8"), np.frombuffer(net, "<f8"), np.frombuffer(figures, FIGURES))


def encode(sets: Sequence[ParameterSet]) -> Floats:
    """Make rows of numbers of parameter sets, for `evaluate` and for sending elsewhere.

    Raises:
        InputError: An unknown kind or key, or one that is missing.
    """
    return np.array([_row(one) for one in sets], np.float64).reshape(len(sets), _WIDTH)


def _row(parameters: ParameterSet) -> list[float]:
    left = dict(parameters)
    kind = str(left.pop("kind", ""))
    if kind not in PARAMETERS:
        raise InputError(f"no kind {kind!r} is run over bars", hint=f"there are {', '.join(PARAMETERS)}")
    rule = _RULES[kind] + (1 if kind == "moving-average" and left.pop("exponential", False) else 0)
    shorts, bars = float(bool(left.pop("shorts", False))), float(left.pop("sizing_bars", 24))
    sizing = dict(left.pop("sizing", None) or {"fraction": 1.0})
    name = str(sizing.pop("kind", "fixed-fraction"))
    if name not in _SIZINGS:
        raise InputError(f"{kind}: no sizing {name!r} is run over bars", hint=f"there are {', '.join(_SIZINGS)}")
    number, known = _SIZINGS[name]
    numbers = _numbers(kind, left, PARAMETERS[kind])
    if "band_bps" in PARAMETERS[kind]:
        numbers[-1] /= 10_000.0
    numbers += [0.0] * (4 - len(numbers))
    terms = _numbers(name, sizing, known)
    leverage, multiple = terms[-1], terms[1] if name == "atr" else 0.0
    share = min(terms[0], leverage) if name == "fixed-fraction" else terms[0]
    return [float(rule), *numbers, shorts, float(number), share, bars, leverage, multiple]


def _numbers(kind: str, given: Mapping[str, Any], known: Defaults) -> list[float]:
    if unknown := sorted(given.keys() - known.keys()):
        raise InputError(f"{kind}: unknown parameter {unknown[0]!r}", hint=f"there are {', '.join(known)}")
    filled = {**known, **given}
    if missing := [name for name, value in filled.items() if value is None]:
        raise InputError(f"{kind}: {', '.join(missing)} must be given")
    return [float(filled[name] or 0.0) for name in known]


def depth_and_slip(bars: Bars, terms: BarTerms) -> tuple[Floats, Floats]:
    """What each open offers, in units, and the slippage of one unit there, of the bars before it; see `BarTerms`."""
    volume = trailing_mean(bars.volume, terms.memory_bars)
    volatility = np.sqrt(trailing_mean(np.log(bars.high / bars.low) ** 2, terms.memory_bars) / (4 * math.log(2)))
    slip = np.divide(volatility, np.sqrt(volume), out=np.zeros(len(volume)), where=volume > 0)
    return volume * terms.depth_share, slip * (terms.impact * 2 / 3)


def sharpe(figures: Figures, periods_per_year: float) -> Floats:
    """Give each row's mean over deviation of bar returns, by the year; 0 where nothing was held."""
    count = np.maximum(figures["bars"], 1.0)
    mean = figures["sum1"] / count
    variance = figures["sum2"] / count - mean * mean
    found: Floats = np.divide(
        mean * math.sqrt(periods_per_year),
        np.sqrt(np.maximum(variance, 0.0)),
        out=np.zeros(len(mean)),
        where=variance > 0,
    )
    return found
