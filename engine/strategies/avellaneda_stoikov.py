"""Market making after Avellaneda and Stoikov (2008), inventory hedged in an on-chain pool.

With mid s, inventory q, volatility σ (quote units per √s), risk aversion γ, horizon τ and order-arrival decay κ:

    reservation price  r = s - q·γ·σ²·τ
    half spread        h = γ·σ²·τ / 2 + ln(1 + γ/κ) / γ

One post-only order rests on each side at r ± h, rounded away from the mid and never inside the opposite touch. γ and κ
are per quote unit, q is in base units, so r and h come out in quote units. Quotes move when the target has moved by
`requote_bps`. Inventory beyond `hedge_above` is swapped away in the pool where that costs least against the exchange's
mid, one hedge at a time; when every pool is too dear it waits, and the quotes lean against it meanwhile.

`native/engine/src/strategies/avellaneda_stoikov.rs` decides the same without the hedges: both do the same operations on
doubles in the same order, and neither asks the C library for a logarithm or a power.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import ClassVar, Final, Literal, Self

from pydantic import Field

from domain import Refused
from engine.sdk import BookView, Context, EventView, Quotes
from engine.sdk.floats import ln
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive
from engine.strategies.resting import Quoted, near_enough, still_resting
from engine.strategies.rounding import lots_down
from engine.strategies.variance import variance_after

MODEL: Final = (
    "risk_aversion",
    "arrival_decay",
    "horizon_s",
    "volatility_floor",
    "volatility_halflife_s",
    "spread_min_bps",
    "requote_bps",
    "inventory_max",
)
"""What the native kernel takes of the settings as it is."""
HEDGE_RETRY_NS = 500_000_000
"""A hedge that was refused or failed is tried again after this long, at a fresh quote."""


class AvellanedaStoikovSettings(CatalogSettings):
    """See the module."""

    kind: Literal["avellaneda-stoikov"] = "avellaneda-stoikov"
    id: str = Field(default="mm", pattern=r"[a-z0-9-]{1,16}")
    instrument: str
    hedge_pools: tuple[str, ...] = ()
    order_qty: Positive
    inventory_max: Positive
    """Base units beyond which only the reducing side is quoted."""
    hedge_above: Positive | None = None
    """Base units of inventory that trigger a hedge of all of it; without it `inventory_max`."""
    risk_aversion: Positive = Decimal("0.1")
    """γ: per unit of account of risk; larger quotes wider and leans harder against inventory."""
    arrival_decay: Positive = Decimal("0.5")
    """κ: how fast the chance of a fill falls with distance from the mid, per unit of quote."""
    horizon_s: Positive = Decimal(30)
    """τ: the rolling horizon over which inventory risk is counted."""
    volatility_floor: Positive = Decimal("0.1")
    """Least σ in quote units per square root of a second."""
    volatility_halflife_s: Positive = Decimal(20)
    spread_min_bps: Positive = Decimal(2)
    requote_bps: Positive = Decimal("0.5")
    """Quotes move only when the target moved by more than this."""
    hedge_cost_max_bps: Positive = Decimal(15)
    """A hedge whose price in the pool, fee and impact included, is worse than the exchange's mid by more waits."""
    hedge_slippage_bps: Positive = Decimal(20)
    """How much worse than quoted a hedge may execute before it reverts."""
    deadline_s: int = Field(default=60, gt=0)
    python: bool = False
    """In a backtest without hedges: run this class, not the native kernel that decides the same."""

    fixed: ClassVar[tuple[str, ...]] = ("python",)

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)

    def pool_names(self) -> tuple[str, ...]:
        return self.hedge_pools

    def pair(self) -> str:
        return self.instrument

    def with_pools(self, pools: tuple[str, ...]) -> Self:
        return self.model_copy(update={"hedge_pools": pools})

    def native(self, tick: float, lot: float) -> dict[str, float]:
        """What the native kernel is made of, but for its instrument's place."""
        return {
            "tick": tick,
            "lot": lot,
            "order_lots": lots_down(float(self.order_qty), lot),
            **{name: float(getattr(self, name)) for name in MODEL},
        }


