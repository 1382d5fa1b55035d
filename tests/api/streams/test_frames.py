"""A frame that was written once for all reaches a reader whole, in its turn, where the connection is plain."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from api.http_protocol import BoundedHttp, FramedWebSocket
from api.streams.endpoint import EXTENSION


async def telling(scope, receive, send):
    """Send a text the usual way, one as a frame, and whether that was possible."""
    send_frame = scope["extensions"][EXTENSION]["send_frame"]
    frame = Frame(Opcode.TEXT, b"as a frame").serialize(mask=False)
    assert (await receive())["type"] == "websocket.connect"
    early = send_frame(frame)
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "first"})
    could = send_frame(frame)
    await send({"type": "websocket.send", "text": f"{early} {could}"})
    await send({"type": "websocket.close", "code": 1000})
    assert not send_frame(frame)


@pytest.mark.parametrize("is_compressed", [False, True])
async def test_a_plain_connection_takes_frames_and_one_with_extensions_does_not(is_compressed):
    config = Config(
        telling,
        http=BoundedHttp,
        ws=FramedWebSocket,
        ws_per_message_deflate=True,
        lifespan="off",
        log_config=None,
        log_level="critical",
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttp(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        compression = "deflate" if is_compressed else None
        async with connect(f"ws://127.0.0.1:{port}/", compression=compression, open_timeout=60) as socket:
            heard = [message async for message in socket]
        assert heard == (["first", "False False"] if is_compressed else ["first", "as a frame", "False True"])
