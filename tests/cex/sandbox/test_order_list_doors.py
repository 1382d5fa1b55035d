"""Stop orders and order lists through the doors: what REST, the WebSocket API and the user data stream say of them."""

from __future__ import annotations

import time
from typing import Any

from tests.cex.sandbox.conftest import ALICE, BOB, Sandbox
from tests.cex.sandbox.test_websockets import Socket, ask, receive, signed

OCO: dict[str, Any] = {
    "symbol": "ETHUSDC",
    "side": "SELL",
    "quantity": "1",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "3100",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "2900",
    "belowPrice": "2890",
    "belowTimeInForce": "GTC",
}
OTOCO: dict[str, Any] = {
    "symbol": "ETHUSDC",
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "2995",
    "workingQuantity": "1",
    "workingTimeInForce": "GTC",
    "pendingSide": "SELL",
    "pendingQuantity": "1",
    "pendingAboveType": "TAKE_PROFIT",
    "pendingAboveStopPrice": "3100",
    "pendingBelowType": "STOP_LOSS",
    "pendingBelowTrailingDelta": "500",
}


async def test_a_stop_order_is_told_as_waiting_and_as_working(quiet: Sandbox) -> None:
    params = {"symbol": "ETHUSDC", "side": "BUY", "type": "STOP_LOSS_LIMIT", "timeInForce": "GTC", "quantity": "1"}
    params |= {"price": "3110", "stopPrice": "3100", "strategyId": 7, "strategyType": 1_000_001}
    placed = await quiet.order(BOB, **params)
    assert set(placed) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}, "ACK by default"
    waiting = await _order(quiet, placed["orderId"])
    assert (waiting["isWorking"], waiting["workingTime"], waiting["stopPrice"]) == (False, -1, "3100.00000000")
    assert (waiting["strategyId"], waiting["strategyType"]) == (7, 1_000_001)
    await quiet.order(ALICE, side="SELL", quantity="0.01", price="3100")
    await quiet.order(BOB, side="BUY", quantity="0.01", price="3100")
    working = await _order(quiet, placed["orderId"])
    assert (working["isWorking"], working["status"]) == (True, "NEW")
    assert working["workingTime"] > 0
    depth = (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC"))[1]
    assert depth["bids"] == [["3110.00000000", "1.00000000"]]


async def test_a_trailing_stop_tells_its_delta(quiet: Sandbox) -> None:
    params = {"symbol": "ETHUSDC", "side": "SELL", "type": "STOP_LOSS", "quantity": "1", "trailingDelta": "100"}
    placed = await quiet.order(BOB, **params, newOrderRespType="RESULT")
    assert (placed["trailingDelta"], placed["type"]) == (100, "STOP_LOSS")
    assert placed["trailingTime"] > 0
    refused = await quiet.call("POST", "/api/v3/order", BOB, **(params | {"trailingDelta": "5"}))
    assert refused[1]["msg"] == "Filter failure: TRAILING_DELTA"


async def test_an_order_tells_the_date_it_is_good_till(quiet: Sandbox) -> None:
    date = time.time_ns() // 1_000_000 + 60_000
    params = {"side": "BUY", "quantity": "1", "price": "2990", "timeInForce": "GTD", "goodTillDate": date}
    placed = await quiet.order(BOB, **params)
    assert (placed["goodTillDate"], placed["timeInForce"]) == (date, "GTD")
    assert (await _order(quiet, placed["orderId"]))["goodTillDate"] == date


async def test_a_list_is_placed_asked_for_and_cancelled_over_rest(quiet: Sandbox) -> None:
    status, placed = await quiet.call("POST", "/api/v3/orderList/oco", BOB, **OCO, listClientOrderId="mine")
    assert status == 200, placed
    assert (placed["contingencyType"], placed["listOrderStatus"]) == ("OCO", "EXECUTING")
    assert [report["type"] for report in placed["orderReports"]] == ["LIMIT_MAKER", "STOP_LOSS_LIMIT"]
    assert {report["orderListId"] for report in placed["orderReports"]} == {placed["orderListId"]}
    lists = (await quiet.call("GET", "/api/v3/openOrderList", BOB))[1]
    assert lists == [{name: value for name, value in placed.items() if name != "orderReports"}]
    found = (await quiet.call("GET", "/api/v3/orderList", BOB, origClientOrderId="mine"))[1]
    assert found == lists[0]
    assert (await quiet.call("GET", "/api/v3/orderList", ALICE, orderListId=placed["orderListId"]))[0] == 400
    query = {"symbol": "ETHUSDC", "listClientOrderId": "mine", "newClientOrderId": "bye"}
    canceled = (await quiet.call("DELETE", "/api/v3/orderList", BOB, **query))[1]
    assert canceled["listOrderStatus"] == "ALL_DONE"
    assert [report["status"] for report in canceled["orderReports"]] == ["CANCELED", "CANCELED"]
    assert [report["clientOrderId"] for report in canceled["orderReports"]] == ["bye", "bye"]
    assert (await quiet.call("DELETE", "/api/v3/orderList", BOB, **query))[1]["code"] == -2011
    assert (await quiet.call("GET", "/api/v3/openOrderList", BOB))[1] == []
    assert [row["orderListId"] for row in (await quiet.call("GET", "/api/v3/allOrderList", BOB))[1]] == [0]


async def test_cancelling_everything_cancels_lists_whole(quiet: Sandbox) -> None:
    await quiet.order(BOB, side="BUY", quantity="1", price="2990")
    await quiet.call("POST", "/api/v3/orderList/oco", BOB, **OCO)
    legacy = {"symbol": "ETHUSDC", "side": "BUY", "quantity": "1", "price": "2900", "stopPrice": "3100"}
    assert (await quiet.call("POST", "/api/v3/order/oco", BOB, **legacy))[0] == 200
    answers = (await quiet.call("DELETE", "/api/v3/openOrders", BOB, symbol="ETHUSDC"))[1]
    assert [answer.get("contingencyType") for answer in answers] == [None, "OCO", "OCO"]
    account = (await quiet.call("GET", "/api/v3/account", BOB))[1]
    assert {balance["locked"] for balance in account["balances"]} == {"0.00000000"}


async def test_a_list_is_placed_over_the_websocket_api_and_told_to_the_user(quiet: Sandbox) -> None:
    async with quiet.http.ws_connect(f"{quiet.ws_url}/ws-api/v3") as socket:
        await ask(socket, "userDataStream.subscribe.signature", signed(BOB))
        answer, events = await _placed(socket, "orderList.place.otoco", OTOCO)
        assert [report["status"] for report in answer["orderReports"]] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
        kinds = [event["e"] for event in events if event["e"] != "outboundAccountPosition"]
        assert kinds == ["executionReport"] * 3 + ["listStatus"]
        status = next(event for event in events if event["e"] == "listStatus")
        assert (status["c"], status["l"], status["L"], len(status["O"])) == ("OTO", "EXEC_STARTED", "EXECUTING", 3)
        assert [event["w"] for event in events if event["e"] == "executionReport"] == [True, False, False]
        assert (await ask(socket, "orderList.status", signed(BOB, orderListId=answer["orderListId"])))["status"] == 200
        assert len((await ask(socket, "openOrderLists.status", signed(BOB)))["result"]) == 1
        query = {"symbol": "ETHUSDC", "orderListId": answer["orderListId"]}
        canceled = await ask(socket, "orderList.cancel", signed(BOB, **query))
        assert canceled["result"]["listOrderStatus"] == "ALL_DONE"
        assert len((await ask(socket, "allOrderLists", signed(BOB)))["result"]) == 1


async def test_a_list_counts_each_of_its_orders_against_the_rate_limit(quiet: Sandbox) -> None:
    await quiet.call("POST", "/api/v3/orderList/otoco", BOB, **OTOCO)
    limits = (await quiet.call("GET", "/api/v3/rateLimit/order", BOB))[1]
    assert {limit["count"] for limit in limits} == {3}


async def _placed(socket: Socket, method: str, params: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Send a request; give its answer and the events that came before the answer."""
    await socket.send_json({"id": 2, "method": method, "params": signed(BOB, **params)})
    events: list[Any] = []
    while True:
        message = await receive(socket)
        if message.get("id") == 2:
            return message["result"], events
        events.append(message["event"])


async def _order(sandbox: Sandbox, order_id: int) -> Any:
    return (await sandbox.call("GET", "/api/v3/order", BOB, symbol="ETHUSDC", orderId=order_id))[1]
