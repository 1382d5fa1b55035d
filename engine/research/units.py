"""Units of work: each a pure function of plain values, so that it may be done here, in other processes or elsewhere.

A unit is a dictionary that is JSON, and so is its answer; numbers pass through JSON unchanged, to the last bit. The
same unit has the same answer wherever it is done, so that it may be done twice, and in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from domain import InputError
from engine.research.folds import Range
from engine.research.markets import open_market
from engine.research.scores import joined, scores
from engine.research.space import nested

Unit = dict[str, Any]
Answer = dict[str, Any]


def do_unit(unit: Unit) -> Answer:
    """Do a unit of work.

    Raises:
        InputError: The unit cannot be done: its data is not here, or its parameters contradict themselves.
    """
    kind = str(unit.get("kind"))
    if kind not in _KINDS:
        raise InputError(f"no unit of work is called {kind}")
    return _KINDS[kind](unit)


def _fold(unit: Unit) -> Answer:
    """Choose the best set on the training ranges, then run it over the test."""
    runs = open_market(unit["market"])
    sets = [nested({**unit["fixed"], **flat}) for flat in unit["sets"]]
    trained = joined([runs.evaluate(sets, *piece) for piece in unit["train"]])
    marks = scores(trained, unit["score"], runs.periods_per_year)
    best = int(np.argmax(marks))  # Of equals the first.
    begin, end = unit["test"]
    curve = runs.curve(sets[best], begin, end)
    tested = scores(curve.figures, unit["score"], runs.periods_per_year)
    return {
        "best": best,
        "score_train": float(marks[best]),
        "score_test": float(tested[0]),
        "score_train_median": float(np.median(marks)),
        "net": curve.net.tolist(),
        "times": [int(runs.bars.time_ns[begin]), int(runs.bars.time_ns[end - 1])],
        "figures": {name: float(curve.figures[name][0]) for name in curve.figures.dtype.names or ()},
    }


def _blocks(unit: Unit) -> Answer:
    """Sums of every set over every block, for the probability of overfitting."""
    runs = open_market(unit["market"])
    sets = [nested({**unit["fixed"], **flat}) for flat in unit["sets"]]
    found = [runs.evaluate(sets, *block) for block in unit["blocks"]]
    return {
        "sums": [part["sum1"].tolist() for part in found],
        "squares": [part["sum2"].tolist() for part in found],
        "counts": [float(Range(*block).bars) for block in unit["blocks"]],
    }


def _sets(unit: Unit) -> Answer:
    """Score sets over a range of a market."""
    runs = open_market(unit["market"])
    found = runs.evaluate([nested({**unit["fixed"], **flat}) for flat in unit["sets"]], *unit["range"])
    return {
        "scores": scores(found, unit["score"], runs.periods_per_year).tolist(),
        "net": found["net"].tolist(),
        "drawdown": found["drawdown"].tolist(),
    }


def _backtest(unit: Unit) -> Answer:
    """Run a backtest with some of its keys changed."""
    from engine.backtest.config import BacktestConfig
    from engine.backtest.data import load_events
    from engine.backtest.money import curve
    from engine.backtest.result import result_of
    from engine.backtest.run import run_backtest
    from engine.backtest.trips import trips_of

    config = BacktestConfig.model_validate(changed(unit["config"], unit["changes"]))
    folder = Path(unit["folder"])
    key = (unit["folder"], repr(unit["config"]["data"]), repr(unit["config"]["instruments"]))
    if _EVENTS.get("key") != key:
        _EVENTS.update(key=key, events=load_events(config, folder))
    events = _EVENTS["events"] if not _touches_data(unit["changes"]) else load_events(config, folder)
    run = run_backtest(config, events, folder)
    result = result_of(run)
    net, times = curve(run)
    deepest = result["drawdown_max"]
    return {
        "net": result["pnl"]["net"],
        "drawdown": deepest,
        "sharpe": result["ratios"]["sharpe"],
        "sortino": result["ratios"]["sortino"],
        "calmar": result["ratios"]["calmar"],
        "fills": result["fills"],
        "sha256": result["sha256"],
        "trips": [round(trip.net, 9) for trip in trips_of(run)] if unit.get("trips") else [],
        "curve": [times.tolist(), net.tolist()] if unit.get("curve") else [],
    }


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with some keys changed; numbers in a dotted name are places in a list.

    Raises:
        InputError: A name that leads nowhere.
    """
    import copy

    made: dict[str, Any] = copy.deepcopy(dict(config))
    for name, value in changes.items():
        *tables, key = name.split(".")
        place: Any = made
        try:
            for table in tables:
                place = place[int(table)] if isinstance(place, list | tuple) else place[table]
            if isinstance(place, list):
                place[int(key)] = value
            else:
                place[key] = value
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise InputError(f"the backtest has no key {name}") from exc
    return made


_EVENTS: Final[dict[str, Any]] = {}
"""The events of the last backtest: units of one study share them."""


def _touches_data(changes: Mapping[str, Any]) -> bool:
    return any(name.split(".")[0] in ("data", "instruments", "pools", "chain") for name in changes)


_KINDS: Final[Mapping[str, Callable[[Unit], Answer]]] = {
    "fold": _fold,
    "blocks": _blocks,
    "sets": _sets,
    "backtest": _backtest,
}
