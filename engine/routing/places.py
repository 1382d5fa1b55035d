"""Routes made of what a place shows: an exchange's book, a pool's curve, a dealer's quotes.

Everything that a unit costs goes into its price: the venue's fee, charges (`charges.py`), the impact beyond what is
shown. Gas is a route's fixed cost. Prices of all places must be in one quote unit: what USDC, USDT and a contract
settled in dollars are worth in each other is the caller's to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final, Literal

from domain import InputError, Refused
from engine.routing.charges import BPS
from engine.routing.route import COST_DECIMALS, PRICE_DECIMALS, SHARE, UNIT_DECIMALS, Route

if TYPE_CHECKING:
    from dex import PoolReplica

UNIT: Final = 10**UNIT_DECIMALS
PRICE: Final = 10**PRICE_DECIMALS
SAMPLES: Final = 32

Side = Literal["buy", "sell"]


def book_route(
    name: str,
    side: Side,
    levels: Iterable[Sequence[int]],
    *,
    tick: Decimal,
    lot: Decimal,
    taker_fee_bps: Decimal = Decimal(0),
    charge: int = 0,
    notional_min: Decimal = Decimal(0),
    face: Decimal | None = None,
    impact_bps: Decimal = Decimal(0),
    units_max: int | None = None,
) -> Route:
    """Make a route of a book's levels: price in ticks and size in lots, best first, of the side that is taken.

    Args:
        name: Of the route.
        side: What we do.
        levels: The asks for a buy, the bids for a sell.
        tick: Quote units in a tick.
        lot: Base units (or contracts) in a lot.
        taker_fee_bps: Of the value.
        charge: Expected costs, in 1e-8 of the value.
        notional_min: Quote units of the least order.
        face: Quote units a contract is worth, of an inverse contract. A contract is taken as the base it is worth at
            the touch.
        impact_bps: What taking all that is shown would cost more than its prices, rising from nothing at the touch.
        units_max: What may be spent there: a limit, a balance.

    Raises:
        InputError: A tick, or a lot, that is finer than what prices and quantities are counted in.
    """
    rows = [(int(ticks), int(size)) for ticks, size in levels]
    step = _whole(tick * PRICE, f"{name}: tick {tick}")
    if not rows:
        return Route.of(name, ())
    touch = rows[0][0] * step
    units_a_lot = _whole(lot * UNIT, f"{name}: lot {lot}") if face is None else _contract_units(lot, face, touch)
    shown = sum(size for _, size in rows) or 1
    fee, impact = _share(taker_fee_bps), int(impact_bps * BPS)
    segments: list[tuple[int, int]] = []
    before, left = 0, units_max
    for ticks, size in rows:
        # The level's own middle stands for its place in the queue of what is shown.
        share = fee + charge + impact * (2 * before + size) // (2 * shown)
        before += size
        units = size * units_a_lot
        if left is not None:
            units = min(units, left)
            left -= units
        segments.append((_price(side, ticks * step, share), units))
    minimum = -(-_up(notional_min * PRICE * UNIT) // touch)
    return Route.of(name, segments, lot=units_a_lot, minimum=minimum)


def quote_route(
    name: str,
    side: Side,
    price: Decimal,
    qty: Decimal,
    *,
    now_ns: int,
    valid_until_ns: int,
    lot: Decimal,
    qty_min: Decimal = Decimal(0),
    fee_bps: Decimal = Decimal(0),
    charge: int = 0,
) -> Route:
    """Make a route of a dealer's firm quote: one price for any size between two; empty once it has expired.

    The fields of a FIX Quote (35=S): OfferPx, OfferSize, MinOfferSize for a buy, BidPx, BidSize, MinBidSize for a sell,
    ValidUntilTime. A stream of levels that can be swept is a book: `book_route`.
    """
    if now_ns >= valid_until_ns:
        return Route.of(name, ())
    cost = _price(side, _whole(price * PRICE, f"{name}: price {price}"), _share(fee_bps) + charge)
    units, least = int(qty * UNIT), _up(qty_min * UNIT)
    return Route.of(name, [(cost, units)], lot=_whole(lot * UNIT, f"{name}: lot {lot}"), minimum=least)


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """A pool, and what one must know to price it."""

    name: str
    side: Side
    replica: PoolReplica
    base: str
    """The base token as the replica names it. `quote` alike."""
    quote: str
    base_decimals: int
    quote_decimals: int
    gas: Decimal = Decimal(0)
    """Quote units that a swap's gas costs."""
    charge: int = 0
    lot: int = 1
    """Units that amounts are rounded to."""
    units_max: int | None = None
    """What may be spent there: a balance."""

    @property
    def fixed(self) -> int:
        """The gas as a route counts it, rounded up."""
        return _up(self.gas * 10**12) * _ten(COST_DECIMALS - 12)

    def raw(self, units: int) -> int:
        """Give units as raw base tokens.

        Raises:
            InputError: A lot of a token with few decimals must be whole tokens' units.
        """
        scaled = units * _ten(self.base_decimals)
        if scaled % UNIT:
            raise InputError(f"pool {self.name}: {units} units are no whole number of raw tokens", hint="a coarser lot")
        return scaled // UNIT

    def quote_raw(self, units: int) -> int:
        """Give the raw quote tokens that units cost, or bring, exactly as the contract rounds.

        Raises:
            Refused: The replica does not quote, or not that much.
        """
        if self.side == "buy":
            return self.replica.quote_exact_out_up(self.base, self.raw(units))
        return self.replica.quote_exact_in_down(self.base, self.raw(units))

    def cost(self, units: int) -> int:
        """Give what units cost with charges, exactly; gas is left out."""
        if units == 0:
            return 0
        scale = _ten(COST_DECIMALS - 8 - self.quote_decimals)
        raw = self.quote_raw(units)
        return raw * (SHARE + self.charge) * scale if self.side == "buy" else -raw * (SHARE - self.charge) * scale


