"""What a place to trade looks like to the solver: marginal prices that only rise, a lot, a least order, a fixed cost.

Quantities are *units* of 1e-8 base. Prices are integers of 1e-10 quote per base, shares (fees, charges) of 1e-8; a
unit at a price with a share is then a whole number of 1e-26 quote, which costs are counted in. Nothing is rounded.

A buy costs what it pays; a sell costs minus what it brings. So for both sides the best is the least, and prices along
a route rise: asks upwards, bids downwards with their sign turned.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from domain import InputError

UNIT_DECIMALS: Final = 8
PRICE_DECIMALS: Final = 10
SHARE: Final = 100_000_000
COST_DECIMALS: Final = UNIT_DECIMALS + PRICE_DECIMALS + 8


@dataclass(frozen=True, slots=True)
class Route:
    """One place, as it stands now, for one side."""

    name: str
    prices: tuple[int, ...]
    """All-in cost of one unit in each segment, never falling."""
    ends: tuple[int, ...]
    """Units up to the end of each segment, rising."""
    costs: tuple[int, ...]
    """What all units up to the end of each segment cost together, the fixed cost left out."""
    lot: int = 1
    """Orders are whole multiples of so many units."""
    minimum: int = 0
    """Units of the least order."""
    fixed: int = 0
    """What an order costs whatever its size: gas."""

    @classmethod
    def of(
        cls, name: str, segments: Iterable[tuple[int, int]], *, lot: int = 1, minimum: int = 0, fixed: int = 0
    ) -> Self:
        """Make a route of segments: price and units of each, best first.

        A price below the one before it is taken as that one: a cost rounded up may look as if it fell.

        Raises:
            InputError: A negative lot, minimum or fixed cost.
        """
        if lot <= 0 or minimum < 0 or fixed < 0:
            raise InputError(f"route {name}: expected lot > 0, minimum and fixed >= 0, found {lot}, {minimum}, {fixed}")
        prices: list[int] = []
        ends: list[int] = []
        costs: list[int] = []
        for told, units in segments:
            if units <= 0:
                continue
            price = max(told, prices[-1]) if prices else told
            prices.append(price)
            ends.append(units + (ends[-1] if ends else 0))
            costs.append(units * price + (costs[-1] if costs else 0))
        return cls(name, tuple(prices), tuple(ends), tuple(costs), lot, minimum, fixed)

    @property
    def capacity(self) -> int:
        """The most units it takes, in whole lots."""
        return self.ends[-1] // self.lot * self.lot if self.ends else 0

    @property
    def least(self) -> int:
        """The least order in whole lots."""
        return max(-(-self.minimum // self.lot), 1) * self.lot

    def cost(self, units: int) -> int:
        """Give what units cost, the fixed cost left out."""
        if units <= 0:
            return 0
        at = bisect_left(self.ends, units)
        return self.costs[at] - (self.ends[at] - units) * self.prices[at]

    def total(self, units: int) -> int:
        """Give what an order costs, all in; nothing for none."""
        return self.cost(units) + self.fixed if units else 0

    def marginal(self, units: int) -> int:
        """Give the price of the last of so many units."""
        return self.prices[bisect_left(self.ends, max(units, 1))]


def cost_quote(cost: int) -> Decimal:
    """Give a cost in quote units, exactly for anything below 10^14 or so."""
    return Decimal(cost).scaleb(-COST_DECIMALS)
