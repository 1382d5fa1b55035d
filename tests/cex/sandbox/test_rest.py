"""The REST door over a real socket: answers, refusals by code, and requests that are not requests."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from cex.sandbox import LimitsConfig, SandboxConfig
from tests.cex.sandbox.conftest import ALICE, BOB, Sandbox, Start, signed

LIMIT_BUY = {
    "symbol": "ETHUSDC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "2900",
}


def changed(**changes: Any) -> dict[str, Any]:
    """The good order with changes; None takes a parameter away."""
    return {name: value for name, value in (LIMIT_BUY | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (changed(symbol=None), -1102),
        (changed(symbol="NOPE"), -1121),
        (changed(side="HOLD"), -1117),
        (changed(type="STOP"), -1116),
        (changed(type="STOP_LOSS", price=None, timeInForce=None), -1102),
        (changed(type="STOP_LOSS", stopPrice="2900"), -1106),
        (changed(type="STOP_LOSS_LIMIT", stopPrice="2900", timeInForce=None), -1102),
        (changed(type="STOP_LOSS_LIMIT", stopPrice="3100", side="SELL"), -2010),
        (changed(type="TAKE_PROFIT", price=None, timeInForce=None, trailingDelta="0"), -1130),
        (changed(timeInForce="GTD"), -1102),
        (changed(timeInForce="GTD", goodTillDate="1"), -1130),
        (changed(goodTillDate="9999999999999"), -1106),
        (changed(strategyType="999999"), -1130),
        (changed(pegPriceType="PRIMARY_PEG"), -1106),
        (changed(selfTradePreventionMode="TRANSFER"), -1013),
        (changed(timeInForce="GTX"), -1115),
        (changed(timeInForce=None), -1102),
        (changed(price=None), -1102),
        (changed(price=""), -1102),
        (changed(price="-1"), -1100),
        (changed(price="1e3"), -1100),
        (changed(price="2900.000000001"), -1111),
        (changed(quantity="99999999999999999999"), -1130),
        (changed(quantity="0"), -1013),
        (changed(price="2900.001"), -1013),
        (changed(stopPrice="1"), -1106),
        (changed(icebergQty="0.1", timeInForce="IOC"), -1128),
        (changed(icebergQty="2"), -2010),
        (changed(icebergQty="0.00001"), -1013),
        (changed(type="STOP_LOSS", stopPrice="2900", price=None, timeInForce=None, icebergQty="0.1"), -1106),
        (changed(newClientOrderId="ä"), -1100),
        (changed(newClientOrderId="x" * 37), -1100),
        (changed(newOrderRespType="SOME"), -1130),
        (changed(type="MARKET"), -1106),
        (changed(type="MARKET", timeInForce=None, price=None, quoteOrderQty="10"), -1102),
        (changed(recvWindow="60001"), -1131),
        (changed(side="SELL", quantity="100.0001"), -2010),
    ],
)
async def test_a_bad_order_is_refused_by_its_code(quiet: Sandbox, params: dict[str, Any], code: int) -> None:
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **params)
    assert (status, body["code"]) == (400, code), body
    assert (await quiet.call("GET", "/api/v3/openOrders", BOB))[1] == []


async def test_requests_without_a_good_key_signature_or_time_are_refused(quiet: Sandbox) -> None:
    url = f"{quiet.url}/api/v3/account"
    stranger = {"X-MBX-APIKEY": "stranger"}
    known = {"X-MBX-APIKEY": BOB.api_key}
    old = signed({}, BOB, timestamp=time.time_ns() // 1_000_000 - 6_000)
    for query, headers, status, code in (
        (signed({}, BOB), {}, 401, -2014),
        (signed({}, BOB), stranger, 401, -2015),
        (signed({}, ALICE), known, 400, -1022),
        ("timestamp=1", known, 400, -1102),
        (old, known, 400, -1021),
    ):
        async with quiet.http.get(f"{url}?{query}", headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (status, code), query


async def test_noise_gets_json_and_a_code_and_the_exchange_stays_up(quiet: Sandbox) -> None:
    order = f"{quiet.url}/api/v3/order"
    headers = {"X-MBX-APIKEY": BOB.api_key}
    for body, status, code in (
        (b"{]", 400, -1101),
        (b"\xff\xfe", 400, -1100),
        (b"&".join(b"a%d=1" % n for n in range(101)), 400, -1101),
        (b"a=1&a=2", 400, -1101),
        (b"x" * 70_000, 413, -1100),
        (b"", 400, -1102),
    ):
        async with quiet.http.post(order, data=body, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (status, code), body[:20]
    for method, path, status in (("GET", "/api/v3/nope", 404), ("PATCH", "/api/v3/order", 405), ("GET", "/", 404)):
        async with quiet.http.request(method, quiet.url + path) as response:
            assert (response.status, (await response.json())["code"]) == (status, -1000)
    for path in ("depth", "trades", "klines", "aggTrades", "avgPrice"):
        assert (await quiet.call("GET", f"/api/v3/{path}"))[1]["code"] == -1102
    assert (await quiet.call("GET", "/api/v3/klines", symbol="ETHUSDC", interval="7m"))[1]["code"] == -1120
    assert (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC", limit="-1"))[1]["code"] == -1100
    assert (await quiet.call("GET", "/api/v3/exchangeInfo", symbols="[" * 2000))[1]["code"] == -1100
    reader, writer = await asyncio.open_connection("127.0.0.1", quiet.port)
    writer.write(b"\x00\x01 not http at all\r\n\r\n")
    assert (await reader.read(12)).startswith(b"HTTP/1.")
    writer.close()
    assert (await quiet.call("GET", "/api/v3/ping")) == (200, {})


async def test_a_trade_is_told_alike_by_every_answer(quiet: Sandbox) -> None:
    sell = await quiet.order(ALICE, side="SELL", quantity="2", price="3000", newClientOrderId="ask-1")
    buy = await quiet.order(BOB, side="BUY", quantity="0.5", price="3000.50")
    assert (buy["status"], buy["executedQty"], buy["cummulativeQuoteQty"]) == ("FILLED", "0.50000000", "1500.00000000")
    (fill,) = buy["fills"]
    assert fill == {
        "price": "3000.00000000",
        "qty": "0.50000000",
        "commission": "0.00050000",
        "commissionAsset": "ETH",
        "tradeId": 1,
    }
    (trade,) = (await quiet.call("GET", "/api/v3/myTrades", BOB, symbol="ETHUSDC"))[1]
    assert (trade["orderId"], trade["commission"], trade["isBuyer"], trade["isMaker"]) == (
        buy["orderId"],
        "0.00050000",
        True,
        False,
    )
    (asked,) = (await quiet.call("GET", "/api/v3/myTrades", ALICE, symbol="ETHUSDC", orderId=sell["orderId"]))[1]
    assert (asked["commission"], asked["commissionAsset"], asked["isMaker"]) == ("1.50000000", "USDC", True)
    _, order = await quiet.call("GET", "/api/v3/order", ALICE, symbol="ETHUSDC", origClientOrderId="ask-1")
    assert (order["status"], order["executedQty"]) == ("PARTIALLY_FILLED", "0.50000000")
    _, public = await quiet.call("GET", "/api/v3/trades", symbol="ETHUSDC")
    assert [(t["price"], t["qty"], t["isBuyerMaker"]) for t in public] == [("3000.00000000", "0.50000000", False)]
    _, candles = await quiet.call("GET", "/api/v3/klines", symbol="ETHUSDC", interval="1m")
    assert candles[0][4:6] == ["3000.00000000", "0.50000000"]
    _, account = await quiet.call("GET", "/api/v3/account", BOB, omitZeroBalances="true")
    held = {row["asset"]: Decimal(row["free"]) for row in account["balances"]}
    assert held["ETH"] == Decimal("100.4995")
    assert held["USDC"] == Decimal(1_000_000 - 1_500)


async def test_cancel_answers_with_both_ids_and_only_once(quiet: Sandbox) -> None:
    order = await quiet.order(BOB, side="BUY", quantity="1", price="2900", newClientOrderId="mine")
    by = {"symbol": "ETHUSDC", "origClientOrderId": "mine", "newClientOrderId": "cancel-1"}
    _, canceled = await quiet.call("DELETE", "/api/v3/order", BOB, **by)
    assert (canceled["origClientOrderId"], canceled["clientOrderId"]) == ("mine", "cancel-1")
    assert canceled["status"] == "CANCELED"
    assert (await quiet.call("DELETE", "/api/v3/order", BOB, **by))[1]["code"] == -2011
    missing = {"symbol": "ETHUSDC", "orderId": order["orderId"]}
    assert (await quiet.call("DELETE", "/api/v3/order", ALICE, **missing))[1]["code"] == -2011, "not hers"
    assert (await quiet.call("GET", "/api/v3/order", ALICE, **missing))[1]["code"] == -2013
    assert (await quiet.call("DELETE", "/api/v3/openOrders", BOB, symbol="ETHUSDC"))[1]["code"] == -2011


async def test_a_client_order_id_lives_once_at_a_time(quiet: Sandbox) -> None:
    await quiet.order(BOB, side="BUY", quantity="1", price="2900", newClientOrderId="mine")
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **LIMIT_BUY, newClientOrderId="mine")
    assert (status, body["code"], body["msg"]) == (400, -2010, "Duplicate order sent.")
    await quiet.call("DELETE", "/api/v3/openOrders", BOB, symbol="ETHUSDC")
    await quiet.order(BOB, side="BUY", quantity="1", price="2900", newClientOrderId="mine")


async def test_cancel_replace_stops_or_goes_on_as_asked(quiet: Sandbox) -> None:
    replace = "/api/v3/order/cancelReplace"
    stop = changed(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=99)
    status, body = await quiet.call("POST", replace, BOB, **stop)
    assert (status, body["code"], body["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
    go_on = changed(cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=99)
    status, body = await quiet.call("POST", replace, BOB, **go_on)
    assert (status, body["code"], body["data"]["newOrderResult"]) == (409, -2021, "SUCCESS")
    old = body["data"]["newOrderResponse"]["orderId"]
    unfit = changed(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=old, price="2900.001")
    assert (await quiet.call("POST", replace, BOB, **unfit))[1]["code"] == -1013
    assert len((await quiet.call("GET", "/api/v3/openOrders", BOB))[1]) == 1, "filters are judged before the cancel"
    good = changed(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=old, price="2901")
    status, body = await quiet.call("POST", replace, BOB, **good)
    assert (status, body["cancelResult"], body["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    (open_order,) = (await quiet.call("GET", "/api/v3/openOrders", BOB))[1]
    assert open_order["price"] == "2901.00000000"
    broke = changed(
        cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=open_order["orderId"], quantity="2000", price="3000"
    )
    status, body = await quiet.call("POST", replace, BOB, **broke)
    assert (status, body["code"], body["data"]["newOrderResponse"]["code"]) == (409, -2021, -2010)


async def test_amending_reduces_in_place(quiet: Sandbox) -> None:
    order = await quiet.order(BOB, side="BUY", quantity="2", price="2900", newClientOrderId="mine")
    by = {"symbol": "ETHUSDC", "orderId": order["orderId"]}
    amend = "/api/v3/order/amend/keepPriority"
    _, body = await quiet.call("PUT", amend, BOB, **by, newQty="0.5", newClientOrderId="mine-2")
    amended = body["amendedOrder"]
    assert (amended["origClientOrderId"], amended["clientOrderId"], amended["qty"]) == ("mine", "mine-2", "0.50000000")
    assert (await quiet.call("PUT", amend, BOB, **by, newQty="1"))[1]["code"] == -2038
    _, account = await quiet.call("GET", "/api/v3/account", BOB)
    assert {r["asset"]: r["locked"] for r in account["balances"]}["USDC"] == "1450.00000000"


async def test_a_test_order_is_checked_and_not_placed(quiet: Sandbox) -> None:
    assert await quiet.call("POST", "/api/v3/order/test", BOB, **LIMIT_BUY) == (200, {})
    assert (await quiet.call("POST", "/api/v3/order/test", BOB, **changed(price="1.001")))[1]["code"] == -1013
    assert (await quiet.call("GET", "/api/v3/allOrders", BOB, symbol="ETHUSDC"))[1] == []


async def test_limits_are_told_and_enforced(start: Start) -> None:
    limits = LimitsConfig(weight_per_minute=50, orders_per_10_seconds=1)
    sandbox = await start(SandboxConfig(accounts=(BOB,), flow=None, limits=limits))
    headers = {"X-MBX-APIKEY": BOB.api_key}
    async with sandbox.http.post(f"{sandbox.url}/api/v3/order?{signed(LIMIT_BUY, BOB)}", headers=headers) as response:
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == "1"
        assert response.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    async with sandbox.http.post(f"{sandbox.url}/api/v3/order?{signed(LIMIT_BUY, BOB)}", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) in ((429, -1015), (200, None))
        assert "Retry-After" not in response.headers
    for _ in range(60):
        async with sandbox.http.get(f"{sandbox.url}/api/v3/ping") as response:
            refused = response.status == 429
            if refused:
                assert (await response.json())["code"] == -1003
                assert 1 <= int(response.headers["Retry-After"]) <= 60
                break
    assert refused


async def test_faults_are_shut_unless_asked_for(start: Start) -> None:
    sandbox = await start(SandboxConfig(flow=None))
    async with sandbox.http.post(f"{sandbox.url}/_sandbox/faults", json={"fault": "drop_ack"}) as response:
        assert response.status == 404
    async with sandbox.http.get(f"{sandbox.url}/_sandbox/health") as response:
        assert (await response.json())["status"] == "ok"


async def test_the_wallet_tells_states_and_what_an_account_has(quiet: Sandbox) -> None:
    assert await quiet.call("GET", "/sapi/v1/system/status") == (200, {"status": 0, "msg": "normal"})
    assert (await quiet.call("GET", "/sapi/v1/account/status", BOB))[1] == {"data": "Normal"}
    await quiet.order(BOB, side="SELL", quantity="2", price="3100")
    assets = (await quiet.call("POST", "/sapi/v3/asset/getUserAsset", BOB))[1]
    assert [(row["asset"], row["free"], row["locked"]) for row in assets] == [
        ("BTC", "5.00000000", "0.00000000"),
        ("ETH", "98.00000000", "2.00000000"),
        ("USDC", "1000000.00000000", "0.00000000"),
    ]
    assert (await quiet.call("POST", "/sapi/v3/asset/getUserAsset", BOB, asset="ETH"))[1] == assets[1:2]
    assert (await quiet.call("POST", "/sapi/v3/asset/getUserAsset", BOB, needBtcValuation="true"))[1]["code"] == -1130
