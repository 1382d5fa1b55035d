"""One sandbox forwards another: what rests and trades there is liquidity here, for as long as it is in sight."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cex.sandbox import KNOWN_SYMBOLS, AccountSpec, ForwardConfig, SandboxConfig, serve
from cex.sandbox.config import UNIT, SymbolSpec
from cex.sandbox.exchange import Exchange
from cex.sandbox.mirror import Mirror
from cex.sandbox.orders import NewOrder, Order
from domain import InputError
from tests.cex.sandbox.conftest import ALICE, BOB, Sandbox, Start

SYMBOLS = (KNOWN_SYMBOLS["ETHUSDC"], KNOWN_SYMBOLS["BTCUSDC"])


class Book:
    """A client's view of a symbol's book, from a sandbox's own diffs."""

    def __init__(self, stream: aiohttp.ClientWebSocketResponse, snapshot: Any) -> None:
        self._stream = stream
        self.bids = dict(snapshot["bids"])

    async def until(self, wanted: Callable[[dict[str, str]], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not wanted(self.bids):
                for price, qty in json.loads((await self._stream.receive()).data)["b"]:
                    self.bids[price] = qty
                    if Decimal(qty) == 0:
                        del self.bids[price]


async def book(sandbox: Sandbox, symbol: str = "ETHUSDC") -> Book:
    stream = await sandbox.http.ws_connect(f"{sandbox.ws_url}/ws/{symbol.lower()}@depth@100ms")
    _, snapshot = await sandbox.call("GET", "/api/v3/depth", symbol=symbol)
    return Book(stream, snapshot)


async def test_one_sandbox_forwards_another(start: Start) -> None:
    there = await start(SandboxConfig(symbols=SYMBOLS, accounts=(ALICE, BOB), flow=None, faults=True))
    await there.order(BOB, side="BUY", price="2990", quantity="1")
    await there.order(BOB, symbol="BTCUSDC", side="BUY", price="59000", quantity="0.1")
    here = await start(SandboxConfig(symbols=SYMBOLS, accounts=(ALICE, BOB), forward=ForwardConfig(there.url)))
    book_here = await book(here)
    await book_here.until(lambda bids: bids == {"2990.00000000": "1.00000000"})
    await (await book(here, "BTCUSDC")).until(lambda bids: bids == {"59000.00000000": "0.10000000"})
    # What rests there is taken here, and stays there: this exchange is a shadow.
    sold = await here.order(ALICE, side="SELL", price="2990", quantity="0.25", timeInForce="IOC")
    assert (sold["status"], sold["fills"][0]["price"]) == ("FILLED", "2990.00000000")
    await book_here.until(lambda bids: bids == {"2990.00000000": "0.75000000"})
    _, depth = await there.call("GET", "/api/v3/depth", symbol="ETHUSDC")
    assert depth["bids"] == [["2990.00000000", "1.00000000"]]
    # What trades there fills a better price here.
    mine = await here.order(ALICE, side="BUY", price="2995", quantity="0.3")
    async with here.http.ws_connect(f"{here.ws_url}/ws/ethusdc@trade") as trades:
        await there.order(ALICE, side="SELL", price="2990", quantity="0.5", timeInForce="IOC")
        async with asyncio.timeout(60):
            assert json.loads((await trades.receive()).data)["p"] == "2995.00000000"
    _, mine = await here.call("GET", "/api/v3/order", ALICE, symbol="ETHUSDC", orderId=mine["orderId"])
    assert mine["status"] == "FILLED"
    await book_here.until(lambda bids: bids == {"2990.00000000": "0.50000000"})
    # Its connection is cut: the liquidity goes, and comes back as it is by then.
    await there.fault("abort_sockets")
    await there.order(BOB, side="BUY", price="2991", quantity="2")
    await book_here.until(lambda bids: bids == {"2991.00000000": "2.00000000", "2990.00000000": "0.50000000"})


async def test_a_gap_in_the_stream_begins_the_book_anew(start: Start) -> None:
    there = await start(SandboxConfig(symbols=SYMBOLS[:1], accounts=(ALICE, BOB), flow=None, faults=True))
    here = await start(SandboxConfig(symbols=SYMBOLS[:1], accounts=(ALICE,), forward=ForwardConfig(there.url)))
    watch_here = await book(here)
    await there.order(BOB, side="BUY", price="2990", quantity="1")
    await watch_here.until(lambda bids: bids == {"2990.00000000": "1.00000000"})
    await there.fault("gap", count=1)
    await there.order(BOB, side="BUY", price="2980", quantity="3")
    # The diff with 2980 is lost; a later one shows the gap.
    for price in range(2900, 2960):
        await there.order(BOB, side="BUY", price=str(price), quantity="1")
        with contextlib.suppress(TimeoutError):
            await watch_here.until(lambda bids: bids.get("2980.00000000") == "3.00000000", seconds=0.3)
            return
    pytest.fail("what was lost never came")


@pytest.mark.parametrize(
    ("symbols", "complaint"),
    [
        ((KNOWN_SYMBOLS["ETHBTC"],), "has no symbol ETHBTC"),
        ((SymbolSpec("ETH", "USDC", "0.1", "0.0001", "5"),), "no multiple of 0.1"),
    ],
)
async def test_a_venue_that_does_not_fit_is_refused_at_the_start(
    start: Start, symbols: tuple[SymbolSpec, ...], complaint: str
) -> None:
    there = await start(SandboxConfig(symbols=SYMBOLS, accounts=(ALICE,), flow=None))
    config = SandboxConfig(symbols=symbols, accounts=(ALICE,), forward=ForwardConfig(there.url))
    async with asyncio.timeout(60):
        with pytest.raises(InputError, match=complaint):
            await serve(config, stop=asyncio.Event())


async def test_a_venue_that_is_not_there_leaves_an_exchange_that_works(start: Start) -> None:
    here = await start(SandboxConfig(symbols=SYMBOLS, accounts=(ALICE,), forward=ForwardConfig("http://127.0.0.1:1")))
    assert (await here.order(ALICE, side="BUY", price="2990", quantity="1"))["status"] == "NEW"


@pytest.mark.parametrize(("url", "streams"), [("127.0.0.1:9501", ""), ("http://x", "http://y")])
def test_addresses_are_checked(url: str, streams: str) -> None:
    with pytest.raises(InputError, match="address"):
        ForwardConfig(url, streams)


# --- the mirror alone

PRICES = st.sampled_from(["99.00", "100.00", "101.00", "102.00"])
CHANGES = st.lists(st.tuples(st.booleans(), PRICES, st.integers(0, 6)), min_size=1, max_size=4)


def exchange_and_mirror() -> tuple[Exchange, Mirror]:
    client = AccountSpec("ann", "key", "s", None, {"ETH": "1000", "USDC": "100000"})
    exchange = Exchange([SYMBOLS[0]], [client], lambda: 0, reference_prices={"ETHUSDC": 10_000})
    return exchange, Mirror(exchange, "ETHUSDC", "mirror")


def client_order(exchange: Exchange, side: int, price: str, qty: str) -> Order:
    request = NewOrder(side, "LIMIT", "GTC", price_raw=int(Decimal(price) * UNIT), qty_raw=int(Decimal(qty) * UNIT))
    return exchange.place(exchange.accounts[1], "ETHUSDC", request)


def levels(bids: dict[str, int], asks: dict[str, int]) -> dict[str, Any]:
    return {"b": [[p, str(q)] for p, q in bids.items()], "a": [[p, str(q)] for p, q in asks.items()]}


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=15))
def test_the_mirror_shows_what_it_was_told(messages: list[list[tuple[bool, str, int]]]) -> None:
    exchange, mirror = exchange_and_mirror()
    mirror.apply({"lastUpdateId": 1, "bids": [], "asks": []})
    told: dict[str, tuple[bool, int]] = {}
    for number, changes in enumerate(messages, 2):
        # One side per price within a message, and never crossed: bids below 101, asks from there.
        sides = {price: (Decimal(price) < 101, qty) for _, price, qty in changes}
        told |= sides
        diff = {"e": "depthUpdate", "s": "ETHUSDC", "U": number, "u": number}
        diff |= levels(
            {p: q for p, (is_bid, q) in sides.items() if is_bid},
            {p: q for p, (is_bid, q) in sides.items() if not is_bid},
        )
        assert mirror.apply({"stream": "x", "data": diff})
        engine = exchange.markets["ETHUSDC"].engine
        for side in (native.BUY, native.SELL):
            expected = {
                int(Decimal(p) * 100): q * 10_000 for p, (bid, q) in told.items() if q and bid == (side == native.BUY)
            }
            assert dict(engine.levels(side, 99)) == expected
    mirror.withdraw()
    assert not any(account.open_orders for account in exchange.accounts)
    assert not any(balance.locked for account in exchange.accounts for balance in account.balances.values())


