"""Positions in perpetual swaps, from REST: what is held at a venue beside balances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cex.connection import Connection
from cex.errors import reading
from cex.markets import Market
from cex.numbers import to_decimal
from domain import VenueUnavailable


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of one swap; nothing when `qty_lots` is 0."""

    instrument: str
    qty_lots: int
    """Negative when short."""
    entry_price: Decimal | None = None
    """As the venue states it, which may round."""
    liquidation_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    """In the quote asset, at the venue's own mark."""


async def fetch_positions(connection: Connection, markets: Mapping[str, Market]) -> list[Position]:
    """Ask for the account's positions in the followed swaps, each once, those of nothing too.

    Raises:
        VenueUnavailable: No answer, or one that cannot be read; or an account that holds both sides at a time.
        InputError: A size off the grid.
    """
    swaps = {market.unified: market for market in markets.values() if not market.is_spot}
    if not swaps:
        return []
    rows: Sequence[Mapping[str, Any]] = await connection.query(
        "positions", lambda: connection.exchange.fetch_positions(list(swaps)), weight=5
    )
    held: dict[str, Position] = {}
    for row in rows:
        market = swaps.get(str(row.get("symbol")))
        if market is None:
            continue
        with reading(f"position of {market.id}"):
            position = _position(market, row)
        if position.qty_lots == 0:
            continue
        if market.id in held:
            raise VenueUnavailable(f"{market.id}: the account holds both sides at a time; set it to one-way positions")
        held[market.id] = position
    return [held.get(market.id) or Position(market.id, 0) for market in swaps.values()]


def _position(market: Market, row: Mapping[str, Any]) -> Position:
    """Read ccxt's position, whose size is without sign and in contracts."""
    lots = market.lots(abs(to_decimal(row.get("contracts") or 0)))
    if lots and row.get("side") not in ("long", "short"):
        raise ValueError("a position without a side")
    return Position(
        instrument=market.id,
        qty_lots=-lots if row.get("side") == "short" else lots,
        entry_price=_optional(row.get("entryPrice")),
        liquidation_price=_optional(row.get("liquidationPrice")),
        unrealized_pnl=_optional(row.get("unrealizedPnl")),
    )


def _optional(value: object) -> Decimal | None:
    return to_decimal(value) if value is not None else None
