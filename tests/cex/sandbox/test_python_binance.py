"""Unmodified python-binance trades on the sandbox; only its base URLs are set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.cex.sandbox.conftest import ALICE, Sandbox

binance = pytest.importorskip("binance")


@pytest.fixture
async def client(busy: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    monkeypatch.setattr(binance.AsyncClient, "API_URL", f"{busy.url}/api")
    monkeypatch.setattr(binance.AsyncClient, "WS_API_URL", f"{busy.ws_url}/ws-api/v3")
    monkeypatch.setattr(binance.BinanceSocketManager, "STREAM_URL", f"{busy.ws_url}/")
    # How long its read loop takes to notice that it was closed.
    monkeypatch.setattr("binance.ws.reconnecting_websocket.ReconnectingWebsocket.TIMEOUT", 0.2)
    client = await binance.AsyncClient.create(ALICE.api_key, ALICE.secret)
    client.API_URL = f"{busy.url}/api"
    yield client
    await client.close_connection()


async def test_orders_live_and_die(client: Any) -> None:
    order = await client.create_order(
        symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1", price="2900"
    )
    assert order["status"] == "NEW"
    assert (await client.get_order(symbol="ETHUSDC", orderId=order["orderId"]))["status"] == "NEW"
    assert len(await client.get_open_orders(symbol="ETHUSDC")) == 1
    assert (await client.cancel_order(symbol="ETHUSDC", orderId=order["orderId"]))["status"] == "CANCELED"
    by_ws = await client.ws_create_order(
        symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1", price="2900"
    )
    assert by_ws["status"] == "NEW"
    bought = await client.order_market_buy(symbol="ETHUSDC", quoteOrderQty="1000")
    assert bought["status"] == "FILLED"
    assert 990 < Decimal(bought["cummulativeQuoteQty"]) <= 1000
    assert {balance["asset"] for balance in (await client.get_account())["balances"]} >= {"ETH", "USDC"}
    with pytest.raises(binance.exceptions.BinanceAPIException) as refused:
        await client.create_order(
            symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1", price="2900.001"
        )
    assert refused.value.code == -1013


async def test_its_depth_cache_follows_the_book(client: Any) -> None:
    manager = binance.BinanceSocketManager(client)
    async with asyncio.timeout(60):
        async with binance.DepthCacheManager(client, "ETHUSDC", bm=manager, ws_interval=100) as socket:
            for _ in range(5):
                cache = await socket.recv()
    assert cache.get_bids()[0][0] < cache.get_asks()[0][0]
    assert len(cache.get_bids()) >= 20


async def test_its_user_socket_tells_the_orders_life_in_order(client: Any) -> None:
    manager = binance.BinanceSocketManager(client)
    async with asyncio.timeout(60):
        async with manager.user_socket() as socket:
            await asyncio.sleep(0)
            order = await client.create_order(
                symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1", price="2900"
            )
            await client.cancel_order(symbol="ETHUSDC", orderId=order["orderId"])
            events = [await socket.recv() for _ in range(4)]
    assert [(event["e"], event.get("x")) for event in events] == [
        ("executionReport", "NEW"),
        ("outboundAccountPosition", None),
        ("executionReport", "CANCELED"),
        ("outboundAccountPosition", None),
    ]
    assert events[2]["C"] == order["clientOrderId"]


async def test_every_order_type_and_list_is_placed_and_canceled(client: Any) -> None:
    common = {"symbol": "ETHUSDC", "side": "SELL", "quantity": "0.1"}
    for params in (
        {"type": "STOP_LOSS", "stopPrice": "2500"},
        {"type": "STOP_LOSS_LIMIT", "stopPrice": "2500", "price": "2490", "timeInForce": "GTC"},
        {"type": "TAKE_PROFIT", "stopPrice": "3500"},
        {"type": "TAKE_PROFIT_LIMIT", "stopPrice": "3500", "price": "3490", "timeInForce": "GTC"},
        {"type": "STOP_LOSS", "trailingDelta": 500},
        {"type": "LIMIT_MAKER", "price": "3400"},
        {"type": "LIMIT", "price": "3400", "timeInForce": "GTC", "icebergQty": "0.02"},
        {"type": "LIMIT", "price": "3400", "timeInForce": "GTD", "goodTillDate": 4_000_000_000_000},
    ):
        for create in (client.create_order, client.ws_create_order):
            placed = await create(**common, **params)
            found = await client.get_order(symbol="ETHUSDC", orderId=placed["orderId"])
            assert (found["type"], found["status"]) == (params["type"], "NEW")
    pair = {"aboveType": "LIMIT_MAKER", "abovePrice": "3500", "belowType": "STOP_LOSS", "belowStopPrice": "2500"}
    rest = await client.create_oco_order(**common, **pair)
    by_ws = await client.ws_create_oco_order(**common, **pair)
    working = {"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "2400", "workingQuantity": "0.1"}
    working |= {"symbol": "ETHUSDC", "workingTimeInForce": "GTC", "pendingSide": "SELL", "pendingQuantity": "0.1"}
    oto = await client.ws_create_oto_order(**working, pendingType="MARKET")
    exits = {f"pending{name[0].upper()}{name[1:]}": value for name, value in pair.items()}
    otoco = await client.ws_create_otoco_order(**working, **exits)
    assert [len(placed["orders"]) for placed in (rest, by_ws, oto, otoco)] == [2, 2, 2, 3]
    assert len(await client.get_open_oco_orders()) == 4
    assert (await client.ws_cancel_oco_order(symbol="ETHUSDC", orderListId=oto["orderListId"]))["orderReports"]
    answers = await client.cancel_all_open_orders(symbol="ETHUSDC")
    assert len(answers) == 16 + 3
    assert await client.get_open_orders(symbol="ETHUSDC") == []
