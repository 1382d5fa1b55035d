"""ccxt's exceptions, sorted by what to do next; the codes are Binance's documented ones."""

from __future__ import annotations

import asyncio

import ccxt
import pytest

from cex.errors import await_foreign, describe, place_error, query_error
from domain import InputError, OrderRejected, OutcomeUnknown, PlatformError, VenueUnavailable

CASES = [
    (ccxt.InsufficientFunds('binance {"code":-2010,"msg":"Account has insufficient balance"}'), 400, OrderRejected),
    (ccxt.OrderImmediatelyFillable("binance Order would immediately match and take."), 400, OrderRejected),
    (ccxt.InvalidOrder('binance {"code":-1013,"msg":"Filter failure: NOTIONAL"}'), 400, OrderRejected),
    (ccxt.AuthenticationError('binance {"code":-2015,"msg":"Invalid API-key"}'), 401, OrderRejected),
    (ccxt.BadRequest('binance {"code":-1102,"msg":"missing"}'), 400, OrderRejected),
    (ccxt.InvalidNonce('binance {"code":-1021,"msg":"Timestamp outside of the recvWindow"}'), 400, OrderRejected),
    (ccxt.ExchangeError('binance {"code":-9999,"msg":"something new"}'), 400, OrderRejected),
    (ccxt.InvalidOrder('binance {"code":-2010,"msg":"Duplicate order sent."}'), 400, OutcomeUnknown),
    (ccxt.DuplicateOrderId("okx duplicate"), 400, OutcomeUnknown),
    (ccxt.RequestTimeout('binance {"code":-1007,"msg":"Timeout waiting for response"}'), None, OutcomeUnknown),
    (ccxt.OperationFailed('binance {"code":-1000,"msg":"An unknown error"}'), 400, OutcomeUnknown),
    (ccxt.ExchangeNotAvailable("binance POST https://x/order"), None, OutcomeUnknown),
    (ccxt.ExchangeError("binance <html>bad gateway</html>"), 502, OutcomeUnknown),
    (ccxt.InvalidOrder('binance {"code":-1013,"msg":"but it was a 500"}'), 500, OutcomeUnknown),
    (ccxt.BadResponse("binance garbage"), 200, OutcomeUnknown),
    (ccxt.ExchangeError("binance unreadable"), 200, OutcomeUnknown),
    (ccxt.NetworkError("closed"), None, OutcomeUnknown),
    (KeyError("status"), 200, OutcomeUnknown),
    (ccxt.DDoSProtection("binance 429 Too Many Requests"), 429, VenueUnavailable),
    (ccxt.RateLimitExceeded('binance {"code":-1015,"msg":"Too many new orders"}'), 400, VenueUnavailable),
]


@pytest.mark.parametrize(("exc", "status", "kind"), CASES, ids=lambda value: str(value)[:40])
def test_failure_after_the_order_left(exc: Exception, status: int | None, kind: type[PlatformError]) -> None:
    error = place_error(exc, client_order_id="a-1", touched=True, status=status)
    assert type(error) is kind
    assert "a-1" in str(error)
    if isinstance(error, OutcomeUnknown):
        assert error.request_id == "a-1"


@pytest.mark.parametrize("exc", [ccxt.NetworkError("refused"), ccxt.RequestTimeout("x"), OSError("no route")])
def test_failure_before_the_order_left_is_safe(exc: Exception) -> None:
    assert type(place_error(exc, client_order_id="a", touched=False, status=None)) is VenueUnavailable


def test_ccxts_own_refusal_before_sending_is_a_rejection() -> None:
    exc = ccxt.InvalidOrder("binance amount must be greater than minimum amount precision")
    assert type(place_error(exc, client_order_id="a", touched=False, status=None)) is OrderRejected


def test_code_and_text_are_the_venues_own() -> None:
    assert describe(ccxt.InvalidOrder('binance {"code":-1013,"msg":"Filter failure: LOT_SIZE"}')) == (
        "-1013",
        "Filter failure: LOT_SIZE",
    )


def test_signed_urls_are_cut() -> None:
    exc = ccxt.RequestTimeout("binance GET https://h/api/v3/account?timestamp=1&signature=abcdef")
    assert "signature" not in describe(exc)[1]


def test_bad_key_is_the_callers_at_the_start_and_passing_later() -> None:
    exc = ccxt.AuthenticationError('binance {"code":-2015,"msg":"Invalid API-key"}')
    assert type(query_error(exc, "balances", starting=True)) is InputError
    assert type(query_error(exc, "balances")) is VenueUnavailable


async def test_cancellation_by_ccxt_is_a_failure_and_ours_is_ours() -> None:
    theirs: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(await_foreign(theirs))
    await asyncio.sleep(0)
    theirs.cancel()
    with pytest.raises(ConnectionAbortedError):
        await waiting

    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ours = asyncio.create_task(await_foreign(never))
    await asyncio.sleep(0)
    ours.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ours
    assert ours.cancelled()
