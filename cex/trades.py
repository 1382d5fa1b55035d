"""A public trade in ccxt's view, in ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cex.feeds.data import PublicTrade
from cex.markets import Market
from cex.numbers import to_decimal


def trade_of(market: Market, row: Mapping[str, Any], received_ns: int) -> PublicTrade:
    """Read ccxt's view of a public trade.

    Raises:
        InputError: A number that is none, or off the market's grid.
    """
    return PublicTrade(
        instrument=market.id,
        venue_ns=int(row.get("timestamp") or 0) * 1_000_000,
        received_ns=received_ns,
        trade_id=str(row.get("id") or ""),
        price_ticks=market.instrument.ticks(to_decimal(row["price"])),
        qty_lots=market.lots(row["amount"]),
        is_buyer_maker=row["side"] == "sell",
    )
