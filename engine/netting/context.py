"""What a member of a desk sees: the kernel's context, but its own position and its own orders, which are wishes.

Everything that is read of markets is passed on. Orders that end by themselves become wishes of the desk; what rests
(quotes, makers, gtc orders) and swaps cannot meet on a desk and are refused with None.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.netting.desk import BUY, NettingDesk, Wish
from engine.sdk import BookView, Context

TAG_BITS = 8
"""Of a timer's tag: which member it is of."""


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """A member's share of a trade, or the end of its order, in the shape of the kernel's events."""

    time_ns: int
    instrument: int
    side: int
    client_id: int
    price: int = 0
    size: int = 0
    aux0: int = 0
    aux1: int = 0
    time_exchange_ns: int = 0
    kind: int = 0
    flags: int = 0
    sequence: int = 0
    is_maker: bool = False


class MemberContext:
    """One member's. `bind` gives it the kernel's context for the length of a callback."""

    def __init__(self, desk: NettingDesk, member: int, capital: Decimal, loss_max: Decimal | None) -> None:
        self._desk, self._member = desk, member
        self._capital, self._loss_max = capital, loss_max
        self._ctx: Context | None = None

    def bind(self, ctx: Context) -> Any:
        self._ctx = ctx
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    # --- its own

    def position(self, instrument: int) -> int:
        return self._desk.ledgers.row(self._member, instrument).lots

    def units(self, symbol: str) -> float:
        ctx = self._kernel()
        return sum(
            self.position(int(at)) * ctx.lot(int(at))
            for at in self._desk.ledgers.rows
            if ctx.symbol_of(ctx.terms(int(at)).base.id) == symbol
        )

    def open_orders(self, instrument: int) -> list[Wish]:
        return self._desk.open_of(self._member, instrument)

    def is_open(self, client_id: int) -> bool:
        return str(client_id) in self._desk.wishes

    def order(self, client_id: int) -> Wish | None:
        """One of its own, also one of the last that ended."""
        found = self._desk.wishes.get(str(client_id)) or self._desk.past.get(str(client_id))
        return found if found is not None and found.member == self._member else None

    def signal(self, name: str, value: float, /, **inputs: Any) -> None:
        self._kernel().signal(name, value, member=self._member, **inputs)

    # --- what it does

    def take(self, instrument: int, side: int, limit: int, size: int) -> int | None:
        ctx = self._kernel()
        size = min(size, self._allowed(ctx, instrument, side, limit))
        if ctx.halted or ctx.stopping:
            return None
        wish = self._desk.wish(self._member, instrument, side, limit, size)
        return None if wish is None else wish.client_id

    def place(
        self,
        instrument: int,
        side: int,
        price: int,
        size: int,
        *,
        order_type: str = "limit",
        time_in_force: str = "gtc",
        reduce_only: bool = False,
    ) -> int | None:
        if order_type == "limit_maker" or (order_type == "limit" and time_in_force != "ioc"):
            return None
        if reduce_only:
            held = self.position(instrument)
            size = min(size, max(-held if side == BUY else held, 0))
        return self.take(instrument, side, price, size)

    def quote(self, instrument: int, bids: Any, asks: Any) -> None:
        """A desk has no quotes; wanting none is heard."""

    def cancel(self, client_id: int) -> None:
        """Wishes end by themselves."""

    def cancel_all(self, instrument: int) -> None:
        """Wishes end by themselves."""

    def swap(self, *_: Any) -> int | None:
        return None

    def timer(self, at_ns: int, tag: int = 1) -> None:
        self._kernel().timer(at_ns, tag << TAG_BITS | self._member + 1)

    # --- its capital

    def result(self, book: BookView, instrument: int) -> Decimal:
        """Its profit and loss in one instrument at the mid, fees taken off, in quote units."""
        ctx = self._kernel()
        terms, row = ctx.terms(instrument), self._desk.ledgers.row(self._member, instrument)
        mid = book.bid + book.ask
        unit = terms.tick_size * terms.lot_size / 2
        fee_base = Decimal(row.fee_base) / terms.base.unit * terms.tick_size * mid / 2
        return row.result(mid) * unit - Decimal(row.fee_quote) / terms.quote.unit - fee_base

    def _allowed(self, ctx: Context, instrument: int, side: int, limit: int) -> int:
        """Lots it may still trade on a side: its capital less what it lost, and always back to nothing."""
        book, terms = ctx.book(instrument), ctx.terms(instrument)
        if not book.is_valid or limit <= 0:
            return 0
        lost = min(self.result(book, instrument), Decimal(0))
        left = self._capital + lost
        if self._loss_max is not None and lost < -self._loss_max:
            left = Decimal(0)
        most = int(max(left, Decimal(0)) // (terms.tick_size * terms.lot_size * limit))
        held = self.position(instrument) * (1 if side == BUY else -1)
        under_way = sum(w.left for w in self._desk.open_of(self._member, instrument) if w.side == side)
        # Against a position held it may go back to nothing and from there to `most`; with one, up to `most`.
        return max(most - held, -held, 0) - under_way

    def _kernel(self) -> Context:
        assert self._ctx is not None
        return self._ctx
