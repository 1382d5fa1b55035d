"""How often the best of many trials in one half of the data is below the middle in the other half."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain import InputError

Floats = npt.NDArray[np.float64]


class Overfitting(NamedTuple):
    """Of combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado and Zhu 2017)."""

    probability: float
    """Share of the splits in which the best in sample is below the median out of sample."""
    splits: int
    sharpe_in: float
    """Of the best in sample, in the mean over the splits, by the step; `sharpe_out` is that of the same sets."""
    sharpe_out: float


def overfitting(sums: Floats, squares: Floats, counts: Floats) -> Overfitting:
    """Estimate the probability of backtest overfitting by the Sharpe ratio, over all halvings of the blocks.

    Args:
        sums: Returns of each set in each block, summed: shape (blocks, sets); `squares` those of their squares.
        squares: See `sums`.
        counts: Steps in each block.

    Raises:
        InputError: An odd number of blocks, fewer than two sets, or more than 16 blocks (12,870 splits).
    """
    count, sets = sums.shape
    if count % 2 or not 2 <= count <= 16 or sets < 2:
        raise InputError(f"{count} blocks of {sets} sets: expected 2, 4, … 16 blocks and two sets or more")
    below, best_in, best_out = 0.0, 0.0, 0.0
    splits = comb(count, count // 2)
    everywhere = np.arange(count)
    for chosen in combinations(range(count), count // 2):
        mine = np.array(chosen)
        other = np.setdiff1d(everywhere, mine)
        inside = _ratio(sums[mine], squares[mine], counts[mine])
        outside = _ratio(sums[other], squares[other], counts[other])
        best = int(np.argmax(inside))
        # Rank among all, ties in the middle: 0 is the worst, 1 the best.
        rank = ((outside < outside[best]).sum() + 0.5 * ((outside == outside[best]).sum() - 1)) / (sets - 1)
        below += 1.0 if rank < 0.5 else 0.5 if rank == 0.5 else 0.0
        best_in += float(inside[best])
        best_out += float(outside[best])
    return Overfitting(below / splits, splits, best_in / splits, best_out / splits)


def _ratio(sums: Floats, squares: Floats, counts: Floats) -> Floats:
    n = counts.sum()
    mean = sums.sum(axis=0) / n
    variance = np.maximum(squares.sum(axis=0) / n - mean * mean, 0.0)
    ratio: Floats = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0.0)
    return ratio