class AvellanedaStoikov(CatalogStrategy[AvellanedaStoikovSettings]):
    """See the module."""

    saved = ("_variance", "_last_mid", "_quoted", "_hedge", "_hedge_not_before_ns")

    def __init__(self, settings: AvellanedaStoikovSettings) -> None:
        super().__init__(settings)
        self._read(settings)
        self._variance = self._variance_floor
        self._last_mid: list[float] | None = None
        self._quoted: Quoted = [None, None]
        self._hedge: int | None = None
        self._hedge_not_before_ns = 0

    def _read(self, settings: AvellanedaStoikovSettings) -> None:
        self._pools = settings.hedge_pools
        self._gamma = float(settings.risk_aversion)
        self._tau = float(settings.horizon_s)
        self._halflife_s = float(settings.volatility_halflife_s)
        self._spread_min_bps = float(settings.spread_min_bps)
        self._requote_bps = float(settings.requote_bps)
        self._inventory_max = float(settings.inventory_max)
        self._hedge_above = float(settings.hedge_above or settings.inventory_max)
        self._arrival_half_spread = ln(1.0 + self._gamma / float(settings.arrival_decay)) / self._gamma
        self._variance_floor = float(settings.volatility_floor) * float(settings.volatility_floor)

    def reconfigure(self, ctx: Context, settings: AvellanedaStoikovSettings) -> None:
        super().reconfigure(ctx, settings)
        self._read(settings)
        self._order_lots = lots_down(float(settings.order_qty), self._lot)

    @property
    def is_idle(self) -> bool:
        return self._hedge is None

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._instrument = ctx.instrument(self.settings.instrument)
        self._tick, self._lot = ctx.tick(self._instrument), ctx.lot(self._instrument)
        self._order_lots = lots_down(float(self.settings.order_qty), self._lot)
        self._base = ctx.symbol_of(ctx.terms(self._instrument).base.id) if self._pools else ""

    def on_book(self, ctx: Context, book: BookView) -> None:
        if not book.is_valid:
            self._withdraw(ctx)
            return
        mid_ticks = (book.bid + book.ask) / 2
        self._learn(ctx.now_ns, mid_ticks * self._tick)
        if ctx.halted:
            return
        if ctx.stopping:
            self._withdraw(ctx)
            return
        inventory = self._inventory(ctx)
        self._requote(ctx, book, mid_ticks, inventory)
        self._hedge_inventory(ctx, mid_ticks * self._tick, inventory)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._forget_done(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._forget_done(ctx)

    def on_settled(self, ctx: Context, event: EventView) -> None:
        if event.client_id == self._hedge:
            self._hedge = None

    def on_stop(self, ctx: Context) -> None:
        self._withdraw(ctx)

    # --- the model

    def targets(self, mid: float, inventory: float) -> tuple[float, float]:
        """Bid and ask in quote units at the present volatility, before rounding and clamping."""
        risk = self._gamma * self._variance * self._tau
        reservation = mid - inventory * risk
        half = max(risk / 2.0 + self._arrival_half_spread, mid * self._spread_min_bps / 2e4)
        return reservation - half, reservation + half

    def _learn(self, now_ns: int, mid: float) -> None:
        """Follow σ² as an exponentially weighted mean of squared mid changes per second."""
        if self._last_mid is not None and now_ns > self._last_mid[0]:
            self._variance = variance_after(
                self._variance,
                mid - self._last_mid[1],
                (now_ns - int(self._last_mid[0])) / 1e9,
                halflife_s=self._halflife_s,
                floor=self._variance_floor,
            )
        self._last_mid = [now_ns, mid]

    # --- quotes

    def _requote(self, ctx: Context, book: BookView, mid_ticks: float, inventory: float) -> None:
        low, high = self.targets(mid_ticks * self._tick, inventory)
        # Post-only: a bid stays below the best ask, an ask above the best bid.
        wanted = (
            min(math.floor(low / self._tick), book.ask - 1) if inventory < self._inventory_max else None,
            max(math.ceil(high / self._tick), book.bid + 1) if inventory > -self._inventory_max else None,
        )
        before, self._quoted = self._quoted, near_enough(self._quoted, wanted, mid_ticks * self._requote_bps / 1e4)
        if self._quoted != before:
            mid = mid_ticks * self._tick
            ctx.signal("reservation", (low + high) / 2, mid=mid, inventory=inventory, variance=self._variance)
        bids, asks = (self._order(price) for price in self._quoted)
        ctx.quote(self._instrument, bids, asks)

    def _order(self, price: int | None) -> Quotes:
        return () if price is None else ((price, self._order_lots),)

    def _withdraw(self, ctx: Context) -> None:
        self._quoted = [None, None]
        ctx.cancel_all(self._instrument)

    def _forget_done(self, ctx: Context) -> None:
        self._quoted = still_resting(ctx, self._instrument, self._quoted)

    # --- inventory

    def _inventory(self, ctx: Context) -> float:
        """Base units: of the instrument alone, or of the asset everywhere when pools can take it."""
        return ctx.units(self._base) if self._pools else ctx.position(self._instrument) * self._lot

    def _hedge_inventory(self, ctx: Context, mid: float, inventory: float) -> None:
        if not self._pools or self._hedge is not None or abs(inventory) < self._hedge_above:
            return
        if ctx.now_ns < self._hedge_not_before_ns:
            return
        self._hedge_not_before_ns = ctx.now_ns + HEDGE_RETRY_NS
        best: tuple[float, str, str, int, int] | None = None
        for pool_id in self._pools:
            pool = ctx.pool(pool_id)
            if not pool.replica.is_valid:
                continue
            is_base0 = ctx.symbol_of(pool.token0.id) == self._base
            base, quote = (pool.token0, pool.token1) if is_base0 else (pool.token1, pool.token0)
            if inventory > 0:
                token_in, token_out, amount_in = base, quote, int(inventory * base.unit)
            else:
                # Pay what buying the shortfall costs at the mid; the pool tells how much that buys.
                token_in, token_out, amount_in = quote, base, int(-inventory * mid * quote.unit)
            amount_in = min(amount_in, ctx.balance(token_in.id))
            if amount_in <= 0:
                continue
            try:
                out = pool.replica.quote_exact_in_down(token_in.id, amount_in)
            except Refused:
                continue  # Too shallow for it; another pool may not be.
            price = (out / token_out.unit) / (amount_in / token_in.unit)
            cost = 1 - price / (mid if inventory > 0 else 1 / mid)
            if cost * 1e4 <= float(self.settings.hedge_cost_max_bps) and (best is None or cost < best[0]):
                best = (cost, pool_id, token_in.id, amount_in, out)
        if best is not None:
            _, pool_id, token_in_id, amount_in, out = best
            minimum = out * (10_000 - int(self.settings.hedge_slippage_bps)) // 10_000
            deadline = ctx.block_time_s + self.settings.deadline_s
            self._hedge = ctx.swap(pool_id, token_in_id, amount_in, minimum, deadline)
