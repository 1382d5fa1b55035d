"""Search: the best set of parameters by Optuna's TPE, by drawing or by a grid, and what of its score is luck.

Optuna is asked for a batch of trials at a time, and told their scores in the order in which it gave them: the search is
the same on one process and on many workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from domain import InputError
from engine.research import statistics
from engine.research.executors import Executor, Progress
from engine.research.markets import market_of, open_market
from engine.research.space import Space, draw, grid, suggest
from engine.research.study import StudySettings
from engine.research.units import Answer, Unit

_REFUSED_MAX: Final = 50
"""Suggestions in a row that may break `where`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One set and what came of it, over all markets; None where there is no such score (a run too short for it)."""

    number: int
    parameters: dict[str, Any]
    score: float | None
    net: float
    drawdown: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    settings: StudySettings
    trials: tuple[Trial, ...]
    best: Trial
    held_out: dict[str, Any] | None
    """The best set over the bars that the search did not see."""
    deflated: float | None
    """The probability that the best is better than the best of so many without skill; of Sharpe ratios on bars only."""


Evaluate = Callable[[Sequence[dict[str, Any]]], list[tuple[float | None, float, float]]]
"""Scores, net results and drawdowns of sets."""


def run_search(
    study: StudySettings, folder: Path, executor: Executor, progress: Progress = lambda done, total: None
) -> Found:
    """Search a study's space.

    Raises:
        InputError: Nothing could be scored, or sets contradict themselves.
        VenueUnavailable: Nobody does the work.
    """
    runs = _Bars(study, folder, executor) if study.markets else _Backtest(study, folder, executor)
    trials: list[Trial] = []
    for sets in _batches(study, trials):
        found = runs.evaluate(sets)
        for flat, (score, net, deepest) in zip(sets, found, strict=True):
            trials.append(Trial(len(trials), flat, score, net, deepest))
        progress(len(trials), study.trials if study.search != "grid" else len(trials))
    scored = [trial for trial in trials if trial.score is not None]
    if not scored:
        raise InputError(f"no trial has a {study.score} score", hint="the run is too short: score by net")
    best = max(scored, key=lambda trial: (trial.score or 0.0, -trial.number))
    held = runs.held_out(best) if isinstance(runs, _Bars) else None
    deflated = runs.deflated(trials, best) if isinstance(runs, _Bars) else None
    return Found(study, tuple(trials), best, held, deflated)


def _batches(study: StudySettings, trials: list[Trial]) -> Any:
    """Give sets to try, batch after batch; `trials` has the results of those before."""
    if study.search != "optuna":
        sets = grid(study.axes, study.points) if study.search == "grid" else draw(study.axes, study.trials, study.seed)
        size = max(study.batch, 64)
        yield from (sets[at : at + size] for at in range(0, len(sets), size))
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=study.seed, n_startup_trials=min(10 + study.batch, study.trials))
    search = optuna.create_study(direction="maximize", sampler=sampler)
    while len(trials) < study.trials:
        asked = [_ask(search, study.axes) for _ in range(min(study.batch, study.trials - len(trials)))]
        before = len(trials)
        yield [flat for _, flat in asked]
        for (trial, _), done in zip(asked, trials[before:], strict=True):
            if done.score is None:
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                search.tell(trial, done.score)


def _ask(search: Any, space: Space) -> tuple[Any, dict[str, Any]]:
    import optuna

    for _ in range(_REFUSED_MAX):
        trial = search.ask()
        flat = suggest(space, trial)
        if space.holds(flat):
            return trial, flat
        search.tell(trial, state=optuna.trial.TrialState.FAIL)
    raise InputError(f"{_REFUSED_MAX} suggestions in a row break {space.where}", hint="make the ranges apart")


class _Bars:
    """Sets over the bars of all markets, the last of them held out; a score is the mean over the markets."""

    def __init__(self, study: StudySettings, folder: Path, executor: Executor) -> None:
        self._study, self._executor = study, executor
        self._markets = [market_of(study, market, folder) for market in study.markets]
        self._runs = [open_market(described) for described in self._markets]
        self._ends = [int(len(runs.bars) * (1.0 - study.holdout)) for runs in self._runs]

    def evaluate(self, sets: Sequence[dict[str, Any]]) -> list[tuple[float | None, float, float]]:
        return self._over(sets, [(0, end) for end in self._ends])

    def held_out(self, best: Trial) -> dict[str, Any] | None:
        ranges = [(end, len(runs.bars)) for end, runs in zip(self._ends, self._runs, strict=True)]
        if any(end - begin < 2 for begin, end in ranges):
            return None
        score, net, deepest = self._over([best.parameters], ranges)[0]
        return {"score": score, "net": net, "drawdown": deepest, "bars": sum(end - begin for begin, end in ranges)}

    def deflated(self, trials: Sequence[Trial], best: Trial) -> float | None:
        """Of the returns of the best, over all markets one after the other."""
        from engine.research.space import nested

        if self._study.score != "sharpe" or len(trials) < 2:
            return None
        steps = math.sqrt(float(np.mean([runs.periods_per_year for runs in self._runs])))
        deviation = float(np.std([trial.score or 0.0 for trial in trials], ddof=1)) / steps
        flat = nested({**self._study.fixed, **best.parameters})
        curves = [runs.curve(flat, 0, end).net for runs, end in zip(self._runs, self._ends, strict=True)]
        changes = np.concatenate([np.diff(net, prepend=0.0) for net in curves])
        return statistics.deflated_sharpe(changes, len(trials), deviation)

    def _over(
        self, sets: Sequence[dict[str, Any]], ranges: Sequence[tuple[int, int]]
    ) -> list[tuple[float | None, float, float]]:
        units: list[Unit] = [
            {
                "kind": "sets",
                "market": described,
                "sets": list(sets),
                "fixed": self._study.fixed,
                "score": self._study.score,
                "range": span,
            }
            for described, span in zip(self._markets, ranges, strict=True)
        ]
        answers = self._executor.run(units)
        return [
            (
                float(np.mean([answer["scores"][at] for answer in answers])),
                float(sum(answer["net"][at] for answer in answers)),
                float(max(answer["drawdown"][at] for answer in answers)),
            )
            for at in range(len(sets))
        ]


class _Backtest:
    """Sets as keys of a backtest's configuration, each a run of its own."""

    def __init__(self, study: StudySettings, folder: Path, executor: Executor) -> None:
        from engine.backtest.config import load_config

        path = folder / (study.backtest or "")
        self._study, self._executor = study, executor
        self._config = load_config(path).model_dump(mode="json")
        self._folder = str(path.resolve().parent)

    def evaluate(self, sets: Sequence[dict[str, Any]]) -> list[tuple[float | None, float, float]]:
        units: list[Unit] = [
            {
                "kind": "backtest",
                "config": self._config,
                "folder": self._folder,
                "changes": {**self._study.fixed, **flat},
            }
            for flat in sets
        ]
        return [self._read(answer) for answer in self._executor.run(units)]

    def _read(self, answer: Answer) -> tuple[float | None, float, float]:
        score = answer[self._study.score]
        return None if score is None else float(score), float(answer["net"]), float(answer["drawdown"])