def pool_route(place: PoolPlace, units: int, *, around: int | None = None, samples: int = SAMPLES) -> Route:
    """Make a route of a pool's curve for up to so many units: exact at sampled sizes, straight between.

    Straight lines lie above a convex cost: a size between two samples never costs more than the route says. With
    `around`, a size an earlier split chose, its neighbourhood is sampled that much finer again.
    """
    wanted = units if place.units_max is None else min(units, place.units_max)
    capacity = _quotable(place, wanted // place.lot * place.lot)
    if capacity == 0:
        return Route.of(place.name, ())
    points = _points(0, capacity, samples, place.lot)
    if around is not None:
        width = capacity // samples + place.lot
        points |= _points(max(around - width, 0), min(around + width, capacity), 2 * samples, place.lot)
    segments: list[tuple[int, int]] = []
    before, paid = 0, 0
    for point in sorted(points - {0}):
        cost = place.cost(point)
        segments.append((-(-(cost - paid) // (point - before)), point - before))
        before, paid = point, cost
    return Route.of(place.name, segments, lot=place.lot, fixed=place.fixed)


def _points(low: int, high: int, samples: int, lot: int) -> set[int]:
    return {(low + (high - low) * at // samples) // lot * lot for at in range(samples)} | {high}


def _quotable(place: PoolPlace, units: int) -> int:
    """The most units, up to a number, that the pool quotes."""

    def quotes(count: int) -> bool:
        try:
            return place.quote_raw(count) > 0
        except Refused:
            return False

    if units <= 0 or not place.replica.is_valid or not quotes(place.lot):
        return 0
    low, high = 1, units // place.lot
    if quotes(high * place.lot):
        return high * place.lot
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if quotes(middle * place.lot) else (low, middle)
    return low * place.lot


def _price(side: Side, price: int, share: int) -> int:
    """What one unit at a price costs with a share of its value on top."""
    return price * (SHARE + share) if side == "buy" else -price * (SHARE - share)


def _share(bps: Decimal) -> int:
    return _whole(bps * BPS, f"a fee of {bps} bps")


def _contract_units(lot: Decimal, face: Decimal, touch: int) -> int:
    return int(lot * face * PRICE * UNIT // touch)


def _whole(value: Decimal, what: str) -> int:
    if value != int(value):
        raise InputError(f"{what} is finer than is counted here")
    return int(value)


def _up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _ten(decimals: int) -> int:
    return int(10**decimals)
