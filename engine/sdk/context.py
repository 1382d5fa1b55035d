"""What a strategy sees and does, as types. The native context and views of `capstan_native` have this shape.

Instruments are small integers inside (`ctx.instrument(name)` gives them), prices ticks, sizes lots, times nanoseconds.
One context, one view per book and one event view exist for a strategy's whole life; nothing is allocated per event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from engine.sdk.signals import Input

if TYPE_CHECKING:
    from domain import Instrument
    from engine.market import PoolMarket

Levels: TypeAlias = npt.NDArray[np.int64]
"""Price and size of each level, best first: shape (n, 2)."""
Trades: TypeAlias = npt.NDArray[np.void]
"""Records of `engine.records.EVENT`."""
Quotes: TypeAlias = Sequence[tuple[int, int]]
"""Price and size of each order wanted on one side."""


class BookView(Protocol):
    """The latest book of one instrument. Always current: it looks into the kernel, it holds no copy."""

    @property
    def instrument(self) -> int: ...
    @property
    def is_valid(self) -> bool:
        """Both sides are known and not stale."""
        ...

    @property
    def bid(self) -> int:
        """Best bid in ticks; 0 while the book is not valid. `ask` alike."""
        ...

    @property
    def ask(self) -> int: ...
    @property
    def bid_size(self) -> int: ...
    @property
    def ask_size(self) -> int: ...
    @property
    def changed_ns(self) -> int: ...
    def levels(self, depth: int) -> tuple[Levels, Levels]:
        """Bids and asks down to a depth, as views of memory that the next call fills again."""
        ...


class EventView(Protocol):
    """The record being handled. See `native/engine/src/event.rs` for what the fields mean."""

    @property
    def time_exchange_ns(self) -> int: ...
    @property
    def time_ns(self) -> int:
        """When we learnt of it."""
        ...

    @property
    def instrument(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def side(self) -> int:
        """0 buys, 1 sells."""
        ...

    @property
    def flags(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def aux0(self) -> int: ...
    @property
    def aux1(self) -> int: ...
    @property
    def client_id(self) -> int:
        """Of a fill, a report or a settled swap."""
        ...

    @property
    def is_maker(self) -> bool:
        """Of a fill: ours was the resting side."""
        ...


OrderKind: TypeAlias = Literal["limit", "limit_maker", "market"]
Lasting: TypeAlias = Literal["gtc", "ioc", "fok"]


class OpenOrder(Protocol):
    """A copy of one order as it stands."""

    @property
    def client_id(self) -> int: ...
    @property
    def side(self) -> int: ...
    @property
    def price(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def filled(self) -> int: ...
    @property
    def is_cancelling(self) -> bool: ...
    @property
    def is_open(self) -> bool:
        """Whether the venue may still hold it."""
        ...


class Context(Protocol):
    """The kernel as one strategy sees it. Usable inside the strategy's callbacks only."""

    @property
    def now_ns(self) -> int:
        """Local time of the event being handled; there is no other clock."""
        ...

    @property
    def stopping(self) -> bool: ...
    @property
    def halted(self) -> bool:
        """The staged kill has begun: follow what happens; actions that add risk do nothing."""
        ...

    @property
    def instruments(self) -> tuple[str, ...]: ...
    def instrument(self, name: str) -> int: ...
    def tick(self, instrument: int) -> float:
        """Quote units in a tick, for models."""
        ...

    def lot(self, instrument: int) -> float:
        """Base units (or contracts) in a lot, for models."""
        ...

    def terms(self, instrument: int) -> Instrument:
        """Its assets, grid, least notional and fees; of a derivative, its contract is not among them."""
        ...

    def book(self, instrument: int) -> BookView: ...
    def trades(self) -> Trades:
        """The trades since `on_trades` last ran (or, without it, since this was last asked)."""
        ...

    def position(self, instrument: int) -> int:
        """Lots this strategy gained (+) or owes (-), fees left out."""
        ...

    def position_of(self, strategy: str, instrument: int) -> int:
        """Lots that another strategy of the run gained (+) or owes (-).

        Raises:
            KeyError: There is no such strategy.
        """
        ...

    def units(self, symbol: str) -> float:
        """Whole units of an economic asset that this strategy gained or owes, in all its forms and places."""
        ...

    def balance(self, asset: str) -> int:
        """Raw units held of one asset in its place (`binance/USDT`), by all strategies together."""
        ...

    def mark(self, symbol: str) -> float:
        """Price of an economic asset in the unit of account, 0 before there is one."""
        ...

    def open_orders(self, instrument: int) -> list[OpenOrder]:
        """This strategy's own, oldest first."""
        ...

    def is_open(self, client_id: int) -> bool:
        """Whether the venue may still hold an order."""
        ...

    def order(self, client_id: int) -> OpenOrder | None:
        """One of its own orders, also an ended one, of which the last 4,096 of the run are remembered."""
        ...

    def pool(self, name: str) -> PoolMarket: ...
    def symbol_of(self, asset: str) -> str:
        """The economic asset that an asset in one place is a form of (`WETH` on a chain: `ETH`)."""
        ...

    @property
    def base_fee_wei(self) -> int:
        """Of the last block seen, 0 before the first. `block_time_s` alike."""
        ...

    @property
    def block_time_s(self) -> int: ...

    def signal(self, name: str, value: float, /, **inputs: Input) -> None:
        """Log a signal with what it was computed from. No decision depends on it: it is for people and research."""
        ...

    # --- actions

    def quote(self, instrument: int, bids: Quotes, asks: Quotes) -> None:
        """State what should rest, post-only. The core places, amends and cancels what differs, cancels first."""
        ...

    def take(self, instrument: int, side: int, limit: int, size: int) -> int | None:
        """Send an immediate-or-cancel order; return its id, or None when the gate refused."""
        ...

    def place(
        self,
        instrument: int,
        side: int,
        price: int,
        size: int,
        *,
        order_type: OrderKind = "limit",
        time_in_force: Lasting = "gtc",
        reduce_only: bool = False,
    ) -> int | None:
        """Send one order of its own making; return its id, or None when the gate refused.

        A `market` order takes at once what there is, no worse than `price`, and is over: nothing leaves unbounded,
        so without a price the gate refuses it. A `limit_maker` rests or is rejected. `reduce_only` is for contracts;
        spot instruments have none, and the gate refuses it there. Do not mix with `quote` on the same instrument: the
        core takes whatever rests there for a quote, and cancels what is not wanted.

        Raises:
            ValueError: A word or a side that does not exist, or a maker order that is not `gtc`.
        """
        ...

    def cancel(self, client_id: int) -> None:
        """Cancel one order of its own. Asked for again while one is under way, nothing is sent."""
        ...

    def cancel_all(self, instrument: int) -> None:
        """Want nothing any more on an instrument, and cancel what rests there."""
        ...

    def timer(self, at_ns: int, tag: int = 1) -> None:
        """Be called (`on_timer`, `event.aux0` is the tag) at an instant of event time. A tag is not 0."""
        ...

    def swap(self, pool: str, token_in: str, amount_in: int, min_amount_out: int, deadline_s: int) -> int | None:
        """Ask custody for a swap; return its id, or None when the gate refused. `on_settled` follows once."""
        ...
