"""Numbers cross the venue's border exactly or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.numbers import plain, price_text, qty_text, quote_raw, to_decimal, to_raw
from domain import InputError, Instrument, VenueId, venue_asset


def instrument(tick: str = "0.01", lot: str = "0.0001") -> Instrument:
    venue = VenueId("v")
    return Instrument(
        venue=venue,
        symbol="AB",
        base=venue_asset(venue, "A"),
        quote=venue_asset(venue, "B"),
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_notional=Decimal(0),
        maker_fee_bps=Decimal(0),
        taker_fee_bps=Decimal(0),
    )


def test_quote_is_price_times_size_in_the_smallest_unit() -> None:
    assert quote_raw(instrument(), 301_017, 321) == 301_017 * 321 * 100


def test_quote_finer_than_the_unit_is_refused() -> None:
    with pytest.raises(InputError, match="more than 8 decimals"):
        quote_raw(instrument("0.00001", "0.00001"), 1, 1)


def test_more_than_eight_decimals_are_refused() -> None:
    assert to_raw("0.00000001", 8) == 1
    assert to_raw("0.000000010", 8) == 1
    with pytest.raises(InputError):
        to_raw("0.000000011", 8)


def test_rebates_are_negative() -> None:
    assert to_raw("-0.5", 8) == -50_000_000


@pytest.mark.parametrize("bad", ["", "abc", "NaN", "Infinity", None])
def test_what_is_no_number_is_refused(bad: object) -> None:
    with pytest.raises(InputError):
        to_decimal(bad)


def test_exponents_of_floats_are_written_out() -> None:
    assert plain(to_decimal(1e-7)) == "0.0000001"
    assert to_raw(1e-7, 8) == 10
    assert plain(Decimal("1.2E+3")) == "1200"


@given(st.integers(1, 10**12), st.integers(0, 8))
def test_texts_sent_to_a_venue_read_back_as_the_same_ticks(ticks: int, decimals: int) -> None:
    step = f"{Decimal(1).scaleb(-decimals):f}"
    grid = instrument(step, step)
    assert grid.ticks(Decimal(price_text(grid, ticks))) == ticks
    assert grid.lots(Decimal(qty_text(grid, ticks))) == ticks
    assert "E" not in price_text(grid, ticks)


@given(st.integers(0, 10**15))
def test_floats_of_a_venues_book_return_to_the_text_they_came_from(units: int) -> None:
    text = f"{units // 10**8}.{units % 10**8:08}"
    if len(text.replace(".", "").strip("0")) <= 15:
        assert to_raw(float(text), 8) == units
