"""What a strategy is, and what it may see and do.

A strategy is told every event after the kernel has taken it, and acts through its context. Actions take effect in the
kernel at once and reach the world when the step is over. A strategy keeps its own state in plain attributes; it reads
no clock, draws no random numbers and does no I/O, so a replay of the journal rebuilds it exactly.
"""

from __future__ import annotations

from typing import Protocol

from domain import Asset, Order, OrderType, Side, TimeInForce
from domain.events import Event
from engine.market import Book, PoolMarket


class Context(Protocol):
    """The kernel as one strategy sees it."""

    @property
    def now_ns(self) -> int:
        """The time of the event being handled."""
        ...

    @property
    def stopping(self) -> bool:
        """Wind down: start nothing new, withdraw quotes, finish or unwind what is in flight."""
        ...

    @property
    def halted(self) -> bool:
        """The run is halted: follow what happens, act again when it is resumed. Actions do nothing meanwhile."""
        ...

    def book(self, instrument: str) -> Book: ...

    def pool(self, pool: str) -> PoolMarket: ...

    def base_fee_wei(self) -> int:
        """Base fee of the last block seen, 0 before the first."""
        ...

    def block_time_s(self) -> int:
        """Timestamp of the last block seen."""
        ...

    def position(self, symbol: str) -> float:
        """What this strategy gained (+) or owes (-) of an economic asset since the start, whole units."""
        ...

    def balance(self, asset: Asset) -> int:
        """Raw units held of one asset in its place, by all strategies together."""
        ...

    def mark(self, symbol: str) -> float: ...

    def symbol_of(self, asset: Asset) -> str:
        """The economic asset that an asset in one place is a form of (`WETH` on a chain: `ETH`)."""
        ...

    def order(self, client_order_id: str) -> Order | None: ...

    def open_orders(self, instrument: str) -> list[Order]:
        """This strategy's own."""
        ...

    def quote(self, instrument: str, side: Side, price_ticks: int, qty_lots: int) -> str | None:
        """Rest a post-only order; return its id, or None when the gate refused or the run is halted."""
        ...

    def take(self, instrument: str, side: Side, limit_ticks: int, qty_lots: int) -> str | None:
        """Send an immediate-or-cancel limit order; return its id, or None as for `quote`."""
        ...

    def place(
        self, instrument: str, side: Side, ticks: int, lots: int, kind: OrderType, lasting: TimeInForce
    ) -> str | None:
        """Send an order of any kind; return its id, or None as for `quote`."""
        ...

    def cancel(self, client_order_id: str) -> None: ...

    def swap(self, pool: str, token_in: str, amount_in: int, min_amount_out: int, deadline_s: int) -> str | None:
        """Ask custody for a swap; return its intent id, or None when the gate refused. `SwapSettled` follows once."""
        ...


class Strategy(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def is_idle(self) -> bool:
        """Nothing of it is in flight: the engine may stop."""
        ...

    def on_event(self, event: Event, context: Context) -> None: ...
