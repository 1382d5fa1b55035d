"""Arbitrage between exchanges: one asset bought where it is cheap and sold where it is dear, at the same moment.

    nothing out, nothing open ──edge beyond every cost──> both legs out ──both over──> even? ──> as before
                                                                             └─ no: the rest is traded away

The asks of one instrument and the bids of another are walked together while the next unit still pays: both taker fees,
the least profit, and `inventory_bps` for carrying the positions further from flat (which is a gain when they come
back). Both legs are immediate-or-cancel at the worst level they want, sent together or one by one. When they are over,
the strategy is as long as short, or it is not: then the difference is traded where that costs least now, fee included,
which is either the leg that failed, again, or the other one back. Positions themselves are what it reads, so a trade
told late is in the reckoning whenever it comes.

Instruments that do not trade at one price (a perpetual and its spot, two quote currencies) have a basis. With
`basis_halflife_s` the difference of their mids is followed as an average, and only what goes beyond it is an edge.
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import permutations
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, EventView
from engine.sdk.floats import half_to_the
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.reaching import BUY, SELL, Legs, common_lot, is_busy, is_too_small, reach
from engine.strategies.rounding import lots_down

LEVELS = 20
"""Levels a side that a size may reach through."""
SETTLE_NS = 50_000_000
"""After the end of both legs, before the difference is looked at: trades may be told later than ends."""


class ExchangeArbitrageSettings(CatalogSettings):
    """See the module."""

    kind: Literal["exchange-arbitrage"] = "exchange-arbitrage"
    instruments: Annotated[tuple[str, ...], Field(min_length=2, max_length=8)]
    """The same asset at several places, counted in base units: spot and linear contracts."""
    derivatives: tuple[str, ...] = ()
    """Which of them are contracts: what they sell need not be held."""
    notional_max: Positive = Decimal(1_000)
    """Of one attempt, in the quote asset."""
    position_max: Positive
    """Base units that any of the positions may get away from where it began."""
    profit_min: NotNegative = Decimal("0.5")
    """Least expected profit of an attempt after fees and what its positions are charged, in the quote asset."""
    profit_min_bps: NotNegative = Decimal(1)
    """Least expected profit of its last unit."""
    inventory_bps: NotNegative = Decimal(0)
    """Charged when both positions are at `position_max` and go on, paid when they come back, in proportion between."""
    basis_halflife_s: NotNegative = Decimal(0)
    """Memory of the average difference of the mids; 0: they ought to be equal."""
    slippage_bps: NotNegative = Decimal(0)
    """How much beyond the last wanted level a leg's limit lies: more attempts succeed, at a worse price."""
    unwind_slippage_bps: Positive = Decimal(20)
    """How far beyond the touch a difference may be traded away, each time."""
    legs: Literal["together", "one-by-one"] = "together"
    """One by one: first where less is shown, the other by what was filled."""
    cooldown_ms: int = Field(default=200, ge=0)
    interval_ms: int = Field(default=5, ge=0)
    """How often it looks at each book."""

    fixed: ClassVar[tuple[str, ...]] = ("derivatives", "interval_ms")

    @model_validator(mode="after")
    def _places_are_known(self) -> ExchangeArbitrageSettings:
        if len(set(self.instruments)) != len(self.instruments):
            raise ValueError("instruments: one is named twice")
        if unknown := set(self.derivatives) - set(self.instruments):
            raise ValueError(f"derivatives: {sorted(unknown)[0]} is none of the instruments")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return self.instruments


class Place(NamedTuple):
    """One instrument, in numbers."""

    at: int
    tick: float
    lot: float
    fee: float
    base: str
    """What it delivers; empty for a contract."""
    quote: str
    quote_unit: int


class Attempt(NamedTuple):
    """What an opportunity is worth."""

    buy: Place
    sell: Place
    quantity: float
    buy_limit: int
    sell_limit: int
    profit: float


