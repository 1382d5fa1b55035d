"""A session of binance-connector on the sandbox: only its URLs are given. Prints what it saw as one line of JSON."""

from __future__ import annotations

import json
import queue
import sys

from binance.error import ClientError
from binance.spot import Spot
from binance.websocket.spot.websocket_api import SpotWebsocketAPIClient
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

SYMBOL = "ETHUSDC"
WHERE = json.loads(sys.argv[1])
KEYS = {"api_key": WHERE["api_key"], "api_secret": WHERE["secret"]}
LIMIT_BUY = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
WAIT_S = 30


class Inbox:
    """What a socket's thread received, for this one."""

    def __init__(self):
        self._messages = queue.Queue()

    def __call__(self, _client, text):
        self._messages.put(json.loads(text))

    def next(self, wanted):
        """Give the first message that is wanted; those before it are dropped."""
        while True:
            message = self._messages.get(timeout=WAIT_S)
            if wanted(message):
                return message


def size_at(inbox, price, *, is_there):
    """Follow the diffs until one says that a bid is there, or gone."""

    def told(message):
        sizes = [float(size) for at, size in message.get("b", ()) if float(at) == price]
        return bool(sizes) and bool(sizes[0]) is is_there

    message = inbox.next(told)
    return next(size for at, size in message["b"] if float(at) == price)


def main():
    client = Spot(base_url=WHERE["http"], **KEYS)
    info = client.exchange_info(symbol=SYMBOL)["symbols"][0]
    filters = {each["filterType"]: each for each in info["filters"]}
    book, reports, answers = Inbox(), Inbox(), Inbox()
    # With a listenKey, as only this one still does.
    streams = SpotWebsocketStreamClient(stream_url=WHERE["ws"], on_message=book)
    streams.diff_book_depth(SYMBOL, speed=100, id=1)
    user = SpotWebsocketStreamClient(stream_url=WHERE["ws"], on_message=reports)
    user.user_data(client.new_listen_key()["listenKey"], id=2)
    api = SpotWebsocketAPIClient(stream_url=f"{WHERE['ws']}/ws-api/v3", on_message=answers, **KEYS)
    try:
        book.next(lambda message: message.get("id") == 1)
        reports.next(lambda message: message.get("id") == 2)
        snapshot = client.depth(SYMBOL, limit=1000)
        diff = book.next(lambda message: message.get("u", 0) > snapshot["lastUpdateId"])
        in_step = diff["U"] <= snapshot["lastUpdateId"] + 1
        placed = client.new_order(**LIMIT_BUY, quantity="0.1", price="2900.17")
        appeared = size_at(book, 2900.17, is_there=True)
        amended = client.cancel_and_replace(
            **LIMIT_BUY,
            quantity="0.2",
            price="2900.18",
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=placed["orderId"],
        )
        amended_id = amended["newOrderResponse"]["orderId"]
        size_at(book, 2900.17, is_there=False)
        api.new_order(id="place", **LIMIT_BUY, quantity="0.1", price="2900.19", newOrderRespType="RESULT")
        by_stream = answers.next(lambda message: message["id"] == "place")["result"]
        api.cancel_order(symbol=SYMBOL, id="cancel", orderId=by_stream["orderId"])
        canceled = [
            client.cancel_order(SYMBOL, orderId=amended_id)["orderId"],
            answers.next(lambda message: message["id"] == "cancel")["result"]["orderId"],
        ]
        bought = client.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.5")
        streamed, is_filled = [], False
        while not is_filled:
            event = reports.next(lambda message: message.get("i") == bought["orderId"] and message["x"] == "TRADE")
            streamed.append(event["t"])
            is_filled = event["X"] == "FILLED"
        asked = client.my_trades(SYMBOL)
        try:
            client.new_order(**LIMIT_BUY | {"side": "SELL"}, quantity="2500", price="3100")
        except ClientError as exc:
            refused = exc.error_code
        return {
            "tick": filters["PRICE_FILTER"]["tickSize"],
            "lot": filters["LOT_SIZE"]["stepSize"],
            "book": [len(snapshot["bids"]), len(snapshot["asks"])] if in_step else [],
            "appeared": appeared,
            "placed": placed["orderId"],
            "amended": amended_id,
            "canceled": canceled,
            "bought": [bought["orderId"]],
            "streamed": streamed,
            "fills": [
                [trade["id"], trade["price"], trade["qty"], trade["commission"], trade["commissionAsset"]]
                for trade in asked
            ],
            "refused": refused,
            "balance": {balance["asset"]: balance["free"] for balance in client.account()["balances"]},
        }
    finally:
        for socket in (streams, user, api):
            socket.stop()


print(json.dumps(main()))
