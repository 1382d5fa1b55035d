"""A small market for engine tests: one instrument, one pool-less portfolio, events by hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from domain import Fill, Instrument, OrderState, Side, VenueId, venue_asset
from domain import events as e
from engine.kernel import Kernel
from engine.market import Markets
from engine.portfolio import EconomicAsset, Portfolio
from engine.risk import RiskGate
from engine.settings import RiskLimits
from engine.strategy import Context, Strategy

VENUE = VenueId("sandbox")
ETH, USDC = venue_asset(VENUE, "ETH"), venue_asset(VENUE, "USDC")
ETHUSDC = Instrument(
    venue=VENUE,
    symbol="ETHUSDC",
    base=ETH,
    quote=USDC,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
    min_notional=Decimal(5),
    maker_fee_bps=Decimal(1),
    taker_fee_bps=Decimal(4),
)
SECOND = 1_000_000_000


class Script:
    """A strategy that runs a function once on each event it is given one for."""

    def __init__(self, strategy_id: str = "s") -> None:
        self.id = strategy_id
        self.is_idle = True
        self.then: list[Any] = []

    def on_event(self, event: e.Event, context: Context) -> None:
        if isinstance(event, e.TimerFired) and self.then:
            self.then.pop(0)(context)


def kernel(*strategies: Strategy, **limits: Any) -> Kernel:
    economic = {
        "USD": EconomicAsset("USD", (USDC,), None),
        "ETH": EconomicAsset("ETH", (ETH,), ETHUSDC.id),
    }
    return Kernel(
        run="t",
        markets=Markets({ETHUSDC.id: ETHUSDC}, {}),
        portfolio=Portfolio(economic),
        risk=RiskGate(RiskLimits(**limits)),
        strategies=strategies,
        gas_asset=None,
    )


def book(
    now_ns: int = SECOND,
    bids: Sequence[tuple[int, int]] = ((299_990, 10_000), (299_980, 20_000)),
    asks: Sequence[tuple[int, int]] = ((300_010, 10_000), (300_020, 20_000)),
) -> e.BookChanged:
    """3,000.00 ± 0.10 with 1 ETH at the touch."""
    return e.BookChanged(
        time_ns=now_ns, instrument=ETHUSDC.id, bids=tuple(bids), asks=tuple(asks), update_id=1, received_ns=now_ns
    )


def timer(now_ns: int = SECOND) -> e.TimerFired:
    return e.TimerFired(time_ns=now_ns)


def report(order_id: str, state: OrderState, now_ns: int = SECOND, filled_lots: int | None = None) -> e.OrderReported:
    return e.OrderReported(time_ns=now_ns, client_order_id=order_id, state=state, filled_lots=filled_lots)


def fill(
    order_id: str,
    lots: int,
    *,
    trade_id: str = "1",
    side: Side = Side.BUY,
    ticks: int = 300_010,
    fee_raw: int = 0,
    now_ns: int = SECOND,
) -> e.FillReported:
    quote_raw = int(ETHUSDC.notional(ticks, lots) * USDC.unit)
    return e.FillReported(
        time_ns=now_ns,
        fill=Fill(
            venue="sandbox",
            symbol="ETHUSDC",
            trade_id=trade_id,
            client_order_id=order_id,
            venue_order_id="v",
            side=side,
            price_ticks=ticks,
            qty_lots=lots,
            quote_raw=quote_raw,
            fee_asset="USDC",
            fee_raw=fee_raw,
            is_maker=False,
            venue_time_ns=now_ns,
        ),
    )