class ExchangeArbitrage(CatalogStrategy[ExchangeArbitrageSettings]):
    """See the module."""

    saved = ("_orders", "_legs", "_not_before_ns", "_settled_ns", "_is_even", "_basis")

    def __init__(self, settings: ExchangeArbitrageSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.interval_ms * 1_000_000
        self._orders: list[int] = []
        self._legs: Legs = {}
        self._not_before_ns = self._settled_ns = 0
        self._is_even = True
        self._basis: list[list[float]] = []
        """By instrument: ratio of its mid to the first's, and when it was last looked at."""

    @property
    def is_idle(self) -> bool:
        return self._is_even and not self._orders

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._places: list[Place] = []
        # In an order of its own: what is saved of each must not depend on how they were listed.
        for name in sorted(self.settings.instruments):
            at = ctx.instrument(name)
            terms = ctx.terms(at)
            base = "" if name in self.settings.derivatives else terms.base.id
            fee = float(terms.taker_fee_bps) / 1e4
            self._places.append(Place(at, ctx.tick(at), ctx.lot(at), fee, base, terms.quote.id, terms.quote.unit))
        self._step = float(common_lot([ctx.terms(place.at).lot_size for place in self._places]))
        if not self._basis:
            self._basis = [[1.0, 0.0] for _ in self._places]

    def on_book(self, ctx: Context, book: BookView) -> None:
        self._go_on(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._is_even = False
        self._go_on(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._go_on(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._go_on(ctx)

    def _go_on(self, ctx: Context) -> None:
        if ctx.halted:
            return
        if self._orders:
            if any(ctx.is_open(order) for order in self._orders):
                return
            self._orders = []
            self._settled_ns = ctx.now_ns + SETTLE_NS
            ctx.timer(self._settled_ns)
        if self._basis_is_followed(ctx) and ctx.now_ns >= self._settled_ns:
            if not self._is_even:
                self._even_out(ctx)
            elif not ctx.stopping and ctx.now_ns >= self._not_before_ns:
                self._look(ctx)

    # --- finding

    def _look(self, ctx: Context) -> None:
        best: Attempt | None = None
        for buy, sell in permutations(range(len(self._places)), 2):
            found = self._size(ctx, buy, sell)
            if found is not None and (best is None or found.profit > best.profit):
                best = found
        if best is None or best.profit < float(self.settings.profit_min):
            return
        self._not_before_ns = ctx.now_ns + self.settings.cooldown_ms * 1_000_000
        names = ctx.instruments
        ctx.signal("profit", best.profit, buy=names[best.buy.at], sell=names[best.sell.at], quantity=best.quantity)
        orders = [
            (best.buy, BUY, best.buy_limit),
            (best.sell, SELL, best.sell_limit),
        ]
        if self.settings.legs == "one-by-one":
            orders = [min(orders, key=lambda leg: self._shown(ctx, leg[0], leg[1]))]
        for place, side, limit in orders:
            order = ctx.take(place.at, side, limit, lots_down(best.quantity, place.lot))
            if order is None:
                break  # A second leg that is refused leaves the first to be evened out.
            self._orders.append(order)
            self._is_even = False

    def _size(self, ctx: Context, buy_at: int, sell_at: int) -> Attempt | None:
        """Walk the asks of one and the bids of the other while the next unit pays."""
        buy, sell = self._places[buy_at], self._places[sell_at]
        asks, bids = ctx.book(buy.at), ctx.book(sell.at)
        if not asks.is_valid or not bids.is_valid:
            return None
        # Prices of the second are brought to the first's by the basis; profits are counted there.
        basis = self._basis[buy_at][0] / self._basis[sell_at][0]
        margin = (1.0 - sell.fee) * basis
        carry = self._carry(ctx, buy, sell) / 1e4
        cost = 1.0 + buy.fee + carry + float(self.settings.profit_min_bps) / 1e4
        if bids.bid * sell.tick * margin <= asks.ask * buy.tick * cost:
            return None
        mid = asks.ask * buy.tick
        most = min(
            float(self.settings.notional_max) / mid,
            float(self.settings.position_max) - ctx.position(buy.at) * buy.lot,
            float(self.settings.position_max) + ctx.position(sell.at) * sell.lot,
            ctx.balance(buy.quote) / buy.quote_unit / (mid * (1.0 + buy.fee)) if buy.base else float("inf"),
            ctx.balance(sell.base) / ctx.terms(sell.at).base.unit if sell.base else float("inf"),
        )
        offered = [(price * buy.tick, size * buy.lot, price) for price, size in asks.levels(LEVELS)[1].tolist()]
        asked = [(price * sell.tick, size * sell.lot, price) for price, size in bids.levels(LEVELS)[0].tolist()]
        pieces = _matched(offered, asked, cost, margin, most)
        quantity = lots_down(sum(piece[0] for piece in pieces), self._step) * self._step
        if not pieces or quantity <= 0.0:
            return None
        left, profit, limits = quantity, 0.0, (0, 0)
        for shown, ask, bid, ask_ticks, bid_ticks in pieces:
            size = min(shown, left)
            if size <= 0.0:
                break
            left -= size
            profit += size * (bid * margin - ask * (1.0 + buy.fee + carry))
            limits = (ask_ticks, bid_ticks)
        slack = float(self.settings.slippage_bps) / 1e4
        buy_limit, sell_limit = math.floor(limits[0] * (1.0 + slack)), max(1, math.ceil(limits[1] * (1.0 - slack)))
        lots = (lots_down(quantity, buy.lot), lots_down(quantity, sell.lot))
        if is_too_small(ctx, buy.at, asks.ask, lots[0]) or is_too_small(ctx, sell.at, limits[1], lots[1]):
            return None
        return Attempt(buy, sell, quantity, buy_limit, sell_limit, profit)

    def _carry(self, ctx: Context, buy: Place, sell: Place) -> float:
        """Basis points that the next unit is charged for the positions it makes larger."""
        most = float(self.settings.position_max)
        away = (ctx.position(buy.at) * buy.lot - ctx.position(sell.at) * sell.lot) / (2.0 * most)
        return float(self.settings.inventory_bps) * away

    def _basis_is_followed(self, ctx: Context) -> bool:
        """Follow the ratio of each mid to the first's; whether there is one to go by."""
        memory = float(self.settings.basis_halflife_s)
        if memory == 0.0:
            return True
        first, known = self._places[0], True
        reference = ctx.book(first.at)
        if not reference.is_valid:
            return self._basis[-1][1] > 0.0
        unit = (reference.bid + reference.ask) * first.tick
        for place, kept in zip(self._places[1:], self._basis[1:], strict=True):
            book = ctx.book(place.at)
            if not book.is_valid:
                known = known and kept[1] > 0.0
                continue
            ratio = (book.bid + book.ask) * place.tick / unit
            seconds = (ctx.now_ns - kept[1]) / 1e9
            keep = half_to_the(seconds / memory) if kept[1] else 0.0
            kept[0], kept[1] = keep * kept[0] + (1.0 - keep) * ratio, float(ctx.now_ns)
        return known

    def _shown(self, ctx: Context, place: Place, side: int) -> float:
        book = ctx.book(place.at)
        return (book.ask_size if side == BUY else book.bid_size) * place.lot

    # --- what is left

    def _even_out(self, ctx: Context) -> None:
        """Trade away the difference between what was bought and what was sold, where that costs least."""
        if is_busy(ctx, self._legs):
            return
        left = sum(ctx.position(place.at) * place.lot for place in self._places)
        best: tuple[float, Place, int] | None = None
        for place in self._places:
            book, lots = ctx.book(place.at), lots_down(abs(left), place.lot)
            if not book.is_valid or is_too_small(ctx, place.at, book.bid, lots):
                continue
            ratio = self._basis[self._places.index(place)][0]
            price = book.bid * place.tick * (1 - place.fee) if left > 0 else -book.ask * place.tick * (1 + place.fee)
            if best is None or price / ratio > best[0]:
                best = (price / ratio, place, lots)
        if best is None:
            # Too small for any of them: it is carried, and part of the next difference.
            self._is_even = all(ctx.book(place.at).is_valid for place in self._places)
            return
        _, place, lots = best
        wanted = ctx.position(place.at) + (-lots if left > 0 else lots)
        reach(ctx, self._legs, place.at, wanted, slippage_bps=float(self.settings.unwind_slippage_bps))


Level = tuple[float, float, int]
"""Price, quantity, ticks."""


def _matched(
    offered: list[Level], asked: list[Level], cost: float, margin: float, most: float
) -> list[tuple[float, float, float, int, int]]:
    """Merge two sides while a unit bought and sold pays: quantity, ask, bid, their ticks, best first."""
    pieces, at, other = [], 0, 0
    shown, wanted = offered[0][1], asked[0][1]
    while most > 0.0:
        (ask, _, ask_ticks), (bid, _, bid_ticks) = offered[at], asked[other]
        if bid * margin <= ask * cost:
            break
        size = min(shown, wanted, most)
        pieces.append((size, ask, bid, ask_ticks, bid_ticks))
        shown, wanted, most = shown - size, wanted - size, most - size
        if shown <= 0.0:
            at += 1
            if at == len(offered):
                break
            shown = offered[at][1]
        if wanted <= 0.0:
            other += 1
            if other == len(asked):
                break
            wanted = asked[other][1]
    return pieces
