"""A run's ratios, on the changes of its result in equal steps of time. None is what the run is too short to say."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.backtest.money import Floats, capital, curve, exposure, mids, net_result, volume
from engine.backtest.run import Finished
from engine.research import statistics

_GRID: Final = 1_000
"""Equal steps that a run is cut into."""
_SPAN_MIN_NS: Final = 86_400 * 10**9
_DAY_S: Final = 86_400.0


def steps(net: Floats, times: npt.NDArray[np.int64]) -> tuple[Floats, float] | None:
    """Changes of the result in equal steps of time, and how many steps are a year.

    Nothing of less than a day: extrapolated to a year, minutes say anything.
    """
    if len(net) < 3 or times[-1] - times[0] < _SPAN_MIN_NS:
        return None
    changes, step_s = equal_steps(net, times)
    return changes, statistics.YEAR_S / step_s


def equal_steps(net: Floats, times: npt.NDArray[np.int64]) -> tuple[Floats, float]:
    """Changes of the result in equal steps of time, and the seconds of a step; of two looks or more."""
    grid = np.linspace(times[0], times[-1], min(_GRID, len(net)) + 1)
    return np.diff(np.interp(grid, times, net)), (times[-1] - times[0]) / 1e9 / (len(grid) - 1)


def sharpe(net: Floats, times: npt.NDArray[np.int64]) -> float | None:
    """See `engine.research.statistics.sharpe`; no riskless rate is taken off."""
    made = steps(net, times)
    return None if made is None else _rounded(statistics.sharpe(*made))


def ratios_of(run: Finished, *, trials: int = 1) -> dict[str, Any]:
    """What the run was worth by the usual measures.

    Trials' Sharpe ratios are taken to scatter as those of luck alone do: by one over the root of the number of steps.
    """
    net, times = curve(run)
    made = steps(net, times)
    held = capital(run)
    seconds = (run.ended_ns - run.began_ns) / 1e9
    traded = sum(volume(run, at) for at in range(len(run.markets)))
    at_risk = sum((np.abs(exposure(run, at)) for at in range(len(run.markets))), np.zeros(len(run.samples)))
    found: dict[str, Any] = {
        "capital": round(held, 2),
        "return": _rounded(net_result(run) / held if held else None, 8),
        "drawdown_share": _rounded(float(statistics.drawdown(net).max(initial=0.0)) / held if held else None, 8),
        "sharpe": None,
        "sortino": None,
        "calmar": None,
        "sharpe_above_zero": None,
        "sharpe_deflated": None,
        "turnover_a_year": None,
        "exposure_mean": round(float(at_risk.mean()) if len(at_risk) else 0.0, 2),
        "exposure_max": round(float(at_risk.max(initial=0.0)), 2),
        "time_exposed": round(float((at_risk > 0.0).mean()) if len(at_risk) else 0.0, 4),
        "turnover": _rounded(traded / held if held else None, 4),
        "capacity_scale_best": None,
        "capacity_scale_max": None,
    }
    if made is not None:
        changes, per_year = made
        found |= {
            "sharpe": _rounded(statistics.sharpe(changes, per_year)),
            "sortino": _rounded(statistics.sortino(changes, per_year)),
            "calmar": _rounded(statistics.calmar_simple(changes, per_year)),
            "sharpe_above_zero": _rounded(statistics.probabilistic_sharpe(changes)),
            "sharpe_deflated": _rounded(statistics.deflated_sharpe(changes, trials, 1 / math.sqrt(len(changes)))),
            "turnover_a_year": _rounded(statistics.turnover(traded, held, seconds / statistics.YEAR_S)),
        }
    bounds = _capacity(run, traded, seconds)
    if bounds is not None:
        found |= {"capacity_scale_best": round(bounds.scale_best, 2), "capacity_scale_max": round(bounds.scale_max, 2)}
    return found


def market_value(run: Finished, instrument: int) -> float:
    """What the market traded during the run, in quote units."""
    market = run.markets[instrument]
    if market.contract == "inverse":
        return run.market_lots[instrument] * float(market.lot_size) * float(market.face or 0)
    return run.market_values[instrument] * float(market.tick_size) * float(market.lot_size)


def _capacity(run: Finished, traded: float, seconds: float) -> statistics.Capacity | None:
    """Of the instrument that was traded most, over a day or the run if that is shorter."""
    if traded <= 0.0 or not len(run.samples):
        return None
    values = [volume(run, at) for at in range(len(run.markets))]
    most = int(np.argmax(values))
    everything = market_value(run, most)
    prices = mids(run, most)
    known = prices[~np.isnan(prices)]
    if everything <= 0.0 or len(known) < 3:
        return None
    span = min(seconds, _DAY_S)
    deviation = float(np.diff(np.log(known)).std()) * math.sqrt(span / (seconds / (len(known) - 1)))
    return statistics.capacity(net_result(run) / traded, deviation, values[most] / everything)


def _rounded(value: float | None, digits: int = 4) -> float | None:
    # NumPy's own floats would not be encoded.
    return None if value is None else round(float(value), digits)
