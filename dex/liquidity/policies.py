"""Where liquidity should lie: range policies as plain functions of the price, its volatility and what is held.

All of them give a range on the pool's spacing. Floats on purpose: which range is better is an opinion, what it costs is
reckoned in integers elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from dex.liquidity.maths import Range
from dex.pools import PoolSpec
from dex.replicas.tick_math import MAX_TICK, MIN_TICK, Q96
from domain.errors import InputError

_LOG_TICK: Final = math.log(1.0001)
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a policy may know."""

    tick: int
    spacing: int
    volatility_day: float = 0.0
    """Standard deviation of the logarithm of the price over a day: 0.04 is 4 %."""
    share0: float = 0.5
    """How much of what is held, by value, is token 0: 0 to 1."""


class RangePolicy(Protocol):
    """Says where liquidity should lie."""

    def range_for(self, outlook: Outlook) -> Range: ...


@dataclass(frozen=True, slots=True)
class Static:
    """Always so far up and down from the price, in percent of it."""

    width_percent: float

    def range_for(self, outlook: Outlook) -> Range:
        return around(outlook.tick, outlook.spacing, self.width_percent)


@dataclass(frozen=True, slots=True)
class VolatilityScaled:
    """As far as the price may be expected to go until one looks again.

    `deviations` standard deviations over `horizon_s` seconds; with 2 it stays inside about nineteen times in twenty if
    returns are normal, which they are not. Never narrower or wider than the bounds.
    """

    horizon_s: int
    deviations: float = 2.0
    narrowest_percent: float = 0.5
    widest_percent: float = 100.0

    def range_for(self, outlook: Outlook) -> Range:
        if outlook.volatility_day <= 0:
            raise InputError("a range scaled by volatility needs the volatility, and it is not known")
        spread = self.deviations * outlook.volatility_day * math.sqrt(self.horizon_s / _DAY_S)
        percent = 100 * math.expm1(spread)
        return around(outlook.tick, outlook.spacing, min(max(percent, self.narrowest_percent), self.widest_percent))


@dataclass(frozen=True, slots=True)
class InventoryDriven:
    """Leans so that trading brings what is held back to a target.

    Whoever holds too much of token 0 gets more room above the price, where the position sells it; too little, more room
    below, where it buys. `lean` says how much of the width is moved at most, 0 to 1.
    """

    base: RangePolicy
    target0: float = 0.5
    lean: float = 0.5

    def range_for(self, outlook: Outlook) -> Range:
        if not (0 < self.target0 < 1 and 0 <= self.lean <= 1 and 0 <= outlook.share0 <= 1):
            raise InputError("target, lean and share are parts of one")
        span, spacing = self.base.range_for(outlook), outlook.spacing
        surplus = outlook.share0 - self.target0
        surplus /= 1 - self.target0 if surplus > 0 else self.target0
        moved = round(surplus * self.lean * (span.upper - span.lower) / 2 / spacing) * spacing
        lower, upper = span.lower + moved, span.upper + moved
        # However far it leans, the price stays inside: a position outside its range earns nothing.
        if lower > outlook.tick:
            lower -= -(-(lower - outlook.tick) // spacing) * spacing
        if upper <= outlook.tick:
            upper += ((outlook.tick - upper) // spacing + 1) * spacing
        return _within(lower, upper, spacing)


def policy_named(name: str, *, width_percent: float, horizon_h: float, lean: float) -> RangePolicy:
    """Make one of the policies by its name.

    Raises:
        InputError: There is none of that name, or the horizon is not positive.
    """
    if horizon_h <= 0:
        raise InputError(f"a horizon is a positive number of hours, found {horizon_h:g}")
    match name:
        case "static":
            return Static(width_percent)
        case "volatility":
            return VolatilityScaled(round(horizon_h * 3600))
        case "inventory":
            return InventoryDriven(Static(width_percent), lean=lean)
    raise InputError(f"no range policy {name!r}", hint="There are static, volatility and inventory.")


def around(tick: int, spacing: int, width_percent: float) -> Range:
    """Give the range from `width_percent` below to as much above the price, at least one spacing on each side.

    Below and above mean as many ticks: from p / (1 + w) to p * (1 + w).

    Raises:
        InputError: The width is not positive.
    """
    if not 0 < width_percent <= 1_000_000:
        raise InputError(f"a range's width is a positive percentage, found {width_percent:g}")
    reach = math.log1p(width_percent / 100) / _LOG_TICK
    lower = math.floor((tick - reach) / spacing) * spacing
    upper = math.ceil((tick + reach) / spacing) * spacing
    return _within(min(lower, tick // spacing * spacing), max(upper, (tick // spacing + 1) * spacing), spacing)


def wants_rebalancing(span: Range, outlook: Outlook, wanted: Range, *, slack: float = 0.25) -> bool:
    """Whether a position should move: the price left its range, or the range wanted differs by more than the slack.

    `slack` is a part of the wanted range's width. Moving costs a swap and its fee each time, so small wishes wait.
    """
    if not span.holds(outlook.tick):
        return True
    allowed = slack * (wanted.upper - wanted.lower)
    return abs(span.lower - wanted.lower) > allowed or abs(span.upper - wanted.upper) > allowed


def share0_of(sqrt_price: int, amounts: tuple[int, int]) -> float:
    """How much of two amounts, by value at a price, is token 0."""
    ratio = sqrt_price / Q96
    value0 = amounts[0] * ratio * ratio
    return value0 / (value0 + amounts[1]) if value0 or amounts[1] else 0.5


def price_of(spec: PoolSpec, sqrt_price: int) -> float:
    """Whole token 1 for one whole token 0; for reading."""
    ratio = sqrt_price / Q96
    return float(ratio * ratio * 10.0 ** (spec.token0.decimals - spec.token1.decimals))


def _within(lower: int, upper: int, spacing: int) -> Range:
    lowest, highest = -(-MIN_TICK // spacing) * spacing, MAX_TICK // spacing * spacing
    return Range(max(lower, lowest), min(upper, highest), spacing)
