"""Cross-exchange market making: quotes at one venue, hedges what trades there at another, as a taker.

    bid = what selling `qty` at the hedge would bring, less both fees and `profit_min_bps`
    ask = what buying `qty` at the hedge would cost, plus both fees and `profit_min_bps`

never better than one tick inside the maker's own touch. A quote stays while it earns between `profit_min_bps` and
`slack_bps` more. What is not hedged is the sum of both positions, whatever they came of, so partial fills, fills while
a hedge is out, fills found after a restart all count:

    MATCHED ──maker filled──> UNHEDGED ──take at the hedge──> HEDGING ──filled whole──> MATCHED
                                 ^                               │
                                 └── partly, or not: wider ──────┘

One hedge is out at a time, immediate-or-cancel. One that did not trade is tried again after `hedge_patience_ms`, each
time in a row `hedge_slippage_bps` wider, at most `hedge_slippage_max_bps`. The side that would add to what is unhedged
beyond `unhedged_max` is not quoted meanwhile. Less than the hedge's venue takes waits for more.

Where the two prices differ for good (spot and a perpetual), `basis_halflife_s` follows their ratio, and the hedge's
price counts at that ratio: the profit of a trade is then real only when the ratio comes back.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator

from engine.sdk import BookView, Context, EventView, Levels
from engine.sdk.floats import half_to_the
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.rounding import lots_down, ticks_down, ticks_up

DEPTH: Final = 20
"""Levels of the hedge's book that a quote's size may reach through."""
PATIENCE_FACTOR_MAX: Final = 20
"""How many times the patience is waited at most after hedges that did not trade."""
RETRY: Final = 1
"""The timer's tag."""


class CrossExchangeMarketMakingSettings(CatalogSettings):
    """See the module."""

    kind: Literal["cross-exchange-market-making"] = "cross-exchange-market-making"
    maker: str
    """The instrument that is quoted."""
    hedge: str
    """The instrument that is taken, of the same base."""
    qty: Positive
    """Base units of a quote."""
    position_max: Positive
    """Base units held or owed at the maker's venue (and hedged) at most."""
    profit_min_bps: NotNegative = Decimal(5)
    slack_bps: NotNegative = Decimal(3)
    unhedged_max: Positive | None = None
    """Base units; without it one quote."""
    hedge_slippage_bps: Positive = Decimal(5)
    """How far beyond its touch a hedge may trade at first."""
    hedge_slippage_max_bps: Positive = Decimal(50)
    hedge_patience_ms: int = Field(default=500, gt=0)
    hedge_is_spot: bool = True
    """Quote only what the balances at the hedge's venue can pay for; false for a contract on margin."""
    basis_halflife_s: NotNegative = Decimal(0)
    """0: the two prices are one."""
    refresh_ms: int = Field(default=0, ge=0)

    fixed: ClassVar[tuple[str, ...]] = ("refresh_ms",)

    @model_validator(mode="after")
    def _two_instruments(self) -> CrossExchangeMarketMakingSettings:
        if self.maker == self.hedge:
            raise ValueError(f"maker and hedge are both {self.maker}")
        if self.hedge_slippage_bps > self.hedge_slippage_max_bps:
            raise ValueError("hedge_slippage_bps is more than hedge_slippage_max_bps")
        return self

    def instrument_names(self) -> tuple[str, ...]:
        return (self.maker, self.hedge)


