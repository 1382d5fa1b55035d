"""A grid: buys on the way down, sells on the way up, a cell's height apart.

The range is cut into cells. A cell is empty and wants to buy at its lower edge, or full and wants to sell at its upper
edge. Those above the mid begin full (sold first, bought back lower), those below begin empty. Lower orders trade first
on the way up and higher ones first on the way down, so the full cells are always the upper ones, and which are full
follows from the position alone:

    full lots = what the upper cells began with + position        counted from the top, the last one perhaps in part

Nothing else is remembered, so fills that arrive late, in part or after a restart leave no cell that is counted wrong.
A market that jumps over edges is quoted at its own touch, at better prices than the edges'.

Beyond the range by `exit_bps` it withdraws, closes what it holds and stays out; without it, it waits and holds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, Quotes
from engine.sdk.floats import LN2, half_to_the, ln
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.rounding import lots_down, ticks_down, ticks_up


class GridSettings(CatalogSettings):
    """See the module."""

    kind: Literal["grid"] = "grid"
    instrument: str
    qty: Positive
    """Base units of a cell."""
    cells: int = Field(default=20, ge=2, le=500)
    lower: Positive | None = None
    """Both, or neither: then `width_bps` each way around the first mid."""
    upper: Positive | None = None
    width_bps: Positive = Field(default=Decimal(200), lt=10_000)
    spacing: Literal["arithmetic", "geometric"] = "geometric"
    """Cells of equal height, or of equal height in percent."""
    active: int = Field(default=5, ge=1, le=50)
    """How many orders rest on a side, the nearest ones."""
    exit_bps: NotNegative | None = None
    """How far beyond the range it gives up."""
    exit_slippage_bps: Positive = Decimal(20)
    """How far beyond the touch a closing order may trade."""
    refresh_ms: int = Field(default=100, ge=0)

    fixed: ClassVar[tuple[str, ...]] = ("qty", "cells", "lower", "upper", "width_bps", "spacing", "refresh_ms")

    @model_validator(mode="after")
    def _has_a_range(self) -> GridSettings:
        if (self.lower is None) != (self.upper is None):
            raise ValueError("lower and upper go together")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower {self.lower} is not below upper {self.upper}")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class Grid(CatalogStrategy[GridSettings]):
    """See the module."""

    saved = ("_edges", "_began_full", "_closing", "_is_out")

    def __init__(self, settings: GridSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.refresh_ms * 1_000_000
        self._edges: list[int] = []
        """In ticks, lowest first: one more than there are cells."""
        self._began_full = 0
        """Lots in the cells that were above the first mid."""
        self._closing: int | None = None
        self._is_out = False

    def on_start(self, ctx: Context) -> None:
        self._instrument = ctx.instrument(self.settings.instrument)
        self._tick = ctx.tick(self._instrument)
        self._cell_lots = lots_down(float(self.settings.qty), ctx.lot(self._instrument))

    def on_book(self, ctx: Context, book: BookView) -> None:
        if ctx.halted:
            return
        if not book.is_valid or ctx.stopping:
            ctx.cancel_all(self._instrument)
            return
        mid = (book.bid + book.ask) / 2
        if not self._edges:
            self._edges = self.edges(mid)
            self._began_full = self._cell_lots * sum(upper > mid for upper in self._edges[1:])
        if self._is_out or self._is_beyond(mid):
            self._leave(ctx, book)
            return
        bids, asks = self.orders(ctx.position(self._instrument), book.bid, book.ask)
        ctx.quote(self._instrument, bids, asks)

    def on_stop(self, ctx: Context) -> None:
        ctx.cancel_all(self._instrument)

    # --- the grid

    def edges(self, mid: float) -> list[int]:
        """The cells' edges in ticks around a mid in ticks, at least a tick apart."""
        settings, cells = self.settings, self.settings.cells
        if settings.lower is not None and settings.upper is not None:
            low, high = float(settings.lower) / self._tick, float(settings.upper) / self._tick
        else:
            width = float(settings.width_bps) / 1e4
            low, high = mid * (1.0 - width), mid * (1.0 + width)
        edges: list[int] = []
        doublings = ln(high / low) / LN2
        for at in range(cells + 1):
            if settings.spacing == "arithmetic":
                edge = low + (high - low) * at / cells
            else:
                edge = low / half_to_the(doublings * at / cells)
            edges.append(max(ticks_down(edge + 0.5, 1.0), edges[-1] + 1 if edges else 1))
        return edges

    def orders(self, position: int, bid: int, ask: int) -> tuple[Quotes, Quotes]:
        """What should rest, given a position in lots and the touch: price and lots, the nearest first."""
        full, size, cells = self._began_full + position, self._cell_lots, len(self._edges) - 1
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        # Place `k` from the top holds what is beyond `k` cells' lots.
        for k in range(cells):
            held = max(0, min(size, full - k * size))
            lower, upper = self._edges[cells - k - 1], self._edges[cells - k]
            if held:
                price = max(upper, bid + 1)
                asks[price] = asks.get(price, 0) + held
            if held < size:
                price = min(lower, ask - 1)
                bids[price] = bids.get(price, 0) + size - held
        most = self.settings.active
        return tuple(sorted(bids.items(), reverse=True)[:most]), tuple(sorted(asks.items())[:most])

    # --- giving up

    def _is_beyond(self, mid: float) -> bool:
        if self.settings.exit_bps is None:
            return False
        share = float(self.settings.exit_bps) / 1e4
        return mid < self._edges[0] * (1.0 - share) or mid > self._edges[-1] * (1.0 + share)

    def _leave(self, ctx: Context, book: BookView) -> None:
        """Withdraw and close, an order of `active` cells at a time."""
        if not self._is_out:
            self._is_out = True
            ctx.signal("exit", (book.bid + book.ask) / 2, lower=self._edges[0], upper=self._edges[-1])
        ctx.cancel_all(self._instrument)
        position = ctx.position(self._instrument)
        if position == 0 or (self._closing is not None and ctx.is_open(self._closing)):
            return
        slippage = float(self.settings.exit_slippage_bps) / 1e4
        lots = min(abs(position), self._cell_lots * self.settings.active)
        if position > 0:
            self._closing = ctx.take(self._instrument, 1, ticks_up(book.bid * (1.0 - slippage), 1.0), lots)
        else:
            self._closing = ctx.take(self._instrument, 0, ticks_down(book.ask * (1.0 + slippage), 1.0), lots)
