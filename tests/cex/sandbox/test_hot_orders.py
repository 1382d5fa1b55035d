"""The sandbox exchange takes the native encoder's bytes as they are: by HTTP, by WebSocket, in a session."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import capstan_native as native
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.cex.lab import OURS, sandbox
from tests.support.hot import AMEND, CANCEL, CANCEL_ALL, FOK, IOC, LIMIT_MAKER, MARKET, SELL, command, order

SEED = bytes(range(32))
SYMBOL: native.HotInstrument = (0, "ETHUSDC", 1, 2, 1, 4)
LOT = {"price": 200_000, "size": 1_000}
"""0.1 ETH at 2,000.00."""


def signer(door: str, kind: str = "hmac", *, host: str = "", api_key: str = OURS.api_key) -> native.OrderSigner:
    key = native.HotKey(kind, OURS.secret if kind == "hmac" and OURS.secret else SEED.hex())
    return native.OrderSigner.binance(
        "sandbox", key, [SYMBOL], door=door, api_key=api_key, host=host, switch=native.FreezeSwitch()
    )


async def exchange_bytes(base_url: str, frame: bytes) -> tuple[int, Any]:
    """Write bytes on a socket and read one HTTP answer; nothing in between touches them."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(frame)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return int(head.split(b" ")[1]), json.loads(body)


def asks() -> dict[str, bytes]:
    return {
        "limit": order(client_id=1, **LOT),
        "sell": order(client_id=2, side=SELL, **(LOT | {"price": 300_000})),
        "ioc": order(client_id=3, time_in_force=IOC, **LOT),
        "fok": order(client_id=4, time_in_force=FOK, **LOT),
        "maker": order(client_id=5, order_type=LIMIT_MAKER, **LOT),
    }


async def test_rest_requests_are_taken_byte_for_byte() -> None:
    async with sandbox() as url:
        rest = signer("rest", host=urlsplit(url).netloc)

        async def send(record: bytes) -> tuple[int, Any]:
            (frame,) = rest.encode(record, time.time_ns())
            return await exchange_bytes(url, frame)

        for number, (name, record) in enumerate(asks().items(), 1):
            status, answer = await send(record)
            assert (status, answer.get("clientOrderId")) == (200, f"c{number:016x}"), (name, answer)
        status, answer = await send(order(client_id=1, kind=AMEND, aux=9, price=199_900, size=2_000))
        assert (status, answer["newOrderResponse"]["clientOrderId"]) == (200, f"c{9:016x}")
        assert answer["cancelResponse"]["origClientOrderId"] == f"c{1:016x}"
        status, answer = await send(command(CANCEL, client_id=9))
        assert (status, answer["status"], answer["price"]) == (200, "CANCELED", "1999.00000000")
        assert answer["origQty"] == "0.20000000"
        status, answer = await send(command(CANCEL_ALL))
        assert (status, {item["origClientOrderId"] for item in answer}) == (200, {f"c{2:016x}", f"c{5:016x}"})
        status, answer = await send(order(client_id=20, order_type=MARKET, size=1_000))
        assert status == 200, answer
        # And a byte changed on the way is noticed.
        (frame,) = rest.encode(order(client_id=30, **LOT), time.time_ns())
        status, answer = await exchange_bytes(url, frame.replace(b"quantity=0.1000", b"quantity=9.1000"))
        assert (status, answer["code"]) == (400, -1022)


async def test_an_amend_may_keep_the_orders_id() -> None:
    async with sandbox() as url:
        rest = signer("rest", host=urlsplit(url).netloc)
        for record in (order(client_id=1, **LOT), order(client_id=1, kind=AMEND, aux=1, **(LOT | {"size": 2_000}))):
            status, answer = await exchange_bytes(url, rest.encode(record, time.time_ns())[0])
            assert status == 200, answer
        assert answer["newOrderResponse"]["clientOrderId"] == answer["cancelResponse"]["origClientOrderId"]


async def ask(socket: aiohttp.ClientWebSocketResponse, frame: bytes) -> Any:
    await socket.send_str(frame.decode())
    return json.loads(await socket.receive_str(timeout=60))


@pytest.mark.parametrize(("door", "kind"), [("websocket", "hmac"), ("websocket", "ed25519"), ("session", "ed25519")])
async def test_websocket_requests_are_taken_as_they_are(door: str, kind: str) -> None:
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    theirs = dataclasses.replace(OURS, name="ed", api_key="ed-test-key", secret=None, ed25519_public_key=pem)
    async with sandbox(accounts=(OURS, theirs)) as url, aiohttp.ClientSession() as session:
        ours = signer(door, kind, api_key="ed-test-key" if kind == "ed25519" else OURS.api_key)
        async with session.ws_connect(f"{url}/ws-api/v3") as socket:
            if door == "session":
                answer = await ask(socket, ours.logon(time.time_ns()))
                assert (answer["status"], answer["result"]["apiKey"]) == (200, "ed-test-key")
            for number, record in enumerate(asks().values(), 1):
                answer = await ask(socket, ours.encode(record, time.time_ns())[0])
                assert (answer["status"], answer["id"]) == (200, f"pc{number:016x}"), answer
                assert answer["result"]["clientOrderId"] == f"c{number:016x}"
            answer = await ask(socket, ours.encode(order(client_id=1, kind=AMEND, aux=9, **LOT), time.time_ns())[0])
            assert (answer["status"], answer["result"]["newOrderResult"]) == (200, "SUCCESS")
            answer = await ask(socket, ours.encode(command(CANCEL, client_id=9), time.time_ns())[0])
            assert (answer["status"], answer["result"]["status"]) == (200, "CANCELED")
            (frame,) = ours.encode(command(CANCEL_ALL), time.time_ns())
            assert len((await ask(socket, frame))["result"]) == 2
            if door == "websocket":
                (frame,) = ours.encode(order(client_id=30, **LOT), time.time_ns())
                answer = await ask(socket, frame.replace(b'"price":"2000.00"', b'"price":"1000.00"'))
                assert (answer["status"], answer["error"]["code"]) == (400, -1022)
