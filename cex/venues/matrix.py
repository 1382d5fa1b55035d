"""What each venue has, and how we fill what it lacks: `matrix.json`, written by the offline harness.

The harness (`tests/support/venue_harness`) runs over every venue that the locked ccxt knows, so this is what our
adapter was seen to do, not what a venue's page promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from domain import InvariantError

Way = Literal["native", "ccxt.pro", "polled", "emulated", "none"]

FEATURES: Final = (
    "trades",
    "book",
    "orders",
    "fills",
    "balance",
    "cancel_all",
    "cancel_all_after",
    "client_order_id",
    "amend",
)

FILLED: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("trades", "native"): "read from the venue's stream by our own parser",
        ("trades", "ccxt.pro"): "streamed through ccxt.pro",
        ("trades", "none"): "public trades are not told; strategies see books only",
        ("book", "native"): "diffs applied to a book in Rust, gaps found by their numbers",
        ("book", "ccxt.pro"): "streamed through ccxt.pro, invalid from a lost socket to a new snapshot",
        ("book", "polled"): "asked for each second",
        ("book", "none"): "no book: the venue cannot be followed",
        ("orders", "native"): "reports of the user stream, read by our own parser",
        ("orders", "ccxt.pro"): "streamed through ccxt.pro, compared with REST after each reconnect and at intervals",
        ("orders", "polled"): "open orders are asked for at intervals (poll_ms) and after each answer",
        ("orders", "none"): "no list of open orders: trading is refused",
        ("fills", "native"): "reports of the user stream, missing ones from REST by number",
        ("fills", "ccxt.pro"): "streamed through ccxt.pro, missing ones from REST; each trade once, by its id",
        ("fills", "polled"): "asked for at intervals (poll_ms) and whenever an order says that more was filled",
        ("fills", "none"): "no list of own trades: trading is refused, because fills could not be proven",
        ("balance", "polled"): "asked for over REST",
        ("balance", "none"): "not told: trading is refused",
        ("cancel_all", "native"): "one call for each instrument, repeated until REST shows nothing open",
        ("cancel_all", "emulated"): "one by one, repeated until REST shows nothing open",
        ("cancel_all", "none"): "orders cannot be cancelled by their id: trading is refused",
        ("cancel_all_after", "native"): "the venue cancels when we fall silent",
        ("cancel_all_after", "none"): "the venue would keep our orders; the engine's kill and lease cancel them",
        ("client_order_id", "native"): "our id travels with the order and is read back",
        ("client_order_id", "none"): "an order whose answer is lost could not be found again: trading is refused",
        ("amend", "native"): "the venue can change an order; the engine cancels and places anew all the same",
        ("amend", "emulated"): "cancel, then place anew under a new id",
    }
)
"""How each way fills its feature."""


class OrderForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a request holds what; the places are `query.x`, `body.x.y`, `header.x`, `path.2`."""

    call: str = ""
    symbol: str = ""
    side: str = ""
    size: str = ""
    price: str = ""
    client_order_id: str = ""
    order_id: str = ""
    signed: tuple[str, ...] = ()


class Capability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One venue."""

    id: str
    title: str
    kinds: tuple[str, ...]
    """`spot`, `swap` (linear perpetuals)."""
    has_testnet: bool
    has_profile: bool
    features: dict[str, Way]
    why_not: str = ""
    """Why the adapter refuses to trade there; empty where it trades."""
    markets: str = ""
    """The first request for its markets; empty where ccxt asks for none."""
    book: OrderForm = OrderForm()
    order: OrderForm = OrderForm()
    cancel: OrderForm = OrderForm()

    @property
    def trades(self) -> bool:
        """Whether the adapter trades there."""
        return not self.why_not


class _Matrix(msgspec.Struct, frozen=True):
    ccxt: str
    venues: tuple[Capability, ...]


@cache
def _matrix() -> _Matrix:
    try:
        return msgspec.json.decode(files("cex.venues").joinpath("matrix.json").read_bytes(), type=_Matrix)
    except (msgspec.DecodeError, FileNotFoundError) as exc:
        raise InvariantError(f"cex/venues/matrix.json: {exc}") from exc


def ccxt_version() -> str:
    """The version of ccxt that the matrix was made with."""
    return _matrix().ccxt


@cache
def capabilities() -> Mapping[str, Capability]:
    """Every venue, by ccxt's id."""
    return MappingProxyType({venue.id: venue for venue in _matrix().venues})
