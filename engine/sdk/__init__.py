"""Strategies in Python: one base class for backtest, paper and live, called by the native kernel.

    class Mine(Strategy):
        def on_book(self, ctx, book):
            ctx.quote(book.instrument, [(book.bid - 1, 10)], [(book.ask + 1, 10)])

See docs/sdk.md.
"""

from engine.sdk.context import BookView, Context, EventView, Lasting, Levels, OpenOrder, OrderKind, Quotes, Trades
from engine.sdk.signals import Input, Signal
from engine.sdk.strategy import CALLBACKS, Strategy, builds_bars, callbacks, subscriptions, wakes

__all__ = [
    "CALLBACKS",
    "BookView",
    "Context",
    "EventView",
    "Input",
    "Lasting",
    "Levels",
    "OpenOrder",
    "OrderKind",
    "Quotes",
    "Signal",
    "Strategy",
    "Trades",
    "builds_bars",
    "callbacks",
    "subscriptions",
    "wakes",
]
