"""What policy may be told besides the bytes. Every fact can be unknown; unknown is not false, it is a no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from domain import Address

_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return _EMPTY


MICRO: Final = 10**6
"""Dollar amounts are counted in millionths."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one whole unit of an asset costs in millionths of a dollar, and when that was seen (Unix seconds)."""

    usd_micro: int
    at_s: int


@dataclass(frozen=True, slots=True)
class Screened:
    """What AML screening says of an address: a verdict (`clear`, `review`, `block`, …) and a risk from 0 to 100."""

    verdict: str
    risk: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What running the transaction would do to the vault's account."""

    changes: Mapping[str, int]
    """By asset id in raw units; negative is what leaves."""
    allowances: frozenset[tuple[str, Address]] = frozenset()
    """(asset id, spender) of every allowance that would rise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the transaction's own bytes do not say. The defaults know nothing."""

    initiator: str | None = None
    """Who asked for it, by the id that the bundle's people have."""
    vault: str | None = None
    """Which vault; where the bundle lists vaults, the sender's address decides."""
    now_s: int | None = None
    """Unix time, for hours of the day and the age of prices and addresses."""
    chain_time_s: int | None = None
    """The chain's own time, for the distance of deadlines."""
    prices: Mapping[str, Price] = field(default_factory=_nothing)
    screened: Mapping[str, Screened] = field(default_factory=_nothing)
    """By address."""
    first_seen_s: Mapping[str, int] = field(default_factory=_nothing)
    """By address: when it became known to us (Unix seconds)."""
    balances: Mapping[str, int] | None = None
    """What the vault holds, by asset id in raw units."""
    simulation: Simulation | None = None


NOTHING_KNOWN: Final = Facts()
