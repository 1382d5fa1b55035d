"""The sizing rules as settings: a strategy embeds `sizing: Sizing` and asks `settings.sizing.units(inputs)`.

Fractions are of equity. A rule whose input is not there yet (no volatility before the window is full) gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from engine.sizing.fixed import fixed_fraction, fixed_fractional
from engine.sizing.kelly import kelly_capped, kelly_continuous
from engine.sizing.volatility import atr_units, volatility_target
from runtime import SettingsPart

Share = Annotated[Decimal, Field(gt=0, le=1)]
Positive = Annotated[Decimal, Field(gt=0)]
Leverage = Annotated[Decimal, Field(gt=0, le=10)]


@dataclass(frozen=True, slots=True)
class SizingInputs:
    """What rules look at; 0 is not known. Equity and price in quote units, the rest as its rule says."""

    equity: float
    price: float
    stop_distance: float = 0.0
    """Quote units between the entry and its stop."""
    atr: float = 0.0
    """Average true range, quote units."""
    volatility: float = 0.0
    """Standard deviation of a period's return; of the period that the settings' target is for."""
    mean: float = 0.0
    """Expected return of a period, of whichever variance is given."""
    variance: float = 0.0


class _Rule(SettingsPart):
    leverage_max: Leverage = Decimal(1)
    """The position is worth no more than this times equity, whatever the rule says."""

    def units(self, inputs: SizingInputs) -> float:
        """Give base units to hold; never negative, but with Kelly's edge (its sign is the edge's)."""
        raise NotImplementedError


class FixedFractionSizing(_Rule):
    """A position worth a fixed fraction of equity."""

    kind: Literal["fixed-fraction"] = "fixed-fraction"
    fraction: Positive = Decimal("0.1")

    def units(self, inputs: SizingInputs) -> float:
        fraction = min(self.fraction, self.leverage_max)
        return fixed_fraction(inputs.equity, inputs.price, float(fraction))


class FixedFractionalSizing(_Rule):
    """The stop loses a fixed fraction of equity."""

    kind: Literal["fixed-fractional"] = "fixed-fractional"
    risk: Share = Decimal("0.01")

    def units(self, inputs: SizingInputs) -> float:
        return fixed_fractional(
            inputs.equity, inputs.price, inputs.stop_distance, float(self.risk), leverage_max=float(self.leverage_max)
        )


class KellySizing(_Rule):
    """A share of Kelly's exposure (mean over variance), capped."""

    kind: Literal["kelly"] = "kelly"
    share: Share = Decimal("0.5")
    cap: Positive = Decimal("0.25")
    """Of equity, either way."""

    def units(self, inputs: SizingInputs) -> float:
        full = kelly_continuous(inputs.mean, inputs.variance)
        cap = float(min(self.cap, self.leverage_max))
        return fixed_fraction(inputs.equity, inputs.price, kelly_capped(full, share=float(self.share), cap=cap))


class VolatilityTargetSizing(_Rule):
    """Equity swings by the target."""

    kind: Literal["volatility-target"] = "volatility-target"
    target: Positive
    """Standard deviation of equity's return in the strategy's period of volatility."""

    def units(self, inputs: SizingInputs) -> float:
        return volatility_target(
            inputs.equity,
            inputs.price,
            inputs.volatility,
            float(self.target),
            leverage_max=float(self.leverage_max),
        )


class AtrSizing(_Rule):
    """A move of so many average true ranges loses a fixed fraction of equity."""

    kind: Literal["atr"] = "atr"
    risk: Share = Decimal("0.01")
    multiple: Positive = Decimal(2)

    def units(self, inputs: SizingInputs) -> float:
        return atr_units(
            inputs.equity,
            inputs.price,
            inputs.atr,
            risk=float(self.risk),
            multiple=float(self.multiple),
            leverage_max=float(self.leverage_max),
        )


SizingRule = FixedFractionSizing | FixedFractionalSizing | KellySizing | VolatilityTargetSizing | AtrSizing
Sizing = Annotated[SizingRule, Field(discriminator="kind")]
