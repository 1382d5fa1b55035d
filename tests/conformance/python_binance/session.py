"""A session of python-binance on the sandbox: only its base URLs are set. Prints what it saw as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys

import binance
from binance.exceptions import BinanceAPIException
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

SYMBOL = "ETHUSDC"
WHERE = json.loads(sys.argv[1])
LIMIT_BUY = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}

binance.AsyncClient.API_URL = f"{WHERE['http']}/api"
binance.AsyncClient.WS_API_URL = f"{WHERE['ws']}/ws-api/v3"
binance.BinanceSocketManager.STREAM_URL = f"{WHERE['ws']}/"
# How long its read loop takes to notice that it was closed.
ReconnectingWebsocket.TIMEOUT = 0.2


async def level(socket, price, *, is_there):
    """Follow the depth cache until it has, or has not, a bid at a price."""
    while True:
        cache = await socket.recv()
        sizes = [size for at, size in cache.get_bids() if at == price]
        if bool(sizes) is is_there:
            return str(sizes[0]) if sizes else None


async def main():
    client = await binance.AsyncClient.create(WHERE["api_key"], WHERE["secret"])
    client.API_URL = f"{WHERE['http']}/api"
    try:
        info = await client.get_symbol_info(SYMBOL)
        filters = {each["filterType"]: each for each in info["filters"]}
        manager = binance.BinanceSocketManager(client)
        book = binance.DepthCacheManager(client, SYMBOL, bm=manager, ws_interval=100, limit=1000)
        async with book as depth, manager.user_socket() as reports:
            cache = await depth.recv()
            sides = [len(cache.get_bids()), len(cache.get_asks())]
            placed = await client.create_order(**LIMIT_BUY, quantity="0.1", price="2900.17")
            appeared = await level(depth, 2900.17, is_there=True)
            amended = await client.cancel_replace_order(
                **LIMIT_BUY,
                quantity="0.2",
                price="2900.18",
                cancelReplaceMode="STOP_ON_FAILURE",
                cancelOrderId=placed["orderId"],
            )
            amended_id = amended["newOrderResponse"]["orderId"]
            await level(depth, 2900.17, is_there=False)
            by_stream = await client.ws_create_order(**LIMIT_BUY, quantity="0.1", price="2900.19")
            canceled = [
                (await client.cancel_order(symbol=SYMBOL, orderId=amended_id))["orderId"],
                (await client.ws_cancel_order(symbol=SYMBOL, orderId=by_stream["orderId"]))["orderId"],
            ]
            bought = await client.order_market_buy(symbol=SYMBOL, quoteOrderQty="1000")
            streamed, is_filled = [], False
            while not is_filled:
                event = await reports.recv()
                if event["e"] == "executionReport" and event["i"] == bought["orderId"] and event["x"] == "TRADE":
                    streamed.append(event["t"])
                    is_filled = event["X"] == "FILLED"
        asked = await client.get_my_trades(symbol=SYMBOL)
        try:
            await client.create_order(**LIMIT_BUY | {"side": "SELL"}, quantity="2500", price="3100")
        except BinanceAPIException as exc:
            refused = exc.code
        account = await client.get_account()
        return {
            "tick": filters["PRICE_FILTER"]["tickSize"],
            "lot": filters["LOT_SIZE"]["stepSize"],
            "book": sides,
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
            "balance": {balance["asset"]: balance["free"] for balance in account["balances"]},
        }
    finally:
        await client.close_connection()


print(json.dumps(asyncio.run(main())))
