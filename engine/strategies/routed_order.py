"""One parent order, routed: split over exchanges and pools by all-in cost, again for whatever came back unexecuted.

    WAIT ──time──> split ──> children (immediate-or-cancel orders, swaps) ──ended──> rest left? split again ──> DONE

A round splits what is left over the places that can be used (`engine.routing`), sends an immediate-or-cancel order to
each exchange, bounded by the last level it was meant to take and `slip_bps`, and a swap to each pool, bounded by
`pool_slippage_bps`. What came back unexecuted is split anew, without the pools that still owe an answer, and each
place's history of misses and latency counts in the next split. `slices` cuts the order into parts with `interval_ms`
between them. All places must be quoted in one unit of account.

A pool's buy is exact in what it spends. What it brought is read from the strategy's own books when it settles; where
the base pays the gas too (ETH) it counts as what was asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from domain import Instrument
from engine.routing import (
    SHARE,
    UNIT_DECIMALS,
    Charges,
    PoolPlace,
    Route,
    RouteHistory,
    book_route,
    cost_quote,
    route_order,
)
from engine.sdk import BookView, Context, EventView
from engine.strategies.base import CatalogStrategy
from engine.strategies.routed_order_settings import RoutedOrderSettings

if TYPE_CHECKING:
    from engine.market import PoolMarket

UNIT: Final = 10**UNIT_DECIMALS
MINED: Final = 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
HEADROOM: Final = Decimal("0.995")
"""Of a quote balance: prices move between the split and the trade."""
GAS_COIN: Final = "ETH"
TIP_WEI: Final = 1_000_000_000
TOLERANCE: Final = 2_000_000
"""A split within this part of the order's value of the best is good enough: 0.005 bps."""
NODES_MAX: Final = 200


