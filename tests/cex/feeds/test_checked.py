"""Books of venues with checksums: equal to the venue's, and lost and loaded anew as soon as they are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from cex import CcxtVenue, VenueSettings
from cex.connection import Connection
from cex.feeds.checked import CheckedFeed
from cex.feeds.data import Book, BookLost, Orders, PublicTrade
from cex.feeds.dialects import dialect_of
from cex.markets import Market
from domain import InputError, Instrument, VenueId, venue_asset
from domain.events import BookChanged, BookInvalidated, TradePrinted
from runtime import SystemClock
from tests.support.checked_venues import VENUES, Bitfinex, CheckedVenue, Okx, serving
from tests.support.recorder import Recorder

ALL = pytest.mark.parametrize("name", VENUES)
NAMES = {"bitfinex": ("BTC/USD", "tBTCUSD"), "kraken": ("BTC/USD", "XBTUSD"), "okx": ("BTC/USDT", "BTC-USDT")}


class Lab:
    """A venue with a few levels, and a feed of it."""

    def __init__(self, venue: CheckedVenue, feed: CheckedFeed, told: Recorder) -> None:
        self.venue = venue
        self.feed = feed
        self.told: Any = told

    def is_equal(self) -> bool:
        books = self.told.of(Book)
        if not books or not self.feed.valid.is_set():
            return False
        expected = tuple(
            tuple((int(Decimal(p) * 10), int(Decimal(q) * 10**8)) for p, q in self.venue.ordered(is_bid=is_bid)[:10])
            for is_bid in (True, False)
        )
        return (books[-1].bids, books[-1].asks) == expected

    async def equal(self) -> None:
        await self.told.until(self.is_equal)


@asynccontextmanager
async def lab_of(name: str, *, lines: int = 1, raw: bool = False) -> AsyncIterator[Lab]:
    async with serving(VENUES[name]()) as venue:
        for step in range(12):
            venue.bids[f"{20_000 - step}.5"] = f"{step + 1}.00100000" if name == "kraken" else f"{step + 1}.001"
            venue.asks[f"{20_001 + step}.5"] = f"{step + 2}.00000000" if name == "kraken" else f"{step + 2}"
        settings = VenueSettings(id="v", exchange=name, base_url=venue.url, instruments=("X",), feeds=lines)
        connection = Connection(settings, SystemClock(), None)
        await connection._make_client()
        instrument = Instrument(
            venue=VenueId("v"),
            symbol="X",
            base=venue_asset(VenueId("v"), "BTC", 8),
            quote=venue_asset(VenueId("v"), "USD", 8),
            tick_size=Decimal("0.1"),
            lot_size=Decimal("0.00000001"),
            min_notional=Decimal(0),
            maker_fee_bps=Decimal(0),
            taker_fee_bps=Decimal(0),
        )
        market, told = Market(instrument, *NAMES[name]), Recorder()
        dialect = dialect_of(name, 3 if raw else 2)
        feed = CheckedFeed(connection, market, told, dialect=dialect)  # type: ignore[arg-type]
        running = asyncio.create_task(feed.run())
        try:
            lab = Lab(venue, feed, told)
            await lab.equal()
            yield lab
        finally:
            running.cancel()
            await asyncio.wait([running])
            await connection.close()


@ALL
async def test_book_follows_the_venues(name: str) -> None:
    async with lab_of(name) as lab:
        await lab.venue.change("20000.5", "0.5", is_bid=True)
        await lab.venue.change("20001.5", "0", is_bid=False)
        await lab.venue.change("20000.9", "7.25", is_bid=False)
        await lab.equal()
        assert not lab.told.of(BookLost)
        assert lab.venue.accepted == 1


@ALL
async def test_trades_are_read_exactly(name: str) -> None:
    async with lab_of(name) as lab:
        await lab.venue.trade(7, "20000.5", "0.125", is_sell=True)
        await lab.venue.trade(8, "20000.6", "1.5", is_sell=False)
        await lab.told.until(lambda: len(lab.told.of(PublicTrade)) == 2)
        first, second = lab.told.of(PublicTrade)
        assert (first.trade_id, first.price_ticks, first.qty_lots, first.is_buyer_maker) == (
            "7",
            200_005,
            12_500_000,
            True,
        )
        assert (second.trade_id, second.is_buyer_maker) == ("8", False)
        assert second.venue_ns in (1_700_000_000_123_000_000, 1_696_613_755_440_295_000)


@ALL
async def test_wrong_checksum_costs_the_book_until_a_new_snapshot(name: str) -> None:
    async with lab_of(name) as lab:
        await lab.venue.change("20000.5", "0.5", is_bid=True, wrong_on=[0])
        await lab.told.until(lambda: bool(lab.told.of(BookLost)))
        assert "checksum" in lab.told.of(BookLost)[0].reason
        await lab.equal()
        assert lab.venue.accepted == 2


@ALL
async def test_lost_update_is_found_out_with_the_next(name: str) -> None:
    """By its number (OKX, Bitfinex) or by the checksum (Kraken)."""
    async with lab_of(name) as lab:
        await lab.venue.change("20000.5", "0.5", is_bid=True, lost_on=[0])
        assert not lab.is_equal()
        await lab.venue.change("20001.5", "3", is_bid=False)
        await lab.told.until(lambda: bool(lab.told.of(BookLost)))
        await lab.equal()


@ALL
async def test_what_one_line_gets_wrong_reaches_nobody(name: str) -> None:
    async with lab_of(name, lines=2) as lab:
        while lab.feed.carriers < 2:
            await lab.venue.change("19000.5", str(lab.venue.sequence), is_bid=True)
            await asyncio.sleep(0)
        await lab.venue.change("20000.5", "0.5", is_bid=True, wrong_on=[1])
        await lab.venue.change("20000.4", "0.6", is_bid=True, lost_on=[1])
        await lab.equal()
        assert not lab.told.of(BookLost)


async def test_raw_book_tells_every_order() -> None:
    """L3: laid down again, the orders told give the venue's book, level by level."""
    async with lab_of("bitfinex", raw=True) as lab:
        await lab.venue.change("20000.5", "0.5", is_bid=True)
        await lab.venue.change("20001.5", "0", is_bid=False)
        await lab.venue.change("20000.9", "7.25", is_bid=False)
        await lab.equal()
        assert isinstance(lab.venue, Bitfinex)
        orders: dict[str, tuple[bool, int, int]] = {}
        for told in lab.told.of(Orders):
            orders = {} if told.is_snapshot else orders
            for number, is_bid, ticks, lots in told.orders:
                orders[number] = (is_bid, ticks, lots)
        kept = {number: order for number, order in orders.items() if order[2]}
        assert kept == {
            str(lab.venue.order(is_bid, p)): (is_bid, int(Decimal(p) * 10), int(Decimal(q) * 10**8))
            for is_bid in (True, False)
            for p, q in lab.venue.ordered(is_bid=is_bid)
        }
        assert not lab.told.of(BookLost)


