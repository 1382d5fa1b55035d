"""The API's server: uvicorn with our bounds, and an end that loses no answer.

    SIGTERM ──> draining: /readyz says so, new requests get 503, streams are told ──> what was asked is answered ──> end

A second signal ends the draining at once. What is not answered after `GRACE_S` is cut off; nothing is lost by it, since
an effect and its idempotency key are one transaction.
"""

from __future__ import annotations

import asyncio
import ssl
from types import FrameType
from typing import Any, Final, cast

import structlog
import uvicorn
from fastapi import FastAPI

from api.http_protocol import BoundedHttp, FramedWebSocket
from api.server.guard import Guarded, Limits, Timers

log = structlog.get_logger(__name__)

GRACE_S: Final = 10
WEBSOCKET_BYTES_MAX: Final = 64 * 1024
"""What a WebSocket says at once. More ends it."""


class Server(uvicorn.Server):
    """Serves one application until a signal, then drains.

    Args:
        app: What answers; `app.state.is_draining` tells it that the end is near.
        host: Where to listen.
        port: 0 is any that is free.
        tls: What `api.server.tls` made; without it plain HTTP.
        limits: Of connections.
        drain_s: How long new requests are still told 503, for a balancer to notice, before nobody listens any more.
        grace_s: What was asked is answered within this time.
        timers: What measures the limits' times, if not the loop.
    """

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        drain_s: float = 0.0,
        grace_s: int = GRACE_S,
        timers: Timers | None = None,
    ) -> None:
        guarded = type("GuardedHttp", (Guarded, BoundedHttp), {"limits": limits or Limits(), "timers": timers})
        factory: Any = None if tls is None else lambda _config, _default: tls
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=cast(Any, guarded),
            ws=FramedWebSocket,
            # Compressing each message for each reader anew would cost more than all else about a stream.
            ws_per_message_deflate=False,
            # Nobody has to say more than `MESSAGE_MAX`, and who says it is not known yet.
            ws_max_size=WEBSOCKET_BYTES_MAX,
            ssl_context_factory=factory,
            # Ours: one line of JSON a request, without its path. uvicorn's own would have a stream's ticket in it.
            log_config=None,
            log_level="warning",
            access_log=False,
            # uvicorn would believe X-Forwarded-For from loopback: whom to believe is in [api] trusted_proxies alone.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=grace_s,
        )
        super().__init__(config)
        self._api = app
        self._drain_s = drain_s
        self._cut_short = asyncio.Event()
        app.state.is_draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.drain()
        super().handle_exit(sig, frame)

    def drain(self) -> None:
        """Begin to end; asked again, end the draining now."""
        if self._api.state.is_draining:
            self._cut_short.set()
        self._api.state.is_draining = self.should_exit = True

    async def main_loop(self) -> None:
        await super().main_loop()
        self._api.state.is_draining = True
        log.info("server.draining", connections=len(self.server_state.connections), tasks=len(self.server_state.tasks))
        if self._drain_s and not self.force_exit:
            try:
                async with asyncio.timeout(self._drain_s):
                    await self._cut_short.wait()
            except TimeoutError:
                pass

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once it does."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return str(host), int(port)
