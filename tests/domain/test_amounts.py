"""Exact amounts: text in, integers inside, the same text out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import Amount, ChainId, InputError, InvariantError, native_asset, parse_units, venue_asset
from domain.amounts import format_units
from domain.ids import VenueId


@given(st.integers(min_value=0, max_value=10**77), st.integers(min_value=0, max_value=36))
def test_parse_inverts_format(raw, decimals):
    assert parse_units(format_units(raw, decimals), decimals) == raw


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1.", ".5", "1_000", "١", "0x10", "nan", "1.0000000000000000001"]
)
def test_what_is_not_plain_or_needs_rounding_is_refused(text):
    with pytest.raises(InputError):
        parse_units(text, 18)


def test_uint256_max_survives():
    assert parse_units(str(2**256 - 1), 0) == 2**256 - 1


def test_amounts_of_different_assets_do_not_add():
    eth, usdc = native_asset(ChainId(1)), venue_asset(VenueId("x"), "USDC")
    assert str(Amount.parse("1.5", eth)) == "1.500000000000000000 ETH"
    with pytest.raises(InvariantError):
        _ = Amount(eth, 1) + Amount(usdc, 1)
