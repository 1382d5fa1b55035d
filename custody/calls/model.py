"""What reading a call gives: its effects, for policy, and what a person is shown of it, for approvers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from chain import checksum
from domain import Address

NOTHING: Final[Mapping[Address, int]] = MappingProxyType({})
UNLIMITED: Final = (1 << 256) - 1
COIN: Final = checksum("0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee")
"""Stands for the chain's own coin among what a contract of ours spends (ERC-7730's convention). A policy that does not
list it as an asset refuses such spends."""


class Kind(StrEnum):
    """How a value is written for a person."""

    TOKEN_AMOUNT = "token-amount"
    """`value` raw units of the token `of`."""
    TOKEN_MINIMUM = "token-minimum"
    """The same, as `at least`."""
    ALLOWANCE = "allowance"
    """The same, as `up to`; an unlimited one is said to be so."""
    COINS = "coins"
    """Wei of the chain's own coin."""
    ADDRESS = "address"
    TOKEN = "token"
    DATE = "date"
    """Unix seconds."""
    DURATION = "duration"
    NUMBER = "number"
    TEXT = "text"
    """Chosen by whoever made the call: escaped."""
    BYTES = "bytes"
    UNIT = "unit"
    """(integer, decimals, name of the unit)."""
    WORDS = "words"
    """Our own words, or a descriptor's: an enum's name, a percentage."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of a call as a person reads it."""

    label: str
    kind: Kind
    value: Any
    of: Address | None = None


@dataclass(frozen=True, slots=True)
class DecodedCall:
    """What a call would do, in raw token units by token address."""

    method: str
    """The outermost method's name; for a batch, the name of what is batched: `exactInputSingle`."""
    spends: Mapping[Address, int]
    receives_min: Mapping[Address, int]
    approves: Mapping[Address, int]
    recipient: Address | None = None
    """Who receives the proceeds, or the transfer."""
    spender: Address | None = None
    deadline_s: int = 0
    coins_wei: int = 0
    """Coins the call uses up; what is sent along must be exactly this."""
    action: str = ""
    """What it does in a few words: `Swap on Uniswap V2`."""
    shown: tuple[Shown, ...] = ()
    """Its arguments for a person; together with `action` and `inner` they say everything the bytes do."""
    inner: tuple[tuple[Address, DecodedCall], ...] = ()
    """Calls it makes in its turn, with whom they call."""
    warnings: tuple[str, ...] = ()
    others: frozenset[Address] = frozenset()
    """Whoever else takes part, for screening."""
    coins_back: int | None = None
    """Coins come back to the caller, by the unwrapping that follows so many others within the call; None: they do not.
    Their number is in that unwrapping's log, and nowhere in the bytes."""
    is_described: bool = False
    """Its arguments are read, by a descriptor or because its bytes name no tokens, and nothing says what it does:
    `spends`, `receives_min` and `approves` are empty because they are unknown, not because nothing moves."""


def one(token: str, raw: int) -> Mapping[Address, int]:
    """Amounts of a single token."""
    return MappingProxyType({checksum(token): raw})


def joined(*amounts: Mapping[Address, int]) -> Mapping[Address, int]:
    """Add amounts up by token."""
    total: dict[Address, int] = {}
    for part in amounts:
        for token, raw in part.items():
            total[token] = total.get(token, 0) + raw
    return MappingProxyType(total)
