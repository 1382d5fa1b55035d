"""Walk-forward: choose on the past, trade what follows, never both on the same bars.

Each fold of each market is a unit of work of its own, and so are the blocks that tell how much of the choice is luck.
The answer has a digest: equal digests are equal results, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.research import statistics
from engine.research.executors import Executor, Progress
from engine.research.folds import Fold, blocks, walk_forward
from engine.research.markets import market_of, open_market
from engine.research.overfitting import Overfitting, overfitting
from engine.research.space import draw, grid
from engine.research.study import StudySettings
from engine.research.units import Answer, Unit

Floats = npt.NDArray[np.float64]

_COSTS: Final = ("fees", "spread", "slippage", "funding")


@dataclass(frozen=True, slots=True)
class MarketResult:
    """One market: its folds and what they made out of sample."""

    name: str
    folds: tuple[Fold, ...]
    answers: tuple[Answer, ...]
    per_year: float
    overfitting: Overfitting

    @property
    def changes(self) -> Floats:
        """The result's change at every bar that was tested on, fold after fold."""
        return np.concatenate([np.diff(one["net"], prepend=0.0) for one in self.answers])

    @property
    def net(self) -> float:
        return float(sum(one["net"][-1] for one in self.answers))


@dataclass(frozen=True, slots=True)
class WalkForward:
    """The whole study."""

    settings: StudySettings
    sets: tuple[dict[str, Any], ...]
    markets: tuple[MarketResult, ...]
    set_bars: int
    """Sets times bars that were run."""
    digest: str


def sets_of(study: StudySettings) -> list[dict[str, Any]]:
    """The sets that are tried, in order."""
    return grid(study.axes, study.points) if study.search == "grid" else draw(study.axes, study.trials, study.seed)


def run_walk_forward(
    study: StudySettings, folder: Path, executor: Executor, progress: Progress = lambda done, total: None
) -> WalkForward:
    """Run a study of markets.

    Raises:
        InputError: No markets, Optuna's search (it belongs to `optimize`), too few bars, sets that contradict
            themselves.
        VenueUnavailable: Nobody does the work.
    """
    if not study.markets:
        raise InputError("walk-forward runs over markets of bars: the study has none")
    if study.search == "optuna":
        raise InputError("walk-forward tries the same sets in every fold", hint='search = "random" or "grid"')
    sets, plan = sets_of(study), study.walkforward
    units: list[Unit] = []
    folds: list[list[Fold]] = []
    years: list[float] = []
    set_bars = 0
    for market in study.markets:
        described = market_of(study, market, folder)
        runs = open_market(described)
        n = len(runs.bars)
        mine = walk_forward(
            n, train=plan.train, test=plan.test, purge=plan.purge, embargo=plan.embargo, anchored=plan.anchored
        )
        shared = {"market": described, "sets": sets, "fixed": study.fixed, "score": study.score}
        units += [{"kind": "fold", **shared, "train": list(fold.train), "test": fold.test} for fold in mine]
        units.append({"kind": "blocks", **shared, "blocks": blocks(n, plan.blocks)})
        folds.append(mine)
        years.append(runs.periods_per_year)
        set_bars += n * len(sets) + sum(piece.bars for fold in mine for piece in fold.train) * len(sets)
    answers = iter(executor.run(units, progress))
    results = []
    for market, mine, per_year in zip(study.markets, folds, years, strict=True):
        found = tuple(next(answers) for _ in mine)
        told = next(answers)
        luck = overfitting(*(np.array(told[name]) for name in ("sums", "squares", "counts")))
        results.append(MarketResult(market.name, tuple(mine), found, per_year, luck))
    return WalkForward(study, tuple(sets), tuple(results), set_bars, _digest(results))


def summary(found: WalkForward) -> dict[str, Any]:
    """The figures, each market by itself and all together (equal capital, the bars they were tested on)."""
    equity = found.settings.costs.equity
    markets = [_market(one, equity) for one in found.markets]
    return {
        "name": found.settings.name,
        "score": found.settings.score,
        "sets": len(found.sets),
        "set_bars": found.set_bars,
        "markets": markets,
        "net": round(sum(one.net for one in found.markets), 2),
        "sha256": found.digest,
    }


def _market(one: MarketResult, equity: float) -> dict[str, Any]:
    changes = one.changes
    trained = float(np.mean([answer["score_train"] for answer in one.answers]))
    tested = float(np.mean([answer["score_test"] for answer in one.answers]))
    ratio = statistics.sharpe(changes, one.per_year)
    return {
        "market": one.name,
        "folds": len(one.folds),
        "bars_tested": len(changes),
        "net": round(one.net, 2),
        "return_a_year": round(one.net / equity / (len(changes) / one.per_year), 6),
        "sharpe": _rounded(ratio),
        "sortino": _rounded(statistics.sortino(changes, one.per_year)),
        "calmar": _rounded(statistics.calmar_simple(changes, one.per_year)),
        "sharpe_above_zero": _rounded(statistics.probabilistic_sharpe(changes)),
        "drawdown": round(float(statistics.drawdown(np.cumsum(changes)).max()), 2),
        "score_in_sample": round(trained, 4),
        "score_out_of_sample": round(tested, 4),
        "folds_won": sum(answer["net"][-1] > 0 for answer in one.answers),
        "costs": {name: round(sum(a["figures"][name] for a in one.answers), 2) for name in _COSTS},
        "overfitting": round(one.overfitting.probability, 4),
    }


def _digest(results: list[MarketResult]) -> str:
    told = [[one.name, list(one.folds), list(one.answers), list(one.overfitting)] for one in results]
    return sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
