"""Streams and the WebSocket API over real sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import capstan_native as native
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cex.sandbox import KNOWN_SYMBOLS, AccountSpec, LimitsConfig, SandboxConfig
from tests.cex.sandbox.conftest import ALICE, BOB, Sandbox, Start

Socket = aiohttp.ClientWebSocketResponse

# A test key: its private half is the bytes 0 to 31.
CAROL_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CAROL = AccountSpec(
    "carol",
    "carol-key",
    None,
    CAROL_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    {"USDC": "100000", "ETH": "10"},
)


@pytest.fixture(autouse=True)
async def _bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(60):
        yield


async def receive(socket: Socket) -> Any:
    return json.loads(await socket.receive_str(timeout=60))


async def ask(socket: Socket, method: str, params: Any = None, id_: Any = 1) -> Any:
    """Send a request and give its answer, skipping events."""
    await socket.send_json({"id": id_, "method": method, "params": params})
    while True:
        answer = await receive(socket)
        if "event" not in answer and "e" not in answer and "stream" not in answer:
            return answer


def signed(account: AccountSpec, **params: Any) -> dict[str, Any]:
    params = params | {"apiKey": account.api_key, "timestamp": time.time_ns() // 1_000_000}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
    if account.secret is None:
        return params | {"signature": base64.b64encode(CAROL_KEY.sign(payload)).decode()}
    return params | {"signature": hmac.new(account.secret.encode(), payload, hashlib.sha256).hexdigest()}


async def test_diffs_continue_one_another_and_the_snapshot_exactly(busy: Sandbox) -> None:
    async with busy.http.ws_connect(f"{busy.ws_url}/stream?streams=ethusdc@depth@100ms/ethusdc@bookTicker") as socket:
        book = native.L2Book("0.01", "0.0001", "ETHUSDC")
        best: dict[int, Any] = {}
        tickers: dict[int, Any] = {}
        last = None
        for _ in range(400):
            text = await socket.receive_str(timeout=60)
            message = json.loads(text)
            data = message["data"]
            if message["stream"].endswith("bookTicker"):
                tickers[data["u"]] = data
                continue
            assert last is None or data["U"] == last + 1
            last = data["u"]
            book.apply_diff(text.encode())
            if not book.is_valid:
                async with busy.http.get(f"{busy.url}/api/v3/depth?symbol=ETHUSDC&limit=1000") as response:
                    book.apply_snapshot(await response.read())
            best[book.last_update_id] = book.best_bid(), book.best_ask()
            if len(best) >= 15 and tickers.keys() & best.keys():
                break
        _, rest = await busy.call("GET", "/api/v3/depth", symbol="ETHUSDC")
    assert book.is_valid
    assert rest["lastUpdateId"] >= book.last_update_id
    met = tickers.keys() & best.keys()
    assert met
    for update_id in met:
        ticker = tickers[update_id]
        expected = tuple(
            (round(float(ticker[price]) * 100), round(float(ticker[qty]) * 10_000))
            for price, qty in (("b", "B"), ("a", "A"))
        )
        assert best[update_id] == expected


async def test_every_stream_speaks(busy: Sandbox) -> None:
    kinds = {
        "trade": "trade",
        "aggTrade": "aggTrade",
        "ticker": "24hrTicker",
        "miniTicker": "24hrMiniTicker",
        "avgPrice": "avgPrice",
        "depth": "depthUpdate",
        "depth@100ms": "depthUpdate",
        "kline_1m": "kline",
        "depth5": None,
        "depth20@100ms": None,
        "bookTicker": None,
    }
    waiting = {f"ethusdc@{name}": event for name, event in kinds.items()} | {"!miniTicker@arr": "list"}
    async with busy.http.ws_connect(f"{busy.ws_url}/stream") as socket:
        assert await ask(socket, "SUBSCRIBE", list(waiting)) == {"result": None, "id": 1}
        assert sorted((await ask(socket, "LIST_SUBSCRIPTIONS"))["result"]) == sorted(waiting)
        while waiting:
            message = await receive(socket)
            if "stream" not in message:
                continue
            expected = waiting.pop(message["stream"], None)
            if expected == "list":
                assert {item["s"] for item in message["data"]} == set(KNOWN_SYMBOLS)
            elif expected:
                assert (message["data"]["e"], message["data"]["s"]) == (expected, "ETHUSDC")


async def test_bare_and_wrapped_sockets_and_unsubscribing(busy: Sandbox) -> None:
    for path in ("/ws/ethusdc@depth@100ms", "/stream/ws/ethusdc@depth@100ms"):
        async with busy.http.ws_connect(busy.ws_url + path) as socket:
            assert (await receive(socket))["e"] == "depthUpdate"
            assert (await ask(socket, "UNSUBSCRIBE", ["ethusdc@depth@100ms"]))["result"] is None
            assert (await ask(socket, "LIST_SUBSCRIPTIONS"))["result"] == []


async def test_bad_stream_requests_are_answered_and_the_socket_lives(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws") as socket:
        for frame, code in (
            ("{", 3),
            ("[]", 2),
            ('{"id":1}', 2),
            ('{"id":{},"method":"SUBSCRIBE"}', 2),
            ('{"id":1,"method":"NOPE"}', 2),
            ('{"id":1,"method":"SUBSCRIBE","params":"ethusdc@trade"}', 2),
            ('{"id":1,"method":"SUBSCRIBE","params":["ethusdc@nope"]}', 2),
            ('{"id":1,"method":"SUBSCRIBE","params":["nopenope@trade"]}', 2),
            ("[" * 10_000, 3),
        ):
            await socket.send_str(frame)
            assert (await receive(socket))["error"]["code"] == code, frame[:60]
        await socket.send_bytes(b"\x00")
        assert (await receive(socket))["error"]["code"] == 3
        assert (await ask(socket, "SUBSCRIBE", ["ethusdc@trade"], "a"))["id"] == "a"
        await socket.send_str("x" * 100_000)
        assert (await socket.receive(timeout=60)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert (await quiet.call("GET", "/api/v3/ping"))[0] == 200


async def test_an_ed25519_session_trades_and_hears_its_events_in_order(start: Start) -> None:
    sandbox = await start(SandboxConfig(accounts=(CAROL, BOB), flow=None))
    async with sandbox.http.ws_connect(f"{sandbox.ws_url}/ws-api/v3") as socket:
        assert (await ask(socket, "userDataStream.subscribe"))["status"] == 401
        assert (await ask(socket, "session.logon", signed(CAROL)))["result"]["apiKey"] == CAROL.api_key
        assert (await ask(socket, "userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
        now = time.time_ns() // 1_000_000
        order = {"symbol": "ETHUSDC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": 2}
        order |= {"price": "2900", "timestamp": now, "newClientOrderId": "mine"}
        await socket.send_json({"id": "o-1", "method": "order.place", "params": order})
        messages = [await receive(socket) for _ in range(3)]
        (placed,) = [message for message in messages if "status" in message]
        assert (placed["id"], placed["status"], placed["result"]["status"]) == ("o-1", 200, "NEW")
        await sandbox.order(BOB, side="SELL", quantity="0.5", price="2900")
        events = [message["event"] for message in messages if "event" in message]
        events += [(await receive(socket))["event"] for _ in range(2)]
        by_id = {"symbol": "ETHUSDC", "origClientOrderId": "mine", "timestamp": now}
        amended = await ask(socket, "order.amend.keepPriority", by_id | {"newQty": "1", "newClientOrderId": "mine-2"})
        assert amended["result"]["amendedOrder"]["qty"] == "1.00000000"
        assert (await ask(socket, "userDataStream.unsubscribe", {"subscriptionId": 0}))["status"] == 200
        assert (await ask(socket, "session.logout"))["result"]["apiKey"] is None
        assert (await ask(socket, "account.status", {"timestamp": now}))["status"] == 401
    told = [(event["e"], event.get("x"), event.get("X"), event.get("z")) for event in events]
    assert told == [
        ("executionReport", "NEW", "NEW", "0.00000000"),
        ("outboundAccountPosition", None, None, None),
        ("executionReport", "TRADE", "PARTIALLY_FILLED", "0.50000000"),
        ("outboundAccountPosition", None, None, None),
    ]
    assert (events[2]["n"], events[2]["N"], events[2]["m"]) == ("0.00050000", "ETH", True)
    assert {row["a"]: (row["f"], row["l"]) for row in events[3]["B"]}["USDC"] == ("94200.00000000", "4350.00000000")


async def test_signed_requests_need_no_session(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        assert (await ask(socket, "userDataStream.subscribe.signature", signed(BOB)))["result"] == {"subscriptionId": 0}
        order = signed(BOB, symbol="ETHUSDC", side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="2900")
        assert (await ask(socket, "order.place", order))["result"]["status"] == "NEW"
        open_orders = (await ask(socket, "openOrders.status", signed(BOB)))["result"]
        assert len(open_orders) == 1
        forged = signed(BOB, symbol="ETHUSDC") | {"symbol": "BTCUSDC"}
        assert (await ask(socket, "openOrders.cancelAll", forged))["error"]["code"] == -1022
        assert len((await ask(socket, "openOrders.cancelAll", signed(BOB, symbol="ETHUSDC")))["result"]) == 1


async def test_a_key_for_withdrawals_does_nothing_else_at_any_door(start: Start) -> None:
    keys = {"withdraw_api_key": "dora-out", "withdraw_secret": "dora-out-secret"}
    dora = AccountSpec("dora", "dora-key", "dora-secret", None, {"ETH": "10"}, **keys)
    out = AccountSpec("dora", "dora-out", "dora-out-secret")
    sandbox = await start(SandboxConfig(accounts=(dora,), flow=None))
    terms = {
        "symbol": "ETHUSDC",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "1",
        "price": "3100",
    }
    async with sandbox.http.ws_connect(f"{sandbox.ws_url}/ws-api/v3") as socket:
        for method, params in (
            ("order.place", terms),
            ("account.status", {}),
            ("userDataStream.subscribe.signature", {}),
        ):
            answer = await ask(socket, method, signed(out, **params))
            assert (answer["status"], answer["error"]["code"]) == (401, -2015), method
        assert (await ask(socket, "userDataStream.start", {"apiKey": "dora-out"}))["error"]["code"] == -2015
        assert (await ask(socket, "order.place", signed(dora, **terms)))["result"]["status"] == "NEW"
    for method, path in (("POST", "/api/v3/order"), ("GET", "/api/v3/account"), ("POST", "/api/v3/userDataStream")):
        assert (await sandbox.call(method, path, out, **terms))[1]["code"] == -2015, path
    withdrawal = {"coin": "ETH", "address": "0x" + "11" * 20, "amount": "1"}
    assert (await sandbox.call("POST", "/sapi/v1/capital/withdraw/apply", dora, **withdrawal))[1]["code"] == -2015
    assert "id" in (await sandbox.call("POST", "/sapi/v1/capital/withdraw/apply", out, **withdrawal))[1]
    for account in (dora, out):
        _, rows = await sandbox.call("GET", "/sapi/v1/capital/withdraw/history", account)
        assert [row["amount"] for row in rows] == ["0.99900000"]


async def test_bad_websocket_api_requests_are_answered_with_codes(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        for frame, status, code in (
            ("{", 400, -1135),
            ('{"id":1,"method":"nope"}', 400, -1135),
            ('{"id":1,"method":"order.place"}', 401, -2014),
            ('{"id":1,"method":"order.place","params":[]}', 400, -1135),
            ('{"id":1,"method":"depth","params":{"symbol":{}}}', 400, -1100),
            ('{"id":1,"method":"depth","params":{"symbol":"NOPE"}}', 400, -1121),
            ('{"id":1,"method":"userDataStream.unsubscribe"}', 400, -1130),
        ):
            await socket.send_str(frame)
            answer = await receive(socket)
            assert (answer["status"], answer["error"]["code"]) == (status, code), frame
        assert (await ask(socket, "ping", None, "é"))["id"] == "é"


async def test_a_listen_key_still_works(quiet: Sandbox) -> None:
    headers = {"X-MBX-APIKEY": BOB.api_key}
    path = f"{quiet.url}/api/v3/userDataStream"
    async with quiet.http.post(path, headers=headers) as response:
        key = (await response.json())["listenKey"]
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws/{key}") as socket:
        await quiet.order(BOB, side="BUY", quantity="1", price="2900")
        assert (await receive(socket))["x"] == "NEW"
    async with quiet.http.put(f"{path}?listenKey={key}", headers=headers) as response:
        assert response.status == 200
    async with quiet.http.delete(f"{path}?listenKey={key}", headers=headers) as response:
        assert response.status == 200
    async with quiet.http.put(f"{path}?listenKey={key}", headers=headers) as response:
        assert (await response.json())["code"] == -1125


async def test_a_slow_consumer_is_disconnected_and_nobody_waits_for_it(start: Start) -> None:
    limits = LimitsConfig(stream_queue_max=64)
    sandbox = await start(SandboxConfig(accounts=(BOB,), flow=None, limits=limits))
    slow = await sandbox.http.ws_connect(f"{sandbox.ws_url}/ws-api/v3")
    # A client that stops reading, as a stuck process would.
    transport: Any = slow._conn.transport if slow._conn else None
    transport.pause_reading()
    health = f"{sandbox.url}/_sandbox/health"
    connections = 1
    while connections:
        # Answers of some ten kilobytes each fill the buffers of both kernels' sockets, then the queue.
        for _ in range(50):
            with contextlib.suppress(ConnectionError):
                await slow.send_json({"id": 1, "method": "exchangeInfo"})
        assert (await sandbox.call("GET", "/api/v3/ping")) == (200, {})
        async with sandbox.http.get(health) as response:
            connections = (await response.json())["connections"]
    transport.resume_reading()


async def test_windows_zoned_candles_and_microseconds_have_streams(busy: Sandbox) -> None:
    names = ["ethusdc@ticker_1h", "!ticker_4h@arr", "ethusdc@kline_1d@+08:00", "ethusdc@trade", "ethusdc@blockTrade"]
    async with busy.http.ws_connect(f"{busy.ws_url}/stream?timeUnit=microsecond&streams={'/'.join(names)}") as socket:
        seen: dict[str, Any] = {}
        while len(seen) < len(names) - 1:
            message = await receive(socket)
            seen[message["stream"]] = message["data"]
    now_us = time.time_ns() // 1_000
    ticker, (other, *_), candle = seen["ethusdc@ticker_1h"], seen["!ticker_4h@arr"], seen["ethusdc@kline_1d@+08:00"]
    assert (ticker["e"], other["e"], candle["e"]) == ("1hTicker", "4hTicker", "kline")
    for moment in (ticker["E"], ticker["C"], other["E"], candle["E"], seen["ethusdc@trade"]["T"]):
        assert abs(moment - now_us) < 120_000_000
    assert ticker["O"] % 60_000_000 == 0
    # By the clocks of UTC+8 a day begins at 16:00.
    assert candle["k"]["t"] // 1_000 % 86_400_000 == 16 * 3_600_000
    assert candle["k"]["T"] - candle["k"]["t"] == 86_399_999_000
    async with busy.http.get(f"{busy.url}/ws?timeUnit=x", headers={"Upgrade": "websocket"}) as response:
        assert response.status == 400


async def test_user_events_come_in_microseconds_too(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3?timeUnit=MICROSECOND") as socket:
        await ask(socket, "userDataStream.subscribe.signature", signed(ALICE))
        order = await quiet.order(ALICE, side="BUY", quantity="1", price="2900")
        report, position = [(await receive(socket))["event"] for _ in range(2)]
    assert report["i"] == order["orderId"]
    for moment in (report["T"], report["O"], position["u"]):
        assert abs(moment - order["transactTime"] * 1_000) < 60_000_000


async def test_a_connection_that_talks_too_much_or_stays_too_long_is_closed(start: Start) -> None:
    limits = LimitsConfig(stream_messages_per_second=2)
    sandbox = await start(SandboxConfig(flow=None, limits=limits))
    async with sandbox.http.ws_connect(f"{sandbox.ws_url}/ws") as socket:
        async with asyncio.timeout(60):
            while not socket.closed:
                # However slow the machine, three of these come within one second of the server's clock.
                with contextlib.suppress(ConnectionError):
                    for number in range(3):
                        await socket.send_json({"id": number, "method": "LIST_SUBSCRIPTIONS"})
                await socket.receive()
        assert socket.close_code == 1008
    sandbox = await start(SandboxConfig(flow=None, limits=LimitsConfig(connection_seconds_max=0.01)))
    async with sandbox.http.ws_connect(f"{sandbox.ws_url}/ws") as socket:
        assert (await socket.receive(timeout=60)).data == 1001
