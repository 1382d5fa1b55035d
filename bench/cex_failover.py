"""A feed that is cut, or falls silent: how long the merged book stands still, and what it misses.

One sandbox with its order flow (a diff every 100 ms), two connections each through a TCP proxy of its own. The
stillness is the longest time between two merged books from the strike on, so it is never below the 100 ms of the
stream; what a listener without a proxy heard and the merged book never showed is missing, and fails the bench. ccxt.pro
on one connection is struck in the same way: killed, it is soon back on loopback; silent, it stands still for as long
as we look, and nothing tells that to whoever holds its book.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import aiohttp

from bench.rows import Row, bound_row, figure_row
from cex import CcxtVenue, VenueSettings
from cex.sandbox import FlowConfig
from cex.urls import rewrite
from domain.events import BookChanged, BookInvalidated, Event
from runtime import SystemClock
from tests.cex.lab import sandbox
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

ROUNDS = 5
WATCH_S = 2.5
FAILOVER_S = 1.0


class Watcher:
    """Remembers when which book was told."""

    def __init__(self) -> None:
        self.books: list[tuple[float, int]] = []
        self.lost = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, BookChanged):
            self.told(event.update_id)
        self.lost += isinstance(event, BookInvalidated)

    def told(self, update_id: int) -> None:
        if not self.books or self.books[-1][1] != update_id:
            self.books.append((time.perf_counter(), update_id))

    def stillness_s(self, since: float) -> float:
        times = [since, *(told for told, _ in self.books if told > since), time.perf_counter()]
        return max(later - earlier for earlier, later in pairwise(times))


def run() -> list[Row]:
    """Measure; takes about a minute."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    async with (
        sandbox(flow=FlowConfig(arrival_rate=30.0), seed=5) as base_url,
        tcp_proxy(base_url) as first,
        tcp_proxy(base_url) as second,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base_url}/ws/ethusdc@depth@100ms") as listener,
    ):
        heard: list[int] = []
        listening = asyncio.create_task(_listen(listener, heard))
        watcher = Watcher()
        dual = await _venue(watcher, base_url=first.url, feed_urls=(second.url,))
        begun = watcher.books[0][1]
        killed = [await _strike(watcher, proxy, TcpProxy.cut) for _ in range(ROUNDS) for proxy in (first, second)]
        stalled = [await _strike(watcher, proxy, TcpProxy.stall) for _ in range(ROUNDS) for proxy in (first, second)]
        until = heard[-1]
        await asyncio.sleep(0.5)
        missing = {update for update in heard if begun <= update <= until} - {update for _, update in watcher.books}
        await dual.stop()
        if missing or watcher.lost > 1:  # Stopping tells one.
            raise AssertionError(f"the merged book missed {len(missing)} updates and was lost {watcher.lost} times")
        alone = Watcher()
        single = await _venue(alone, base_url=first.url)
        one = [await _strike(alone, first, TcpProxy.cut) for _ in range(ROUNDS)]
        await single.stop()
        theirs = {how: await _ccxt(first, how) for how in (TcpProxy.cut, TcpProxy.stall)}
        listening.cancel()
    rows = [
        bound_row(topic="cex", name="failover: feed killed", ours=max(killed), unit="s still", most=FAILOVER_S),
        bound_row(topic="cex", name="failover: feed silent", ours=max(stalled), unit="s still", most=FAILOVER_S),
    ]
    for name, ours, peer, still in (
        ("killed, two feeds", killed, "one feed", one),
        ("killed, two feeds", killed, "ccxt.pro", theirs[TcpProxy.cut]),
        ("silent, two feeds", stalled, "ccxt.pro", theirs[TcpProxy.stall]),
    ):
        value, other = statistics.median(ours), statistics.median(still)
        rows.append(
            figure_row(
                topic="cex",
                name=f"failover: {name}",
                ours=value,
                unit="s still",
                peer_name=f"{peer} {other:.2f} s",
                ratio=other / value,
            )
        )
    return rows


async def _venue(watcher: Watcher, **changes: Any) -> CcxtVenue:
    settings = VenueSettings(id="bench", exchange="binance", instruments=("ETHUSDC",), feed_stall_ms=500, **changes)
    venue = CcxtVenue(settings, clock=SystemClock())
    await venue.start(watcher)
    await asyncio.sleep(0.5)
    return venue


async def _strike(watcher: Watcher, proxy: TcpProxy, how: Callable[[TcpProxy], None]) -> float:
    """Strike one connection; give how long the book stood still."""
    since = time.perf_counter()
    how(proxy)
    await asyncio.sleep(WATCH_S)
    still_s = watcher.stillness_s(since)
    proxy.resume()
    await asyncio.sleep(0.3)
    return still_s


async def _listen(listener: aiohttp.ClientWebSocketResponse[Any], heard: list[int]) -> None:
    while True:
        heard.append((await listener.receive_json())["u"])


async def _ccxt(proxy: TcpProxy, how: Callable[[TcpProxy], None]) -> list[float]:
    """Strike ccxt.pro in the same way; a book counts when its number has moved."""
    import ccxt.pro

    client, watcher = ccxt.pro.binance({"enableRateLimit": False, "options": {"defaultType": "spot"}}), Watcher()
    client.options["fetchMarkets"] = {"types": ["spot"]}
    client.urls["api"] = rewrite(client.urls["api"], proxy.url)
    client.has["fetchCurrencies"] = False

    async def follow() -> None:
        while True:
            with suppress(ccxt.NetworkError):
                book = await client.watch_order_book("ETH/USDC")
                watcher.told(int(book["nonce"]))

    await client.load_markets()
    following = asyncio.create_task(follow())
    try:
        await asyncio.sleep(1.0)
        return [await _strike(watcher, proxy, how) for _ in range(ROUNDS)]
    finally:
        following.cancel()
        await asyncio.wait([following])
        await client.close()
