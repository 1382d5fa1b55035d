"""Weights, bans, counts of unfilled orders, and the forms of an answer a client may ask for."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import re
import time
from typing import Any

import pytest
from binance_sdk_spot.rest_api.rest_api import SpotRestAPI

from cex.sandbox import AccountSpec, LimitsConfig, SandboxConfig
from cex.sandbox.errors import ApiError
from cex.sandbox.params import Params
from cex.sandbox.ratelimits import RateLimits
from cex.sandbox.weights import weigh, window_ticker
from tests.cex.sandbox.conftest import ALICE, BOB, Sandbox, Start, signed

SYMBOL = {"symbol": "ETHUSDC"}
# Whatever the venue's own client documents in one number: its method, the path, parameters.
DOCUMENTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ping", "ping", {}),
    ("exchange_info", "exchangeInfo", {}),
    ("get_trades", "trades", SYMBOL),
    ("agg_trades", "aggTrades", SYMBOL),
    ("klines", "klines", SYMBOL | {"interval": "1m"}),
    ("avg_price", "avgPrice", SYMBOL),
    ("get_order", "order", SYMBOL | {"orderId": 1}),
    ("all_orders", "allOrders", SYMBOL),
    ("get_account", "account", {}),
    ("account_commission", "account/commission", SYMBOL),
    ("rate_limit_order", "rateLimit/order", {}),
)
# What depends on parameters, from the tables in the same documents.
TABLES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("depth", SYMBOL, 5),
    ("depth", SYMBOL | {"limit": 100}, 5),
    ("depth", SYMBOL | {"limit": 101}, 25),
    ("depth", SYMBOL | {"limit": 1000}, 50),
    ("depth", SYMBOL | {"limit": 5000}, 250),
    ("depth", SYMBOL | {"limit": "x"}, 5),
    ("ticker/24hr", SYMBOL, 2),
    ("ticker/24hr", {}, 80),
    ("ticker/24hr", {"symbols": '["ETHUSDC","BTCUSDC"]'}, 2),
    ("ticker/price", SYMBOL, 2),
    ("ticker/bookTicker", {}, 4),
    ("openOrders", SYMBOL, 6),
    ("openOrders", {}, 80),
    ("myTrades", SYMBOL, 20),
    ("myTrades", SYMBOL | {"orderId": 1}, 5),
)
PUBLIC = ("ping", "exchangeInfo", "trades", "aggTrades", "klines", "avgPrice", "depth", "ticker/")


def documented(method: str) -> int:
    text = inspect.getdoc(getattr(SpotRestAPI, method)) or ""
    match = re.search(r"Weight\(IP\):\s*([0-9]+)\s", text)
    assert match, method
    return int(match[1])


async def used(sandbox: Sandbox, path: str, params: dict[str, Any]) -> int:
    """Weight used in all, as the answer to a request tells it."""
    query = "&".join(f"{name}={value}" for name, value in params.items())
    if not path.startswith(PUBLIC):
        query = signed(params, ALICE)
    headers = {"X-MBX-APIKEY": ALICE.api_key}
    async with sandbox.http.get(f"{sandbox.url}/api/v3/{path}?{query}", headers=headers) as response:
        assert "X-MBX-ORDER-COUNT-10S" not in response.headers
        return int(response.headers["X-MBX-USED-WEIGHT-1M"])


async def weight(sandbox: Sandbox, path: str, params: dict[str, Any]) -> int:
    """What one request adds; asked again when a new minute began in between."""
    for _ in range(3):
        before, after = await used(sandbox, "ping", {}), await used(sandbox, path, params)
        if after > before:
            return after - before
    raise AssertionError("no two requests in one minute")


async def test_requests_weigh_what_the_venue_documents(quiet: Sandbox) -> None:
    for method, path, params in DOCUMENTED:
        assert await weight(quiet, path, params) == documented(method), path
    for path, params, expected in TABLES:
        assert await weight(quiet, path, params) == expected, (path, params)


def test_windows_weigh_by_the_symbol_up_to_a_cap() -> None:
    names = '["' + '","'.join(f"S{n}" for n in range(60)) + '"]'
    weights = [
        weigh(window_ticker, Params(values)) for values in (SYMBOL, {"symbols": '["A","B"]'}, {"symbols": names})
    ]
    assert weights == [4, 8, 200]


def test_whoever_goes_on_after_429_is_banned_longer_each_time() -> None:
    limits = RateLimits(LimitsConfig(weight_per_minute=1, refusals_before_ban=2))
    limits.use_weight("a", 1, 0)

    def refusal(now_ms: int, address: str = "a") -> ApiError:
        with pytest.raises(ApiError) as refused:
            limits.use_weight(address, 2, now_ms)
        return refused.value

    assert [(e.http_status, e.retry_after_s) for e in map(refusal, (1, 2, 3))] == [(429, 60)] * 3
    assert [(e.http_status, e.retry_after_s) for e in map(refusal, (4, 119_999))] == [(418, 120), (418, 1)]
    assert "IP banned until 120003" in refusal(4).message
    assert refusal(4, "b").http_status == 429
    limits.use_weight("a", 1, 120_003)
    assert [refusal(120_004 + n).http_status for n in range(4)] == [429, 429, 429, 418]
    assert refusal(120_010).retry_after_s == 240


async def test_a_banned_websocket_is_told_and_disconnected(start: Start) -> None:
    limits = LimitsConfig(weight_per_minute=1, refusals_before_ban=1)
    sandbox = await start(SandboxConfig(flow=None, limits=limits))
    statuses = [0]
    async with sandbox.http.ws_connect(f"{sandbox.ws_url}/ws-api/v3") as socket:
        # A new minute may begin in between, and give the address new patience.
        while statuses[-1] != 418 and len(statuses) < 12:
            await socket.send_json({"id": 1, "method": "exchangeInfo"})
            statuses.append((await socket.receive_json(timeout=60))["status"])
        assert set(statuses[1:-1]) == {429}
        assert (await socket.receive(timeout=60)).data == 1008


async def test_orders_that_trade_are_not_counted(quiet: Sandbox) -> None:
    async def count(account: AccountSpec) -> int:
        """Within the day, so that only midnight is in the way."""
        return (await quiet.call("GET", "/api/v3/rateLimit/order", account))[1][1]["count"]

    for price in ("2900", "2901", "2902"):
        await quiet.order(ALICE, side="BUY", quantity="1", price=price)
    assert await count(ALICE) == 3
    # The first fill of an order that waited takes back more than one; its next fills nothing.
    await quiet.order(BOB, side="SELL", quantity="0.5", price="2902")
    assert (await count(ALICE), await count(BOB)) == (0, 0)
    await quiet.order(BOB, side="SELL", quantity="0.5", price="2950")
    await quiet.order(ALICE, side="BUY", quantity="1", price="2900")
    await quiet.order(BOB, type="MARKET", side="SELL", quantity="0.5")
    assert (await count(ALICE), await count(BOB)) == (1, 1)


async def test_sbe_is_refused_by_name_and_never_answered_in_json(quiet: Sandbox) -> None:
    for headers, code in (
        ({"X-MBX-SBE": "3:1"}, -1155),
        ({"X-MBX-SBE": "x"}, -1152),
        ({"Accept": "application/sbe"}, -1152),
    ):
        async with quiet.http.get(f"{quiet.url}/api/v3/time", headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (400, code)
    url = f"{quiet.url}/ws-api/v3?responseFormat=sbe&sbeSchemaId=3&sbeSchemaVersion=1"
    async with quiet.http.get(url) as response:
        assert (response.status, (await response.json())["code"]) == (400, -1155)


async def test_times_come_in_microseconds_to_whoever_asks(quiet: Sandbox) -> None:
    order = await quiet.order(ALICE, side="BUY", quantity="1", price="2900")
    await quiet.order(BOB, side="SELL", quantity="1", price="2900")
    asked = time.time_ns() // 1_000
    headers = {"X-MBX-TIME-UNIT": "microsecond", "X-MBX-APIKEY": ALICE.api_key}

    async def get(path: str, query: str) -> Any:
        async with quiet.http.get(f"{quiet.url}/api/v3/{path}?{query}", headers=headers) as response:
            return await response.json()

    query = signed({"symbol": "ETHUSDC", "orderId": order["orderId"]}, ALICE)
    found = await get("order", query)
    told = [
        (await get("time", ""))["serverTime"],
        *(found[name] for name in ("time", "updateTime", "workingTime")),
        (await get("myTrades", query))[0]["time"],
        (await get("aggTrades", "symbol=ETHUSDC"))[0]["T"],
        (await get("klines", "symbol=ETHUSDC&interval=1m"))[0][6],
    ]
    assert all(abs(moment - asked) < 120_000_000 for moment in told), told
    assert found["orderId"] == order["orderId"]
    headers["X-MBX-TIME-UNIT"] = "fortnight"
    assert (await get("time", ""))["code"] == -1194
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3?timeUnit=MICROSECOND&returnRateLimits=false") as socket:
        await socket.send_json({"id": 1, "method": "v3/time"})
        answer = await socket.receive_json(timeout=60)
        assert set(answer) == {"id", "status", "result"}
        assert abs(answer["result"]["serverTime"] - asked) < 120_000_000
        await socket.send_json({"id": 2, "method": "time", "params": {"returnRateLimits": True}})
        assert (await socket.receive_json(timeout=60))["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"


async def test_only_ed25519_keys_log_a_session_on(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        params = {"apiKey": ALICE.api_key, "timestamp": time.time_ns() // 1_000_000}
        signature = signed_websocket(params)
        await socket.send_json({"id": 1, "method": "session.logon", "params": params | {"signature": signature}})
        answer = await socket.receive_json(timeout=60)
    assert answer["error"] == {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."}


def signed_websocket(params: dict[str, Any]) -> str:
    assert ALICE.secret is not None
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return hmac.new(ALICE.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


async def test_queries_name_what_they_cannot_do(quiet: Sandbox) -> None:
    refusals = {
        ("exchangeInfo", "symbol=ETHUSDC&permissions=SPOT"): -1128,
        ("exchangeInfo", "symbol=ETHUSDC&symbols=%5B%22ETHUSDC%22%5D"): -1128,
        ("exchangeInfo", "symbols=%5B%22ETHUSDC%22,%22ETHUSDC%22%5D"): -1151,
        ("exchangeInfo", "symbolStatus=ASLEEP"): -1122,
        ("depth", "symbol=ETHUSDC&symbolStatus=HALT"): -1220,
        ("ticker", ""): -1102,
        ("ticker", "symbol=ETHUSDC&windowSize=60m"): -1130,
        ("ticker/24hr", "symbol=ETHUSDC&type=TINY"): -1139,
        ("ticker/tradingDay", "symbol=ETHUSDC&timeZone=15"): -1130,
        ("referencePrice", "symbol=ETHUSDC"): -2043,
    }
    for (path, query), code in refusals.items():
        async with quiet.http.get(f"{quiet.url}/api/v3/{path}?{query}") as response:
            assert (await response.json())["code"] == code, (path, query)
    for params, code in (
        ({"fromId": 1, "startTime": 1}, -1128),
        ({"orderId": 1, "endTime": 1}, -1128),
        ({"startTime": 0, "endTime": 86_400_001}, -1127),
    ):
        assert (await quiet.call("GET", "/api/v3/myTrades", ALICE, **SYMBOL, **params))[1]["code"] == code


async def test_exchange_info_is_cut_to_what_is_asked_for(quiet: Sandbox) -> None:
    async def symbols(**params: str) -> list[Any]:
        return (await quiet.call("GET", "/api/v3/exchangeInfo", **params))[1]["symbols"]

    assert len(await symbols(permissions="SPOT")) == len(await symbols()) == len(quiet.config.symbols)
    assert await symbols(permissions='["MARGIN","LEVERAGED"]') == await symbols(symbolStatus="HALT") == []
    assert (await symbols(symbol="ETHUSDC", showPermissionSets="false"))[0]["permissionSets"] == []


async def test_amendments_are_remembered_in_order(quiet: Sandbox) -> None:
    order = await quiet.order(ALICE, side="BUY", quantity="3", price="2900", newClientOrderId="a")
    by_id = SYMBOL | {"orderId": order["orderId"]}
    executions = []
    for qty, name in (("2", "b"), ("1.5", "c")):
        path = "/api/v3/order/amend/keepPriority"
        status, amended = await quiet.call("PUT", path, ALICE, **by_id, newQty=qty, newClientOrderId=name)
        assert status == 200
        executions.append(amended["executionId"])
    told = (await quiet.call("GET", "/api/v3/order/amendments", ALICE, **by_id))[1]
    assert [[row["origClientOrderId"], row["newClientOrderId"], row["origQty"], row["newQty"]] for row in told] == [
        ["a", "b", "3.00000000", "2.00000000"],
        ["b", "c", "2.00000000", "1.50000000"],
    ]
    assert [row["executionId"] for row in told] == executions
    later = (await quiet.call("GET", "/api/v3/order/amendments", ALICE, **by_id, fromExecutionId=executions[1]))[1]
    assert later == told[1:]
    assert (await quiet.call("GET", "/api/v3/order/amendments", BOB, **by_id))[1]["code"] == -2013
