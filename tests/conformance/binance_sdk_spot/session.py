"""A session of binance-sdk-spot on the sandbox: only its URLs are given. Prints what it saw as one line of JSON.

Its answers are typed models, so whatever it reads has been checked against the venue's own schema.
"""

from __future__ import annotations

import asyncio
import json
import sys

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_spot.spot import Spot
from binance_sdk_spot.websocket_api.models import ExecutionReport

SYMBOL = "ETHUSDC"
WHERE = json.loads(sys.argv[1])
SIGNS_WITH = {"private_key": WHERE["private_key"]} if "private_key" in WHERE else {"api_secret": WHERE["secret"]}
KEYS = {"api_key": WHERE["api_key"], **SIGNS_WITH}
LIMIT_BUY = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}


async def level(diffs, price, *, is_there):
    """Follow the diffs until one says that a bid is there, or gone."""
    while True:
        diff = await diffs.get()
        for at, size in diff.b:
            if float(at) == price and bool(float(size)) is is_there:
                return size


async def main():
    client = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=WHERE["http"], timeout=30_000, **KEYS),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=f"{WHERE['ws']}/ws-api/v3", timeout=30_000, **KEYS),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=WHERE["ws"]),
    )
    rest = client.rest_api
    streams = await client.websocket_streams.create_connection()
    api = await client.websocket_api.create_connection()
    diffs, reports = asyncio.Queue(), asyncio.Queue()
    try:
        info = rest.exchange_info(symbol=SYMBOL).data().symbols[0]
        filters = {each.filter_type: each for each in (f.actual_instance for f in info.filters)}
        depth = await streams.diff_book_depth(symbol=SYMBOL.lower(), update_speed="100ms")
        depth.on("message", diffs.put_nowait)
        user = await api.user_data_stream_subscribe_signature()
        user.stream.on("message", lambda event: reports.put_nowait(event.actual_instance))
        await diffs.get()
        book = rest.depth(symbol=SYMBOL, limit=1000).data()

        placed = rest.new_order(**LIMIT_BUY, quantity=0.1, price=2900.17).data()
        appeared = await level(diffs, 2900.17, is_there=True)
        amended = rest.order_cancel_replace(
            **LIMIT_BUY,
            quantity=0.2,
            price=2900.18,
            cancel_replace_mode="STOP_ON_FAILURE",
            cancel_order_id=placed.order_id,
        ).data()
        amended_id = amended.new_order_response.order_id
        await level(diffs, 2900.17, is_there=False)
        smaller = rest.order_amend_keep_priority(symbol=SYMBOL, new_qty=0.15, order_id=amended_id).data()
        by_stream = (await api.order_place(**LIMIT_BUY, quantity=0.1, price=2900.19)).data().result
        canceled = [
            rest.delete_order(symbol=SYMBOL, order_id=amended_id).data().order_id,
            (await api.order_cancel(symbol=SYMBOL, order_id=by_stream.order_id)).data().result.order_id,
        ]
        bought = rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.5).data()
        streamed, is_filled = [], False
        while not is_filled:
            event = await reports.get()
            if isinstance(event, ExecutionReport) and event.i == bought.order_id and event.x == "TRADE":
                streamed.append(event.t)
                is_filled = event.X == "FILLED"
        asked = rest.my_trades(symbol=SYMBOL).data()
        try:
            rest.new_order(**LIMIT_BUY | {"side": "SELL"}, quantity=2500, price=3100)
        except BadRequestError as exc:
            refused = exc.status_code  # Its name for the venue's code.
        account = rest.get_account().data()
        return {
            "tick": filters["PRICE_FILTER"].tick_size,
            "lot": filters["LOT_SIZE"].step_size,
            "book": [len(book.bids), len(book.asks)],
            "appeared": appeared,
            "placed": placed.order_id,
            "amended": amended_id,
            "reduced_to": smaller.amended_order.qty,
            "canceled": canceled,
            "bought": [bought.order_id],
            "streamed": streamed,
            "fills": [[trade.id, trade.price, trade.qty, trade.commission, trade.commission_asset] for trade in asked],
            "refused": refused,
            "balance": {balance.asset: balance.free for balance in account.balances},
        }
    finally:
        await client.websocket_streams.close_connection(close_session=True)
        await client.websocket_api.close_connection(close_session=True)


print(json.dumps(asyncio.run(main())))
