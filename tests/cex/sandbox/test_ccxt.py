"""Unmodified ccxt and ccxt.pro trade on the sandbox; only its URLs are pointed there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.cex.sandbox.conftest import ALICE, Sandbox

ccxt_pro = pytest.importorskip("ccxt.pro")
import ccxt  # noqa: E402

SYMBOL = "ETH/USDC"


def _redirect(urls: Any, sandbox: Sandbox) -> Any:
    if isinstance(urls, dict):
        return {key: _redirect(url, sandbox) for key, url in urls.items()}
    if "ws-api" in urls:
        return f"{sandbox.ws_url}/ws-api/v3"
    if urls.startswith("ws"):
        # ccxt tells spot from swap by `/stream` in the URL.
        return f"{sandbox.ws_url}/stream/ws"
    return re.sub(r"^https://[^/]+", sandbox.url, urls)


@pytest.fixture
async def client(busy: Sandbox) -> AsyncIterator[Any]:
    client = ccxt_pro.binance(
        {"apiKey": ALICE.api_key, "secret": ALICE.secret, "options": {"fetchMarkets": {"types": ["spot"]}}}
    )
    client.urls["api"] = _redirect(client.urls["api"], busy)
    client.number = str
    await client.load_markets()
    yield client
    await client.close()


async def test_markets_have_ticks_lots_and_fees(client: Any) -> None:
    market = client.market(SYMBOL)
    assert Decimal(market["precision"]["price"]) == Decimal("0.01")
    assert Decimal(market["precision"]["amount"]) == Decimal("0.0001")
    assert Decimal(market["limits"]["cost"]["min"]) == 5
    fee = await client.fetch_trading_fee(SYMBOL)
    assert Decimal(fee["maker"]) == Decimal(fee["taker"]) == Decimal("0.001")


async def test_an_order_is_placed_amended_and_canceled(client: Any) -> None:
    order = await client.create_order(SYMBOL, "limit", "buy", "0.1", "2900")
    assert order["status"] == "open"
    assert (await client.fetch_balance())["USDC"]["used"] == "290.00000000"
    amended = await client.edit_order(order["id"], SYMBOL, "limit", "buy", "0.2", "2901")
    assert (await client.fetch_order(order["id"], SYMBOL))["status"] == "canceled"
    assert [o["id"] for o in await client.fetch_open_orders(SYMBOL)] == [amended["id"]]
    assert (await client.cancel_order(amended["id"], SYMBOL))["status"] == "canceled"
    assert (await client.fetch_balance())["USDC"]["used"] == "0.00000000"


async def test_the_book_streams_and_stays_in_step_with_rest(client: Any) -> None:
    async with asyncio.timeout(60):
        for _ in range(8):
            book = await client.watch_order_book(SYMBOL)
    assert len(book["bids"]) >= 20
    assert len(book["asks"]) >= 20
    assert book["bids"][0][0] < book["asks"][0][0]


async def test_own_trades_orders_and_balances_arrive_by_stream(client: Any) -> None:
    async with asyncio.timeout(60):
        before = Decimal((await client.fetch_balance())["ETH"]["total"])
        # The first watch returns only with an event: subscribe, then act until it comes.
        trades = asyncio.create_task(client.watch_my_trades(SYMBOL))
        orders = asyncio.create_task(client.watch_orders(SYMBOL))
        bought = []
        while not (trades.done() and orders.done()):
            order = await client.create_order(SYMBOL, "market", "buy", "0.5")
            assert order["status"] == "closed"
            bought.append(order)
            await asyncio.wait((trades, orders), timeout=0.2)
    streamed = {trade["id"]: trade for trade in trades.result()}
    asked = {trade["id"]: trade for trade in await client.fetch_my_trades(SYMBOL)}
    assert streamed
    for id_, trade in streamed.items():
        for field in ("order", "price", "amount", "cost", "takerOrMaker", "fee"):
            assert trade[field] == asked[id_][field], field
    assert orders.result()[-1]["id"] in {order["id"] for order in bought}
    received = sum(Decimal(trade["amount"]) - Decimal(trade["fee"]["cost"]) for trade in asked.values())
    assert Decimal((await client.fetch_balance())["ETH"]["total"]) == before + received


async def test_tickers_trades_and_candles_are_served(client: Any) -> None:
    async with asyncio.timeout(60):
        trades = await client.watch_trades(SYMBOL)
        ticker = await client.watch_ticker(SYMBOL)
        candle = (await client.watch_ohlcv(SYMBOL, "1m"))[-1]
    assert trades[-1]["price"]
    assert Decimal(ticker["low"]) <= Decimal(ticker["last"]) <= Decimal(ticker["high"])
    # fetch_ohlcv and fetch_trades give numbers as configured, too.
    assert (await client.fetch_ohlcv(SYMBOL, "1m"))[-1][0] >= candle[0]
    assert await client.fetch_trades(SYMBOL)


async def test_refusals_map_to_ccxts_own_errors(client: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order(SYMBOL, "limit", "sell", "2500", "3100")
    with pytest.raises(ccxt.InvalidOrder):
        await client.create_order(SYMBOL, "limit", "buy", "9001", "2900")
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order("999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await client.fetch_order("999999", SYMBOL)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        await client.create_order(SYMBOL, "limit", "buy", "0.1", "9000", {"postOnly": True})
    client.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError):
        await client.fetch_balance()


async def test_orders_over_the_websocket_api(client: Any) -> None:
    async with asyncio.timeout(60):
        order = await client.create_order_ws(SYMBOL, "limit", "buy", "0.1", "2900")
        assert order["status"] == "open"
        assert (await client.cancel_order_ws(order["id"], SYMBOL))["status"] == "canceled"


async def test_a_lost_acknowledgement_leaves_a_live_order_that_the_client_id_finds(client: Any, busy: Sandbox) -> None:
    await busy.fault("drop_ack")
    with pytest.raises(ccxt.NetworkError):
        await client.create_order(SYMBOL, "limit", "buy", "0.1", "2900", {"clientOrderId": "mine-1"})
    order = await client.fetch_order(None, SYMBOL, {"clientOrderId": "mine-1"})
    assert order["status"] == "open"


async def test_a_gap_in_the_diffs_is_noticed_and_survived(client: Any, busy: Sandbox) -> None:
    async with asyncio.timeout(60):
        await client.watch_order_book(SYMBOL)
        await busy.fault("gap", count=10)
        with pytest.raises(ccxt.ChecksumError):
            await _watch_until_it_breaks(client)
        for _ in range(3):
            book = await client.watch_order_book(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]


async def _watch_until_it_breaks(client: Any) -> None:
    while True:
        await client.watch_order_book(SYMBOL)


@pytest.mark.parametrize(
    ("kind", "side", "price", "params", "expected"),
    [
        ("market", "sell", None, {"stopLossPrice": "2500"}, {"type": "STOP_LOSS"}),
        ("limit", "sell", "2490", {"stopLossPrice": "2500"}, {"type": "STOP_LOSS_LIMIT", "isWorking": False}),
        ("market", "sell", None, {"takeProfitPrice": "3500"}, {"type": "TAKE_PROFIT"}),
        ("limit", "buy", "2510", {"takeProfitPrice": "2500"}, {"type": "TAKE_PROFIT_LIMIT"}),
        ("market", "sell", None, {"trailingPercent": "5", "stopLossOrTakeProfit": "stopLoss"}, {"trailingDelta": 500}),
        ("limit", "sell", "3400", {"icebergAmount": "0.02"}, {"icebergQty": "0.02000000"}),
        ("limit", "sell", "3400", {"postOnly": True}, {"type": "LIMIT_MAKER"}),
        ("limit", "sell", "3400", {"selfTradePreventionMode": "DECREMENT"}, {"selfTradePreventionMode": "DECREMENT"}),
        (
            "limit",
            "sell",
            "3400",
            {"timeInForce": "GTD", "goodTillDate": 4_000_000_000_000},
            {"timeInForce": "GTD", "goodTillDate": 4_000_000_000_000},
        ),
    ],
)
async def test_every_order_type_is_placed_found_and_canceled(
    client: Any, kind: str, side: str, price: str | None, params: dict[str, Any], expected: dict[str, Any]
) -> None:
    placed = await client.create_order(SYMBOL, kind, side, "0.1", price, params)
    found = await client.fetch_order(placed["id"], SYMBOL)
    assert found["status"] == "open"
    assert expected.items() <= found["info"].items()
    assert (await client.cancel_order(placed["id"], SYMBOL))["status"] == "canceled"


async def test_order_lists_are_placed_and_canceled(client: Any) -> None:
    common = {"symbol": "ETHUSDC", "side": "SELL", "quantity": "0.1"}
    legacy = await client.private_post_order_oco(common | {"price": "3500", "stopPrice": "2500"})
    pair = {"aboveType": "TAKE_PROFIT", "aboveStopPrice": "3500", "belowType": "STOP_LOSS", "belowStopPrice": "2500"}
    oco = await client.private_post_orderlist_oco(common | pair)
    assert [order["status"] for order in await client.fetch_open_orders(SYMBOL)] == ["open"] * 4
    for placed in (legacy, oco):
        query = {"symbol": "ETHUSDC", "orderListId": placed["orderListId"]}
        assert (await client.private_delete_orderlist(query))["listOrderStatus"] == "ALL_DONE"
    assert len(await client.private_get_allorderlist()) == 2
