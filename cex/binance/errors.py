"""What the venue's refusals mean for money, by its own codes; `cex.errors` has the same table by ccxt's names.

Codes: https://developers.binance.com/docs/binance-spot-api-docs/errors. What is in no list below and has a code is a
plain no. What has no code was not said by the matching engine (a proxy, a firewall, half an answer): outcome unknown.
"""

from __future__ import annotations

from typing import Any, Final

from cex.errors import UnknownOrder
from domain import InputError, OrderRejected, OutcomeUnknown, PlatformError, VenueUnavailable

THROTTLED: Final = frozenset({-1003, -1015})
"""Too many requests, too many orders: the venue did not look at it."""
HALVES_FAILED: Final = frozenset({-2021, -2022})
"""A cancel-replace of which one half failed, or both; `data` says how."""
UNDECIDED: Final = frozenset({-1000, -1001, -1004, -1006, -1007, -1008, -1010, -1112}) | HALVES_FAILED
"""The venue itself does not say whether the order was executed, or ccxt believes so: asking costs little."""
UNKNOWN_ORDER: Final = frozenset({-2011, -2013})
UNTIMELY: Final = -1021
"""The request's timestamp is outside of its window."""
_CREDENTIALS: Final = frozenset({-1002, -1022, -1099, -2008, -2014, -2015})
_CALLER: Final = range(-1199, -1099)


class Refusal(Exception):
    """An answer that is not a result. `code` is None where the venue's own could not be read."""

    def __init__(self, status: int, code: int | None, reason: str, data: Any = None) -> None:
        super().__init__(f"HTTP {status}" if code is None else str(code), reason[:300])
        self.status = status
        self.code = code
        self.reason = reason[:300]
        self.data = data
        """What the venue adds to some codes."""

    def __str__(self) -> str:
        return " ".join(filter(None, self.args))


def place_error(exc: BaseException, *, client_order_id: str, touched: bool) -> PlatformError:
    """Sort a failure to place an order. `touched` says whether any of its bytes may have left."""
    what = f"order {client_order_id}: {_text(exc)}"
    if not touched:
        return VenueUnavailable(what)
    if not isinstance(exc, Refusal) or exc.status >= 500:
        return OutcomeUnknown(what, request_id=client_order_id)
    if exc.status in (418, 429) or exc.code in THROTTLED:
        return VenueUnavailable(what)
    # "Duplicate order sent": an order of that id is alive, whoever sent it.
    if exc.code is None or exc.code in UNDECIDED or "duplicate" in exc.reason.lower():
        return OutcomeUnknown(what, request_id=client_order_id)
    return OrderRejected(what, code=str(exc.code), reason=exc.reason)


def query_error(exc: BaseException, what: str, *, starting: bool = False) -> PlatformError:
    """Sort a failure of something that changes nothing, or that may be done again."""
    text = f"{what}: {_text(exc)}"
    if isinstance(exc, Refusal) and exc.status < 500:
        if exc.code in UNKNOWN_ORDER:
            return UnknownOrder(text)
        if starting and exc.code in _CREDENTIALS:
            return InputError(
                f"{what}: the venue refuses the API key ({exc})",
                hint="check api_key and secret, their permissions and the venue's IP allow-list",
            )
        if starting and exc.code in _CALLER:
            return InputError(text)
    return VenueUnavailable(text)


def _text(exc: BaseException) -> str:
    # Texts of aiohttp hold signed URLs, but for those of the operating system.
    return str(exc) if isinstance(exc, (Refusal, OSError)) else type(exc).__name__
