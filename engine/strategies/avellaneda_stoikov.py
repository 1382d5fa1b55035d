"""Market making after Avellaneda and Stoikov (2008), inventory hedged in an on-chain pool.

With mid s, inventory q, volatility σ (quote units per √s), risk aversion γ, horizon τ and order-arrival decay κ:

    reservation price  r = s - q·γ·σ²·τ
    half spread        h = γ·σ²·τ / 2 + ln(1 + γ/κ) / γ

One post-only order rests on each side at r ± h, rounded away from the mid and never inside the opposite touch. γ and κ
are per quote unit, q is in base units, so r and h come out in quote units. Quotes move when the target has moved by
`requote_bps`; the old order is cancelled in the same step in which the new one is placed. Inventory beyond
`hedge_above` is swapped away in the pool where that costs least against the exchange's mid, one hedge at a time; when
every pool is too dear it waits, and the quotes lean against it meanwhile.
"""

from __future__ import annotations

import math

from domain import Refused, Side
from domain.events import BookChanged, BookInvalidated, Event, FillReported, OrderReported, SwapSettled, TimerFired
from engine.market import Book
from engine.settings import MarketMakingSettings
from engine.strategy import Context

HEDGE_RETRY_NS = 500_000_000
"""A hedge that was refused or failed is tried again after this long, at a fresh quote."""


class AvellanedaStoikov:
    """See the module. `base` is the economic asset the instrument's base belongs to."""

    def __init__(self, settings: MarketMakingSettings, *, base: str, hedge_pools: tuple[str, ...]) -> None:
        self.id = settings.id
        self._settings = settings
        self._base = base
        self._pools = hedge_pools
        self._gamma = float(settings.risk_aversion)
        self._kappa = float(settings.arrival_decay)
        self._tau = float(settings.horizon_s)
        self._variance = float(settings.volatility_floor) ** 2
        self._last_mid: tuple[int, float] | None = None
        self._live: dict[Side, str] = {}
        self._hedge: str | None = None
        self._hedge_not_before_ns = 0

    @property
    def is_idle(self) -> bool:
        return self._hedge is None

    def on_event(self, event: Event, context: Context) -> None:
        match event:
            case BookChanged(instrument=instrument) if instrument == self._settings.instrument:
                book = context.book(instrument)
                if book.valid:
                    self._learn(book)
                if book.valid and not context.halted:
                    self._requote(context, book)
                    self._hedge_inventory(context, book)
            case BookInvalidated(instrument=instrument) if instrument == self._settings.instrument:
                self._withdraw(context)
            case SwapSettled(intent_id=intent) if intent == self._hedge:
                self._hedge = None
            case OrderReported() | FillReported():
                self._forget_done(context)
            case TimerFired() if context.stopping:
                self._withdraw(context)

    def targets(self, mid: float, inventory: float) -> tuple[float, float]:
        """Bid and ask in quote units at the present volatility, before rounding and clamping."""
        risk = self._gamma * self._variance * self._tau
        reservation = mid - inventory * risk
        half = max(
            risk / 2 + math.log(1 + self._gamma / self._kappa) / self._gamma,
            mid * float(self._settings.spread_min_bps) / 2e4,
        )
        return reservation - half, reservation + half

    def _learn(self, book: Book) -> None:
        """Follow σ² as an exponentially weighted mean of squared mid changes per second."""
        now_ns, mid = book.changed_ns, book.mid
        if self._last_mid is not None and now_ns > self._last_mid[0]:
            seconds = (now_ns - self._last_mid[0]) / 1e9
            keep = 0.5 ** (seconds / float(self._settings.volatility_halflife_s))
            realised = (mid - self._last_mid[1]) ** 2 / seconds
            self._variance = max(
                float(self._settings.volatility_floor) ** 2, keep * self._variance + (1 - keep) * realised
            )
        self._last_mid = (now_ns, mid)

    def _requote(self, context: Context, book: Book) -> None:
        if context.stopping:
            self._withdraw(context)
            return
        self._forget_done(context)
        inventory = context.position(self._base)
        bid, ask = self.targets(book.mid, inventory)
        instrument = book.instrument
        # Post-only: a bid stays below the best ask, an ask above the best bid.
        bid_ticks = min(instrument.ticks_down(bid), book.asks[0][0] - 1)
        ask_ticks = max(instrument.ticks_up(ask), book.bids[0][0] + 1)
        limit = float(self._settings.inventory_max)
        targets = {
            Side.BUY: bid_ticks if inventory < limit else None,
            Side.SELL: ask_ticks if inventory > -limit else None,
        }
        # Cancels first: a new bid may lie beyond the old ask.
        for side, ticks in targets.items():
            self._retire(context, book, side, ticks)
        lots = instrument.lots_down(self._settings.order_qty)
        for side, ticks in targets.items():
            if ticks is not None and side not in self._live:
                order_id = context.quote(self._settings.instrument, side, ticks, lots)
                if order_id is not None:
                    self._live[side] = order_id

    def _retire(self, context: Context, book: Book, side: Side, ticks: int | None) -> None:
        """Cancel one side's quote unless it is near enough to its target."""
        live = context.order(self._live[side]) if side in self._live else None
        if live is None:
            return
        tolerance = book.mid_ticks * float(self._settings.requote_bps) / 1e4
        if ticks is None or abs(live.price_ticks - ticks) > tolerance:
            context.cancel(live.client_order_id)
            del self._live[side]

    def _withdraw(self, context: Context) -> None:
        for order in context.open_orders(self._settings.instrument):
            context.cancel(order.client_order_id)
        self._live.clear()

    def _forget_done(self, context: Context) -> None:
        for side, order_id in list(self._live.items()):
            order = context.order(order_id)
            if order is None or not order.state.is_open:
                del self._live[side]

    def _hedge_inventory(self, context: Context, book: Book) -> None:
        inventory = context.position(self._base)
        if self._hedge is not None or context.stopping or abs(inventory) < float(self._settings.hedge_above):
            return
        if context.now_ns < self._hedge_not_before_ns:
            return
        self._hedge_not_before_ns = context.now_ns + HEDGE_RETRY_NS
        best: tuple[float, str, str, int, int] | None = None
        for pool_id in self._pools:
            pool = context.pool(pool_id)
            if not pool.replica.is_valid:
                continue
            is_base0 = context.symbol_of(pool.token0) == self._base
            base, quote = (pool.token0, pool.token1) if is_base0 else (pool.token1, pool.token0)
            if inventory > 0:
                token_in, token_out, amount_in = base, quote, int(inventory * base.unit)
            else:
                # Pay what buying the shortfall costs at the mid; the pool tells how much that buys.
                token_in, token_out, amount_in = quote, base, int(-inventory * book.mid * quote.unit)
            amount_in = min(amount_in, context.balance(token_in))
            if amount_in <= 0:
                continue
            try:
                out = pool.replica.quote_exact_in_down(token_in.id, amount_in)
            except Refused:
                continue  # Too shallow for it; another pool may not be.
            price = (out / token_out.unit) / (amount_in / token_in.unit)
            cost = 1 - price / (book.mid if inventory > 0 else 1 / book.mid)
            if cost * 1e4 <= float(self._settings.hedge_cost_max_bps) and (best is None or cost < best[0]):
                best = (cost, pool_id, token_in.id, amount_in, out)
        if best is not None:
            _, pool_id, token_in_id, amount_in, out = best
            minimum = out * (10_000 - int(self._settings.hedge_slippage_bps)) // 10_000
            deadline = context.block_time_s() + self._settings.deadline_s
            self._hedge = context.swap(pool_id, token_in_id, amount_in, minimum, deadline)
