"""Two connections to one market, of which one is cut, stalled or loses messages: the merged feed does not notice.

The second connection goes through a proxy, so that a fault strikes it alone. What the merged feed must have told is
what a listener of the test's own heard from the exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from cex.sandbox import FlowConfig
from domain import Side
from domain.events import BookChanged, BookInvalidated, TradePrinted
from tests.cex.lab import SandboxLab, sandbox
from tests.support.exchange_conformance import ASK, BID, LOTS
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

PATHS = {"native": {"feed": "auto"}, "ccxt": {"feed": "ccxt"}, "by_time": {"exchange": "binanceus"}}
ALL = pytest.mark.parametrize("path", PATHS)


class DualLab(SandboxLab):
    """`first` and `second` stand before the two connections of the feed."""

    first: TcpProxy
    second: TcpProxy

    async def quote(self, side: Side, price_ticks: int) -> None:
        """Quote, and wait until the merged book shows it."""
        await self.counter(side, price_ticks, LOTS)
        await self.shown(side, price_ticks)

    async def both_carry(self) -> int:
        """Quote until either connection could carry the book alone; give the last price."""
        [feed], price = self.venue.feeds, BID
        await self.quote(Side.BUY, price)
        while feed.carriers < 2:
            price += 1
            await self.quote(Side.BUY, price)
        return price

    async def shown(self, side: Side, price_ticks: int) -> None:
        def is_there() -> bool:
            book = self.recorder.of(BookChanged)[-1]
            return (price_ticks, LOTS) in (book.bids if side is Side.BUY else book.asks)

        await self.recorder.until(is_there)


@pytest.fixture
async def lab(path: str) -> AsyncIterator[DualLab]:
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(sandbox())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        lab = DualLab(base_url, session)
        lab.first = await stack.enter_async_context(tcp_proxy(base_url))
        lab.second = await stack.enter_async_context(tcp_proxy(base_url))
        settings = PATHS[path] | {"base_url": lab.first.url, "feed_urls": (lab.second.url,), "feed_stall_ms": 200}
        try:
            yield await lab.open(**settings, stale_after_ms=2_000)
        finally:
            lab.first.resume()
            lab.second.resume()
            await lab.venue.stop()


@ALL
async def test_cut_of_either_connection_is_not_noticed(lab: DualLab) -> None:
    price = await lab.both_carry()
    before = lab.second.accepted
    lab.second.cut()
    for step in range(1, 4):
        await lab.quote(Side.BUY, price + step)
    while lab.second.accepted == before:
        await lab.round_trip()  # It comes back.
    for step in range(4, 7):
        await lab.quote(Side.BUY, price + step)
    assert not lab.recorder.of(BookInvalidated)


@ALL
async def test_connection_that_fell_silent_is_not_missed_and_opened_anew(lab: DualLab) -> None:
    price = await lab.both_carry()
    before = lab.second.accepted
    lab.second.stall()
    while lab.second.accepted == before:
        price += 1
        await lab.quote(Side.BUY, price)
    lab.second.resume()
    await lab.quote(Side.BUY, price + 1)
    assert not lab.recorder.of(BookInvalidated)


@pytest.mark.parametrize("path", ["native"])
async def test_update_that_nobody_brings_costs_the_book_until_a_snapshot(lab: DualLab) -> None:
    await lab.quote(Side.BUY, BID)
    await lab.strike("gap")
    await lab.counter(Side.BUY, BID + 1, LOTS)
    while await lab.armed("gap"):
        pass
    await lab.quote(Side.BUY, BID + 2)
    assert len(lab.recorder.of(BookInvalidated)) == 1
    assert lab.recorder.of(BookChanged)[-1].bids == tuple((BID + step, LOTS) for step in (2, 1, 0))


@ALL
async def test_loss_of_both_is_told_and_mended(lab: DualLab) -> None:
    await lab.quote(Side.SELL, ASK)
    lab.first.cut()
    lab.second.cut()
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookInvalidated)))
    at = lab.recorder.events.index(lab.recorder.of(BookInvalidated)[0])
    await lab.recorder.until(lambda: any(isinstance(event, BookChanged) for event in lab.recorder.events[at:]))
    await lab.quote(Side.SELL, ASK - 1)


@ALL
async def test_every_public_trade_is_told_once(lab: DualLab) -> None:
    await lab.counter(Side.SELL, ASK, 100 * LOTS)
    row = {"symbol": "ETHUSDC", "side": "BUY", "type": "MARKET"}
    while not lab.recorder.of(TradePrinted):  # ccxt says of no stream when it is subscribed.
        await lab.ours.call("POST", "order", **row, quantity="0.01")
        await lab.round_trip()
    for number in range(1, 7):
        await lab.ours.call("POST", "order", **row, quantity=f"0.010{number}")
        if number == 3:
            lab.second.cut()
    await lab.recorder.until(lambda: lab.recorder.of(TradePrinted)[-1].qty_lots == 106)
    await lab.quote(Side.BUY, BID)
    told = [trade.qty_lots for trade in lab.recorder.of(TradePrinted)]
    assert told == [100] * (len(told) - 6) + [101, 102, 103, 104, 105, 106]


@ALL
async def test_trades_of_the_time_when_nobody_listened_are_fetched(lab: DualLab) -> None:
    """In order, and told even when no other trade follows."""
    await lab.counter(Side.SELL, ASK, 100 * LOTS)
    row = {"symbol": "ETHUSDC", "side": "BUY", "type": "MARKET"}
    while not lab.recorder.of(TradePrinted):  # ccxt says of no stream when it is subscribed.
        await lab.ours.call("POST", "order", **row, quantity="0.01")
        await lab.round_trip()
    await lab.ours.call("POST", "order", **row, quantity="0.0101")
    await lab.recorder.until(lambda: lab.recorder.of(TradePrinted)[-1].qty_lots == 101)
    lab.first.stall()
    lab.second.stall()
    for number in range(2, 6):
        await lab.ours.call("POST", "order", **row, quantity=f"0.010{number}")
    lab.first.cut()
    lab.second.cut()
    lab.first.resume()
    lab.second.resume()
    await lab.recorder.until(lambda: lab.recorder.of(TradePrinted)[-1].qty_lots == 105)
    told = [trade.qty_lots for trade in lab.recorder.of(TradePrinted)]
    assert told == [100] * (len(told) - 5) + [101, 102, 103, 104, 105]


async def test_merged_stream_has_every_update_while_connections_die() -> None:
    """Under an order flow, against a listener of the test's own."""
    flow = FlowConfig(arrival_rate=30.0)
    async with (
        sandbox(flow=flow, seed=11) as base_url,
        tcp_proxy(base_url) as first,
        tcp_proxy(base_url) as second,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base_url}/ws/ethusdc@depth@100ms") as listener,
    ):
        lab = DualLab(base_url, session)
        await lab.open(base_url=first.url, feed_urls=(second.url,), feed_stall_ms=200)
        heard: list[int] = []
        async with asyncio.timeout(60):
            [feed] = lab.venue.feeds
            for strike in (first.cut, second.cut, first.stall, first.resume, second.stall, second.resume):
                while "resume" not in strike.__name__ and feed.carriers < 2:
                    heard.append((await listener.receive_json())["u"])
                strike()
                for _ in range(6):
                    heard.append((await listener.receive_json())["u"])
            for _ in range(10):
                heard.append((await listener.receive_json())["u"])
        await lab.recorder.until(lambda: lab.recorder.of(BookChanged)[-1].update_id >= heard[-1])
        assert not lab.recorder.of(BookInvalidated)
        await lab.venue.stop()
    told = [book.update_id for book in lab.recorder.of(BookChanged)]
    assert told == sorted(set(told))
    assert set(heard) <= set(told) | {update for update in heard if update < told[0]}
