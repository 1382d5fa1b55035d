"""Market making after Guéant, Lehalle and Fernandez-Tapia (2013), with the market's own intensity.

Trades reach a quote at distance δ from the mid with intensity λ(δ) = A · exp(-k · δ), fitted to the public trades
(`engine.strategies.intensity`). With inventory q in orders, volatility σ and risk aversion γ, the closed-form
approximation of the optimal quotes far from the horizon's end:

    C     = sqrt( γ / (2 · k · A) · (1 + γ/k) ** (1 + k/γ) )
    bid   = mid - ( ln(1 + γ/k) / γ  +  σ · C · (q + 1/2) )
    ask   = mid + ( ln(1 + γ/k) / γ  -  σ · C · (q - 1/2) )

Distances are basis points of the mid, σ is basis points per √s, A per second and side, k and γ per basis point: the
same settings fit a coin of 60,000 and one of 2. It looks at the first message of each `refresh_ms`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import Field

from engine.sdk import BookView, Context, EventView, Trades
from engine.sdk.floats import half_to_the, ln
from engine.strategies.base import CatalogSettings, CatalogStrategy, NotNegative, Positive
from engine.strategies.intensity import exp, fit, reached
from engine.strategies.resting import near_enough, still_resting
from engine.strategies.rounding import lots_down, ticks_down, ticks_up
from engine.strategies.variance import variance_after

PLACES = 40
"""Distances that are told apart."""


class GlftSettings(CatalogSettings):
    """See the module."""

    kind: Literal["glft"] = "glft"
    instrument: str
    qty: Positive
    """Base units of an order; inventory is counted in these."""
    inventory_max: Positive
    """Base units from which only the reducing side is quoted."""
    risk_aversion: Positive = Decimal("0.05")
    """γ: larger leans harder against inventory and quotes wider."""
    intensity: Positive = Decimal(1)
    """A, until there is a fit."""
    decay: Positive = Decimal("0.5")
    """k, until there is a fit."""
    fit_every_s: Positive = Decimal(10)
    fit_halflife_s: Positive = Decimal(120)
    """How fast reaches are forgotten."""
    fit_depth_bps: Positive = Decimal(10)
    """How far from the mid trades are counted."""
    volatility_floor_bps: Positive = Decimal("0.1")
    volatility_halflife_s: Positive = Decimal(20)
    spread_min_bps: NotNegative = Decimal("0.5")
    requote_bps: NotNegative = Decimal("0.2")
    refresh_ms: int = Field(default=100, ge=1)

    fixed: ClassVar[tuple[str, ...]] = ("refresh_ms", "intensity", "decay", "fit_depth_bps", "volatility_floor_bps")

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)


class Glft(CatalogStrategy[GlftSettings]):
    """See the module."""

    saved = ("_variance", "_last", "_reach", "_counts", "_exposure_s", "_fitted_ns", "_model", "_quoted")

    def __init__(self, settings: GlftSettings) -> None:
        super().__init__(settings)
        self.book_interval_ns = settings.refresh_ms * 1_000_000
        self._floor = float(settings.volatility_floor_bps) * float(settings.volatility_floor_bps)
        self._step_bps = float(settings.fit_depth_bps) / PLACES
        self._variance = self._floor
        self._last: list[float] | None = None
        """Time and mid in ticks at the interval's beginning."""
        self._reach = [0.0, 0.0]
        """How far bids and asks would have been reached since then, in ticks."""
        self._counts = [0.0] * PLACES
        self._exposure_s = 0.0
        self._fitted_ns = 0
        self._model = [float(settings.intensity), float(settings.decay)]
        self._quoted: list[int | None] = [None, None]

    def on_start(self, ctx: Context) -> None:
        self._instrument = ctx.instrument(self.settings.instrument)
        self._lot = ctx.lot(self._instrument)

    # --- what happens

    def on_trades(self, ctx: Context, trades: Trades) -> None:
        if self._last is None:
            return
        mid = self._last[1]
        ours = trades[trades["instrument"] == self._instrument]
        # Whoever sells reaches bids, whoever buys asks. Auctions (255) reach nothing.
        sold, bought = ours["price"][ours["side"] == 1], ours["price"][ours["side"] == 0]
        if len(sold):
            self._reach[0] = max(self._reach[0], mid - int(sold.min()))
        if len(bought):
            self._reach[1] = max(self._reach[1], int(bought.max()) - mid)

    def on_book(self, ctx: Context, book: BookView) -> None:
        if not book.is_valid:
            self._last, self._reach = None, [0.0, 0.0]
            self._withdraw(ctx)
            return
        mid = (book.bid + book.ask) / 2
        self._learn(ctx, mid)
        if ctx.halted:
            return
        if ctx.stopping:
            self._withdraw(ctx)
            return
        settings, held = self.settings, ctx.position(self._instrument) * self._lot
        below, above = self.distances_bps(held / float(settings.qty))
        most, unit = float(settings.inventory_max), mid / 1e4
        wanted = (
            min(ticks_down(mid - below * unit, 1.0), book.ask - 1) if held < most else None,
            max(ticks_up(mid + above * unit, 1.0), book.bid + 1) if held > -most else None,
        )
        self._quoted = near_enough(self._quoted, wanted, float(settings.requote_bps) * unit)
        lots = lots_down(float(settings.qty), self._lot)
        bids, asks = (() if price is None else ((price, lots),) for price in self._quoted)
        ctx.quote(self._instrument, bids, asks)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._quoted = still_resting(ctx, self._instrument, self._quoted)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._quoted = still_resting(ctx, self._instrument, self._quoted)

    def on_stop(self, ctx: Context) -> None:
        self._withdraw(ctx)

    # --- the model

    def distances_bps(self, orders: float) -> tuple[float, float]:
        """How far below the mid to bid and above it to ask, holding an inventory counted in orders."""
        (intensity, decay), gamma = self._model, float(self.settings.risk_aversion)
        ratio = gamma / decay
        # (1 + γ/k) ** (1 + k/γ)
        power = exp(ln(1.0 + ratio) * (1.0 + 1.0 / ratio))
        lean = math.sqrt(self._variance * gamma / (2.0 * decay * intensity) * power)
        half = ln(1.0 + ratio) / gamma
        least = float(self.settings.spread_min_bps) / 2.0
        centre, width = -lean * orders, max(half + lean / 2.0, least)
        return width - centre, width + centre

    def _learn(self, ctx: Context, mid: float) -> None:
        """End an interval: its change into the variance, its reach into the counts, now and then a new fit."""
        now_ns = ctx.now_ns
        if self._last is not None and now_ns > self._last[0]:
            settings, seconds, unit = self.settings, (now_ns - int(self._last[0])) / 1e9, self._last[1] / 1e4
            self._variance = variance_after(
                self._variance,
                (mid - self._last[1]) / unit,
                seconds,
                halflife_s=float(settings.volatility_halflife_s),
                floor=self._floor,
            )
            self._exposure_s += 2.0 * seconds
            for ticks in self._reach:
                if ticks > 0.0:
                    reached(self._counts, ticks / unit, self._step_bps)
            if now_ns - self._fitted_ns >= float(settings.fit_every_s) * 1e9:
                self._fit(ctx)
        self._last, self._reach = [now_ns, mid], [0.0, 0.0]

    def _fit(self, ctx: Context) -> None:
        settings = self.settings
        if (found := fit(self._counts, self._exposure_s, self._step_bps)) is not None:
            self._model = list(found)
            ctx.signal(
                "intensity", found[0], decay=found[1], sigma_bps=math.sqrt(self._variance), exposure_s=self._exposure_s
            )
        keep = half_to_the(float(settings.fit_every_s) / float(settings.fit_halflife_s))
        self._counts = [count * keep for count in self._counts]
        self._exposure_s *= keep
        self._fitted_ns = ctx.now_ns

    def _withdraw(self, ctx: Context) -> None:
        self._quoted = [None, None]
        ctx.cancel_all(self._instrument)
