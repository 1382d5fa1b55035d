"""The real server on a real socket: who trickles, hoards or does not listen is let go, and an end loses no answer."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.core import figures
from api.server.guard import Guarded, Limits
from tests.api.logs import logging
from tests.api.server.conftest import PATIENCE_S

GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


async def opened(server):
    return await asyncio.open_connection(*server.address)


async def answered(reader) -> tuple[int, bytes]:
    """The status and the head of the next answer; its body is read away."""
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
    return int(head.split()[1]), head.lower()


async def ended(reader) -> bytes:
    """What came until the other side closed."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


def cut(why: str) -> float:
    """How many connections the figures say were cut for this."""
    return figures.REGISTRY.get_sample_value("capstan_connections_cut_total", {"why": why}) or 0.0


async def until(holds) -> None:
    """Wait until something holds that nobody announces."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)


async def test_a_head_that_trickles_is_not_waited_for_and_others_are_answered(serving, timers) -> None:
    async with serving(timers=timers) as (server, _):
        silent, _ = await opened(server)
        slow, writer = await opened(server)
        later, keeper = await opened(server)
        await until(lambda: timers.pending == 3)
        keeper.write(GET)
        assert (await answered(later))[0] == 200
        keeper.write(GET[:20])  # The second request of a connection that was good before.
        await until(lambda: timers.pending == 3)
        for byte in GET[:-1]:
            writer.write(bytes([byte]))
            await writer.drain()
            timers.advance(0.1)
        assert len(server.server_state.connections) == 3, "within the bound they are waited for"
        await until(lambda: [each._is_silent for each in server.server_state.connections].count(True) == 1)
        before = cut("slow_head"), cut("silent")
        with logging() as written:
            timers.advance(10)
        assert (cut("slow_head"), cut("silent")) == (before[0] + 2, before[1] + 1)
        assert [await ended(reader) for reader in (silent, slow, later)] == [b"", b"", b""]
        lines = [(line["why"], line["level"], line["address"]) for line in written.all(event="server.given_up")]
        here = server.address[0]
        assert sorted(lines) == [("silent", "info", here), *[("slow_head", "warning", here)] * 2]
        good, writer = await opened(server)
        writer.write(GET)
        assert (await answered(good))[0] == 200
        await until(lambda: timers.pending == 0)


async def test_a_request_that_takes_long_to_answer_is_no_slow_head(serving, timers) -> None:
    async with serving(timers=timers) as (server, app):
        reader, writer = await opened(server)
        writer.write(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.asked.wait()
        timers.advance(3_600)
        app.release.set()
        assert (await answered(reader))[0] == 200


async def test_a_stream_is_no_slow_head(serving, timers) -> None:
    async with (
        serving(timers=timers) as (server, _),
        connect(f"ws://127.0.0.1:{server.address[1]}/open") as socket,
    ):
        assert timers.pending == 0
        timers.advance(3_600)
        await (await socket.ping())


async def test_who_takes_nothing_of_an_answer_is_let_go(serving, timers) -> None:
    async with serving(timers=timers) as (server, _):
        _reader, writer = await opened(server)
        writer.transport.pause_reading()
        writer.write(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: server.server_state.tasks and timers.pending == 1)
        with logging() as written:
            timers.advance(30)
        line = written.one(event="server.given_up")
        assert (line["why"], line["level"], line["address"]) == ("stalled", "warning", server.address[0])
        await until(lambda: not server.server_state.connections and not server.server_state.tasks)
        writer.transport.abort()


async def test_connections_beyond_the_bound_are_closed_and_a_place_that_is_free_is_given(serving) -> None:
    async with serving(limits=Limits(connections=3)) as (server, _):
        held = [await opened(server) for _ in range(3)]
        for reader, writer in held:
            writer.write(GET)
            assert (await answered(reader))[0] == 200
        before = cut("connections")
        with logging() as written:
            one_more, _ = await opened(server)
            assert await ended(one_more) == b""
        assert cut("connections") == before + 1
        line = written.one(event="server.too_many")
        assert (line["why"], line["level"], line["address"]) == ("connections", "warning", server.address[0])
        held[0][1].close()
        await until(lambda: len(server.server_state.connections) == 2)
        reader, writer = await opened(server)
        writer.write(GET)
        assert (await answered(reader))[0] == 200


@pytest.mark.parametrize(
    ("address", "trusted", "is_let"),
    [
        ("203.0.113.7", (), False),
        ("203.0.113.7", ("203.0.113.0/24",), True),
        ("127.0.0.1", (), True),
        ("2001:db8::7", (), False),
    ],
)
def test_one_address_has_so_many_places(address: str, trusted: tuple[str, ...], is_let: bool) -> None:
    class Base:
        def __init__(self, client, connections):
            self.client, self.connections, self.cycle, self.is_aborted = client, connections, None, False
            self.loop, self.transport = self, self

        def connection_made(self, _transport):
            self.connections.add(self)

        def call_later(self, *_):
            return None

        def abort(self):
            self.is_aborted = True

    limits = Limits(per_address=2, trusted=tuple(map(ip_network, trusted)))
    kind = type("Connection", (Guarded, Base), {"limits": limits})
    others: set = set()
    made = [kind((client, 1), others) for client in (address, address, "198.51.100.1", address)]
    for connection in made:
        connection.connection_made(connection)
    assert [connection.is_aborted for connection in made] == [False, False, False, not is_let]


async def test_an_end_answers_what_was_asked_refuses_what_comes_and_tells_streams(serving) -> None:
    async with serving(drain_s=3_600, grace_s=3_600) as (server, app):
        reader, writer = await opened(server)
        writer.write(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.asked.wait()
        stream = await connect(f"ws://127.0.0.1:{server.address[1]}/open")
        server.drain()

        late, later = await opened(server)
        later.write(b"GET /v1/instruments HTTP/1.1\r\nhost: x\r\n\r\n")
        status, head = await answered(late)
        assert (status, b"retry-after: 1" in head, b"connection: close" in head) == (503, True, True)
        late, later = await opened(server)
        later.write(GET)
        assert (await answered(late))[0] == 200, "it is still alive"

        server.drain()
        with pytest.raises(ConnectionClosed) as told:
            async with asyncio.timeout(PATIENCE_S):
                await stream.recv()
        assert told.value.rcvd is not None
        assert told.value.rcvd.code == 1012
        app.release.set()
        assert (await answered(reader))[0] == 200
        assert await ended(reader) == b""


async def test_a_second_signal_ends_the_draining(serving) -> None:
    async with serving(drain_s=3_600) as (server, _):
        server.drain()
        server.drain()
        await until(lambda: not server.servers[0].is_serving())
