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

from domain import Refused
from engine.sdk import BookView, Context, EventView, Quotes, Strategy
from engine.sdk.floats import half_to_the, ln
from engine.settings import MarketMakingSettings

HEDGE_RETRY_NS = 500_000_000
"""A hedge that was refused or failed is tried again after this long, at a fresh quote."""


class AvellanedaStoikov(Strategy):
    """See the module. `base` is the economic asset the instrument's base belongs to; only hedges need it."""

    saved = ("_variance", "_last_mid", "_quoted", "_hedge", "_hedge_not_before_ns")

    def __init__(self, settings: MarketMakingSettings, *, base: str = "", hedge_pools: tuple[str, ...] = ()) -> None:
        super().__init__(settings.id)
        self.instruments = (settings.instrument,)
        self._settings = settings
        self._base = base
        self._pools = hedge_pools
        self._gamma = float(settings.risk_aversion)
        self._tau = float(settings.horizon_s)
        self._halflife_s = float(settings.volatility_halflife_s)
        self._spread_min_bps = float(settings.spread_min_bps)
        self._requote_bps = float(settings.requote_bps)
        self._inventory_max = float(settings.inventory_max)
        self._arrival_half_spread = ln(1.0 + self._gamma / float(settings.arrival_decay)) / self._gamma
        self._variance_floor = float(settings.volatility_floor) * float(settings.volatility_floor)
        self._variance = self._variance_floor
        self._last_mid: list[float] | None = None
        self._quoted: list[int | None] = [None, None]
        self._hedge: int | None = None
        self._hedge_not_before_ns = 0

    @property
    def is_idle(self) -> bool:
        return self._hedge is None

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._instrument = ctx.instrument(self._settings.instrument)
        self._tick, self._lot = ctx.tick(self._instrument), ctx.lot(self._instrument)
        self._order_lots = lots_down(float(self._settings.order_qty), self._lot)

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
            seconds = (now_ns - int(self._last_mid[0])) / 1e9
            keep = half_to_the(seconds / self._halflife_s)
            change = mid - self._last_mid[1]
            realised = change * change / seconds
            self._variance = max(self._variance_floor, keep * self._variance + (1.0 - keep) * realised)
        self._last_mid = [now_ns, mid]

    # --- quotes

    def _requote(self, ctx: Context, book: BookView, mid_ticks: float, inventory: float) -> None:
        low, high = self.targets(mid_ticks * self._tick, inventory)
        # Post-only: a bid stays below the best ask, an ask above the best bid.
        wanted = (
            min(math.floor(low / self._tick), book.ask - 1) if inventory < self._inventory_max else None,
            max(math.ceil(high / self._tick), book.bid + 1) if inventory > -self._inventory_max else None,
        )
        tolerance = mid_ticks * self._requote_bps / 1e4
        for side, (quoted, price) in enumerate(zip(self._quoted, wanted, strict=True)):
            if quoted is None or price is None or abs(quoted - price) > tolerance:
                self._quoted[side] = price
        bids, asks = (self._order(price) for price in self._quoted)
        ctx.quote(self._instrument, bids, asks)

    def _order(self, price: int | None) -> Quotes:
        return () if price is None else ((price, self._order_lots),)

    def _withdraw(self, ctx: Context) -> None:
        self._quoted = [None, None]
        ctx.cancel_all(self._instrument)

    def _forget_done(self, ctx: Context) -> None:
        """A side where nothing of ours is open any more is quoted afresh."""
        live = {order.side for order in ctx.open_orders(self._instrument) if not order.is_cancelling}
        self._quoted = [price if side in live else None for side, price in enumerate(self._quoted)]

    # --- inventory

    def _inventory(self, ctx: Context) -> float:
        """Base units: of the instrument alone, or of the asset everywhere when pools can take it."""
        return ctx.units(self._base) if self._pools else ctx.position(self._instrument) * self._lot

    def _hedge_inventory(self, ctx: Context, mid: float, inventory: float) -> None:
        if not self._pools or self._hedge is not None or abs(inventory) < float(self._settings.hedge_above):
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
            if cost * 1e4 <= float(self._settings.hedge_cost_max_bps) and (best is None or cost < best[0]):
                best = (cost, pool_id, token_in.id, amount_in, out)
        if best is not None:
            _, pool_id, token_in_id, amount_in, out = best
            minimum = out * (10_000 - int(self._settings.hedge_slippage_bps)) // 10_000
            deadline = ctx.block_time_s + self._settings.deadline_s
            self._hedge = ctx.swap(pool_id, token_in_id, amount_in, minimum, deadline)


def lots_down(quantity: float, lot: float) -> int:
    """Count the lots in a quantity; what lies on the grid is not lost to rounding."""
    return math.floor(quantity / lot + 1e-9)
