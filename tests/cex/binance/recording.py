"""A session at the sandbox exchange that makes every kind of message happen, recorded as bytes by kind."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import aiohttp

from cex.binance.signing import Signer
from runtime import Secret
from tests.cex.lab import OURS, THEIRS, sandbox

SYMBOL = "ETHUSDC"
STREAMS = ("depth@100ms", "trade", "aggTrade", "bookTicker", "kline_1m", "ticker")
Recording = dict[str, list[bytes]]


class _Client:
    """Signs, sends, and keeps what comes back under a kind."""

    def __init__(self, url: str, session: aiohttp.ClientSession, spec: Any, into: Recording) -> None:
        self._url = f"{url}/api/v3"
        self.session = session
        self._spec = spec
        self.into = into
        self.signer = Signer(spec.api_key, Secret(spec.secret))

    async def call(self, kind: str, verb: str, path: str, **params: Any) -> bytes:
        query = self.signer.query(params | {"timestamp": time.time_ns() // 1_000_000})
        headers = {"X-MBX-APIKEY": self._spec.api_key}
        async with self.session.request(verb, f"{self._url}/{path}?{query}", headers=headers) as response:
            body = await response.read()
            self.into[kind if response.status == 200 else "error"].append(body)
            return body

    async def place(self, side: str, price: str | None, qty: str, **params: Any) -> bytes:
        order = {"type": "LIMIT", "timeInForce": "GTC", "price": price, "newOrderRespType": "RESULT"} | params
        order = {name: value for name, value in order.items() if value is not None}
        return await self.call("order", "POST", "order", symbol=SYMBOL, side=side, quantity=qty, **order)


async def record() -> Recording:
    """Play the session; the recording has an entry for each kind of message, and `snapshot` for the book."""
    into: Recording = defaultdict(list)
    async with sandbox() as url, aiohttp.ClientSession() as session:
        ours, theirs = (_Client(url, session, spec, into) for spec in (OURS, THEIRS))
        async with session.ws_connect(f"{url}/ws") as market, session.ws_connect(f"{url}/ws-api/v3") as user:
            await market.send_json(
                {"method": "SUBSCRIBE", "params": [f"{SYMBOL.lower()}@{name}" for name in STREAMS], "id": 1}
            )
            await market.receive_json()
            params = ours.signer.message({"timestamp": time.time_ns() // 1_000_000})
            await user.send_json({"id": "s", "method": "userDataStream.subscribe.signature", "params": params})
            await user.receive_json()
            async with session.get(f"{url}/api/v3/depth?symbol={SYMBOL}&limit=1000") as response:
                into["snapshot"].append(await response.read())
            # A price that each phase ends with marks the diff which ends it.
            for number, phase in enumerate((_fill_book, _trade, _replace, _list)):
                await phase(ours, theirs, url)
                await ours.place("BUY", f"250{number}.00", "0.01", newClientOrderId=f"phase-{number}")
                await _read_until(market, into, f'["250{number}.00000000"'.encode())
            await _read_until(user, into, b"phase-3", user_data=True)
            await _read_until(market, into, b'"24hrTicker"')
            await _read_until(market, into, b'"kline"')
    return dict(into)


async def _fill_book(_ours: _Client, theirs: _Client, _url: str) -> None:
    for step in range(6):
        await theirs.place("SELL", f"30{10 + step}.00", "0.5")
        await theirs.place("BUY", f"29{90 - step}.00", "0.5")


async def _trade(ours: _Client, theirs: _Client, _url: str) -> None:
    await ours.place("BUY", "2980.00", "0.2", newClientOrderId="rests")
    await ours.call("order", "DELETE", "order", symbol=SYMBOL, origClientOrderId="rests")
    await ours.place("BUY", "3010.00", "0.7", newClientOrderId="takes-some", newOrderRespType="FULL")
    await theirs.place("SELL", "3010.00", "0.1", timeInForce="IOC")
    await ours.place("BUY", "3011.00", "2", timeInForce="IOC", newClientOrderId="expires")
    await ours.place("BUY", "3012.00", "9", timeInForce="FOK", newClientOrderId="all-or-none")
    await ours.place("SELL", None, "0.3", type="MARKET", timeInForce=None)
    await ours.place("SELL", "3030.00", "0.1", type="LIMIT_MAKER", timeInForce=None, newClientOrderId="makes")
    await theirs.place("BUY", "3030.00", "1.9", timeInForce="IOC")


async def _replace(ours: _Client, _theirs: _Client, _url: str) -> None:
    # Our own order in the way: prevented, and expired in the match.
    await ours.place("SELL", "3040.00", "0.2", newClientOrderId="in-the-way")
    await ours.place("BUY", "3040.00", "0.2", newClientOrderId="meets-itself", selfTradePreventionMode="EXPIRE_MAKER")
    await ours.call("order", "DELETE", "order", symbol=SYMBOL, origClientOrderId="meets-itself")
    await ours.place("SELL", "3050.00", "0.4", newClientOrderId="amended")
    amend = {"origClientOrderId": "amended", "newQty": "0.2"}
    await ours.call("amendment", "PUT", "order/amend/keepPriority", symbol=SYMBOL, **amend)
    await ours.place("SELL", "3052.00", "0.4", newClientOrderId="replaced")
    replacement = {"side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "3051.00", "quantity": "0.3"}
    replacement |= {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "replaced"}
    await ours.call("replacement", "POST", "order/cancelReplace", symbol=SYMBOL, **replacement)
    await ours.place("SELL", "2700.00", "0.1", type="STOP_LOSS_LIMIT", stopPrice="2710.00", newClientOrderId="stop")
    oco = {"side": "SELL", "quantity": "0.1", "aboveType": "LIMIT_MAKER", "abovePrice": "3070.00"}
    oco |= {"belowType": "STOP_LOSS_LIMIT", "belowPrice": "2700.00", "belowStopPrice": "2710.00"}
    await ours.call("orderList", "POST", "orderList/oco", symbol=SYMBOL, belowTimeInForce="GTC", **oco)
    await ours.place("BUY", "2000.00", "0.3", newClientOrderId="swept")
    await ours.call("orders", "GET", "openOrders", symbol=SYMBOL)
    await ours.call("sweep", "DELETE", "openOrders", symbol=SYMBOL)
    # And what is refused.
    await ours.place("SELL", "3060.00", "900000")
    await ours.place("SELL", "3060.001", "0.1")
    await ours.place("SELL", "2980.00", "0.1", type="LIMIT_MAKER", timeInForce=None)
    await ours.call("order", "DELETE", "order", symbol=SYMBOL, origClientOrderId="nobody")
    await ours.call("order", "GET", "order", symbol=SYMBOL, origClientOrderId="nobody")
    await ours.call("order", "GET", "order", symbol="NONESUCH", origClientOrderId="nobody")


async def _list(ours: _Client, _theirs: _Client, url: str) -> None:
    await ours.place("BUY", "2900.00", "0.1", newClientOrderId="listed")
    await ours.call("order", "GET", "order", symbol=SYMBOL, origClientOrderId="listed")
    await ours.call("orders", "GET", "openOrders", symbol=SYMBOL)
    await ours.call("orders", "GET", "allOrders", symbol=SYMBOL)
    await ours.call("myTrades", "GET", "myTrades", symbol=SYMBOL)
    await ours.call("account", "GET", "account")
    await ours.call("commission", "GET", "account/commission", symbol=SYMBOL)
    deposit = {"account": "ours", "coin": "ETH", "amount": "1.5", "tx_id": "t1"}
    async with ours.session.post(f"{url}/_sandbox/deposits", json=deposit) as response:
        assert response.status == 200, await response.text()
    async with ours.session.get(f"{url}/api/v3/exchangeInfo") as response:
        ours.into["exchangeInfo"].append(await response.read())


async def _read_until(
    socket: aiohttp.ClientWebSocketResponse, into: Recording, *marks: bytes, user_data: bool = False
) -> None:
    """Keep messages by their event's name until one holds all of these marks."""
    async with asyncio.timeout(60):
        while True:
            data = (await socket.receive()).data.encode()
            message: Mapping[str, Any] = json.loads(data)
            event = message["event"] if user_data else message
            name = str(event.get("e") or "bookTicker")
            into[name].append(json.dumps(event).encode() if user_data else data)
            if all(mark in data for mark in marks):
                return
