"""What is followed, on which grid: spot and linear swaps, contracts, and prices of significant digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cex.markets import Market, follow
from cex.settings import VenueSettings
from domain import InputError, Side

TICK_SIZE, DIGITS = 4, 3


def a_market(symbol: str, **changes: Any) -> dict[str, Any]:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    return {
        "id": base + quote,
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "spot": not settle,
        "swap": bool(settle),
        "linear": settle == quote if settle else None,
        "active": True,
        "contractSize": "1" if settle else None,
        "precision": {"price": "0.01", "amount": "0.001"},
        "limits": {"cost": {"min": "5"}},
    } | changes


def followed(symbol: str, *markets: dict[str, Any], mode: int = TICK_SIZE, last: str | None = None) -> Market:
    settings = VenueSettings(id="x", exchange="okx", instruments=(symbol,))
    prices = {symbol: Decimal(last)} if last is not None else {}
    [market] = follow(settings, {market["symbol"]: market for market in markets}, mode, prices)
    return market


def test_a_name_shared_by_spot_and_swap_means_spot() -> None:
    both = (a_market("BTC/USDC"), a_market("BTC/USDC:USDC"))
    for order in (both, both[::-1]):
        assert followed("BTCUSDC", *order).is_spot
        assert not followed("BTC/USDC:USDC", *order).is_spot
        assert followed("BTC/USDC", *order).unified == "BTC/USDC"


def test_a_swap_has_its_venues_name_where_no_spot_market_has_it() -> None:
    market = followed("BTCUSDC", a_market("BTC/USDC:USDC"))
    assert (market.unified, market.instrument.quote.symbol, market.is_spot) == ("BTC/USDC:USDC", "USDC", False)


@pytest.mark.parametrize("symbol", ["BTC/USD:BTC", "BTC/USDC:USDT"])
def test_swaps_that_settle_in_another_asset_are_refused(symbol: str) -> None:
    with pytest.raises(InputError, match="no spot market and no linear perpetual swap"):
        followed(symbol, a_market(symbol))


def test_contracts_become_lots_of_the_base_asset_and_back() -> None:
    market = followed(
        "BTC/USDT:USDT",
        a_market("BTC/USDT:USDT", contractSize="0.01", precision={"price": "0.1", "amount": "0.1"}),
    )
    assert market.instrument.lot_size == Decimal("0.001")
    assert market.lots("2.5") == 25
    assert market.amount_text(25) == "2.5"
    with pytest.raises(InputError):
        market.lots("2.55")


@given(
    st.integers(1, 10**9),
    st.sampled_from(["1", "0.1", "0.01", "0.0001", "10", "1000"]),
    st.sampled_from(["1", "0.1", "0.00000001"]),
)
def test_amounts_come_back_exactly(lots: int, contract_size: str, step: str) -> None:
    market = followed(
        "BTC/USDT:USDT",
        a_market("BTC/USDT:USDT", contractSize=contract_size, precision={"price": "0.1", "amount": step}),
    )
    assert market.lots(market.amount_text(lots)) == lots
    assert Decimal(market.amount_text(lots)) % Decimal(step) == 0


# --- significant digits


def of_digits(last: str) -> Market:
    return followed("BTC/USD", a_market("BTC/USD", precision={"price": 5, "amount": 8}), mode=DIGITS, last=last)


@pytest.mark.parametrize(("last", "tick"), [("23457", "0.01"), ("1.2345", "0.000001"), ("0.00012345", "0.0000000001")])
def test_the_tick_is_made_from_the_price(last: str, tick: str) -> None:
    market = of_digits(last)
    assert market.instrument.tick_size == Decimal(tick)
    assert market.instrument.lot_size == Decimal("0.00000001")


def test_without_a_price_there_is_no_tick() -> None:
    with pytest.raises(InputError, match="no price"):
        followed("BTC/USD", a_market("BTC/USD", precision={"price": 5, "amount": 8}), mode=DIGITS)


@given(st.integers(10_000, 99_999), st.integers(-8, 3), st.integers(-2, 3))
def test_every_price_of_the_venue_is_on_the_grid_down_to_a_hundredth(digits: int, exponent: int, moved: int) -> None:
    market = of_digits(str(Decimal(23457).scaleb(exponent)))
    price = Decimal(digits).scaleb(exponent + moved)
    assert market.instrument.price(market.instrument.ticks(price)) == price


@given(st.integers(1, 10**9), st.sampled_from([Side.BUY, Side.SELL]))
def test_a_price_of_too_many_digits_moves_in_our_favour_and_by_less_than_a_digit(ticks: int, side: Side) -> None:
    market = of_digits("23457")
    wanted, sent = market.instrument.price(ticks), Decimal(market.price_text(ticks, side))
    assert len(sent.normalize().as_tuple().digits) <= 5
    assert sent <= wanted if side is Side.BUY else sent >= wanted
    assert abs(sent - wanted) < Decimal(1).scaleb(wanted.adjusted() - 4)
    assume(len(wanted.normalize().as_tuple().digits) <= 5)
    assert sent == wanted
