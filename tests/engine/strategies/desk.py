"""A catalog strategy in the kernel that trades live, told a market by hand; for tests of what it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from domain import Fill, Instrument, Side, VenueId, venue_asset
from domain import events as e
from engine.market import Markets
from engine.native import NativeKernel
from engine.portfolio import EconomicAsset, Portfolio
from engine.sdk import Strategy
from engine.settings import RiskLimits
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import make

SECOND = 1_000_000_000
ROOMY = {
    "order_notional_max": 10**6, "position_notional_max": 10**6, "exposure_notional_max": 10**7, "drawdown_max": 10**6,
    "book_age_ms_max": 10**9, "messages_per_second_max": 10**6, "open_orders_max": 100,
    "open_orders_per_strategy_max": 100, "price_collar_bps": 1_000,
}  # fmt: skip


def instrument(venue: str) -> Instrument:
    """ETHUSDC at a venue: ticks of 0.01, lots of 0.001."""
    name = VenueId(venue)
    return Instrument(
        venue=name,
        symbol="ETHUSDC",
        base=venue_asset(name, "ETH"),
        quote=venue_asset(name, "USDC"),
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_notional=Decimal(0),
        maker_fee_bps=Decimal(1),
        taker_fee_bps=Decimal(4),
    )


class Desk:
    """One strategy, its kernel, and what it commanded since `tell` was last called."""

    def __init__(
        self,
        settings: CatalogSettings,
        *,
        venues: Sequence[str] = ("one",),
        holdings: Mapping[str, int] = MappingProxyType({}),
        others: Sequence[Strategy] = (),
        **limits: Any,
    ) -> None:
        self.instruments = [instrument(venue) for venue in venues]
        self.strategy = make(settings)
        economic = {
            "USD": EconomicAsset("USD", tuple(i.quote for i in self.instruments), None),
            "ETH": EconomicAsset("ETH", tuple(i.base for i in self.instruments), self.instruments[0].id),
        }
        self.kernel = NativeKernel(
            run="t",
            markets=Markets({i.id: i for i in self.instruments}, {}),
            portfolio=Portfolio(economic),
            limits=RiskLimits(**{**ROOMY, **limits}),
            strategies=(*others, self.strategy),
            gas_asset=None,
        )
        self.commands: list[e.Command] = []
        self.now_ns = SECOND
        self._trades = 0
        for one in self.instruments:
            for asset, usual in ((one.base, 1_000), (one.quote, 3_000_000)):
                raw = holdings.get(asset.id, usual) * asset.unit
                self.kernel.step(e.BalanceReported(time_ns=0, asset=asset.id, raw=str(raw)))

    def tell(self, *events: e.Event) -> list[e.Command]:
        self.commands = []
        for event in events:
            self.commands += self.kernel.step(event)
        return self.commands

    def book(self, bid: int, ask: int, *, at: int = 0, after_s: float = 1.0, lots: int = 10_000) -> list[e.Command]:
        """Move time on, then the book of an instrument: a touch in ticks, five levels a side."""
        self.now_ns += round(after_s * SECOND)
        return self.tell(
            e.BookChanged(
                time_ns=self.now_ns,
                instrument=self.instruments[at].id,
                bids=tuple((bid - level, lots) for level in range(5)),
                asks=tuple((ask + level, lots) for level in range(5)),
                update_id=1,
                received_ns=self.now_ns,
            )
        )

    def lose_book(self, at: int = 0) -> list[e.Command]:
        return self.tell(e.BookInvalidated(time_ns=self.now_ns, instrument=self.instruments[at].id, reason="gap"))

    def stop(self) -> list[e.Command]:
        return self.tell(e.OperatorSpoke(time_ns=self.now_ns, command="stop"))

    def fill(self, order: Any, lots: int | None = None, price: int | None = None) -> list[e.Command]:
        """Let an order of ours trade, whole or in part, at its own price unless said."""
        self._trades += 1
        return self.tell(
            e.FillReported(
                time_ns=self.now_ns,
                fill=Fill(
                    venue=self._of(order).venue,
                    symbol=self._of(order).symbol,
                    trade_id=str(self._trades),
                    client_order_id=order.client_order_id,
                    venue_order_id="v",
                    side=order.side,
                    price_ticks=price or order.price_ticks,
                    qty_lots=lots or order.open_lots,
                    quote_raw=0,
                    fee_asset="USDC",
                    fee_raw=0,
                    is_maker=True,
                    venue_time_ns=self.now_ns,
                ),
            )
        )

    def _of(self, order: Any) -> Instrument:
        return next(i for i in self.instruments if i.id == order.instrument)

    # --- what is there

    def resting(self, side: Side, at: int = 0) -> list[Any]:
        """What is open and wanted on a side, best first."""
        orders = [
            o
            for o in self.kernel.orders.open_orders(self.strategy.id)
            if o.side is side and not o.cancel_time_ns and o.instrument == self.instruments[at].id
        ]
        return sorted(orders, key=lambda o: o.price_ticks if side is Side.SELL else -o.price_ticks)

    def quotes(self, side: Side, at: int = 0) -> list[tuple[int, int]]:
        """Price and open lots of each, best first."""
        return [(o.price_ticks, o.open_lots) for o in self.resting(side, at)]

    def placed(self) -> list[e.PlaceOrder]:
        return [c for c in self.commands if isinstance(c, e.PlaceOrder)]

    def cancelled(self) -> list[str]:
        return [c.client_order_id for c in self.commands if isinstance(c, e.CancelOrder)]
