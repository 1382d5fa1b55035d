"""Bring a position to where it is wanted by immediate orders, one at a time in an instrument, as often as it takes.

What a strategy keeps of it is a plain dictionary (`Legs`), for its snapshot: by instrument the order that is out, when
the next may follow, and how many lots the gate let through when more were too many for it.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final, TypeAlias

from engine.sdk import Context

Legs: TypeAlias = dict[str, list[int]]
"""By instrument (its number as text: JSON has no other keys): order, not before, lots at once."""
BUY, SELL = 0, 1
RETRY_NS: Final = 200_000_000
"""From one order to the next in an instrument. Longer than a trade takes to be told after its order's end."""


def reach(ctx: Context, legs: Legs, instrument: int, wanted: int, *, slippage_bps: float) -> bool:
    """Take one step towards a position in lots; return whether it is there, as near as the venue's minimum allows.

    An order's limit is `slippage_bps` beyond the touch. What the gate refuses for its size goes in halves.
    """
    order, not_before_ns, most = legs.get(str(instrument), (0, 0, 0))
    if order and ctx.is_open(order):
        return False
    change = wanted - ctx.position(instrument)
    if change == 0:
        return True
    book = ctx.book(instrument)
    if not book.is_valid:
        return False
    side, touch = (BUY, book.ask) if change > 0 else (SELL, book.bid)
    if is_too_small(ctx, instrument, touch, abs(change)):
        return True
    if ctx.now_ns < not_before_ns or ctx.halted:
        return False
    lots = min(abs(change), most) if most else abs(change)
    slip = touch * slippage_bps / 1e4
    limit = math.floor(touch + slip) if side == BUY else max(1, math.ceil(touch - slip))
    sent = ctx.take(instrument, side, limit, lots)
    half = lots // 2
    most = 0 if sent is not None or is_too_small(ctx, instrument, touch, half) else half
    legs[str(instrument)] = [sent or 0, ctx.now_ns + RETRY_NS, most]
    return False


def is_busy(ctx: Context, legs: Legs) -> bool:
    """Whether an order is out that may still trade."""
    return any(order and ctx.is_open(order) for order, _, _ in legs.values())


def is_too_small(ctx: Context, instrument: int, ticks: int, lots: int) -> bool:
    """Whether the venue would refuse an order as too small."""
    terms = ctx.terms(instrument)
    return lots == 0 or terms.notional(ticks, lots) < terms.min_notional


def common_lot(lots: list[Decimal]) -> Decimal:
    """Return the smallest quantity that is whole in all of several lot sizes."""
    scale = min(int(lot.normalize().as_tuple().exponent) for lot in lots)
    whole = [int(lot.scaleb(-scale)) for lot in lots]
    return Decimal(math.lcm(*whole)).scaleb(scale)
