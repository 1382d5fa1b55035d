"""What speaks to the API's sockets, below uvicorn: HTTP/1.1 with a bounded head, WebSockets that share frames.

HTTP is read by httptools (llhttp), which is twice as fast as h11. llhttp bounds nothing by itself, so the head of a
request is bounded here: its line and headers, however they arrive.

A server's frames are not masked, so one message is the same bytes for everybody: whoever tells a thousand readers the
same thing writes its frame once (`api.streams.endpoint`).
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from api.core import figures
from api.streams.endpoint import EXTENSION

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX: Final = 16 * 1024


class BoundedHttp(HttpToolsProtocol):
    """One connection. A head beyond the bound is answered with 400, and the connection closed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_head = True
        self._has_completed = False
        """The chunk that is being read ended a request."""
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._has_completed = False
        super().data_received(data)
        if not self._is_head or self._has_completed or self.transport.is_closing():
            return
        # Counted after it was read, and not what another request ended in: a head may be one chunk beyond the bound.
        self._head_bytes += len(data)
        if self._head_bytes <= HEAD_BYTES_MAX:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # In the middle of another's answer nothing else may be said.
        else:
            self.send_400_response(f"a request's head has at most {HEAD_BYTES_MAX} bytes")

    def send_400_response(self, msg: str) -> None:
        log.warning("server.malformed", why=msg, address=self.client and self.client[0])
        figures.CONNECTIONS_CUT.labels("malformed").inc()
        super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        self._is_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_head = self._has_completed = True
        super().on_message_complete()


class FramedWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket; takes frames that are written already, by `send_frame` in its scope's extensions."""

    async def run_asgi(self) -> None:
        self.scope.setdefault("extensions", {})[EXTENSION] = {"send_frame": self.send_frame}
        await super().run_asgi()

    def send_frame(self, frame: bytes) -> bool:
        """Send one whole frame now; False, and nothing sent, where the connection is not as it supposes."""
        is_open = self.conn.state is State.OPEN and not self.conn.extensions
        if not is_open or self.disconnected or self.close_sent or not self.writable.is_set():
            return False
        self.transport.write(frame)
        return True
