"""The base class of every Python strategy. What it may see and do is `engine.sdk.context.Context`.

A strategy overrides the callbacks it wants; what it does not override is not subscribed and costs nothing. It keeps its
state in plain attributes, reads no clock, draws no random numbers and does no I/O: the same events give the same
decisions, so a journal rebuilds it exactly. Nothing tells it whether it runs in a backtest, on paper or live.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from domain import InputError

if TYPE_CHECKING:
    from engine.sdk.context import BookView, Context, EventView, Trades

CALLBACKS: Final = (
    "on_start",
    "on_event",
    "on_book",
    "on_trades",
    "on_bar",
    "on_fill",
    "on_order",
    "on_timer",
    "on_block",
    "on_settled",
    "on_stop",
)
"""In the order in which an event that concerns several of them is told."""


class Strategy:
    """See the module.

    Views (`book`, `trades`, `event`) are reused: read them inside the callback, copy what must outlive it.
    """

    book_interval_ns: int = 0
    """`on_book` comes once per message (after its LAST record); above 0 at the first message of each interval of that
    many nanoseconds of event time, per instrument. The book is always the latest: nothing queues up."""

    trades_interval_ns: int = 0
    """`on_trades` comes once per message with what it traded; above 0 with everything since the last call, at the first
    trade of each interval."""

    bar_interval_ns: int = 0
    """Above 0, `on_bar` comes with bars of that many nanoseconds, built from public trades, of each wanted instrument
    that has no bars from outside. See `engine.sdk.time_bars`."""

    instruments: tuple[str, ...] = ()
    """Whose books, trades and bars it wants, by name (`binance:BTCUSDT`); none means all of the run's."""

    saved: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that are its state: numbers, text, lists, dicts. See `state`."""

    def __init__(self, strategy_id: str = "s") -> None:
        self.id = strategy_id

    @property
    def is_idle(self) -> bool:
        """Nothing of it is in flight beyond its orders: the engine may stop."""
        return True

    # --- callbacks

    def on_start(self, ctx: Context) -> None:
        """Called once, before the first event; again in a process that took over (after `restore`)."""

    def on_event(self, ctx: Context, event: EventView) -> None:
        """Called for every record, conflated by nothing. Costs a Python call each: prefer the others."""

    def on_book(self, ctx: Context, book: BookView) -> None:
        """Called with a book that changed: also with one that became stale, once (`book.is_valid`)."""

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        """Called with public trades as a NumPy view of `engine.records.EVENT`, oldest first, all instruments mixed."""

    def on_bar(self, ctx: Context, event: EventView) -> None:
        """Called with a finished bar: `price` is the close, `size` the volume, `aux` open and high, `sequence` low.

        `time_exchange_ns` is when it ended. A bar built from trades comes before whatever else the event that ended it
        is told as.
        """

    def on_fill(self, ctx: Context, event: EventView) -> None:
        """Called with a trade of its own, once each: the position holds it already."""

    def on_order(self, ctx: Context, event: EventView) -> None:
        """Called with the venue's word on an order of its own."""

    def on_timer(self, ctx: Context, event: EventView) -> None:
        """Called with a timer it set (`event.aux0` is the tag) and with the regular tick (tag 0)."""

    def on_block(self, ctx: Context, event: EventView) -> None:
        """Called with a new head of the chain, and when a pool changed."""

    def on_settled(self, ctx: Context, event: EventView) -> None:
        """Called once with what became of a swap of its own."""

    def on_stop(self, ctx: Context) -> None:
        """Called when the run winds down: start nothing new, withdraw quotes, finish what is in flight."""

    # --- snapshots

    def state(self) -> bytes:
        """Return everything it would need to go on in another process; the same state is the same bytes.

        Raises:
            InputError: An attribute in `saved` has no plain form.
        """
        try:
            return msgspec.json.encode({name: getattr(self, name) for name in self.saved}, order="deterministic")
        except (TypeError, AttributeError) as exc:
            raise InputError(f"strategy {self.id} cannot save its state: {exc}") from exc

    def restore(self, state: bytes) -> None:
        """Take up a state that `state` returned.

        Raises:
            InputError: It is the state of another class, or damaged.
        """
        try:
            found: dict[str, Any] = msgspec.json.decode(state, type=dict)
        except msgspec.DecodeError as exc:
            raise InputError(f"strategy {self.id}: the saved state is damaged: {exc}") from exc
        if set(found) != set(self.saved):
            raise InputError(
                f"strategy {self.id}: expected the saved state of {sorted(self.saved)}, found {sorted(found)}"
            )
        for name, value in found.items():
            setattr(self, name, value)


WAKES: Final = MappingProxyType(
    {
        "on_event": 1 << 11,
        "on_book": 1 << 0 | 1 << 9,
        "on_trades": 1 << 1,
        "on_bar": 1 << 2,
        "on_fill": 1 << 3,
        "on_order": 1 << 4,
        "on_timer": 1 << 5,
        "on_block": 1 << 6 | 1 << 7,
        "on_settled": 1 << 4,
        "on_stop": 1 << 10,
    }
)
"""What wakes each callback: the bits of `native/engine/src/wakes.rs`."""


def callbacks(strategy: Strategy) -> tuple[str, ...]:
    """Return the names of the callbacks a strategy overrides."""
    kind = type(strategy)
    return tuple(name for name in CALLBACKS if getattr(kind, name) is not getattr(Strategy, name))


def wakes(strategy: Strategy) -> int:
    """Return the kernel's wake reasons a strategy subscribes to."""
    why = reduce(or_, (WAKES.get(name, 0) for name in callbacks(strategy)), 0)
    return why | WAKES["on_trades"] | WAKES["on_timer"] if builds_bars(strategy) else why


def builds_bars(strategy: Strategy) -> bool:
    """Whether bars are built for it from public trades."""
    return strategy.bar_interval_ns > 0 and type(strategy).on_bar is not Strategy.on_bar


_BY_INSTRUMENT: Final = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 9 | 1 << 11
"""Book, trade, bar, mark, stale and record: reasons that are about an instrument."""


def subscriptions(strategy: Strategy, instruments: Sequence[str]) -> list[tuple[int | None, int]]:
    """Return what the kernel wakes a strategy for: (an instrument's place or None for all, reasons).

    Raises:
        InputError: It names an instrument that is not there.
    """
    missing = [name for name in strategy.instruments if name not in instruments]
    if missing:
        raise InputError(
            f"strategy {strategy.id}: no instrument {missing[0]}", hint=f"there are {', '.join(instruments)}"
        )
    why = wakes(strategy)
    if not strategy.instruments:
        return [(None, why)]
    # Reasons with an instrument for the wanted ones; those without (timers, blocks) come whatever the instrument.
    wanted: list[tuple[int | None, int]] = [(list(instruments).index(name), why) for name in strategy.instruments]
    return [*wanted, (None, why & ~_BY_INSTRUMENT)]
