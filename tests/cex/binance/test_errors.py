"""The venue's codes, sorted by what to do next: the same as our table over ccxt's classes says, code by code."""

from __future__ import annotations

import json

import aiohttp
import ccxt
import msgspec
import pytest

from cex import errors as generic
from cex.binance.connection import refusal
from cex.binance.errors import Refusal, place_error, query_error
from domain import InputError, OrderRejected, OutcomeUnknown, PlatformError, VenueUnavailable

_EXCHANGE = ccxt.binance()
CODES = sorted(
    int(code)
    for table in (_EXCHANGE.exceptions["exact"], _EXCHANGE.exceptions["spot"]["exact"])
    for code in table
    if code.lstrip("-").isdigit() and -2_999 <= int(code) <= -1_000
)
URL = "https://api.binance.com/api/v3/order"


def by_ccxt(status: int, body: str) -> Exception:
    """What ccxt raises over an answer."""
    try:
        response = json.loads(body)
    except ValueError:
        response = None
    try:
        _EXCHANGE.handle_errors(status, "", URL, "POST", {}, body, response, None, None)
        _EXCHANGE.handle_http_status_code(status, "", URL, "POST", body)
    except ccxt.BaseError as exc:
        return exc
    raise AssertionError("ccxt saw no error")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 418, 429, 500, 503])
def test_orders_are_sorted_as_over_ccxt(status: int) -> None:
    assert len(CODES) > 50
    for code in CODES:
        body = json.dumps({"code": code, "msg": "Words."})
        theirs = generic.place_error(by_ccxt(status, body), client_order_id="a-1", touched=True, status=status)
        ours = place_error(refusal(status, body.encode()), client_order_id="a-1", touched=True)
        assert type(ours) is type(theirs), (status, code)
        assert "a-1" in str(ours)


@pytest.mark.parametrize("starting", [False, True])
def test_questions_are_never_sorted_more_lightly_than_over_ccxt(starting: bool) -> None:
    """Where they differ, ours is the one that may be tried again, or that tells the caller to mend a request's form."""
    different = set()
    for code in CODES:
        body = json.dumps({"code": code, "msg": "Words."})
        theirs = generic.query_error(by_ccxt(400, body), "x", starting=starting)
        ours = query_error(refusal(400, body.encode()), "x", starting=starting)
        assert type(ours) in {type(theirs), VenueUnavailable, InputError if starting else type(theirs)}, code
        if type(ours) is not type(theirs):
            different.add(code)
    assert len(different) < (15 if starting else 1)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"code":-2010,"msg":"Duplicate order sent."}', OutcomeUnknown),
        (400, b'{"code":-2010,"msg":"Account has insufficient balance for requested action."}', OrderRejected),
        (400, b'{"code":-9999,"msg":"something new"}', OrderRejected),
        (403, b"<html>firewall</html>", OutcomeUnknown),
        (502, b"<html>bad gateway</html>", OutcomeUnknown),
        (404, b"", OutcomeUnknown),
        (200, b"{}", OutcomeUnknown),
        (429, b"", VenueUnavailable),
        (418, b"banned", VenueUnavailable),
        (400, b'{"code":"-2010","msg":"of another kind"}', OutcomeUnknown),
    ],
)
def test_answers_to_an_order(status: int, body: bytes, kind: type[PlatformError]) -> None:
    error = place_error(refusal(status, body), client_order_id="a", touched=True)
    assert type(error) is kind
    if isinstance(error, OutcomeUnknown):
        assert error.request_id == "a"
    if isinstance(error, OrderRejected):
        assert error.code in {"-2010", "-9999"}
        assert error.reason


@pytest.mark.parametrize(
    "exc",
    [ConnectionResetError("cut"), aiohttp.ServerDisconnectedError(), msgspec.ValidationError("not an order")],
)
def test_what_left_and_was_not_answered_is_unknown_and_what_did_not_leave_is_safe(exc: Exception) -> None:
    assert type(place_error(exc, client_order_id="a", touched=True)) is OutcomeUnknown
    assert type(place_error(exc, client_order_id="a", touched=False)) is VenueUnavailable


def test_texts_of_the_http_library_are_left_out() -> None:
    exc = aiohttp.InvalidURL("https://h/api/v3/account?timestamp=1&signature=abcdef")
    assert "signature" not in str(query_error(exc, "account"))
    assert "Words" in str(query_error(Refusal(400, -1102, "Words."), "account"))
