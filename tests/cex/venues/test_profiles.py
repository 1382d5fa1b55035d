"""The venue profiles that ship: readable, sourced, and in terms of the installed ccxt."""

from __future__ import annotations

import ccxt.async_support
import ccxt.pro
import msgspec
import pytest

from cex.client_ids import ClientIds
from cex.venues import ClientIdRule, Profile, profile_of, profiles

NAMED = ("binance", "coinbase", "kraken", "okx", "bybit", "bitfinex", "dydx", "hyperliquid")


def test_the_named_venues_have_profiles() -> None:
    assert set(NAMED) <= set(profiles())


@pytest.mark.parametrize("profile", profiles().values(), ids=str)
def test_a_profile_is_of_a_ccxt_exchange_and_has_sources(profile: Profile) -> None:
    assert profile.exchange in ccxt.async_support.exchanges
    assert profile.sources
    assert all(source.startswith("https://") for source in profile.sources)
    assert profile.checksum is not None
    assert profile.dead_man is not None


@pytest.mark.parametrize("profile", profiles().values(), ids=str)
def test_a_dead_man_that_is_called_is_a_method_of_ccxt(profile: Profile) -> None:
    assert profile.dead_man is not None
    if profile.dead_man.call:
        kind = getattr(ccxt.pro if profile.exchange in ccxt.pro.exchanges else ccxt.async_support, profile.exchange)
        assert kind().has["cancelAllOrdersAfter"]
        assert callable(getattr(kind, profile.dead_man.call))
        assert 0 < profile.dead_man.seconds_min < profile.dead_man.seconds_max


@pytest.mark.parametrize("profile", profiles().values(), ids=str)
def test_the_engines_ids_reach_every_venue_and_come_back(profile: Profile) -> None:
    ids = ClientIds(profile.client_order_id)
    for number in (0, 1, 2**64 - 1, 0x1234_5678_9ABC_DEF0):
        ours = f"c{number:016x}"
        assert ids.ours(ids.theirs(ours)) == ours


def test_a_venue_without_a_file_has_a_plain_profile() -> None:
    plain = profile_of("bitstamp")
    assert plain.client_order_id == ClientIdRule()
    assert plain.rates == ()
    assert plain.options == {}


@pytest.mark.parametrize(
    "text",
    [
        {"exchange": "x", "title": "X", "typo": 1},
        {"exchange": "x", "title": "X", "client_order_id": {"kind": "integer"}},
        {"exchange": "x", "title": "X", "client_order_id": {"kind": "text", "bits": 5}},
        {"exchange": "x", "title": "X", "rates": [{"kind": "ordres", "limit": 1, "window_s": 1}]},
    ],
)
def test_a_profile_that_is_wrong_is_refused(text: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Profile)
