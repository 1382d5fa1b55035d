"""One quote a side that stays where it is while it is near enough: what several market makers have in common."""

from __future__ import annotations

from collections.abc import Sequence

from engine.sdk import Context

Quoted = list[int | None]
"""The price in ticks that is quoted for each side, bid and ask. Plain, so that a strategy can save it."""


def near_enough(quoted: Quoted, wanted: Sequence[int | None], tolerance: float) -> Quoted:
    """Keep what is within a tolerance of what is wanted now, and move the rest."""
    return [
        price if before is None or price is None or abs(before - price) > tolerance else before
        for before, price in zip(quoted, wanted, strict=True)
    ]


def still_resting(ctx: Context, instrument: int, quoted: Quoted) -> Quoted:
    """Forget a side where nothing of ours is open any more: the next quote there is a fresh one."""
    live = {order.side for order in ctx.open_orders(instrument) if not order.is_cancelling}
    return [price if side in live else None for side, price in enumerate(quoted)]
