"""The shape of a profile, and where they are read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeVar

import msgspec

from domain import InvariantError

T = TypeVar("T")
_RULES = "client_order_ids.toml"


class ClientIdRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a venue wants the ids that we choose for orders, and where ccxt takes them."""

    kind: Literal["text", "uuid", "hex", "integer"] = "text"
    """`uuid` is 32 hexadecimal digits with dashes, `hex` is `0x` and the digits, `integer` is below 2**`bits`."""
    pattern: str = "[A-Za-z0-9_-]{1,32}"
    """Of `text`: what the venue takes, whole."""
    prefix: str = ""
    """Of `text`: what the venue wants before it."""
    bits: int = 0
    place: str = "clientOrderId"
    """The name of the id in the parameters of ccxt's `create_order`."""
    read: str = ""
    """Its name in the venue's own answer, where ccxt does not read it."""
    ask: str = ""
    """Its name in `fetch_order`; empty where an order cannot be asked for by our id."""
    search: str = ""
    """Its name in ccxt's lists of orders; empty where they cannot be narrowed to one id."""
    cancel: str = ""
    """Its name in `cancel_order`; empty where only the venue's own id cancels."""

    def __post_init__(self) -> None:
        if (self.kind == "integer") != (self.bits > 0):
            raise ValueError("bits belong to integers")
        re.compile(self.pattern)


class Checksum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the venue lets a book be verified."""

    kind: Literal["crc32", "sequence", "snapshots"]
    """A CRC32 of the best levels; numbers that must follow one another; or whole books only, with nothing to lose."""
    levels: int = 0
    note: str


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `limit` of `kind` in a window; see `cex.limiter`."""

    kind: Literal["requests", "queries", "orders", "trading", "weight"]
    limit: int
    window_s: int
    note: str = ""


class DeadMan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A switch at the venue that cancels our orders when we fall silent."""

    kind: Literal["countdown", "connection", "expiry", "none"]
    """A countdown that is renewed; the end of a connection; orders that end by themselves."""
    call: str = ""
    """ccxt's method, `cancel_all_orders_after`, where the adapter renews it."""
    seconds_min: int = 0
    seconds_max: int = 0
    note: str


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One venue."""

    exchange: str
    """ccxt's id."""
    title: str
    sources: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    """Laid over ccxt's own options; the settings' options lie over these."""
    websocket_orders: bool = False
    """Orders go over ccxt's WebSocket, whose lost answers were tested; elsewhere by REST, whose status says more."""
    late_s: int = 60
    """How long after its stamp the venue may still take an order, besides the window of the settings; 0 where that
    window, or an expiry that we send, bounds it. The default is for venues of which nothing is known."""
    expiry: Literal["", "deadline", "expiresAfter"] = ""
    """The expiry that is sent with each order; see `cex.expiry`."""
    price_digits: int = 0
    """The most significant digits of a price, where the venue has them besides a tick; 0 for none."""
    client_order_id: ClientIdRule = ClientIdRule()
    checksum: Checksum | None = None
    rates: tuple[Rate, ...] = ()
    dead_man: DeadMan | None = None
    notes: tuple[str, ...] = ()
    """What one must know before trading there."""


@cache
def profiles() -> Mapping[str, Profile]:
    """Every profile that ships, by ccxt's id."""
    found: dict[str, Profile] = {}
    for file in sorted(files("cex.venues").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml") and file.name != _RULES:
            profile = _read(file.name, Profile)
            if f"{profile.exchange}.toml" != file.name:
                raise InvariantError(f"cex/venues/{file.name} describes {profile.exchange}")
            found[profile.exchange] = profile
    return found


@cache
def client_id_rules() -> Mapping[str, ClientIdRule]:
    """Rules of venues that have no profile."""
    return _read(_RULES, dict[str, ClientIdRule])


def profile_of(exchange: str) -> Profile:
    """Give the venue's profile; where none ships, one that assumes nothing but a rule for ids, if there is one."""
    rule = client_id_rules().get(exchange, ClientIdRule())
    return profiles().get(exchange) or Profile(exchange=exchange, title=exchange, client_order_id=rule)


def _read(name: str, shape: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(files("cex.venues").joinpath(name).read_text()), shape)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as exc:
        raise InvariantError(f"cex/venues/{name}: {exc}") from exc
