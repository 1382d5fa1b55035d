"""Loopback servers that speak the public streams of OKX, Kraken and Bitfinex, each with its checksum.

The book is kept in texts; checksums are computed the plain way of the venues' documentation, beside the code under
test. A change can be kept from some connections, or sent to them with a wrong checksum.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from zlib import crc32

from aiohttp import WSMsgType, web


class CheckedVenue(ABC):
    """One market. `bids` and `asks` are size by price, both as text."""

    url = ""
    paths: tuple[str, ...]

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.sockets: list[web.WebSocketResponse] = []
        """Open connections, the oldest first."""
        self.accepted = 0
        self.received: list[Any] = []
        self.sequence = 100

    async def change(
        self, price: str, qty: str, *, is_bid: bool, lost_on: Collection[int] = (), wrong_on: Collection[int] = ()
    ) -> None:
        """Set a level and tell it; not on the connections `lost_on`, with a wrong checksum on those `wrong_on`."""
        before = self.sequence
        self.sequence += 1
        side = self.bids if is_bid else self.asks
        if Decimal(qty):
            side[price] = qty
        else:
            side.pop(price, None)
        for number, socket in enumerate(list(self.sockets)):
            for message in self.update(price, qty, is_bid, before, socket, wrong=number in wrong_on):
                if number not in lost_on:
                    await socket.send_str(message)

    async def trade(self, number: int, price: str, qty: str, *, is_sell: bool) -> None:
        for socket in self.sockets:
            await socket.send_str(self.trade_message(number, price, qty, is_sell, socket))

    def ordered(self, *, is_bid: bool) -> list[tuple[str, str]]:
        side = self.bids if is_bid else self.asks
        return sorted(side.items(), key=lambda level: Decimal(level[0]), reverse=is_bid)

    @abstractmethod
    def subscribed(self, request: Any, socket: web.WebSocketResponse) -> list[str]: ...

    @abstractmethod
    def update(
        self, price: str, qty: str, is_bid: bool, before: int, socket: web.WebSocketResponse, *, wrong: bool
    ) -> list[str]: ...

    @abstractmethod
    def trade_message(self, number: int, price: str, qty: str, is_sell: bool, socket: web.WebSocketResponse) -> str: ...

    async def serve_stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.accepted += 1
        self.sockets.append(socket)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                if message.data == "ping":
                    await socket.send_str("pong")
                    continue
                self.received.append(json.loads(message.data))
                for answer in self.subscribed(self.received[-1], socket):
                    await socket.send_str(answer)
        finally:
            self.sockets.remove(socket)
        return socket

    async def rest(self, request: web.Request) -> web.Response:
        return web.json_response(self.answer(request.path, dict(request.query)))

    def answer(self, path: str, query: dict[str, str]) -> Any:
        raise web.HTTPNotFound(text=f"{path} {query}")


def signed(text: str) -> int:
    unsigned = crc32(text.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


class Okx(CheckedVenue):
    paths = ("/ws/v5/public",)

    def checksum(self) -> int:
        bids, asks = self.ordered(is_bid=True)[:25], self.ordered(is_bid=False)[:25]
        parts = []
        for rank in range(25):
            parts += [f"{p}:{q}" for p, q in (*bids[rank : rank + 1], *asks[rank : rank + 1])]
        return signed(":".join(parts))

    def depth(self, action: str, bids: Any, asks: Any, before: int, checksum: int) -> str:
        def rows(levels: Any) -> Any:
            return [[price, qty, "0", "1"] for price, qty in levels]

        data = {
            "asks": rows(asks),
            "bids": rows(bids),
            "ts": str(1_700_000_000_000 + self.sequence),
            "checksum": checksum,
            "prevSeqId": before,
            "seqId": self.sequence,
        }
        return json.dumps({"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [data]})

    def subscribed(self, request: Any, socket: web.WebSocketResponse) -> list[str]:
        assert request["op"] == "subscribe"
        answers = [json.dumps({"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}) for arg in request["args"]]
        bids, asks = self.ordered(is_bid=True), self.ordered(is_bid=False)
        return [*answers, self.depth("snapshot", bids, asks, -1, self.checksum())]

    def update(
        self, price: str, qty: str, is_bid: bool, before: int, socket: web.WebSocketResponse, *, wrong: bool
    ) -> list[str]:
        level = [(price, qty)]
        checksum = self.checksum() + wrong
        return [self.depth("update", level if is_bid else [], [] if is_bid else level, before, checksum)]

    def trade_message(self, number: int, price: str, qty: str, is_sell: bool, socket: web.WebSocketResponse) -> str:
        row = {
            "instId": "BTC-USDT",
            "tradeId": str(number),
            "px": price,
            "sz": qty,
            "side": "sell" if is_sell else "buy",
            "ts": "1700000000123",
        }
        return json.dumps({"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [row]})

    def answer(self, path: str, query: dict[str, str]) -> Any:
        if path == "/api/v5/public/time":
            return {"code": "0", "data": [{"ts": "1700000000000"}], "msg": ""}
        if path == "/api/v5/public/instruments":
            return {"code": "0", "data": [_OKX_SPOT] if query["instType"] == "SPOT" else [], "msg": ""}
        if path == "/api/v5/market/books":
            sides = {
                name: [[p, q, "0", "1"] for p, q in self.ordered(is_bid=is_bid)]
                for name, is_bid in (("bids", True), ("asks", False))
            }
            return {"code": "0", "data": [{**sides, "ts": "1700000000000"}], "msg": ""}
        return super().answer(path, query)


_OKX_SPOT = {
    "instType": "SPOT", "instId": "BTC-USDT", "uly": "", "instFamily": "", "category": "1", "baseCcy": "BTC",
    "quoteCcy": "USDT", "settleCcy": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "optType": "", "stk": "",
    "listTime": "1548133413000", "expTime": "", "lever": "10", "tickSz": "0.1", "lotSz": "0.00000001",
    "minSz": "0.00001", "ctType": "", "alias": "", "state": "live", "ruleType": "normal",
}  # fmt: skip


class Kraken(CheckedVenue):
    """Tells a level, too, when it comes into the depth that is subscribed; not when it leaves it."""

    paths = ("/v2",)

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[web.WebSocketResponse, tuple[dict[str, str], dict[str, str]]] = {}
        self.depth_of: dict[web.WebSocketResponse, int] = {}

    def checksum(self) -> int:
        levels = self.ordered(is_bid=False)[:10] + self.ordered(is_bid=True)[:10]
        return crc32("".join(n.replace(".", "").lstrip("0") for level in levels for n in level).encode())

    def depth(self, kind: str, bids: Any, asks: Any, checksum: int) -> str:
        # By hand: Kraken's numbers keep zeros at their end.
        def rows(levels: Any) -> str:
            return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels)

        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{rows(bids)}],'
            f'"asks":[{rows(asks)}],"checksum":{checksum},'
            f'"timestamp":"2023-10-06T17:35:55.{self.sequence:06}Z"}}]}}'
        )

    def subscribed(self, request: Any, socket: web.WebSocketResponse) -> list[str]:
        if request["method"] == "ping":
            return ['{"method":"pong","time_in":"2023-10-06T17:35:55Z","time_out":"2023-10-06T17:35:55Z"}']
        assert request["params"]["symbol"] == ["BTC/USD"]
        answer = json.dumps({"method": "subscribe", "success": True, "result": request["params"]})
        if request["params"]["channel"] != "book":
            return [answer]
        self.depth_of[socket] = request["params"]["depth"]
        bids, asks = self.shown[socket] = self.visible(socket)
        snapshot = self.depth("snapshot", bids.items(), asks.items(), self.checksum())
        return [answer, '{"channel":"heartbeat"}', snapshot]

    def visible(self, socket: web.WebSocketResponse) -> tuple[dict[str, str], dict[str, str]]:
        depth = self.depth_of[socket]
        return dict(self.ordered(is_bid=True)[:depth]), dict(self.ordered(is_bid=False)[:depth])

    def update(
        self, price: str, qty: str, is_bid: bool, before: int, socket: web.WebSocketResponse, *, wrong: bool
    ) -> list[str]:
        shown, now = self.shown[socket], self.visible(socket)
        self.shown[socket] = now
        changed = [
            [level for level in after.items() if before_of.get(level[0]) != level[1]]
            for before_of, after in zip(shown, now, strict=True)
        ]
        if not Decimal(qty):
            changed[0 if is_bid else 1].insert(0, (price, "0.00000000"))
        return [self.depth("update", *changed, self.checksum() ^ wrong)]

    def trade_message(self, number: int, price: str, qty: str, is_sell: bool, socket: web.WebSocketResponse) -> str:
        side = "sell" if is_sell else "buy"
        return (
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"{side}","price":{price},'
            f'"qty":{qty},"ord_type":"limit","trade_id":{number},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
        )


class Bitfinex(CheckedVenue):
    """Price levels; one order a level where the book is asked for raw."""

    paths = ("/ws/2",)
    book_channel, trade_channel = 17, 18

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[web.WebSocketResponse, int] = {}
        self.is_raw = False
        self.orders: dict[tuple[bool, str], int] = {}

    def numbered(self, socket: web.WebSocketResponse, body: str) -> str:
        self.numbers[socket] = self.numbers.get(socket, 0) + 1
        return f"[{body},{self.numbers[socket]}]"

    def order(self, is_bid: bool, price: str) -> int:
        return self.orders.setdefault((is_bid, price), 5_000 + len(self.orders))

    def checksum(self) -> int:
        sides = []
        for is_bid in (True, False):
            rows = []
            for price, qty in self.ordered(is_bid=is_bid)[:25]:
                rows.append(f"{self.order(is_bid, price) if self.is_raw else price}:{'' if is_bid else '-'}{qty}")
            sides.append(rows)
        parts = []
        for rank in range(25):
            for rows in sides:
                parts += rows[rank : rank + 1]
        return signed(":".join(parts))

    def row(self, price: str, qty: str, is_bid: bool) -> str:
        is_gone, sign = not Decimal(qty), "" if is_bid else "-"
        if self.is_raw:
            return f"[{self.order(is_bid, price)},{0 if is_gone else price},{sign}{1 if is_gone else qty}]"
        return f"[{price},{0 if is_gone else 1},{sign}{1 if is_gone else qty}]"

    def subscribed(self, request: Any, socket: web.WebSocketResponse) -> list[str]:
        if request["event"] == "ping":
            return ['{"event":"pong","ts":1700000000000}']
        if request["event"] == "conf":
            assert request["flags"] == 65_536 + 131_072
            return ['{"event":"conf","status":"OK"}']
        assert (request["event"], request["symbol"]) == ("subscribe", "tBTCUSD")
        channel = self.book_channel if request["channel"] == "book" else self.trade_channel
        answer = json.dumps({**request, "event": "subscribed", "chanId": channel})
        if channel == self.trade_channel:
            return [answer, self.numbered(socket, f"{channel},[[1,1700000000000,0.5,20000]]")]
        self.is_raw = request["prec"] == "R0"
        rows = [self.row(p, q, is_bid) for is_bid in (True, False) for p, q in self.ordered(is_bid=is_bid)]
        return [answer, self.numbered(socket, f"{channel},[{','.join(rows)}]")]

    def update(
        self, price: str, qty: str, is_bid: bool, before: int, socket: web.WebSocketResponse, *, wrong: bool
    ) -> list[str]:
        changed = self.numbered(socket, f"{self.book_channel},{self.row(price, qty, is_bid)}")
        return [changed, self.numbered(socket, f'{self.book_channel},"cs",{self.checksum() + wrong}')]

    def trade_message(self, number: int, price: str, qty: str, is_sell: bool, socket: web.WebSocketResponse) -> str:
        row = f"[{number},1700000000123,{'-' if is_sell else ''}{qty},{price}]"
        return self.numbered(socket, f'{self.trade_channel},"te",{row}')


VENUES: dict[str, type[CheckedVenue]] = {"bitfinex": Bitfinex, "kraken": Kraken, "okx": Okx}


@asynccontextmanager
async def serving(venue: CheckedVenue) -> AsyncIterator[CheckedVenue]:
    """Serve on a free port."""
    app = web.Application()
    for path in venue.paths:
        app.router.add_get(path, venue.serve_stream)
    app.router.add_get("/{path:.*}", venue.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    venue.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield venue
    finally:
        for socket in list(venue.sockets):
            await socket.close()
        await runner.cleanup()
