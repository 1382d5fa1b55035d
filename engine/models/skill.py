"""How good probabilities were, measured against what happened. Floats, for people: nothing trades on them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.models.features import Floats

_LEAST: Final = 1e-7
_Y = npt.NDArray[np.int64]


def log_loss(y: _Y, p: Floats) -> float:
    """Mean negative log-likelihood in nats; certain errors count as if they had been 1e-7."""
    p = np.clip(p, _LEAST, 1.0 - _LEAST)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def brier(y: _Y, p: Floats) -> float:
    """Mean squared error of the probabilities."""
    return float(np.mean((p - y) ** 2))


def auc(y: _Y, p: Floats) -> float:
    """Chance that a rise was given more than a fall, ties halved; 0.5 is a coin. NaN when only one happened."""
    up = int(y.sum())
    down = len(y) - up
    if not up or not down:
        return float("nan")
    return float((_ranks(p)[y == 1].sum() - up * (up + 1) / 2) / (up * down))


def information_coefficient(p: Floats, forward: Floats) -> float:
    """Spearman's rank correlation of probabilities and returns; 0 when either never changes."""
    a, b = _ranks(p), _ranks(forward)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def measure(y: _Y, p: Floats, forward: Floats, base_rate: float) -> dict[str, float]:
    """Everything at once.

    Args:
        y: What happened.
        p: What was foretold.
        forward: The returns.
        base_rate: Share of rises while training: what someone without a model would have said.
    """
    without = log_loss(y, np.full(len(y), base_rate))
    return {
        "samples": float(len(y)),
        "up_share": float(y.mean()),
        "auc": auc(y, p),
        "log_loss": log_loss(y, p),
        "skill": 1.0 - log_loss(y, p) / without,
        "brier": brier(y, p),
        "accuracy": float(((p > 0.5) == (y == 1)).mean()),
        "ic": information_coefficient(p, forward),
    }


def interval(
    y: _Y, p: Floats, forward: Floats, *, block: int, draws: int = 200, seed: int = 7
) -> dict[str, tuple[float, float]]:
    """95 % intervals of AUC and rank correlation by a circular block bootstrap.

    Labels overlap, so neighbours are no independent witnesses: blocks are drawn whole, and should be several horizons
    long.
    """
    generator, size = np.random.Generator(np.random.PCG64(seed)), len(y)
    count = -(-size // block)
    found: dict[str, list[float]] = {"auc": [], "ic": []}
    for _ in range(draws):
        starts = generator.integers(0, size, count)
        rows = ((starts[:, None] + np.arange(block)[None, :]) % size).ravel()[:size]
        found["auc"].append(auc(y[rows], p[rows]))
        found["ic"].append(information_coefficient(p[rows], forward[rows]))
    return {
        name: (float(np.nanpercentile(values, 2.5)), float(np.nanpercentile(values, 97.5)))
        for name, values in found.items()
    }


def _ranks(values: Any) -> Floats:
    """Ranks from 1, ties sharing their mean."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[at])
