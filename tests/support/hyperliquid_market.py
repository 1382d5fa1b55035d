"""More of Hyperliquid on loopback, for clients that follow its market: books, lists of orders, streams, fees.

What is verified and matched stands in `tests.support.hyperliquid`; this answers the other questions from its state, and
tells whoever subscribed of each change.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.support.hyperliquid import HyperliquidServer, Resting


@dataclass
class Reader:
    """One WebSocket: what it subscribed to, and what was told already."""

    outbox: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    topics: list[dict[str, Any]] = field(default_factory=list)
    fills_told: int = 0
    orders_told: dict[int, tuple[str, Decimal]] = field(default_factory=dict)


@dataclass
class HyperliquidMarket(HyperliquidServer):
    """State and handlers; `app()` serves it."""

    funding: str = "0.0000125"
    readers: list[Reader] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    """Types of the questions that came."""

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_get("/ws", self._stream)
        return app

    def trade_as(self, account: str, coin: str, side: str, price: str, size: str, tif: str = "Gtc") -> dict[str, Any]:
        """Let an account place an order without a signature; whoever listens is told."""
        number = list(self.coins).index(coin)
        request = {"a": number, "b": side == "buy", "p": price, "s": size, "r": False, "t": {"limit": {"tif": tif}}}
        answer = self._order(account, request | {"c": f"0x{next(self._cloids):032x}"})
        assert "error" not in answer, answer
        self.tell()
        return answer

    def tell(self) -> None:
        """Tell every reader what is new to it."""
        for reader in self.readers:
            for topic in reader.topics:
                self._tell(reader, topic)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._cloids = itertools.count(1 << 64)

    # --- questions

    def _info(self, request: dict[str, Any]) -> Any:  # noqa: PLR0911, a table
        account, kind = str(request.get("user", "")).lower(), request["type"]
        self.questions.append(kind)
        match kind:
            case "exchangeStatus":
                return {"time": self.now_ms(), "specialStatuses": None}
            case "l2Book":
                return self._book(request["coin"])
            case "userAbstraction":
                return "disabled"
            case "userFees":
                return {"userCrossRate": "0.00045", "userAddRate": "0.00015"}
            case "frontendOpenOrders" | "openOrders":
                return [self._row(order) for order in self._of(account) if order.status == "open"]
            case "historicalOrders":
                return [
                    {"order": self._row(order), "status": order.status, "statusTimestamp": order.time_ms}
                    for order in self._of(account)
                ]
            case "userFills":
                return [
                    {name: value for name, value in fill.items() if name != "account"}
                    for fill in reversed(self.fills)
                    if fill["account"] == account
                ]
            case "clearinghouseState":
                return self._state(account)
            case _:
                return super()._info(request)

    def _state(self, account: str) -> dict[str, Any]:
        rows = []
        for (who, coin), (size, entry) in self.positions.items():
            if who == account and size:
                position = {"coin": coin, "szi": f"{size:f}", "entryPx": f"{entry:f}", "unrealizedPnl": "0.5"}
                position |= {"leverage": {"type": "cross", "value": 20}, "liquidationPx": "1234.5", "marginUsed": "1"}
                rows.append({"type": "oneWay", "position": position | {"positionValue": f"{abs(size) * entry:f}"}})
        summary = {"accountValue": "1000.25", "totalMarginUsed": "0", "totalNtlPos": "0", "totalRawUsd": "1000.25"}
        return {
            "assetPositions": rows,
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "withdrawable": "1000.25",
            "time": self.now_ms(),
        }

    def _of(self, account: str) -> list[Resting]:
        return [order for order in self.orders.values() if order.account == account]

    def _row(self, order: Resting) -> dict[str, Any]:
        return {
            "coin": order.coin,
            "side": "B" if order.is_buy else "A",
            "limitPx": f"{order.price:f}",
            "sz": f"{order.left:f}",
            "origSz": f"{order.size:f}",
            "oid": order.oid,
            "cloid": order.cloid,
            "timestamp": order.time_ms,
            "orderType": "Limit",
            "tif": "Gtc",
            "reduceOnly": False,
        }

    def _book(self, coin: str) -> dict[str, Any]:
        sides: list[list[dict[str, Any]]] = []
        for is_buy in (True, False):
            levels: dict[Decimal, Decimal] = {}
            for order in self.orders.values():
                if (order.coin, order.status, order.is_buy) == (coin, "open", is_buy):
                    levels[order.price] = levels.get(order.price, Decimal(0)) + order.left
            best_first = sorted(levels, reverse=is_buy)
            sides.append([{"px": f"{price:f}", "sz": f"{levels[price]:f}", "n": 1} for price in best_first])
        return {"coin": coin, "time": self.now_ms(), "levels": sides}

    # --- acting and streams

    def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super()._act(request)
        self.tell()
        return answer

    async def _stream(self, http: web.Request) -> web.WebSocketResponse:
        socket, reader = web.WebSocketResponse(), Reader()
        await socket.prepare(http)
        self.readers.append(reader)
        writing = asyncio.create_task(self._write(socket, reader))
        try:
            async for message in socket:
                self._take(reader, json.loads(message.data))
        finally:
            self.readers.remove(reader)
            writing.cancel()
        return socket

    async def _write(self, socket: web.WebSocketResponse, reader: Reader) -> None:
        while True:
            await socket.send_json(await reader.outbox.get())

    def _take(self, reader: Reader, message: dict[str, Any]) -> None:
        if message["method"] == "ping":
            reader.outbox.put_nowait({"channel": "pong"})
            return
        topic = message["subscription"]
        reader.outbox.put_nowait({"channel": "subscriptionResponse", "data": message})
        reader.topics.append(topic)
        if topic["type"] == "userFills":
            reader.fills_told = len(self.fills)
        self._tell(reader, topic)

    def _tell(self, reader: Reader, topic: dict[str, Any]) -> None:
        account = str(topic.get("user", "")).lower()
        match topic["type"]:
            case "l2Book":
                reader.outbox.put_nowait({"channel": "l2Book", "data": self._book(topic["coin"])})
            case "userFills":
                news = [fill for fill in self.fills[reader.fills_told :] if fill["account"] == account]
                reader.fills_told = len(self.fills)
                if news:
                    fills = [{name: value for name, value in fill.items() if name != "account"} for fill in news]
                    reader.outbox.put_nowait({"channel": "userFills", "data": {"user": account, "fills": fills}})
            case "orderUpdates":
                changed = [o for o in self._of(account) if reader.orders_told.get(o.oid) != (o.status, o.left)]
                reader.orders_told |= {order.oid: (order.status, order.left) for order in changed}
                if changed:
                    rows = [
                        {"order": self._row(order), "status": order.status, "statusTimestamp": order.time_ms}
                        for order in changed
                    ]
                    reader.outbox.put_nowait({"channel": "orderUpdates", "data": rows})