def test_a_client_keeps_its_place_in_the_queue_of_a_level() -> None:
    exchange, mirror = exchange_and_mirror()
    engine = exchange.markets["ETHUSDC"].engine

    def bid(qty: int) -> list[int]:
        number = bid.number = getattr(bid, "number", 1) + 1  # type: ignore[attr-defined]
        diff = {"e": "depthUpdate", "s": "ETHUSDC", "U": number, "u": number} | levels({"100.00": qty}, {})
        assert mirror.apply({"data": diff})
        return [lots for _, _, _, lots, _hidden in engine.orders(native.BUY)]

    mirror.apply({"lastUpdateId": 1, "bids": [["100.00", "5"]], "asks": []})
    client_order(exchange, native.BUY, "100.00", "1")
    assert bid(8) == [50_000, 10_000, 30_000], "what comes later waits behind the client"
    assert bid(6) == [50_000, 10_000, 10_000], "and goes first"
    assert bid(2) == [20_000, 10_000], "what was there before keeps its place when it shrinks"


def test_a_missed_diff_is_told_and_so_is_a_snapshot_that_is_too_old() -> None:
    _, mirror = exchange_and_mirror()

    def diff(first: int, last: int) -> bool:
        message = {"e": "depthUpdate", "s": "ETHUSDC", "U": first, "u": last, "b": [], "a": []}
        return mirror.apply({"data": message})

    assert diff(20, 25)
    assert not mirror.apply({"lastUpdateId": 10, "bids": [], "asks": []}), "11 to 19 are missing"
    mirror.withdraw()
    assert diff(26, 30)
    assert mirror.apply({"lastUpdateId": 27, "bids": [], "asks": []})
    assert diff(31, 31)
    assert diff(29, 31), "heard before"
    assert not diff(33, 33)
