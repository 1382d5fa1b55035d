"""What ccxt does for its own benefit is taken out. The harness looks at every venue's requests; here are the rules."""

from __future__ import annotations

from typing import Any

import ccxt.async_support
import pytest

from cex.connection import Connection
from cex.marks import headers_without_marks, without_marks
from cex.settings import VenueSettings
from runtime import SystemClock


def test_headers_that_name_a_broker_are_dropped() -> None:
    headers = {"Referer": "CCXT", "X-Gate-Channel-Id": "ccxt", "User-Agent": "ccxt/1", "X-MBX-APIKEY": "k", "SIGN": "s"}
    assert headers_without_marks(headers) == {"User-Agent": "capstan", "X-MBX-APIKEY": "k", "SIGN": "s"}


def test_parameters_that_name_a_broker_are_dropped_however_deep() -> None:
    order = {"broker_id": "x", "symbol": "BTC", "orders": [{"order_tag": "y", "qty": "1"}], "tag": "ccxt"}
    assert without_marks(order) == {"symbol": "BTC", "orders": [{"qty": "1"}]}


async def test_nothing_is_signed_for_a_builder_or_a_referrer() -> None:
    """Hyperliquid's client approves a fee and sets a referrer at its first call, unless it is stopped."""
    sent: list[Any] = []
    settings = VenueSettings(id="x", exchange="hyperliquid", base_url="http://127.0.0.1:1", instruments=("BTC",))
    connection = Connection(settings, SystemClock(), None)
    exchange = connection.exchange = ccxt.async_support.hyperliquid(
        {"privateKey": "0x" + "11" * 32, "walletAddress": "0x" + "22" * 20}
    )
    connection._hook()

    async def post(request: Any) -> Any:
        sent.append(request)
        return {}

    exchange.privatePostExchange = post
    exchange.publicPostInfo = post
    try:
        await exchange.initialize_client()
        await exchange.approve_builder_fee("0x" + "33" * 20, "1%")
        await exchange.set_ref()
    finally:
        await exchange.close()
    assert [request for request in sent if "action" in request] == []


@pytest.mark.parametrize(("exponent", "power"), [("2", "100"), ("0", "1"), ("-1", "0.1"), ("-9", "0.000000001")])
async def test_powers_of_ten_are_exact(exponent: str, power: str) -> None:
    settings = VenueSettings(id="x", exchange="dydx", base_url="http://127.0.0.1:1", instruments=("BTC",))
    connection = Connection(settings, SystemClock(), None)
    connection.exchange = ccxt.async_support.dydx()
    connection._hook()
    assert connection.exchange.pow("10", exponent) == power
    await connection.exchange.close()


async def test_no_order_router_shares_dydx_fees() -> None:
    signed: list[Any] = []
    settings = VenueSettings(id="x", exchange="dydx", base_url="http://127.0.0.1:1", instruments=("BTC",))
    connection = Connection(settings, SystemClock(), None)
    exchange = connection.exchange = ccxt.async_support.dydx()
    exchange.sign_dydx_tx = lambda *transaction: signed.append(transaction)
    connection._hook()
    order = {"value": {"order": {"orderRouterAddress": "dydx1router", "quantums": 7}}}
    exchange.sign_dydx_tx("key", order, "", "dydx-1", {}, None)
    assert signed == [("key", {"value": {"order": {"quantums": 7}}}, "", "dydx-1", {}, None)]
    await exchange.close()
