"""All venues of ccxt against a server on this machine; see tests/support/venue_harness."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import ccxt.async_support
import pytest

from cex import CcxtVenue, VenueSettings
from cex.venues import client_id_rules, profiles
from cex.venues.matrix import FEATURES, FILLED, Capability, capabilities, ccxt_version
from domain import InputError
from runtime import SystemClock
from tests.support.venue_harness.client import PRICE, SECRET, SIZE
from tests.support.venue_harness.files import FOLDER, made_files
from tests.support.venue_harness.form import signed_by, where_number, where_word
from tests.support.venue_harness.run import Survey, faults_of, survey
from tests.support.venue_harness.server import Request

NO_MARKETS_ASKED = 6
"""Venues whose list ccxt brings along, or asks for with keys only."""
TRADED_AT_LEAST = 60
"""Of 104; a change of ccxt that takes one away is a decision, not an accident."""


@pytest.fixture(scope="module")
def found() -> Survey:
    return asyncio.run(survey())


def test_no_request_leaves_holds_a_secret_or_speaks_for_somebody_else(found: Survey) -> None:
    assert found.faults == []


def test_the_matrix_and_its_pages_are_current(found: Survey) -> None:
    stale = [name for name, text in made_files(found.venues).items() if (FOLDER / name).read_text() != text]
    assert stale == [], "make venues"


def test_every_venue_is_there_and_most_can_be_traded_on(found: Survey) -> None:
    assert [venue.id for venue in found.venues] == ccxt.async_support.exchanges
    assert sum(venue.trades for venue in found.venues) >= TRADED_AT_LEAST
    assert sum(not venue.markets for venue in found.venues) <= NO_MARKETS_ASKED


def test_what_is_traded_on_gets_orders_in_full(found: Survey) -> None:
    """Symbol, side, size, price, our id and a signature, each in its place; and a cancel that names the order."""
    for venue in found.venues:
        if venue.trades:
            order = venue.order
            places = (order.symbol, order.side, order.size, order.price, order.client_order_id)
            assert all(places), venue.id
            # Some say the side by the sign of the size.
            assert len({order.size, order.price, order.client_order_id}) == 3, venue.id
            assert order.signed, venue.id
            assert re.match("(POST|GET|WS) /", order.call), venue.id
            assert venue.cancel.order_id or venue.cancel.client_order_id or "{id}" in venue.cancel.call, venue.id
            assert venue.book.call, venue.id


def test_every_way_of_every_feature_has_words(found: Survey) -> None:
    for venue in found.venues:
        assert set(venue.features) == set(FEATURES)
        assert all((feature, way) in FILLED for feature, way in venue.features.items()), venue.id


def test_named_venues_are_traded_on_but_dydx(found: Survey) -> None:
    by_id = {venue.id: venue for venue in found.venues}
    assert {name for name in profiles() if not by_id[name].trades} == {"dydx"}
    assert "lists no trades" in by_id["dydx"].why_not


def test_the_shipped_matrix_is_read() -> None:
    assert ccxt_version() == ccxt.__version__
    assert all(isinstance(venue, Capability) for venue in capabilities().values())
    assert client_id_rules().keys() <= capabilities().keys()


# --- the harness itself


REQUEST = Request(
    method="POST",
    path="/orders",
    query={"sym": "BTCQX"},
    headers={"X-SIGN": "0123456789", "X-PAYLOAD": "eyJvcmRlciI6IHsic2l6ZSI6ICIwLjM3MCJ9LCAieCI6ICJ5In0="},
    body={"a": [{"side": "Buy", "p": "-23457.0"}], "t": True},
    raw="POST /orders",
)


def test_places_are_found() -> None:
    assert where_word(REQUEST, "BTCQX") == "query.sym"
    assert where_word(REQUEST, "bid", "buy") == "body.a.0.side"
    assert where_number(REQUEST, PRICE) == "body.a.0.p"
    assert where_number(REQUEST, SIZE) == "header.X-PAYLOAD.order.size"
    assert where_number(REQUEST, PRICE + 1) == ""
    assert where_word(REQUEST, "ETHQX") == ""
    assert signed_by(REQUEST) == ["header X-SIGN"]


@pytest.mark.parametrize(
    "raw", ["Referer: CCXT", f"secret={SECRET}", "x-TKT5PX2F-order"], ids=["marketing", "secret", "broker id"]
)
def test_faults_are_noticed(raw: str) -> None:
    assert len(faults_of("binance", [replace(REQUEST, raw=raw)])) == 1
    assert faults_of("binance", [REQUEST]) == []


# --- the adapter obeys


@pytest.mark.parametrize("exchange", ["dydx", "bit2c", "coinone"])
async def test_keys_are_refused_where_an_order_could_be_lost(exchange: str) -> None:
    settings = VenueSettings(
        id="x",
        exchange=exchange,
        base_url="http://127.0.0.1:1",
        instruments=("BTC/USDT",),
        api_key="literal-test:k",
        secret="literal-test:s",
    )
    venue = CcxtVenue(settings, clock=SystemClock())
    with pytest.raises(InputError, match=re.escape(capabilities()[exchange].why_not)):
        await venue.connect(lambda _event: None)
