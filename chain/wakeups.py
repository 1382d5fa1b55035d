"""New heads by WebSocket: a hint to look now. What happened is still asked for, so a lost message loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec
import structlog

from domain.errors import InputError

log = structlog.get_logger(__name__)

_SUBSCRIBE = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
_PAUSES_S = (0.1, 0.5, 2.0, 10.0)
_HEARTBEAT_S = 10.0
_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=2.0)


class HeadWakeups:
    """Calls `wake` whenever a node announces a block. Reconnects for ever; polling goes on meanwhile."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise InputError("head wake-ups need a ws:// or wss:// URL")
        self._url = url
        self._wake = wake
        self.connections = 0

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.ws_connect(self._url, heartbeat=_HEARTBEAT_S, timeout=_TIMEOUT) as socket:
                        await socket.send_str(_SUBSCRIBE.decode())
                        self.connections += 1
                        async for message in socket:
                            failures = 0
                            if message.type is aiohttp.WSMsgType.TEXT:
                                self._wake()
                except (aiohttp.ClientError, OSError) as exc:
                    log.info("chain.wakeups_lost", reason=type(exc).__name__)
                self._wake()
                pause = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                failures += 1
                await asyncio.sleep(pause)
