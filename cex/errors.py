"""What ccxt's exceptions mean for money: the one table from foreign errors to ours.

    nothing was written to a socket                      VenueUnavailable   safe to try again
    written, and the venue answered no (4xx, codes)      OrderRejected      nothing rests
    written, and throttled (429, 418)                    VenueUnavailable   the venue did not look at it
    written, and anything else (5xx, cut, late, garbled) OutcomeUnknown     ask by client order id
    written, and "duplicate"                             OutcomeUnknown     an order of that id is alive: ask

ccxt is looked up by class name along the exception's ancestry, so that this module does not import it (0.8 s).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from domain import InputError, OrderRejected, OutcomeUnknown, PlatformError, VenueUnavailable

T = TypeVar("T")

_CODE = re.compile(r'"(?:code|retCode|sCode|err_code)"\s*:\s*"?(-?\w+)"?')
_TEXT = re.compile(r'"(?:msg|message|retMsg|sMsg|error)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_REFUSED = re.compile(r'"status"\s*:\s*"err"')
"""How Hyperliquid says no to a whole request, which has no codes."""
_QUERY = re.compile(r"\?\S*")

_THROTTLED = {"DDoSProtection", "RateLimitExceeded"}
_CREDENTIALS = {"AuthenticationError", "AccountSuspended"}
_CALLER = {"ArgumentsRequired", "BadSymbol", "NotSupported", "BadRequest"}


class UnknownOrder(VenueUnavailable):
    """The venue does not know the order it was asked about. Caught inside this package."""


def is_kind(exc: BaseException, *names: str) -> bool:
    """Whether an exception is, or descends from, a ccxt class of one of these names."""
    return any(cls.__name__ in names and cls.__module__.startswith("ccxt") for cls in type(exc).__mro__)


def describe(exc: BaseException) -> tuple[str, str]:
    """Give the venue's own code (or ccxt's class name) and its text. Query strings, which carry keys, are cut out."""
    text = str(exc)
    code, message = _CODE.search(text), _TEXT.search(text)
    reason = message[1] if message else _QUERY.sub("", text)
    return (code[1] if code else type(exc).__name__), reason[:300]


def place_error(exc: BaseException, *, client_order_id: str, touched: bool, status: int | None) -> PlatformError:
    """Sort a failure to place an order. `touched` says whether any of its bytes may have left, `status` is HTTP's."""
    code, reason = describe(exc)
    what = f"order {client_order_id}: {code} {reason}"
    if not touched:
        # ccxt checks some things itself, before sending: those are a no, of whoever's making.
        if is_kind(exc, "ExchangeError"):
            return OrderRejected(what, code=code, reason=reason)
        return VenueUnavailable(what)
    if status is not None and status >= 500:
        return OutcomeUnknown(what, request_id=client_order_id)
    if is_kind(exc, *_THROTTLED):
        return VenueUnavailable(what)
    # A bare ExchangeError with a code is one that ccxt does not know, and the venue's answer was no nevertheless.
    # Without a code it is ccxt's way of saying that it could not read the answer.
    is_answer = type(exc).__name__ != "ExchangeError" or bool(_CODE.search(str(exc)) or _REFUSED.search(str(exc)))
    is_duplicate = is_kind(exc, "DuplicateOrderId") or "duplicate" in reason.lower()
    if is_kind(exc, "InvalidNonce") or (is_kind(exc, "ExchangeError") and is_answer and not is_duplicate):
        return OrderRejected(what, code=code, reason=reason)
    return OutcomeUnknown(what, request_id=client_order_id)


def query_error(exc: BaseException, what: str, *, starting: bool = False) -> PlatformError:
    """Sort a failure of something that changes nothing: it may be tried again, unless the caller must mend it first."""
    code, reason = describe(exc)
    if is_kind(exc, "OrderNotFound"):
        return UnknownOrder(f"{what}: {code} {reason}")
    if starting and is_kind(exc, *_CREDENTIALS):
        return InputError(
            f"{what}: the venue refuses the API key ({code} {reason})",
            hint="check api_key and secret, their permissions and the venue's IP allow-list",
        )
    if starting and is_kind(exc, *_CALLER):
        return InputError(f"{what}: {code} {reason}")
    return VenueUnavailable(f"{what}: {code} {reason}")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what Python raises over an answer of the wrong shape into `VenueUnavailable`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration) as exc:
        raise VenueUnavailable(f"{what}: unreadable answer ({type(exc).__name__})") from exc


async def await_foreign(call: Awaitable[T]) -> T:
    """Await something of ccxt's, which cancels its own futures when it closes a socket.

    Such a cancellation would pass for one of ours: it would end a reading task without a word, or lose the outcome of
    an order.

    Raises:
        ConnectionAbortedError: ccxt gave the call up. Cancellations of the calling task pass as they are.
    """
    try:
        return await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionAbortedError("ccxt closed the connection") from None
