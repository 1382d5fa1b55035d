"""Books and public trades: equal to the exchange's own at the same update, and honest about silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from cex import CcxtVenue, VenueSettings
from cex.sandbox import FlowConfig, SandboxConfig, serve
from domain import Instrument, OrderState, Side, VenueUnavailable
from domain.events import BookChanged, BookInvalidated, TradePrinted
from runtime import SystemClock
from tests.cex.lab import SandboxLab, sandbox_lab
from tests.support.exchange_conformance import ASK, BID, LOTS, an_order
from tests.support.recorder import Recorder

pytestmark = pytest.mark.parametrize("feed", ["auto", "ccxt"])


@pytest.fixture
async def lab(feed: str) -> AsyncIterator[SandboxLab]:
    async with sandbox_lab(feed=feed, stale_after_ms=300) as lab:
        yield lab


async def test_book_equals_the_exchanges_at_the_same_update(feed: str) -> None:
    """Under an order flow, compared with snapshots fetched beside the code under test."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    config = SandboxConfig(port=0, flow=FlowConfig(arrival_rate=4.0), seed=7)
    serving = asyncio.create_task(serve(config, stop=stop, ready=port.set_result))
    base_url = f"http://127.0.0.1:{await port}"
    settings = VenueSettings(
        id="busy", exchange="binance", base_url=base_url, instruments=("ETHUSDC", "BTCUSDT"), feed=feed, depth_levels=20
    )
    venue, recorder = CcxtVenue(settings, clock=SystemClock()), Recorder()
    await venue.start(recorder)
    compared: set[tuple[str, int]] = set()
    await recorder.until(lambda: bool(recorder.of(TradePrinted)))
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while len(compared) < 5:
            for instrument in venue.instruments.values():
                recorder.events.clear()
                await recorder.until(lambda: bool(recorder.of(BookChanged)))
                async with session.get(f"{base_url}/api/v3/depth?symbol={instrument.symbol}&limit=20") as response:
                    theirs = await response.json()
                if await is_equal(recorder, instrument, theirs):
                    compared.add((instrument.id, theirs["lastUpdateId"]))
    await venue.stop()
    stop.set()
    await serving


async def is_equal(recorder: Recorder, instrument: Instrument, theirs: dict[str, Any]) -> bool:
    """Wait until our book has reached their update; compare when it passed through exactly that one."""

    def ours() -> list[BookChanged]:
        return [book for book in recorder.of(BookChanged) if book.instrument == instrument.id]

    update_id = theirs["lastUpdateId"]
    await recorder.until(lambda: bool(ours()) and ours()[-1].update_id >= update_id)
    for book in ours():
        if book.update_id == update_id:
            assert book.bids == levels(instrument, theirs["bids"])
            assert book.asks == levels(instrument, theirs["asks"])
            return True
    return False


def levels(instrument: Instrument, rows: object) -> tuple[tuple[int, int], ...]:
    assert isinstance(rows, list)
    return tuple((instrument.ticks(Decimal(price)), instrument.lots(Decimal(qty))) for price, qty in rows)


async def test_public_trades_are_exact(lab: SandboxLab) -> None:
    await lab.counter(Side.SELL, ASK, LOTS)
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookChanged)[-1].asks))
    row = {"symbol": "ETHUSDC", "side": "BUY", "type": "MARKET", "quantity": "0.0123"}
    await lab.ours.call("POST", "order", **row)
    await lab.recorder.until(lambda: bool(lab.recorder.of(TradePrinted)))
    [trade] = lab.recorder.of(TradePrinted)
    assert (trade.price_ticks, trade.qty_lots, trade.is_buyer_maker) == (ASK, 123, False)


async def test_quiet_market_is_confirmed_with_rest_and_told_again(lab: SandboxLab) -> None:
    await lab.counter(Side.BUY, BID, LOTS)
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookChanged)[-1].bids))
    count = len(lab.recorder.of(BookChanged))
    await lab.recorder.until(lambda: len(lab.recorder.of(BookChanged)) >= count + 2)
    assert lab.recorder.of(BookChanged)[-1].bids == ((BID, LOTS),)
    assert not lab.recorder.of(BookInvalidated)


async def test_stream_that_died_in_silence_is_found_out(lab: SandboxLab) -> None:
    """Every diff from here on is lost, while REST moves on."""
    await lab.counter(Side.BUY, BID, LOTS)
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookChanged)[-1].bids))
    await lab.strike("gap", 1_000_000)
    await lab.counter(Side.BUY, BID + 5, LOTS)
    await lab.recorder.until(lambda: bool(lab.recorder.of(BookInvalidated)))
    await lab.strike("gap", 0)
    await lab.recorder.until(lambda: lab.recorder.of(BookChanged)[-1].bids == ((BID + 5, LOTS), (BID, LOTS)))


async def test_everything_is_followed_again_after_a_stream_that_died_in_silence(lab: SandboxLab) -> None:
    """ccxt closes all of its sockets for that, and gives up whoever waits on another."""
    await test_stream_that_died_in_silence_is_found_out(lab)
    order = an_order(lab, Side.SELL, ASK)
    while True:
        try:
            await lab.venue.place(order)
        except VenueUnavailable:
            await lab.round_trip()  # Not compared with REST yet.
            continue
        break
    await lab.counter(Side.BUY, ASK, LOTS, "IOC")
    await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
    await lab.recorder.until(lambda: any(t.price_ticks == ASK for t in lab.recorder.of(TradePrinted)))
