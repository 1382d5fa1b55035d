"""A thousand readers of one channel: what a second of it costs, what nobody may feel, and how fast all come back.

Server and readers are a process each, on the same two cores. The peer is what one writes first, a loop for each
connection that sends JSON, in the same server and run by turns. Processor time is of the server's process, by the
kernel's own count, with everything it does for a reader: publication, sending, standing looked up every second, beats.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import uvloop

from api.auth.signing import sign_request
from bench.http_load import ask, request
from bench.rows import Row, bound_row, notes
from bench.stream_load import Client, Heard, connect, following
from runtime.base64url import decode64
from runtime.processes import die_with_parent

CLIENTS: Final = 1_000
CORE_SHARE: Final = 0.10
HUB_SHARE: Final = 0.5
SLOW_SHARE: Final = 1.2
RESUME_S: Final = 2.0
_SECONDS: Final = 8.0
_ROUNDS: Final = 3
_TICKETS: Final = "/v1/stream-tickets"


@dataclass
class Server:
    """The process that is measured."""

    pid: int
    port: int
    key: str
    secret: bytes
    portfolio: str
    stdin: IO[str]

    def cpu_s(self) -> float:
        """Processor seconds of all its threads so far."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def set_rate(self, rate: float) -> None:
        self.stdin.write(f"{rate}\n")
        self.stdin.flush()


def run() -> list[Row]:
    """Measure; takes about two minutes."""
    with tempfile.TemporaryDirectory(prefix="capstan-bench-") as folder, serving(folder) as server:
        return uvloop.run(_measure(server))


async def _measure(server: Server) -> list[Row]:
    ours, naive, p50s, p99s = [], [], [], []
    for _ in range(_ROUNDS):
        heard = Heard()
        clients = await _open(server, heard)
        ours.append(await _share(server, heard))
        p50s.append(heard.percentile_ms(0.5))
        p99s.append(heard.percentile_ms(0.99))
        _check(heard, clients)
        await _close(clients)
        plain = [await connect(server.port, "/naive", heard, None) for _ in range(CLIENTS)]
        await following(plain)
        naive.append(await _share(server, heard))
        await _close(plain)
    hub, peer = statistics.median(ours), statistics.median(naive)
    notes.append(
        f"api_stream: {CLIENTS} readers of 3 KB at 1 Hz, publication to reader p50 {statistics.median(p50s):.0f}"
        f" p99 {statistics.median(p99s):.0f} ms; the naive loop takes {peer * 100:.1f} % of a core"
    )
    rows = [
        bound_row(topic="api", name=f"{CLIENTS} stream clients at 1 Hz", ours=hub, unit="of a core", most=CORE_SHARE),
        bound_row(topic="api", name="hub's share of a naive loop's CPU", ours=hub / peer, unit="x", most=HUB_SHARE),
    ]
    return [*rows, await _slow(server), await _resume(server)]


async def _slow(server: Server) -> Row:
    """Others' p99 with one that takes nothing, by turns without; at 10 Hz, so that a round has enough of them."""
    heard = Heard()
    clients = await _open(server, heard, 200)
    server.set_rate(10.0)
    without, beside = [], []
    for number in range(2 * _ROUNDS):
        slow = await _stuck(server) if number % 2 else None
        heard.clear()
        await asyncio.sleep(_SECONDS / 2)
        (beside if slow else without).append(heard.percentile_ms(0.99))
        if slow is not None and slow.transport is not None:
            slow.transport.abort()
    server.set_rate(1.0)
    _check(heard, clients)
    await _close(clients)
    share = statistics.median(beside) / statistics.median(without)
    notes.append(
        f"api_stream: 200 readers at 10 Hz, p99 {statistics.median(without):.1f} ms alone,"
        f" {statistics.median(beside):.1f} ms beside one that takes nothing"
    )
    return bound_row(topic="api", name="others' p99 beside one slow client", ours=share, unit="x", most=SLOW_SHARE)


async def _stuck(server: Server) -> Client:
    (ticket,) = await _tickets(server, 1)
    client = await connect(
        server.port, f"/v1/stream?ticket={ticket}", Heard(), _subscription(server), slow_buffer=4_096
    )
    await client.following.wait()
    assert client.transport is not None
    client.transport.pause_reading()
    return client


async def _resume(server: Server) -> Row:
    """All lose their connection at once, ask for new tickets, and go on from where they stood."""
    heard = Heard()
    clients = await _open(server, heard)
    times = []
    for _ in range(_ROUNDS):
        stands = [(client.epoch, client.seq) for client in clients]
        await _close(clients)
        heard.clear()
        began = time.perf_counter()
        clients = await _open(server, heard, stands=stands)
        times.append(time.perf_counter() - began)
        if heard.snapshots or heard.gaps:
            raise AssertionError(f"{heard.snapshots} began anew, {heard.gaps} gaps: they were to go on")
    await _close(clients)
    return bound_row(
        topic="api",
        name=f"{CLIENTS} clients back, with new tickets",
        ours=statistics.median(times),
        unit="s",
        most=RESUME_S,
    )


async def _share(server: Server, heard: Heard) -> float:
    """Processor seconds a second."""
    await asyncio.sleep(1.0)
    heard.clear()
    began, spent = time.perf_counter(), server.cpu_s()
    await asyncio.sleep(_SECONDS)
    return (server.cpu_s() - spent) / (time.perf_counter() - began)


async def _open(
    server: Server, heard: Heard, count: int = CLIENTS, *, stands: list[tuple[str, int]] | None = None
) -> list[Client]:
    """Open streams, as many at once as a server's backlog takes, and wait until each was told something."""
    tickets = await _tickets(server, count)
    clients: list[Client] = []

    async def one(number: int) -> Client:
        client = await connect(server.port, f"/v1/stream?ticket={tickets[number]}", heard, _subscription(server))
        if stands is not None:
            client.epoch, client.seq = stands[number]
        return client

    for at in range(0, count, 100):
        clients += await asyncio.gather(*(one(number) for number in range(at, min(count, at + 100))))
    await following(clients)
    return clients


async def _tickets(server: Server, count: int) -> list[str]:
    requests = []
    for number in range(count):
        headers = sign_request(
            server.key,
            server.secret,
            method="POST",
            target=_TICKETS,
            body=b"",
            now_ms=time.time_ns() // 1_000_000,
            window_ms=30_000,
            nonce=f"{time.time_ns():020}-{number}",
        )
        requests.append(request("POST", _TICKETS, headers))
    answers = await ask(server.port, requests, connections=min(count, 32))
    return [json.loads(body)["ticket"] for body in answers.bodies]


def _subscription(server: Server) -> dict[str, str]:
    return {"ch": "positions", "key": server.portfolio}


def _check(heard: Heard, clients: list[Client]) -> None:
    lost = sum(client.is_lost for client in clients)
    if heard.gaps or lost:
        raise AssertionError(f"{heard.gaps} gaps, {lost} connections lost")


async def _close(clients: list[Client]) -> None:
    for client in clients:
        if client.transport is not None:
            client.transport.close()
    await asyncio.sleep(0.5)


@contextmanager
def serving(folder: str) -> Iterator[Server]:
    """Run the process (`bench.server`), with an installation of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.server", folder],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdin is not None
            told = json.loads(child.stdout.readline())
            secret = decode64(told["secret"])
            yield Server(child.pid, told["port"], told["key"], secret, told["portfolio"], child.stdin)
        finally:
            child.terminate()
