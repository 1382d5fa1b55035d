"""What a client says on the stream, as types. Anything else is answered with an error and changes nothing."""

from __future__ import annotations

from typing import Final

import msgspec

from api.auth.scopes import Scope
from domain import InputError

MESSAGE_MAX: Final = 4_096
SUBSCRIPTIONS_MAX: Final = 200

CHANNEL_SCOPES: Final = {
    "orders": Scope.ORDERS_READ,
    "fills": Scope.ORDERS_READ,
    "positions": Scope.POSITIONS_READ,
    "pnl": Scope.POSITIONS_READ,
    "strategies": Scope.STRATEGIES_READ,
    "alerts": Scope.ALERTS_READ,
    "notices": Scope.ALERTS_READ,
    "books": Scope.MARKET_READ,
    "trades": Scope.MARKET_READ,
    "approvals": Scope.APPROVALS_READ,
    "backtests": Scope.BACKTESTS_READ,
}
BY_INSTRUMENT: Final = frozenset({"books", "trades"})
BY_ORGANISATION: Final = frozenset({"approvals", "backtests"})
"""All others go by portfolio;"""
BY_EITHER: Final = frozenset({"alerts"})
"""these by organisation too."""
OF_ALL_PORTFOLIOS: Final = frozenset({"approvals", "alerts"})
"""By organisation they are for callers of all its portfolios only."""


class From(msgspec.Struct, forbid_unknown_fields=True):
    """Where a reader stands."""

    epoch: str
    seq: int


class _Said(msgspec.Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True):
    id: str | int | None = None


class Auth(_Said, tag="auth", kw_only=True):
    ticket: str


class Sub(_Said, tag="sub", kw_only=True, rename={"from_": "from"}):
    ch: str
    key: str
    from_: From | None = None


class Unsub(_Said, tag="unsub", kw_only=True):
    ch: str
    key: str


class Ping(_Said, tag="ping"):
    pass


Said = Auth | Sub | Unsub | Ping
_DECODER: Final[msgspec.json.Decoder[Said]] = msgspec.json.Decoder(Said)


def read(message: bytes) -> Said:
    """Read one message.

    Raises:
        InputError: It is none, or too long.
    """
    if len(message) > MESSAGE_MAX:
        raise InputError(f"a message of {len(message)} bytes; at most {MESSAGE_MAX}")
    try:
        return _DECODER.decode(message)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise InputError(f"not understood: {str(exc)[:200]}") from exc


def ok(said: Said, op: str) -> bytes:
    return msgspec.json.encode({"t": "ok", "op": op, "id": said.id})


def error(code: str, detail: str, said: Said | None = None) -> bytes:
    return msgspec.json.encode({"t": "error", "code": code, "detail": detail, "id": said.id if said else None})
