"""Resampling: what else might have come of the same steps or trades. Seeded; the same seed is the same answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from domain import InputError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Scheme = Literal["trades", "block", "stationary"]

_CHUNK: Final = 4_000_000
"""Numbers drawn at once, which bounds the memory."""


class Interval(NamedTuple):
    """A percentile interval around an estimate."""

    estimate: float
    low: float
    high: float


def resamples(scheme: Scheme, n: int, draws: int, *, block: int = 1, seed: int = 7) -> Iterator[Indices]:
    """Give rows of indices into a series of n, a chunk of rows at a time, `draws` in all.

    Args:
        scheme: `trades`: each for itself. `block`: circular blocks of equal length (Politis and Romano 1992), which
            keep what neighbours have in common. `stationary`: blocks of geometric length, `block` in the mean (Politis
            and Romano 1994).
        n: Length of the series, and of each row.
        draws: How many rows.
        block: See `scheme`.
        seed: Of PCG64: the same on every machine.

    Raises:
        InputError: An empty series, or a block that does not fit.
    """
    if n < 1 or draws < 1:
        raise InputError(f"nothing to draw: {draws} times {n}")
    if not 1 <= block <= n:
        raise InputError(f"a block of {block} does not fit a series of {n}")
    random = np.random.Generator(np.random.PCG64(seed))
    rows = max(1, min(draws, _CHUNK // n))
    for first in range(0, draws, rows):
        yield _rows(scheme, random, min(rows, draws - first), n, block)


def _rows(scheme: Scheme, random: np.random.Generator, rows: int, n: int, block: int) -> Indices:
    if scheme == "trades" or block == 1:
        return random.integers(0, n, (rows, n))
    if scheme == "block":
        starts = random.integers(0, n, (rows, math.ceil(n / block)))
        return np.asarray(((starts[:, :, None] + np.arange(block)) % n).reshape(rows, -1)[:, :n])
    # A new block begins anywhere with probability 1 / block; else the row goes on with the next index.
    begins = random.random((rows, n)) < 1.0 / block
    begins[:, 0] = True
    starts = random.integers(0, n, (rows, n))
    column = np.arange(n)
    last = np.maximum.accumulate(np.where(begins, column, 0), axis=1)
    return np.asarray((np.take_along_axis(starts, last, axis=1) + column - last) % n)


def block_length(series: Floats) -> int:
    """Pick a length of blocks: about n to the third, more where neighbours resemble one another.

    The rule of Hall, Horowitz and Jing (1995) for its order, widened by the first autocorrelation.
    """
    n = len(series)
    if n < 4:
        return 1
    centred = series - series.mean()
    power = float(centred @ centred)
    first = abs(float(centred[1:] @ centred[:-1]) / power) if power > 0.0 else 0.0
    widened = float(n) ** (1 / 3) * (1.0 + first) / (1.0 - min(first, 0.9))
    return max(1, min(n // 2, int(widened + 0.5)))


def interval(
    statistic: Callable[[Floats], Floats],
    series: Floats,
    *,
    scheme: Scheme = "stationary",
    draws: int = 2_000,
    block: int | None = None,
    confidence: float = 0.95,
    seed: int = 7,
) -> Interval:
    """Estimate a statistic and a percentile interval around it.

    Args:
        statistic: Of each row of a table: shape (rows, n) to (rows,).
        series: One number per step.
        scheme: See `resamples`.
        draws: How often.
        block: See `resamples`; without it `block_length`.
        confidence: Share of the draws within.
        seed: See `resamples`.
    """
    length = block_length(series) if block is None else block
    found = np.concatenate(
        [statistic(series[rows]) for rows in resamples(scheme, len(series), draws, block=length, seed=seed)]
    )
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(statistic(series[None, :])[0]), float(low), float(high))


def deepest_drawdowns(changes: Floats) -> Floats:
    """The deepest drawdown of each row of changes, the start included."""
    result = np.cumsum(changes, axis=1)
    peak = np.maximum(np.maximum.accumulate(result, axis=1), 0.0)
    return np.asarray((peak - result).max(axis=1))
