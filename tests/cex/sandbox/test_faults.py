"""Faults strike when armed, as often as armed, and the exchange's truth stays whole."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest

from tests.cex.sandbox.conftest import BOB, Sandbox, signed
from tests.cex.sandbox.test_websockets import ask, receive
from tests.cex.sandbox.test_websockets import signed as ws_signed

ORDER = {"symbol": "ETHUSDC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "2900"}


async def open_ids(sandbox: Sandbox) -> list[str]:
    return [order["clientOrderId"] for order in (await sandbox.call("GET", "/api/v3/openOrders", BOB))[1]]


async def test_a_dropped_acknowledgement_leaves_the_order_live(quiet: Sandbox) -> None:
    await quiet.fault("drop_ack")
    query = signed(ORDER | {"newClientOrderId": "a"}, BOB)
    with pytest.raises(aiohttp.ClientError):
        await quiet.http.post(f"{quiet.url}/api/v3/order?{query}", headers={"X-MBX-APIKEY": BOB.api_key})
    assert await open_ids(quiet) == ["a"]
    await quiet.order(BOB, **ORDER | {"newClientOrderId": "b"})


async def test_an_error_after_acceptance_says_unknown(quiet: Sandbox) -> None:
    await quiet.fault("error_after_accept")
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **ORDER, newClientOrderId="a")
    assert (status, body["code"]) == (504, -1007)
    assert await open_ids(quiet) == ["a"]


async def test_a_429_refuses_before_anything_happens(quiet: Sandbox) -> None:
    await quiet.fault("reject_429")
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **ORDER)
    assert (status, body["code"]) == (429, -1003)
    assert await open_ids(quiet) == []


async def test_a_delayed_acknowledgement_comes_late_though_the_order_is_live(quiet: Sandbox) -> None:
    await quiet.fault("delay_ack", delay_ms=300)
    began = time.monotonic()
    placing = asyncio.create_task(quiet.order(BOB, **ORDER | {"newClientOrderId": "a"}))
    while await open_ids(quiet) != ["a"]:
        assert not placing.done()
    await placing
    assert time.monotonic() - began >= 0.3


async def test_reports_are_doubled_swapped_and_lost(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        await ask(socket, "userDataStream.subscribe.signature", ws_signed(BOB))
        await quiet.fault("duplicate_report")
        await quiet.order(BOB, **ORDER)
        told = [(await receive(socket))["event"] for _ in range(3)]
        assert [event["e"][:3] for event in told] == ["exe", "exe", "out"]
        assert told[0] == told[1]
        await quiet.fault("out_of_order")
        await quiet.order(BOB, **ORDER | {"newClientOrderId": "x"})
        await quiet.call("DELETE", "/api/v3/order", BOB, symbol="ETHUSDC", origClientOrderId="x")
        told = [(await receive(socket))["event"] for _ in range(4)]
        assert [event.get("x") for event in told] == [None, "CANCELED", "NEW", None]
        await quiet.fault("lose_report", count=2)
        await quiet.order(BOB, **ORDER | {"newClientOrderId": "y"})
        await quiet.call("DELETE", "/api/v3/order", BOB, symbol="ETHUSDC", origClientOrderId="y")
        assert (await receive(socket))["event"]["x"] == "CANCELED"


@pytest.mark.parametrize(("fault", "code"), [("kill_sockets", 1012), ("abort_sockets", 1006)])
async def test_sockets_are_killed(busy: Sandbox, fault: str, code: int) -> None:
    async with busy.http.ws_connect(f"{busy.ws_url}/ws/ethusdc@depth@100ms") as socket:
        await receive(socket)
        await busy.fault(fault)
        async with asyncio.timeout(10):
            async for message in socket:
                assert json.loads(message.data)["e"] == "depthUpdate"
        assert socket.close_code == code
    async with busy.http.ws_connect(f"{busy.ws_url}/ws/ethusdc@depth@100ms") as socket:
        await receive(socket)


async def test_unknown_faults_are_refused(quiet: Sandbox) -> None:
    order: object
    for order in (
        {"fault": "nope"},
        {"fault": "gap", "count": -1},
        {"fault": 1},
        {},
        [],
        {"fault": "gap", "count": "x"},
    ):
        async with quiet.http.post(f"{quiet.url}/_sandbox/faults", json=order) as response:
            assert response.status == 400
