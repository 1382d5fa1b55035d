"""A session of ccxt.pro on the sandbox: only its URLs are pointed there. Prints what it saw as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import re
import sys

import ccxt
import ccxt.pro

SYMBOL = "ETH/USDC"
WHERE = json.loads(sys.argv[1])


def redirected(urls):
    if isinstance(urls, dict):
        return {key: redirected(url) for key, url in urls.items()}
    if "ws-api" in urls:
        return f"{WHERE['ws']}/ws-api/v3"
    if urls.startswith("ws"):
        # ccxt tells spot from swap by `/stream` in the URL.
        return f"{WHERE['ws']}/stream/ws"
    return re.sub(r"^https://[^/]+", WHERE["http"], urls)


async def level(client, price, *, is_there):
    """Follow the book until it has, or has not, a bid at a price."""
    while True:
        book = await client.watch_order_book(SYMBOL)
        sizes = [size for at, size in book["bids"] if at == price]
        if bool(sizes) is is_there:
            return str(sizes[0]) if sizes else None


async def main():
    options = {"fetchMarkets": {"types": ["spot"]}}
    client = ccxt.pro.binance({"apiKey": WHERE["api_key"], "secret": WHERE["secret"], "options": options})
    client.urls["api"] = redirected(client.urls["api"])
    client.number = str
    try:
        market = (await client.load_markets())[SYMBOL]
        book = await client.watch_order_book(SYMBOL)
        sides = [len(book["bids"]), len(book["asks"])]
        fills = asyncio.create_task(client.watch_my_trades(SYMBOL))

        placed = await client.create_order(SYMBOL, "limit", "buy", "0.1", "2900.17")
        appeared = await level(client, 2900.17, is_there=True)
        amended = await client.edit_order(placed["id"], SYMBOL, "limit", "buy", "0.2", "2900.18")
        await level(client, 2900.17, is_there=False)
        by_stream = await client.create_order_ws(SYMBOL, "limit", "buy", "0.1", "2900.19")
        canceled = [
            (await client.cancel_order(amended["id"], SYMBOL))["id"],
            (await client.cancel_order_ws(by_stream["id"], SYMBOL))["id"],
        ]
        # A watch returns with an event and not before: buy until one has come.
        bought = []
        while not fills.done():
            bought.append((await client.create_order(SYMBOL, "market", "buy", "0.05"))["id"])
            await asyncio.wait([fills], timeout=0.2)
        asked = await client.fetch_my_trades(SYMBOL)
        try:
            await client.create_order(SYMBOL, "limit", "sell", "2500", "3100")
        except ccxt.InsufficientFunds:
            refused = json.loads(client.last_http_response)["code"]
        balance = await client.fetch_balance()
        return {
            "tick": market["precision"]["price"],
            "lot": market["precision"]["amount"],
            "book": sides,
            "appeared": appeared,
            "placed": placed["id"],
            "amended": amended["id"],
            "canceled": canceled,
            "bought": bought,
            "streamed": [trade["id"] for trade in fills.result()],
            "fills": [
                [trade["id"], trade["price"], trade["amount"], trade["fee"]["cost"], trade["fee"]["currency"]]
                for trade in asked
            ],
            "refused": refused,
            "balance": {asset: balance[asset]["total"] for asset in ("ETH", "USDC")},
        }
    finally:
        await client.close()


print(json.dumps(asyncio.run(main())))
