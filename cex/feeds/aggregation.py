"""The trades of one taker at one price as one: what a venue's matching splits over makers is put together again."""

from __future__ import annotations

from cex.feeds.data import PublicTrade


class Aggregator:
    """Joins trades that follow one another at the same instant, price and side. Pure; an instrument each.

    The instant is the venue's: where it is coarse, two takers of one millisecond and side are one, as in Binance's
    `aggTrade`, whose rule this is.
    """

    def __init__(self) -> None:
        self._open: PublicTrade | None = None

    def take(self, trade: PublicTrade) -> PublicTrade | None:
        """Take a trade; give the aggregate that it ends, if it does. An aggregate has the id of its first trade."""
        ended = self._open
        if ended is not None and _key(ended) == _key(trade):
            self._open = PublicTrade(
                instrument=ended.instrument,
                venue_ns=ended.venue_ns,
                received_ns=trade.received_ns,
                trade_id=ended.trade_id,
                price_ticks=ended.price_ticks,
                qty_lots=ended.qty_lots + trade.qty_lots,
                is_buyer_maker=ended.is_buyer_maker,
            )
            return None
        self._open = trade
        return ended

    def end(self) -> PublicTrade | None:
        """Give what is open: nothing more will come, or nobody wants to wait for it."""
        ended, self._open = self._open, None
        return ended


def _key(trade: PublicTrade) -> tuple[str, int, int, bool]:
    return trade.instrument, trade.venue_ns, trade.price_ticks, trade.is_buyer_maker