class RoutedOrder(CatalogStrategy[RoutedOrderSettings]):
    """See the module. Quantities are units of 1e-8 base."""

    saved = (
        "filled",
        "rounds",
        "arrival",
        "is_done",
        "_begin_ns",
        "_not_before_ns",
        "_children",
        "_swaps",
        "_histories",
    )

    def __init__(self, settings: RoutedOrderSettings) -> None:
        super().__init__(settings)
        self.filled = 0
        self.rounds = 0
        self.arrival = 0.0
        """The first mid seen, in quote units."""
        self.is_done = False
        """Nothing is left that any exchange takes."""
        self._begin_ns = 0
        self._not_before_ns = 0
        self._children: dict[str, list[int]] = {}
        """By client id: which route, units of a lot, lots sent, when, whether its venue answered."""
        self._swaps: dict[str, list[int]] = {}
        """By id: which pool, units."""
        self._units = 0.0
        """Base units gained when an event of its own was last told."""
        places = len(settings.routes) + len(settings.pools)
        self._histories = [RouteHistory().state() for _ in range(places)]

    @property
    def is_idle(self) -> bool:
        return not self._children and not self._swaps

    @property
    def qty(self) -> int:
        return int(self.settings.qty * UNIT)

    def on_start(self, ctx: Context) -> None:
        self._instruments = [ctx.instrument(route.instrument) for route in self.settings.routes]
        self._terms: list[Instrument] = [ctx.terms(at) for at in self._instruments]
        self._base = ctx.symbol_of(self._terms[0].base.id)

    # --- what happens

    def on_book(self, ctx: Context, book: BookView) -> None:
        if self._begin_ns == 0 and book.is_valid:
            start = self.settings.start_at
            start_ns = ctx.now_ns if start is None else (start - EPOCH) // MICROSECOND * 1_000
            self._begin_ns = start_ns + self.settings.start_after_ms * 1_000_000
        self._go_on(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        self._follow(ctx, event)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._follow(ctx, event)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        self._collect(ctx)
        self._go_on(ctx)

    def on_settled(self, ctx: Context, event: EventView) -> None:
        swap = self._swaps.pop(str(event.client_id), None)
        if swap is None:
            return
        at, units = swap
        done = units if event.price & 0xFF == MINED else 0
        before, self._units = self._units, ctx.units(self._base)
        if done and self._base != GAS_COIN:
            done = round(abs(self._units - before) * UNIT)
        self.filled += done
        self._learn(ctx, len(self._instruments) + at, units, done)
        self._go_on(ctx)

    def _follow(self, ctx: Context, event: EventView) -> None:
        self._units = ctx.units(self._base)
        child = self._children.get(str(event.client_id))
        if child is not None and not child[4]:
            child[4] = 1
            history = self._history(child[0])
            history.answered(ctx.now_ns - child[3])
            self._histories[child[0]] = history.state()
        self._collect(ctx)
        self._go_on(ctx)

    def _collect(self, ctx: Context) -> None:
        """Take the children that ended."""
        for name, (at, lot, lots, _, _) in list(self._children.items()):
            if ctx.is_open(int(name)):
                continue
            order = ctx.order(int(name))
            done = order.filled if order is not None else 0
            del self._children[name]
            self.filled += done * lot
            self._learn(ctx, at, lots * lot, done * lot)
            if not done:
                self._not_before_ns = max(self._not_before_ns, ctx.now_ns + self.settings.retry_ms * 1_000_000)

    # --- deciding

    def _go_on(self, ctx: Context) -> None:
        settings = self.settings
        if self._begin_ns == 0 or ctx.now_ns < max(self._begin_ns, self._not_before_ns):
            return
        if self._children or self.is_done or self.rounds >= settings.rounds_max or ctx.stopping or ctx.halted:
            return
        due = self._due(ctx) - self.filled - sum(units for _, units in self._swaps.values())
        if due > 0:
            self._round(ctx, due)
        else:
            self.is_done = self.filled >= self.qty

    def _due(self, ctx: Context) -> int:
        """Units that the slices begun so far are of."""
        settings = self.settings
        if settings.interval_ms == 0:
            return self.qty
        begun = (ctx.now_ns - self._begin_ns) // (settings.interval_ms * 1_000_000) + 1
        return self.qty * min(int(begun), settings.slices) // settings.slices

    def _round(self, ctx: Context, units: int) -> None:
        mids = [book.bid + book.ask for book in map(ctx.book, self._instruments) if book.is_valid]
        if not mids:
            return
        if self.arrival == 0.0:
            at = next(i for i in self._instruments if ctx.book(i).is_valid)
            self.arrival = (ctx.book(at).bid + ctx.book(at).ask) / 2 * ctx.tick(at)
        found, places = [], []
        for at in range(len(self._histories)):
            place = self._place(ctx, at, units)
            if place is not None:
                found.append(at)
                places.append(place)
        self._not_before_ns = ctx.now_ns + self.settings.retry_ms * 1_000_000
        least = min((place.least for place in places if isinstance(place, Route)), default=0)
        if units < least:
            # Gas for a crumb is never earned: what no exchange takes stays. Done, if it is all that is left.
            self.is_done = units + self.filled == self.qty
            return
        worst = self._worst()
        reserve = worst if self.settings.side == "buy" else -worst
        routed = route_order(
            places, units, reserve=reserve, tolerance=abs(reserve) * units // TOLERANCE, nodes_max=NODES_MAX
        )
        if not any(routed.allocation.units):
            return
        self.rounds += 1
        ctx.signal(
            "routed",
            units / UNIT,
            arrival=self.arrival,
            cost=float(cost_quote(routed.allocation.cost)),
            bound=float(cost_quote(routed.allocation.bound)),
            single=float(cost_quote(routed.single.cost)),
            single_place=routed.routes[routed.single_route].name,
            **{route.name: share / UNIT for route, share in zip(routed.routes, routed.allocation.units, strict=True)},
        )
        for at, route, share in zip(found, routed.routes, routed.allocation.units, strict=True):
            if share and at < len(self._instruments):
                self._take(ctx, at, route, share)
            elif share:
                self._swap(ctx, at - len(self._instruments), share)

    def _worst(self) -> int:
        """The worst all-in price, in 1e-26 quote a unit."""
        sign = 1 if self.settings.side == "buy" else -1
        price = self.settings.limit
        if price is None:
            price = Decimal(repr(self.arrival)) * (1 + sign * self.settings.collar_bps / 10_000)
        return int(price * 10**10) * SHARE

    def _place(self, ctx: Context, at: int, units: int) -> Route | PoolPlace | None:
        history = self._history(at)
        if not history.is_usable(ctx.now_ns):
            return None
        if at < len(self._instruments):
            return self._book(ctx, at, units, history)
        return self._pool(ctx, at - len(self._instruments), history)

    def _book(self, ctx: Context, at: int, units: int, history: RouteHistory) -> Route | None:
        book, route, terms = ctx.book(self._instruments[at]), self.settings.routes[at], self._terms[at]
        if not book.is_valid:
            return None
        is_buy = self.settings.side == "buy"
        levels = book.levels(self.settings.levels)[1 if is_buy else 0].tolist()
        charges = self._charges(history, history.latency_s / 2 or float(route.latency_ms) / 1e3)
        if route.contract == "spot":
            held = ctx.balance((terms.quote if is_buy else terms.base).id)
            whole = Decimal(held) / (terms.quote if is_buy else terms.base).unit
            units = min(units, int((whole / (levels[0][0] * terms.tick_size) * HEADROOM if is_buy else whole) * UNIT))
        return book_route(
            route.instrument,
            self.settings.side,
            levels,
            tick=terms.tick_size,
            lot=terms.lot_size,
            taker_fee_bps=terms.taker_fee_bps,
            charge=charges.share(),
            notional_min=terms.min_notional,
            face=route.face,
            impact_bps=route.impact_bps,
            units_max=units,
        )

    def _pool(self, ctx: Context, at: int, history: RouteHistory) -> PoolPlace | None:
        market = ctx.pool(self.settings.pools[at])
        if not market.replica.is_valid or any(pool == at for pool, _ in self._swaps.values()):
            return None
        base, quote = self._tokens(ctx, market)
        gas_wei = self.settings.gas_units * (ctx.base_fee_wei + TIP_WEI)
        coin = ctx.mark(GAS_COIN)
        if coin == 0.0:
            return None
        is_buy = self.settings.side == "buy"
        spent = quote if is_buy else base
        whole = float(ctx.balance(spent.id)) / spent.unit
        units = int((whole / market.mid(base.id) * float(HEADROOM) if is_buy else whole) * UNIT)
        return PoolPlace(
            name=market.id,
            side=self.settings.side,
            replica=market.replica,
            base=base.id,
            quote=quote.id,
            base_decimals=base.decimals,
            quote_decimals=quote.decimals,
            gas=Decimal(gas_wei) / 10**18 * Decimal(repr(coin)),
            charge=self._charges(history, float(self.settings.pool_wait_s)).share(),
            lot=10 ** max(UNIT_DECIMALS - base.decimals, UNIT_DECIMALS - 6),
            units_max=units,
        )

    def _charges(self, history: RouteHistory, latency_s: float) -> Charges:
        return Charges(
            latency_s=latency_s,
            volatility_bps=float(self.settings.volatility_bps),
            miss_rate=history.miss_rate,
            miss_bps=float(self.settings.miss_bps),
        )

    # --- acting

    def _take(self, ctx: Context, at: int, route: Route, units: int) -> None:
        instrument, terms = self._instruments[at], self._terms[at]
        lots = units // route.lot
        is_buy = self.settings.side == "buy"
        levels, rest, last = ctx.book(instrument).levels(self.settings.levels)[1 if is_buy else 0].tolist(), lots, 0
        for price, size in levels:
            last, rest = price, rest - size
            if rest <= 0:
                break
        slip = 1 + (1 if is_buy else -1) * float(self.settings.slip_bps) / 1e4
        all_in = 1 + (1 if is_buy else -1) * float(terms.taker_fee_bps) / 1e4
        bound = self._worst() / SHARE / 1e10 / float(terms.tick_size) / all_in
        limit = int(min(last * slip, bound)) if is_buy else -int(-max(last * slip, bound) // 1)
        order = ctx.take(instrument, 0 if is_buy else 1, limit, lots)
        if order is None:
            # The gate refused: as a venue that did.
            self._learn(ctx, at, units, 0)
        else:
            self._children[str(order)] = [at, route.lot, lots, ctx.now_ns, 0]

    def _swap(self, ctx: Context, at: int, units: int) -> None:
        market = ctx.pool(self.settings.pools[at])
        base, quote = self._tokens(ctx, market)
        raw = units * 10**base.decimals // UNIT
        slippage = int(self.settings.pool_slippage_bps * 100)
        if self.settings.side == "buy":
            token, amount = quote, market.replica.quote_exact_out_up(base.id, raw)
            least = raw * (1_000_000 - slippage) // 1_000_000
        else:
            token, amount = base, raw
            least = market.replica.quote_exact_in_down(base.id, raw) * (1_000_000 - slippage) // 1_000_000
        deadline = ctx.block_time_s + self.settings.pool_deadline_s
        swap = ctx.swap(market.id, token.id, amount, least, deadline)
        if swap is None:
            self._learn(ctx, len(self._instruments) + at, units, 0)
        else:
            self._swaps[str(swap)] = [at, units]

    def _tokens(self, ctx: Context, market: PoolMarket) -> tuple[Any, Any]:
        is_base0 = ctx.symbol_of(market.token0.id) == self._base
        return (market.token0, market.token1) if is_base0 else (market.token1, market.token0)

    def _history(self, at: int) -> RouteHistory:
        history = RouteHistory()
        history.restore(self._histories[at])
        return history

    def _learn(self, ctx: Context, at: int, sent: int, filled: int) -> None:
        history = self._history(at)
        history.ended(ctx.now_ns, sent, filled)
        self._histories[at] = history.state()
