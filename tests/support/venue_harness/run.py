"""One pass over all venues: what was asked of each, in which form, and what must never be asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import ccxt.async_support

from cex.connection import exchange_class
from cex.errors import await_foreign
from cex.venues import profiles
from cex.venues.matrix import Capability, OrderForm
from domain import OrderType, Side, TimeInForce
from domain.events import PlaceOrder
from tests.support.venue_harness.client import (
    ORDER_ID,
    PRICE,
    PRIVATE_KEY,
    SECRET,
    SIZE,
    VENUE_ORDER_ID,
    Client,
    open_client,
)
from tests.support.venue_harness.features import features, why_not
from tests.support.venue_harness.form import signed_by, where_number, where_word
from tests.support.venue_harness.oddities import oddity
from tests.support.venue_harness.server import Recorder, Request, recording

CALL_S = 60.0
"""The server answers at once; this only ends what would never end."""
AT_ONCE = 16
BUY = ("buy", "bid", "long", "b")
PAIRS = ("BTC/USDT", "BTC-USDT", "BTC_USDT", "BTCUSDT", "BTC")
_MARK_OPTIONS = re.compile("broker|partner|builder|referr|affiliate|integrator|router", re.IGNORECASE)


@dataclass
class Survey:
    """All venues in ccxt's order, and every fault."""

    venues: list[Capability] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


async def survey(venues: Sequence[str] = ()) -> Survey:
    """Try the venues, all that ccxt knows unless some are named."""
    found, turns = Survey(), asyncio.Semaphore(AT_ONCE)
    names = list(venues) or list(ccxt.async_support.exchanges)

    async def one(venue: str, server: Recorder, wire: Wire) -> Capability:
        async with turns:
            return await try_venue(venue, server, wire)

    with nothing_leaves() as wire:
        async with recording() as server:
            found.venues = list(await asyncio.gather(*(one(venue, server, wire) for venue in names)))
            found.faults = [fault for venue in names for fault in faults_of(venue, server.of(venue))]
    found.faults += [f"a request to {host} left this machine" for host in wire.refused]
    return found


@dataclass
class Wire:
    """What was sent, in the order in which it was."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    """Method and path with the venue's prefix."""
    refused: list[str] = field(default_factory=list)

    def first_of(self, venue: str) -> str:
        calls = (f"{method} {path.removeprefix(f'/{venue}')}" for method, path in self.sent if _is_of(path, venue))
        return next(calls, "")


def _is_of(path: str, venue: str) -> bool:
    return path.startswith(f"/{venue}/")


