"""WebSockets of our own: how they are opened, and what ends them."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from domain import VenueUnavailable

HEARTBEAT_S = 10.0
"""aiohttp pings this often and gives the connection up when no pong comes within half of it."""

Socket = aiohttp.ClientWebSocketResponse[Any]


async def open_socket(session: aiohttp.ClientSession, url: str, timeout_s: float) -> Socket:
    """Connect. Texts are given as bytes.

    Raises:
        TimeoutError, OSError, aiohttp.ClientError: There is no connection.
    """
    async with asyncio.timeout(timeout_s):
        return await session.ws_connect(
            url,
            heartbeat=HEARTBEAT_S,
            max_msg_size=16 * 2**20,
            decode_text=False,
            # A peer that is gone does not answer a close either.
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )


async def receive(socket: Socket) -> bytes:
    """Wait for one text.

    Raises:
        VenueUnavailable: The connection ended.
    """
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise VenueUnavailable(f"socket ended: {message.type.name} {socket.close_code}")
    data: bytes = message.data
    return data
