"""What reconciliation needs from others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlmodel import Session

from chain import Block, Receipt
from custody.ledger import Entry
from domain import ChainId, Wei

VenueBalances = Callable[[], Awaitable[Mapping[str, int]]]
"""Everything an exchange holds for us (free and locked), by asset id, in raw units. Raises `VenueUnavailable`."""


class ChainReads(Protocol):
    """`chain.ChainClient` satisfies it unknowingly."""

    @property
    def chain_id(self) -> ChainId: ...

    async def find_block(self, ref: int | str) -> Block | None: ...

    async def balance(self, address: str, block: int | str = "latest") -> Wei: ...

    async def token_balance(self, token: str, address: str, block: int | str = "latest") -> int: ...

    async def receipt(self, tx_hash: str) -> Receipt | None: ...


@dataclass(frozen=True, slots=True)
class Unbooked:
    """A signed transaction that is not booked yet, and what it would book once it is mined with a receipt."""

    tx_hash: str
    entries_of: Callable[[Receipt], Sequence[Entry]]


UnbookedSource = Callable[[Session], Sequence[Unbooked]]
"""Reads, in one snapshot with the balances, what may be in a block before it is in the books."""