async def test_single_orders_of_a_venue_that_tells_none_are_refused() -> None:
    async with serving(Okx()) as okx:
        settings = VenueSettings(id="okx", exchange="okx", base_url=okx.url, instruments=("BTC-USDT",), book_level=3)
        with pytest.raises(InputError, match="tells no single orders"):
            await CcxtVenue(settings, clock=SystemClock()).start(Recorder())


async def test_venue_with_checksums_is_followed_in_its_own_dialect() -> None:
    """The whole adapter on a server that speaks OKX's REST and streams."""
    async with serving(Okx()) as okx:
        okx.bids["20000.5"], okx.asks["20001.5"] = "1", "2"
        settings = VenueSettings(id="okx", exchange="okx", base_url=okx.url, instruments=("BTC-USDT",))
        venue, recorder = CcxtVenue(settings, clock=SystemClock()), Recorder()
        await venue.start(recorder)
        try:
            await okx.change("20000.6", "3", is_bid=True)
            await okx.trade(1, "20000.5", "0.5", is_sell=True)
            await recorder.until(lambda: bool(recorder.of(TradePrinted)))
            assert recorder.of(BookChanged)[-1].bids[0] == (200_006, 3 * 10**8)
            await okx.change("20000.6", "4", is_bid=True, wrong_on=[0])
            await recorder.until(lambda: bool(recorder.of(BookInvalidated)))
            await recorder.until(lambda: recorder.of(BookChanged)[-1].bids[0] == (200_006, 4 * 10**8))
        finally:
            await venue.stop()
