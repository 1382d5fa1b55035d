"""A hedge ratio that moves: y = α + β·x + noise, with α and β a random walk, followed by a Kalman filter.

    predict   P := P + Q          Q = drift · I
    look      e = y - α - β·x     S = (1, x) P (1, x)ᵀ + noise      before y is learnt: what a strategy trades on
    learn     K = P (1, x)ᵀ / S   (α, β) := (α, β) + K e            P := (I - K (1, x)) P (I - K (1, x))ᵀ + K noise Kᵀ

`learn` is Joseph's form, which keeps P symmetric and positive however long it runs. With `drift` 0 it is the regression
by least squares from a prior of mean zero, one point at a time. Arithmetic is + - * / only: the same bits everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Innovation(NamedTuple):
    """What a new pair of prices was, against what was expected of it."""

    error: float
    """y less its expectation."""
    variance: float
    """Of that expectation, noise included: error² / variance is 1 in the mean where the model is right."""


@dataclass(slots=True)
class KalmanHedge:
    """The filter. `drift` is how much variance α and β gain per step, `noise` the variance of y around the line.

    `centre` is taken off x: where x hardly varies against its size (log prices), α and β cannot be told apart without.
    """

    drift: float = 1e-5
    noise: float = 1e-3
    prior: float = 1.0
    """Variance of α and β before anything is known."""
    centre: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0
    p00: float = -1.0
    p01: float = 0.0
    p11: float = -1.0

    def __post_init__(self) -> None:
        if self.p00 < 0.0:
            self.p00 = self.p11 = self.prior

    def update(self, y: float, x: float) -> Innovation:
        """Take the next pair; the innovation is what it was before it was learnt."""
        x = x - self.centre
        p00, p01, p11 = self.p00 + self.drift, self.p01, self.p11 + self.drift
        error = y - self.alpha - self.beta * x
        h0, h1 = p00 + p01 * x, p01 + p11 * x
        variance = h0 + h1 * x + self.noise
        k0, k1 = h0 / variance, h1 / variance
        self.alpha += k0 * error
        self.beta += k1 * error
        # (I - K H) with H = (1, x), then Joseph's form.
        a, b, c, d = 1.0 - k0, -k0 * x, -k1, 1.0 - k1 * x
        u0, u1, v0, v1 = a * p00 + b * p01, a * p01 + b * p11, c * p00 + d * p01, c * p01 + d * p11
        self.p00 = u0 * a + u1 * b + self.noise * k0 * k0
        self.p01 = u0 * c + u1 * d + self.noise * k0 * k1
        self.p11 = v0 * c + v1 * d + self.noise * k1 * k1
        return Innovation(error, variance)

    def spread(self, y: float, x: float) -> float:
        """Return y less the line as it is known, without learning."""
        return y - self.alpha - self.beta * (x - self.centre)

    def state(self) -> list[float]:
        """What it knows, for a snapshot; see `restore`."""
        return [self.alpha, self.beta, self.p00, self.p01, self.p11]

    def restore(self, state: list[float]) -> None:
        self.alpha, self.beta, self.p00, self.p01, self.p11 = state


def kalman_hedge(
    y: Floats, x: Floats, *, drift: float, noise: float, prior: float = 1.0, centre: float = 0.0
) -> dict[str, Floats]:
    """Run the filter over whole arrays: `alpha` and `beta` after each step, `error` and `variance` before it."""
    made = KalmanHedge(drift, noise, prior, centre)
    out = np.empty((4, len(y)))
    for at, (one, other) in enumerate(zip(y.tolist(), x.tolist(), strict=True)):
        innovation = made.update(one, other)
        out[:, at] = made.alpha, made.beta, innovation.error, innovation.variance
    return dict(zip(("alpha", "beta", "error", "variance"), out, strict=True))
