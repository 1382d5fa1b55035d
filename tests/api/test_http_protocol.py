"""The head of a request is bounded, however it arrives; what is within the bound is answered."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from api.http_protocol import HEAD_BYTES_MAX, BoundedHttp


async def echo(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connection():
    config = Config(
        echo, http=BoundedHttp, ws="none", lifespan="off", access_log=False, log_config=None, log_level="critical"
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttp(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            yield reader, writer
        finally:
            writer.close()


async def answer(reader, body: bytes) -> bytes:
    """The head of an answer whose body is this."""
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
    return head


async def test_requests_with_large_bodies_follow_one_another():
    async with connection() as (reader, writer):
        for size in (0, 40, 3 * HEAD_BYTES_MAX, 41):
            writer.write(f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode() + b"b" * size)
            assert (await answer(reader, str(size).encode())).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "piece", [b"x-name: value\r\n", b"v" * 1_000, b"x: " + b"y" * 997], ids=["headers", "a header", "a long one"]
)
async def test_a_head_without_an_end_is_cut_off(piece):
    async with connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ")
        async with asyncio.timeout(60):
            told = asyncio.ensure_future(reader.read())
            sent = 0
            while not told.done() and sent < 100 * HEAD_BYTES_MAX:
                writer.write(piece)
                sent += len(piece)
                try:
                    await writer.drain()
                except ConnectionError:
                    break
                await asyncio.sleep(0)
            try:
                said = await told
            except ConnectionError:
                said = b"HTTP/1.1 400"  # It closed with bytes of ours unread: the kernel may tell that first.
        assert said.startswith(b"HTTP/1.1 400")
        assert sent < 100 * HEAD_BYTES_MAX
