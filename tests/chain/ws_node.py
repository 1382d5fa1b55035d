"""A node of our own with a WebSocket: it reorganises with `removed` logs (anvil sends none) and fails on purpose."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from runtime.processes import free_port

CONTRACT = "0x00000000000000000000000000000000000000c0"


class WsNode:
    """A chain of blocks with a few logs each.

    `mine` and `reorganise` announce what they do; `cut` ends every connection until `restore`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.port = free_port("127.0.0.1")
        self.random = random.Random(seed)
        self.chain: list[dict[str, Any]] = []
        self.sockets: dict[web.WebSocketResponse, dict[str, str]] = {}
        self.is_up = True
        self.refuses: set[str] = set()
        self.chain_id = 1337
        self.connected = asyncio.Event()
        self._grow(3)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[WsNode]:
        application = web.Application()
        application.router.add_post("/", self._http)
        application.router.add_get("/", self._ws)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await self.cut()
            await runner.cleanup()

    # --- what happens on the chain

    def _grow(self, count: int) -> list[dict[str, Any]]:
        made = []
        for _ in range(count):
            number = len(self.chain)
            block_hash = f"0x{self.random.getrandbits(256):064x}"
            parent = self.chain[-1]["hash"] if self.chain else "0x" + "00" * 32
            block = {
                "number": hex(number),
                "hash": block_hash,
                "parentHash": parent,
                "timestamp": hex(number),
                "baseFeePerGas": "0x7",
                "gasUsed": "0x0",
                "gasLimit": "0x0",
                "logs": [self._log(number, block_hash, index) for index in range(self.random.randint(0, 3))],
            }
            self.chain.append(block)
            made.append(block)
        return made

    @staticmethod
    def _log(number: int, block_hash: str, index: int) -> dict[str, Any]:
        return {
            "address": CONTRACT,
            "topics": [],
            "data": block_hash,
            "blockNumber": hex(number),
            "blockHash": block_hash,
            "transactionHash": "0x" + "11" * 32,
            "logIndex": hex(index),
        }

    async def mine(self, count: int = 1) -> None:
        for block in self._grow(count):
            await self._announce("newHeads", self._header(block))
            for entry in block["logs"]:
                await self._announce("logs", entry)

    async def reorganise(self, depth: int, count: int) -> None:
        """Replace the last `depth` blocks by `count` others, saying so."""
        lost = self.chain[-depth:]
        del self.chain[-depth:]
        for block in reversed(lost):
            for entry in reversed(block["logs"]):
                await self._announce("logs", {**entry, "removed": True})
        await self.mine(count)

    async def wait_pending(self, transaction: Any) -> None:
        await self._announce("newPendingTransactions", transaction)

    async def cut(self) -> None:
        """End every connection and take no other; the chain goes on."""
        self.is_up = False
        self.connected.clear()
        for socket in list(self.sockets):
            await socket.close()
        self.sockets.clear()

    def restore(self) -> None:
        """Take connections again."""
        self.is_up = True

    async def say(self, text: str) -> None:
        """Send raw text to everybody."""
        for socket in list(self.sockets):
            await socket.send_str(text)

    def logs(self) -> list[tuple[str, int]]:
        """What should have been told, as (block hash, index)."""
        return [(block["hash"], int(entry["logIndex"], 16)) for block in self.chain for entry in block["logs"]]

    # --- the wire

    @staticmethod
    def _header(block: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in block.items() if key != "logs"}

    async def _announce(self, kind: str, result: Any) -> None:
        for socket, kinds in list(self.sockets.items()):
            if kind in kinds:
                params = {"subscription": kinds[kind], "result": result}
                await socket.send_str(json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}))

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        if not self.is_up:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        kinds: dict[str, str] = {}
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            if asked["method"] == "eth_subscribe" and asked["params"][0] not in self.refuses:
                kinds[asked["params"][0]] = f"0x{len(kinds) + 10:x}"
                self.sockets[socket] = kinds
                result: Any = {"result": kinds[asked["params"][0]]}
            elif asked["method"] == "eth_subscribe":
                result = {"error": {"code": -32601, "message": "no such subscription"}}
            else:
                result = {"result": self._answer(asked["method"], asked["params"])}
            await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **result}))
            if len(kinds) >= 2:
                self.connected.set()
        self.sockets.pop(socket, None)
        return socket

    async def _http(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        entries = asked if isinstance(asked, list) else [asked]
        answers = [
            {"jsonrpc": "2.0", "id": entry["id"], "result": self._answer(entry["method"], entry["params"])}
            for entry in entries
        ]
        return web.json_response(answers if isinstance(asked, list) else answers[0])

    def _answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            number = len(self.chain) - 1 if params[0] == "latest" else int(params[0], 16)
            return self._header(self.chain[number]) if number < len(self.chain) else None
        if method == "eth_getLogs":
            first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            return [entry for block in self.chain[first : last + 1] for entry in block["logs"]]
        raise AssertionError(f"the fake node was asked {method}")