class CrossExchangeMarketMaking(CatalogStrategy[CrossExchangeMarketMakingSettings]):
    """See the module."""

    saved = ("_quoted", "_basis", "_hedge", "_hedged_before", "_attempts", "_not_before_ns", "_is_matched")

    def __init__(self, settings: CrossExchangeMarketMakingSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.refresh_ms * 1_000_000
        self._quoted: list[int | None] = [None, None]
        self._basis: list[float] | None = None
        """Time, and the maker's mid over the hedge's less one."""
        self._hedge: int | None = None
        self._hedged_before = 0
        """Lots held at the hedge when it was sent."""
        self._attempts = 0
        """Hedges in a row that traded nothing."""
        self._not_before_ns = 0
        self._is_matched = True

    @property
    def is_idle(self) -> bool:
        return self._is_matched

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._maker, self._taker = ctx.instrument(self.settings.maker), ctx.instrument(self.settings.hedge)
        self._tick, self._lot = ctx.tick(self._maker), ctx.lot(self._maker)
        self._hedge_tick, self._hedge_lot = ctx.tick(self._taker), ctx.lot(self._taker)
        maker, taker = ctx.terms(self._maker), ctx.terms(self._taker)
        self._fees = float(maker.maker_fee_bps + taker.taker_fee_bps) / 1e4
        self._hedge_min = float(taker.min_notional)
        self._hedge_base, self._hedge_quote = taker.base, taker.quote

    def on_book(self, ctx: Context, book: BookView) -> None:
        self._match(ctx)
        maker, taker = ctx.book(self._maker), ctx.book(self._taker)
        if not maker.is_valid or not taker.is_valid:
            self._withdraw(ctx)
            return
        self._follow_basis(ctx.now_ns, (maker.bid + maker.ask) * self._tick, (taker.bid + taker.ask) * self._hedge_tick)
        if ctx.halted:
            return
        if ctx.stopping:
            self._withdraw(ctx)
            return
        self._quote(ctx, maker, taker)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        if event.instrument == self._maker and not ctx.is_open(event.client_id):
            self._quoted[event.side] = None
        self._match(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._match(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._match(ctx)

    def on_stop(self, ctx: Context) -> None:
        self._withdraw(ctx)
        self._match(ctx)

    # --- the hedge

    def unhedged(self, ctx: Context) -> float:
        """Base units held (+) or owed (-) at both venues together."""
        return ctx.position(self._maker) * self._lot + ctx.position(self._taker) * self._hedge_lot

    def _match(self, ctx: Context) -> None:
        """Look after the hedge that is out, and send one when it is needed and none is."""
        if self._hedge is not None:
            if ctx.is_open(self._hedge):
                return
            self._hedge = None
            if ctx.position(self._taker) == self._hedged_before:
                self._wait(ctx)
            else:
                self._attempts = 0
        open_units = self.unhedged(ctx)
        lots, taker = lots_down(abs(open_units), self._hedge_lot), ctx.book(self._taker)
        price = (taker.bid + taker.ask) / 2 * self._hedge_tick
        self._is_matched = lots == 0 or (taker.is_valid and lots * self._hedge_lot * price < self._hedge_min)
        if self._is_matched:
            self._attempts = 0
            return
        if not taker.is_valid or ctx.now_ns < self._not_before_ns:
            return
        settings = self.settings
        slippage = min(
            float(settings.hedge_slippage_bps) * (1 + self._attempts), float(settings.hedge_slippage_max_bps)
        )
        if open_units > 0:
            side, limit = 1, ticks_up(taker.bid * (1.0 - slippage / 1e4), 1.0)
        else:
            side, limit = 0, ticks_down(taker.ask * (1.0 + slippage / 1e4), 1.0)
        ctx.signal("unhedged", open_units, slippage_bps=slippage, attempts=self._attempts)
        self._hedged_before = ctx.position(self._taker)
        self._hedge = ctx.take(self._taker, side, limit, lots)
        if self._hedge is None:
            self._wait(ctx)

    def _wait(self, ctx: Context) -> None:
        """Leave some time before the next hedge, more after each that came to nothing."""
        self._attempts += 1
        patience_ns = self.settings.hedge_patience_ms * 1_000_000
        self._not_before_ns = ctx.now_ns + patience_ns * min(self._attempts, PATIENCE_FACTOR_MAX)
        ctx.timer(self._not_before_ns, RETRY)

    # --- the quotes

    def _follow_basis(self, now_ns: int, maker: float, taker: float) -> None:
        halflife, ratio = float(self.settings.basis_halflife_s), maker / taker - 1.0
        if halflife == 0.0:
            self._basis = None
        elif self._basis is None:
            self._basis = [now_ns, ratio]
        elif now_ns > self._basis[0]:
            keep = half_to_the((now_ns - int(self._basis[0])) / 1e9 / halflife)
            self._basis = [now_ns, keep * self._basis[1] + (1.0 - keep) * ratio]

    def _quote(self, ctx: Context, maker: BookView, taker: BookView) -> None:
        settings, unhedged, position = self.settings, self.unhedged(ctx), ctx.position(self._maker) * self._lot
        unhedged_max = float(settings.unhedged_max or settings.qty)
        bids, asks = taker.levels(DEPTH)
        before = list(self._quoted)
        sides: list[tuple[tuple[int, int], ...]] = []
        for side, sign, levels in ((0, 1, bids), (1, -1, asks)):
            lots = lots_down(min(float(settings.qty), float(settings.position_max) - sign * position), self._lot)
            price = average_price(levels, lots * self._lot / self._hedge_lot) if lots > 0 else None
            if price is None or sign * unhedged >= unhedged_max or not self._can_pay(ctx, side, lots, price):
                self._quoted[side] = None
            else:
                best, touch = (maker.bid, maker.ask) if side == 0 else (maker.ask, maker.bid)
                self._quoted[side] = self._price(side, price * self._hedge_tick, best, touch)
            quoted = self._quoted[side]
            sides.append(() if quoted is None else ((quoted, lots),))
        if self._quoted != before:
            basis = self._basis[1] if self._basis is not None else 0.0
            ctx.signal("basis", basis, unhedged=unhedged, maker_bid=maker.bid, hedge_bid=taker.bid)
        ctx.quote(self._maker, sides[0], sides[1])

    def _price(self, side: int, hedged_at: float, best: int, touch: int) -> int | None:
        """Where to quote a side, in ticks: the present price while it is good enough, at most just inside the touch."""
        sign, quoted = (1 if side == 0 else -1), self._quoted[side]
        fair = hedged_at * (1.0 + (self._basis[1] if self._basis is not None else 0.0))
        least, slack = self._fees + float(self.settings.profit_min_bps) / 1e4, float(self.settings.slack_bps) / 1e4
        good, generous = fair * (1.0 - sign * least) / self._tick, fair * (1.0 - sign * (least + slack)) / self._tick
        inside = best if quoted == best else best + sign
        if side == 0:
            price = min(ticks_down(good, 1.0), inside, touch - 1)
            keeps = quoted is not None and generous <= quoted <= good and quoted < touch
        else:
            price = max(ticks_up(good, 1.0), inside, touch + 1)
            keeps = quoted is not None and good <= quoted <= generous and quoted > touch
        return quoted if keeps else price if price > 0 else None

    def _can_pay(self, ctx: Context, side: int, lots: int, price_ticks: float) -> bool:
        """Whether the hedge's venue holds what the hedge of a quote would pay with."""
        if not self.settings.hedge_is_spot:
            return True
        units = lots * self._lot
        if side == 0:
            return ctx.balance(self._hedge_base.id) >= units * self._hedge_base.unit
        return ctx.balance(self._hedge_quote.id) >= units * price_ticks * self._hedge_tick * self._hedge_quote.unit

    def _withdraw(self, ctx: Context) -> None:
        self._quoted = [None, None]
        ctx.cancel_all(self._maker)


def average_price(levels: Levels, lots: float) -> float | None:
    """What taking so many lots would trade at in the mean, in ticks; nothing where the levels do not hold them."""
    left, paid = lots, 0.0
    for price, size in levels.tolist():
        taken = min(left, float(size))
        paid += taken * price
        left -= taken
        if left <= 0.0:
            return float(paid / lots)
    return None
