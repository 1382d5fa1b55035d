"""Faults strike when armed, as often as armed, and the exchange's truth stays whole."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from cex.sandbox import SandboxConfig
from domain import InputError
from tests.cex.sandbox.conftest import BOB, Sandbox, Start, signed
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
    await quiet.fault("delay_ack", delay_ms=1_500)
    began = time.monotonic()
    placing = asyncio.create_task(quiet.order(BOB, **ORDER | {"newClientOrderId": "a"}))
    while await open_ids(quiet) != ["a"]:
        assert not placing.done()
    await placing
    assert time.monotonic() - began >= 1.5


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
        async with asyncio.timeout(60):
            async for message in socket:
                assert json.loads(message.data)["e"] == "depthUpdate"
        assert socket.close_code == code
    async with busy.http.ws_connect(f"{busy.ws_url}/ws/ethusdc@depth@100ms") as socket:
        await receive(socket)


@pytest.mark.parametrize(("fault", "status"), [("error_before_accept", 504), ("drop_order", 0)])
async def test_an_order_that_is_lost_before_acceptance_never_rests(quiet: Sandbox, fault: str, status: int) -> None:
    await quiet.fault(fault)
    if status:
        assert (await quiet.call("POST", "/api/v3/order", BOB, **ORDER))[0] == status
    else:
        with pytest.raises(aiohttp.ClientError):
            await quiet.call("POST", "/api/v3/order", BOB, **ORDER)
    assert await open_ids(quiet) == []


async def test_an_order_that_comes_too_late_is_refused_by_its_window(quiet: Sandbox) -> None:
    await quiet.fault("delay_order", delay_ms=120)
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **ORDER, recvWindow=100)
    assert (status, body["code"]) == (400, -1021)
    assert await open_ids(quiet) == []


async def test_an_order_is_thrown_out_after_its_acknowledgement(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        await ask(socket, "userDataStream.subscribe.signature", ws_signed(BOB))
        await quiet.fault("reject_after_ack")
        assert (await quiet.order(BOB, **ORDER | {"newClientOrderId": "a"}))["status"] == "NEW"
        told = [(await receive(socket))["event"] for _ in range(4)]
        assert [event.get("x") for event in told] == ["NEW", None, "REJECTED", None]
        assert told[2]["X"] == "REJECTED"
        locked = {row["a"]: row["l"] for row in told[3]["B"]}
        assert locked["USDC"] == "0.00000000"
    status, order = await quiet.call("GET", "/api/v3/order", BOB, symbol="ETHUSDC", origClientOrderId="a")
    assert (status, order["status"]) == (200, "REJECTED")


async def test_the_acknowledgement_of_a_cancel_is_lost(quiet: Sandbox) -> None:
    await quiet.order(BOB, **ORDER | {"newClientOrderId": "a"})
    await quiet.fault("drop_cancel_ack")
    # aiohttp sends a DELETE whose connection was cut once more by itself, and hears that there is no such order.
    status, body = await quiet.call("DELETE", "/api/v3/order", BOB, symbol="ETHUSDC", origClientOrderId="a")
    assert (status, body["code"]) == (400, -2011)
    assert (await quiet.armed())["struck"] == {"drop_cancel_ack": 1}
    assert await open_ids(quiet) == []


async def test_a_question_fails(quiet: Sandbox) -> None:
    await quiet.fault("fail_query")
    status, body = await quiet.call("GET", "/api/v3/account", BOB)
    assert (status, body["code"]) == (503, -1001)
    assert (await quiet.call("GET", "/api/v3/account", BOB))[0] == 200


async def test_reports_come_late_and_in_order(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        await ask(socket, "userDataStream.subscribe.signature", ws_signed(BOB))
        await quiet.fault("delay_report", delay_ms=300)
        began = time.monotonic()
        await quiet.order(BOB, **ORDER | {"newClientOrderId": "x"})
        await quiet.call("DELETE", "/api/v3/order", BOB, symbol="ETHUSDC", origClientOrderId="x")
        told = [(await receive(socket))["event"] for _ in range(4)]
        assert time.monotonic() - began >= 0.3
        assert [event.get("x") for event in told] == ["NEW", None, "CANCELED", None]


async def test_depth_diffs_are_doubled_swapped_and_late(quiet: Sandbox) -> None:
    async def next_diff(price: str) -> dict[str, Any]:
        await quiet.order(BOB, **ORDER | {"price": price})
        return await receive(socket)

    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws/ethusdc@depth@100ms") as socket:
        await quiet.fault("duplicate_depth")
        first = await next_diff("2900")
        assert await receive(socket) == first
        await quiet.fault("out_of_order_depth")
        await quiet.order(BOB, **ORDER | {"price": "2901"})
        while (await quiet.armed())["faults"]["out_of_order_depth"]:
            pass
        later = await next_diff("2902")
        earlier = await receive(socket)
        assert (earlier["U"], later["U"]) == (first["u"] + 1, earlier["u"] + 1)
        await quiet.fault("delay_depth", delay_ms=300)
        began = time.monotonic()
        assert (await next_diff("2903"))["U"] == later["u"] + 1
        assert time.monotonic() - began >= 0.3


async def test_snapshots_are_cut_in_the_middle_or_old(quiet: Sandbox) -> None:
    await quiet.fault("stale_snapshot", count=1)
    empty = (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC"))[1]
    await quiet.order(BOB, **ORDER)
    assert (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC"))[1] == empty
    assert (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC"))[1]["bids"] == [["2900.00000000", "1.00000000"]]
    await quiet.fault("partial_snapshot")
    with pytest.raises(aiohttp.ClientPayloadError):
        await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC")


async def test_the_user_stream_ends_and_the_socket_stays(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        await ask(socket, "userDataStream.subscribe.signature", ws_signed(BOB))
        await quiet.fault("terminate_streams")
        assert (await receive(socket))["event"]["e"] == "eventStreamTerminated"
        await quiet.order(BOB, **ORDER)
        assert (await ask(socket, "ping", {}))["status"] == 200


async def test_the_clock_of_the_exchange_is_ahead(quiet: Sandbox) -> None:
    await quiet.fault("clock_skew", skew_ms=60_000)
    status, body = await quiet.call("POST", "/api/v3/order", BOB, **ORDER)
    assert (status, body["code"]) == (400, -1021)
    theirs = (await quiet.call("GET", "/api/v3/time"))[1]["serverTime"]
    assert theirs > time.time_ns() // 1_000_000 + 50_000
    await quiet.fault("none")
    await quiet.order(BOB, **ORDER)


async def test_one_silent_socket_says_nothing_while_the_other_goes_on(quiet: Sandbox) -> None:
    stream = f"{quiet.ws_url}/ws/ethusdc@depth@100ms"
    async with quiet.http.ws_connect(stream) as stalled, quiet.http.ws_connect(stream) as lively:
        await quiet.fault("stall_sockets", door="stream", oldest=1)
        await quiet.order(BOB, **ORDER)
        await receive(lively)
        await stalled.ping()
        await quiet.fault("abort_sockets")
        assert (await stalled.receive()).type is not aiohttp.WSMsgType.TEXT


async def test_one_seed_strikes_at_the_same_occasions(quiet: Sandbox) -> None:
    async def statuses(seed: int) -> list[int]:
        await quiet.fault("fail_query", probability=0.5, seed=seed)
        return [(await quiet.call("GET", "/api/v3/account", BOB))[0] for _ in range(24)]

    first = await statuses(1)
    assert set(first) == {200, 503}
    armed = await quiet.armed()
    assert (armed["probabilities"], armed["struck"]) == ({"fail_query": 0.5}, {"fail_query": first.count(503)})
    assert await statuses(1) == first
    assert await statuses(2) != first


async def test_the_door_to_the_faults_wants_its_token(start: Start) -> None:
    sandbox = await start(SandboxConfig(faults=True, flow=None, admin_token="let-me-in"))
    url = f"{sandbox.url}/_sandbox/faults"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "let-me-in"}):
        async with sandbox.http.get(url, headers=headers) as response:
            assert response.status == 401
    async with sandbox.http.get(url, headers={"Authorization": "Bearer let-me-in"}) as response:
        assert response.status == 200


def test_faults_without_a_token_are_for_loopback_only() -> None:
    with pytest.raises(InputError, match="faults"):
        SandboxConfig(host="0.0.0.0", faults=True)
    SandboxConfig(host="0.0.0.0", faults=True, admin_token="x")
    SandboxConfig(host="localhost", faults=True)


async def test_unknown_faults_are_refused(quiet: Sandbox) -> None:
    order: object
    for order in (
        {"fault": "nope"},
        {"fault": "gap", "count": -1},
        {"fault": 1},
        {},
        [],
        {"fault": "gap", "count": "x"},
        {"fault": "gap", "probability": 1.5},
        {"fault": "gap", "probability": True},
        {"fault": "gap", "probability": 0.5, "seed": "x"},
        {"fault": "clock_skew"},
        {"fault": "kill_sockets", "door": "back"},
        {"fault": "delay_ack", "delay_ms": -1},
    ):
        async with quiet.http.post(f"{quiet.url}/_sandbox/faults", json=order) as response:
            assert response.status == 400
