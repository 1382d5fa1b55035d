"""Perpetual swaps through the adapter, on a Hyperliquid that verifies every signature by itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from eth_account import Account

from cex import CcxtVenue, Position, VenueSettings
from domain import Instrument, OrderRejected, OrderState, OrderType, OutcomeUnknown, Side, TimeInForce
from domain.events import AskOrder, BookChanged, CancelOrder, PlaceOrder
from runtime import SystemClock
from tests.support.hyperliquid_market import HyperliquidMarket
from tests.support.recorder import Recorder

US, THEM = "0x" + "11" * 20, "0x" + "22" * 20
KEY = "0x" + "41" * 32
"""TEST ONLY: the key of an API wallet of `US`."""
SYMBOL = "ETH/USDC:USDC"

_ids = itertools.count(1)


@dataclass
class Lab:
    server: HyperliquidMarket
    venue: CcxtVenue
    recorder: Recorder

    @property
    def instrument(self) -> Instrument:
        return next(iter(self.venue.instruments.values()))

    def order(self, side: Side, price: str, size: str, **changes: Any) -> PlaceOrder:
        made = {
            "client_order_id": f"c{next(_ids):016x}",
            "strategy": "test",
            "instrument": self.instrument.id,
            "side": side,
            "type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "price_ticks": self.instrument.ticks(Decimal(price)),
            "qty_lots": self.instrument.lots(Decimal(size)),
        }
        return PlaceOrder(**(made | changes))


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    agents = {Account.from_key(KEY).address.lower(): US}
    server = HyperliquidMarket(now_ms=lambda: time.time_ns() // 1_000_000, is_testnet=False, agents=agents)
    async with TestServer(server.app()) as http:
        settings = VenueSettings(
            id="hl",
            exchange="hyperliquid",
            base_url=str(http.make_url("")).rstrip("/"),
            instruments=(SYMBOL,),
            api_key=f"literal-test:{US}",
            secret=f"literal-test:{KEY}",
            recv_window_ms=1_000,
            options={"fetchMarkets": {"types": ["swap"]}},
        )
        venue, recorder = CcxtVenue(settings, clock=SystemClock()), Recorder()
        server.trade_as(THEM, "ETH", "buy", "2900", "1")
        server.trade_as(THEM, "ETH", "sell", "3100", "1")
        await venue.start(recorder)
        try:
            yield Lab(server, venue, recorder)
        finally:
            await venue.stop()


async def test_a_swap_is_followed_and_its_book_told(lab: Lab) -> None:
    instrument = lab.instrument
    assert instrument.id == f"hl:{SYMBOL}"
    assert (instrument.base.symbol, instrument.quote.symbol) == ("ETH", "USDC")
    assert instrument.lot_size == Decimal("0.0001")
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookChanged)))
    book = lab.recorder.of(BookChanged)[-1]
    assert [(instrument.price(p), instrument.qty(q)) for p, q in book.bids] == [(2900, 1)]
    assert [(instrument.price(p), instrument.qty(q)) for p, q in book.asks] == [(3100, 1)]


async def test_an_order_rests_is_filled_and_becomes_a_position(lab: Lab) -> None:
    order = lab.order(Side.BUY, "3000", "0.5")
    await lab.venue.place(order)
    assert await lab.venue.open_orders() == [order.client_order_id]
    lab.server.trade_as(THEM, "ETH", "sell", "3000", "0.5", "Ioc")
    await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
    [fill] = lab.recorder.fills(order.client_order_id)
    assert lab.instrument.qty(fill.qty_lots) == Decimal("0.5")
    assert (fill.fee_asset, fill.is_maker) == ("USDC", True)
    assert fill.quote_raw == 1500 * 10**8
    [position] = await lab.venue.positions()
    assert position == Position(
        f"hl:{SYMBOL}",
        lab.instrument.lots(Decimal("0.5")),
        entry_price=Decimal(3000),
        liquidation_price=Decimal("1234.5"),
        unrealized_pnl=Decimal("0.5"),
    )
    balances = await lab.venue.balances()
    assert balances[lab.instrument.base.id] == 50_000_000
    assert balances[lab.instrument.quote.id] == 100_025_000_000


async def test_reduce_only_orders_reduce_and_are_refused_where_they_would_not(lab: Lab) -> None:
    with pytest.raises(OrderRejected, match="Reduce only"):
        await lab.venue.place(lab.order(Side.SELL, "3000", "0.1", reduce_only=True))
    await lab.venue.place(opening := lab.order(Side.SELL, "2900", "0.3", time_in_force=TimeInForce.IOC))
    await lab.recorder.until_state(opening.client_order_id, OrderState.FILLED)
    assert (await lab.venue.positions())[0].qty_lots == -lab.instrument.lots(Decimal("0.3"))
    closing = lab.order(Side.BUY, "3100", "0.3", time_in_force=TimeInForce.IOC, reduce_only=True)
    await lab.venue.place(closing)
    await lab.recorder.until_state(closing.client_order_id, OrderState.FILLED)
    assert await lab.venue.positions() == [Position(f"hl:{SYMBOL}", 0)]


async def test_funding_is_told(lab: Lab) -> None:
    funding = await lab.venue.funding(f"hl:{SYMBOL}")
    assert funding.rate == Decimal("0.0000125")
    assert funding.mark == 3000


async def test_cancel_names_our_id_and_tells_the_end(lab: Lab) -> None:
    order = lab.order(Side.BUY, "2950", "0.1", type=OrderType.LIMIT_MAKER)
    await lab.venue.place(order)
    await lab.venue.cancel(CancelOrder(client_order_id=order.client_order_id, instrument=order.instrument))
    await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
    assert await lab.venue.open_orders() == []
    assert lab.recorder.fills() == []


async def test_cancel_all_leaves_nothing(lab: Lab) -> None:
    for price in ("2950", "2951", "2952"):
        await lab.venue.place(lab.order(Side.BUY, price, "0.1"))
    assert await lab.venue.cancel_all() == 3
    assert await lab.venue.open_orders() == []


@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_a_lost_answer_is_unknown_and_then_found_out(lab: Lab, lost: str) -> None:
    order = lab.order(Side.BUY, "2950", "0.1")
    if lost == "answer":
        lab.server.drop_answers = 1
    else:
        lab.server.lose_requests = 1
    with pytest.raises(OutcomeUnknown):
        await lab.venue.place(order)
    await lab.venue.ask(AskOrder(client_order_id=order.client_order_id, instrument=order.instrument))
    expected = OrderState.ACCEPTED if lost == "answer" else OrderState.REJECTED
    assert lab.recorder.states(order.client_order_id)[-1] is expected
    assert await lab.venue.open_orders() == ([order.client_order_id] if lost == "answer" else [])


async def test_nothing_is_signed_but_what_was_asked_for(lab: Lab) -> None:
    """ccxt's client approves a builder's fee and sets a referrer, given a wallet, unless that is taken out."""
    order = lab.order(Side.BUY, "2950", "0.1")
    await lab.venue.place(order)
    await lab.venue.balances()
    await lab.venue.cancel_all()
    assert [action for action in lab.server.actions if action != "scheduleCancel"] == ["order", "cancel"]


async def test_the_dead_mans_switch_is_set_while_we_trade_and_off_afterwards(lab: Lab) -> None:
    assert lab.server.cancel_at_ms is not None
    assert lab.server.cancel_at_ms > time.time_ns() // 1_000_000
    await lab.venue.stop()
    assert lab.server.cancel_at_ms is None


async def test_an_order_that_arrives_late_is_refused_by_the_venue(lab: Lab) -> None:
    """Each order is signed with an expiry: absence can be believed once it has passed."""
    ahead_ms = 5_000
    lab.server.now_ms = lambda: time.time_ns() // 1_000_000 + ahead_ms
    with pytest.raises(OrderRejected, match="expired"):
        await lab.venue.place(lab.order(Side.BUY, "2950", "0.1"))
    assert await lab.venue.open_orders() == []
