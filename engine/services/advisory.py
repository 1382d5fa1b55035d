"""Robo-advisory: from what a client can bear to a target allocation, and to the strategy that keeps it.

    budget    σ* = loss the client bears in a bad year / 1.645      a year of twenty is worse, if returns were normal
    horizon   the budget grows with the years there are to wait, from nothing at none to all of it at ten
    shape     each asset by the inverse of its volatility, held to `asset_max`
    scale     as much of the shape as has volatility σ*; the rest is cash

Expected returns are not in it: nobody knows them, and an optimiser believes whoever claims to. Volatilities and
correlations are those of past returns. That is all "risk" means here: a coin that goes to nothing was calm before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.strategies.portfolio_rebalancing import PortfolioRebalancingSettings

Floats = npt.NDArray[np.float64]

QUANTILE: Final = 1.645
"""Of the normal distribution at one year in twenty."""
HORIZON_FULL: Final = 10.0
GRID: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a client says."""

    loss_max: float
    """Share of the portfolio whose loss in a bad year (one of twenty) is bearable: above 0, below 1."""
    horizon_years: float
    """Until the money is needed."""

    def __post_init__(self) -> None:
        if not 0.0 < self.loss_max < 1.0:
            raise InputError(f"the bearable loss is a share between 0 and 1, found {self.loss_max}")
        if not 0.0 <= self.horizon_years <= 100.0:
            raise InputError(f"the horizon is 0 to 100 years, found {self.horizon_years}")

    @property
    def volatility_max(self) -> float:
        """The budget: yearly volatility of the whole portfolio, cash in it."""
        return self.loss_max / QUANTILE * min(1.0, self.horizon_years / HORIZON_FULL)

    @property
    def name(self) -> str:
        """What the budget is commonly called."""
        bounds = ((0.02, "capital preservation"), (0.06, "cautious"), (0.12, "balanced"), (0.20, "growth"))
        return next((name for most, name in bounds if self.volatility_max < most), "aggressive")


@dataclass(frozen=True, slots=True)
class Advice:
    """A target allocation, and what was assumed for it."""

    profile: Profile
    weights: Mapping[str, Decimal]
    """By instrument; what they leave of 1 is cash."""
    volatility: float
    """Of the whole, by the past."""
    volatilities: Mapping[str, float]

    @property
    def cash(self) -> Decimal:
        return 1 - sum(self.weights.values(), Decimal(0))

    def settings(
        self, cash: Decimal, *, id: str = "advice", band_relative: Decimal = Decimal("0.2")
    ) -> PortfolioRebalancingSettings:
        """Make the strategy that keeps it; `cash` is what the client brings, in the quote asset.

        Raises:
            InputError: Everything is cash: there is nothing to keep.
        """
        weights = {name: weight for name, weight in self.weights.items() if weight}
        if not weights:
            raise InputError("the advice is cash alone", hint="there is nothing to trade")
        return PortfolioRebalancingSettings(id=id, weights=weights, cash=cash, band_relative=band_relative)


def advise(
    profile: Profile, returns: Mapping[str, Floats], *, periods_per_year: float, asset_max: float = 0.5
) -> Advice:
    """Make an allocation of past returns per period, of one time for all.

    Raises:
        InputError: No assets, different lengths, too few returns, or an asset that does not move.
    """
    names, lengths = list(returns), {len(series) for series in returns.values()}
    if not names or len(lengths) != 1 or min(lengths) < 30:
        raise InputError(f"expected 30 or more returns of each asset over one time, found {sorted(lengths)}")
    if not 0.0 < asset_max <= 1.0:
        raise InputError(f"asset_max is a share above 0, found {asset_max}")
    covariance = np.atleast_2d(np.cov(np.stack([returns[name] for name in names]))) * periods_per_year
    if not np.isfinite(covariance).all() or (np.diag(covariance) <= 0.0).any():
        raise InputError("an asset's returns do not vary, or are not numbers")
    shape = _shape(np.sqrt(np.diag(covariance)), asset_max)
    full = float(np.sqrt(shape @ covariance @ shape))
    scaled = shape * min(1.0, profile.volatility_max / full)
    # Down to the grid: rounding takes risk off, never adds it while assets move together or not at all.
    weights = {
        name: Decimal(float(weight)).quantize(GRID, ROUND_FLOOR) for name, weight in zip(names, scaled, strict=True)
    }
    final = np.array([float(weight) for weight in weights.values()])
    volatilities = dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
    return Advice(profile, weights, float(np.sqrt(final @ covariance @ final)), volatilities)


def _shape(volatilities: Floats, most: float) -> Floats:
    """Weights by inverse volatility that add up to 1, or less where caps do not let them."""
    weights = np.zeros(len(volatilities))
    free = np.ones(len(volatilities), dtype=bool)
    while free.any():
        left = 1.0 - most * float((~free).sum())
        wanted = (1.0 / volatilities[free]) / (1.0 / volatilities[free]).sum() * max(0.0, left)
        over = wanted > most
        if not over.any():
            weights[free] = wanted
            break
        free[np.flatnonzero(free)[over]] = False
    weights[~free] = most
    return weights