@contextmanager
def nothing_leaves() -> Iterator[Wire]:
    """Note every connection that is wanted, and refuse those that are not to this machine."""
    wire, connect = Wire(), aiohttp.TCPConnector.connect

    async def guarded(self: aiohttp.TCPConnector, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.url.host != "127.0.0.1":
            wire.refused.append(str(request.url.host))
            raise OSError("the harness does not leave the machine")
        wire.sent.append((request.method, request.url.raw_path))
        return await connect(self, request, *args, **kwargs)

    aiohttp.TCPConnector.connect = guarded  # type: ignore[method-assign]
    try:
        yield wire
    finally:
        aiohttp.TCPConnector.connect = connect  # type: ignore[method-assign]


async def try_venue(venue: str, server: Recorder, wire: Wire) -> Capability:
    """Load markets, ask for a book, place and cancel an order; say what arrived."""
    requests = server.of(venue)
    if (answer := oddity(venue).answer()) is not None:
        server.answers[venue] = answer
    client = await open_client(venue, server.url(venue))
    exchange, market = client.exchange, client.market
    markets = wire.first_of(venue)
    try:
        book = _find(await _during(requests, exchange.fetch_order_book(market.unified)), client)
        order = _find(await _during(requests, client.orders.place(_order(client))), client)
        client.reports.register(ORDER_ID, market.id, 0).venue_order_id = VENUE_ORDER_ID
        # What follows the cancel asks what became of it, and names the order too.
        asked = await _during(requests, client.orders.cancel(market, ORDER_ID))
        forms = [_find([request], client) for request in asked]
        cancel = next((form for form in forms if form["order_id"] or form["client_order_id"]), {})
    finally:
        await client.connection.close()
    row = {"order": order, "cancel": cancel}
    ways = features(exchange, row)
    return Capability(
        id=venue,
        title=str(exchange.name),
        kinds=tuple(kind for kind in ("spot", "swap") if exchange.has.get(kind)),
        has_testnet=bool(exchange.urls.get("test")),
        has_profile=venue in profiles(),
        features=ways,
        why_not=why_not(venue, ways, row),
        markets=markets,
        book=_form(book, ("call", "symbol")),
        order=_form(order, ("call", "symbol", "side", "size", "price", "client_order_id", "signed")),
        cancel=_form(cancel, ("call", "client_order_id", "order_id")),
    )


def faults_of(venue: str, requests: Sequence[Request]) -> list[str]:
    """What no request may hold: a secret, or a word for ccxt's benefit."""
    described = exchange_class(venue)().describe().get("options", {})
    marks = {"ccxt"} | set(_texts({k: v for k, v in described.items() if _MARK_OPTIONS.search(k)}))
    secrets = (SECRET, PRIVATE_KEY, PRIVATE_KEY[2:])
    faults = []
    for request in requests:
        raw = request.raw.replace("/ccxt/", "/")  # A path of bitteam's own.
        faults += [
            f"{venue}: {request.call} speaks for {mark}" for mark in sorted(marks) if mark.lower() in raw.lower()
        ]
        # Bearer secrets are how some venues are asked; those name them.
        if not oddity(venue).sends_secret:
            faults += [f"{venue}: {request.call} holds a secret" for secret in secrets if secret in raw]
    return sorted(set(faults))


def _texts(value: Any) -> Iterator[str]:
    """The words within options that could stand for a broker: none so short that it would be found anywhere."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, str) and len(value) >= 4:
        yield value


def _order(client: Client) -> PlaceOrder:
    instrument = client.market.instrument
    return PlaceOrder(
        client_order_id=ORDER_ID,
        strategy="harness",
        instrument=client.market.id,
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=instrument.ticks(PRICE),
        qty_lots=instrument.lots(SIZE),
    )


async def _during(requests: list[Request], call: Awaitable[Any]) -> list[Request]:
    """Give the requests that arrived while something was done, however it ended: the answers are nonsense."""
    before = len(requests)
    try:
        async with asyncio.timeout(CALL_S):
            await await_foreign(call)
    except Exception:  # What a client makes of no answer differs from venue to venue.
        return requests[before:]
    return requests[before:]


def _find(arrived: list[Request], client: Client) -> dict[str, Any]:
    """Give the places of the request that says most."""
    best: dict[str, Any] = {}
    ours, odd = str(client.connection.ids.theirs(ORDER_ID)), oddity(client.exchange.id)
    market_id = str(client.exchange.market(client.market.unified)["id"])
    for request in arrived:
        found = {
            "call": request.call.replace(market_id, "{symbol}").replace(VENUE_ORDER_ID, "{id}").replace(ours, "{id}"),
            "symbol": where_word(request, *filter(None, (odd.symbol, market_id)), *PAIRS),
            "side": where_word(request, odd.side) if odd.side else where_word(request, *BUY),
            "size": where_number(request, SIZE),
            "price": where_number(request, PRICE),
            "client_order_id": where_word(request, ours),
            "order_id": where_word(request, VENUE_ORDER_ID),
            "signed": tuple(signed_by(request)),
        }
        if sum(map(bool, found.values())) >= sum(map(bool, best.values())):
            best = found
    return best


def _form(found: dict[str, Any], wanted: tuple[str, ...]) -> OrderForm:
    return OrderForm(**{name: found[name] for name in wanted if found.get(name)})
