"""Monte-Carlo: what else might have come of a backtest, and how deep it might have fallen.

Resampled: its round trips drawn anew (`trades`) or in another order (`shuffled`), its equal steps of time drawn in
blocks (`stationary`), which keep streaks of luck together. Perturbed: the simulator is run again with other latencies,
other luck in the queue, worse prices, late messages. The first two ask how lucky the run was with what it met, the last
how much hangs on assumptions nobody can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.backtest.config import BacktestConfig
from engine.backtest.money import curve
from engine.backtest.ratios import equal_steps
from engine.backtest.run import Finished
from engine.backtest.trips import trips_of
from engine.research.bootstrap import block_length, deepest_drawdowns, resamples
from engine.research.executors import Executor, Progress
from engine.research.units import Unit

Floats = npt.NDArray[np.float64]

_QUEUES: Final = ("risk_averse", "power1", "power2", "power3", "power4", "log")
_LATENCY_MAX_US: Final = 60_000_000
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What came of many draws of one kind. Money in the account's asset."""

    name: str
    net: Floats
    drawdown: Floats


@dataclass(frozen=True, slots=True)
class MonteCarlo:
    """A run and its distributions."""

    name: str
    account: str
    net: float
    drawdown: float
    distributions: tuple[Distribution, ...]


def resampled(run: Finished, *, draws: int = 5_000, block: int | None = None, seed: int = 7) -> MonteCarlo:
    """Draw a run's round trips and steps anew.

    Args:
        run: See `run_backtest`; what is open at its end belongs to no round trip.
        draws: Of each kind.
        block: Mean length of the blocks, in steps of a thousandth of the run; without it `block_length`.
        seed: The same seed is the same answer.

    Raises:
        InputError: Nothing was looked at.
    """
    net, times = curve(run)
    if len(net) < 3:
        raise InputError("the run has no curve to draw from")
    changes, _ = equal_steps(net, times)
    trips = np.array([trip.net for trip in trips_of(run)])
    made = [] if len(trips) < 2 else [_drawn("trades", trips, draws, 1, seed), _shuffled(trips, draws, seed)]
    made.append(_drawn("stationary", changes, draws, block or block_length(changes), seed))
    deepest = float(deepest_drawdowns(changes[None, :])[0])
    return MonteCarlo(run.config.name, run.config.account, float(net[-1]), deepest, tuple(made))


def perturbed(
    config: BacktestConfig,
    folder: Path,
    executor: Executor,
    *,
    reruns: int = 20,
    latency_spread: float = 0.5,
    seed: int = 7,
    progress: Progress = lambda done, total: None,
) -> Distribution:
    """Run a backtest again and again in other conditions.

    Args:
        config: What is run.
        folder: Of its file.
        executor: Who runs it.
        reruns: How often.
        latency_spread: Deviation of the latencies' logarithm; 0.5: two of three between 0.6 and 1.65 times.
        seed: Of the conditions.
        progress: Told how many runs are done.
    """
    shared = {"kind": "backtest", "config": config.model_dump(mode="json"), "folder": str(folder)}
    units: list[Unit] = [
        {**shared, "changes": changes}
        for changes in conditions(config, reruns, latency_spread=latency_spread, seed=seed)
    ]
    answers = executor.run(units, progress)
    net, deepest = (np.array([answer[name] for answer in answers]) for name in ("net", "drawdown"))
    return Distribution("perturbed", net, deepest)


def conditions(config: BacktestConfig, count: int, *, latency_spread: float, seed: int) -> list[dict[str, Any]]:
    """Draw conditions: latencies around the configured ones, any model of the queue, up to a tick of slippage more, up
    to one message in fifty late by up to 50 ms, and another seed for whatever the simulator decides by one."""
    random = np.random.Generator(np.random.PCG64(seed))
    latency, simulator = config.simulator.latency, config.simulator
    made = []
    for _ in range(count):
        slower = np.exp(random.normal(0.0, latency_spread, 2))
        made.append(
            {
                "simulator.latency.order_us": min(_LATENCY_MAX_US, round(latency.order_us * float(slower[0]))),
                "simulator.latency.answer_us": min(_LATENCY_MAX_US, round(latency.answer_us * float(slower[1]))),
                "simulator.queue": _QUEUES[int(random.integers(len(_QUEUES)))],
                "simulator.slippage_ticks": simulator.slippage_ticks + int(random.integers(2)),
                "simulator.faults.delayed_ppm": simulator.faults.delayed_ppm + int(random.integers(20_000)),
                "simulator.faults.delay_ms": simulator.faults.delay_ms + int(random.integers(1, 51)),
                "simulator.seed": int(random.integers(2**31)),
            }
        )
    return made


def summary(found: MonteCarlo) -> dict[str, Any]:
    """The distributions in figures: quantiles, and how often it lost."""
    return {
        "name": found.name,
        "account": found.account,
        "net": round(found.net, 6),
        "drawdown": round(found.drawdown, 6),
        "distributions": [
            {
                "kind": one.name,
                "draws": len(one.net),
                "loses": round(float((one.net < 0.0).mean()), 4),
                "deeper_than_the_run": round(float((one.drawdown > found.drawdown).mean()), 4),
                "net": _quantiles(one.net),
                "drawdown": _quantiles(one.drawdown),
            }
            for one in found.distributions
        ],
    }


def _quantiles(values: Floats) -> dict[str, float]:
    found = np.quantile(values, _QUANTILES)
    return {f"p{round(share * 100)}": round(float(value), 6) for share, value in zip(_QUANTILES, found, strict=True)}


def _drawn(scheme: Any, series: Floats, draws: int, block: int, seed: int) -> Distribution:
    rows = [series[chosen] for chosen in resamples(scheme, len(series), draws, block=block, seed=seed)]
    return _distribution(scheme, rows)


def _shuffled(series: Floats, draws: int, seed: int) -> Distribution:
    """Every trip once, in another order: the same result, another way there."""
    random = np.random.Generator(np.random.PCG64(seed))
    size = max(1, 4_000_000 // len(series))
    rows = [random.permuted(np.tile(series, (min(size, draws - at), 1)), axis=1) for at in range(0, draws, size)]
    return _distribution("shuffled", rows)


def _distribution(name: str, rows: Sequence[Floats]) -> Distribution:
    net = np.concatenate([part.sum(axis=1) for part in rows])
    return Distribution(name, net, np.concatenate([deepest_drawdowns(part) for part in rows]))
