"""What sets are chosen by, from their figures over a range; higher is better, what never traded is zero."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.research.bar_runs import FIGURES, Figures
from engine.research.study import Score

Floats = npt.NDArray[np.float64]


def scores(figures: Figures, score: Score, periods_per_year: float) -> Floats:
    """Score each row. Sharpe and Sortino by the year; Calmar is the yearly net result over the deepest drawdown."""
    bars = np.maximum(figures["bars"], 1.0)
    mean = figures["sum1"] / bars
    match score:
        case "net":
            return np.asarray(figures["net"], dtype=np.float64)
        case "sharpe":
            deviation = np.sqrt(np.maximum(figures["sum2"] / bars - mean * mean, 0.0))
            return _ratio(mean * math.sqrt(periods_per_year), deviation)
        case "sortino":
            return _ratio(mean * math.sqrt(periods_per_year), np.sqrt(figures["down2"] / bars))
        case "calmar":
            return _ratio(figures["net"] / bars * periods_per_year, figures["drawdown"])


def joined(parts: Sequence[Figures]) -> Figures:
    """Figures of several ranges as if of one: sums and counts add up; the deepest drawdown is that within a range."""
    made = np.zeros(len(parts[0]), FIGURES)
    for name in FIGURES.names or ():
        columns = np.stack([part[name] for part in parts])
        made[name] = columns.max(axis=0) if name == "drawdown" else columns.sum(axis=0)
    return made


def _ratio(above: Floats, below: Floats) -> Floats:
    found: Floats = np.divide(above, below, out=np.zeros(len(above)), where=below > 0.0)
    return found
