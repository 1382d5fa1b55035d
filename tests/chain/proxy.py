"""A real HTTP server between the client and anvil that fails on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from aiohttp import ClientSession, web

from runtime.processes import free_port


class Mode(Enum):
    PASS = "pass it on"
    DROP = "close the connection without asking the node"
    LOSE_ANSWER = "ask the node, then close the connection"
    HANG = "accept and never answer"
    GARBAGE = "answer something that is not JSON"
    OVERLOADED = "answer HTTP 503 with an empty JSON object"
    THROTTLED = "answer HTTP 429"
    LIMITED = "answer JSON-RPC error -32005"
    NO_BATCHES = "refuse batches as a whole"
    OTHER_CHAIN = "pass on, but claim chain id 99"
    SHUFFLE = "answer batches in reverse order"
    DROP_ONCE = "close the connection at the next question, then pass on"
    LAGGING = "say that the block is not known here yet"
    SWALLOW = "take transactions and keep them"
    PARTLY = "serve no method that begins with debug_"


class Proxy:
    """Forwards JSON-RPC to `target` as `mode` says; `calls` counts what arrived by method."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.port = free_port()
        self.mode = Mode.PASS
        self.calls: list[str] = []
        self.raws: list[str] = []
        """Signed transactions that arrived here, as they were sent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        application = web.Application()
        application.router.add_post("/{any:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = json.loads(body)
        methods = [entry["method"] for entry in (asked if isinstance(asked, list) else [asked])]
        self.calls += methods
        entries = asked if isinstance(asked, list) else [asked]
        self.raws += [entry["params"][0] for entry in entries if entry["method"] == "eth_sendRawTransaction"]
        if self.mode is Mode.HANG:
            await asyncio.Event().wait()
        if self.mode is Mode.DROP_ONCE:
            self.mode = Mode.PASS
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        canned = self._canned(asked)
        if canned is not None:
            return canned
        if self.mode is not Mode.DROP:
            async with (
                ClientSession() as session,
                session.post(self.target, data=body, headers={"content-type": "application/json"}) as answer,
            ):
                text = await answer.read()
        if self.mode in (Mode.DROP, Mode.LOSE_ANSWER):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if self.mode is Mode.OTHER_CHAIN and methods == ["eth_chainId"]:
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": "0x63"})
        if self.mode is Mode.SHUFFLE and isinstance(asked, list):
            return web.json_response(json.loads(text)[::-1])
        return web.Response(body=text, content_type="application/json")

    def _canned(self, asked: Any) -> web.Response | None:
        """What a failing node says without looking at the question."""
        if self.mode is Mode.GARBAGE:
            return web.Response(text="<html>502</html>")
        if self.mode is Mode.OVERLOADED:
            return web.Response(text="{}", status=503)
        if self.mode is Mode.THROTTLED:
            return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})
        if self.mode is Mode.LIMITED:
            refusal = {"code": -32005, "message": "daily request count exceeded"}
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": refusal})
        if self.mode is Mode.NO_BATCHES and isinstance(asked, list):
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}})
        return self._refusal(asked)

    def _refusal(self, asked: Any) -> web.Response | None:
        """What a node says that could not know the answer."""
        entries = asked if isinstance(asked, list) else [asked]
        if self.mode is Mode.LAGGING and not any(entry["method"] == "eth_chainId" for entry in entries):
            refusal = {"code": -32000, "message": "header not found"}
            answers = [{"jsonrpc": "2.0", "id": entry["id"], "error": refusal} for entry in entries]
            return web.json_response(answers if isinstance(asked, list) else answers[0])
        if self.mode is Mode.SWALLOW and entries[0]["method"] == "eth_sendRawTransaction":
            taken = [{"jsonrpc": "2.0", "id": entry["id"], "result": "0x" + "00" * 32} for entry in entries]
            return web.json_response(taken if isinstance(asked, list) else taken[0])
        if self.mode is Mode.PARTLY and entries[0]["method"].startswith("debug_"):
            refusal = {"code": -32601, "message": "the method does not exist"}
            return web.json_response({"jsonrpc": "2.0", "id": entries[0]["id"], "error": refusal})
        return None
