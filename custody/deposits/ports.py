"""What sweeps need of the packages they are joined with."""

from __future__ import annotations

from typing import Protocol

from sqlmodel import Session

from chain import FeeQuote, Receipt
from domain import Address, ChainId, Wei
from domain.plans import TransactionPlan


class SweepDesk(Protocol):
    """One account's way to a chain; `custody.Custody` satisfies it."""

    @property
    def chain_id(self) -> ChainId: ...

    @property
    def address(self) -> Address: ...

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record a plan in the caller's transaction; `wake` afterwards."""
        ...

    def wake(self) -> None: ...


class SweptChain(Protocol):
    """What sweeps ask of a chain; `chain.ChainClient` satisfies it."""

    @property
    def chain_id(self) -> ChainId: ...

    async def gas_estimate(self, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int: ...

    async def fees(self) -> FeeQuote: ...

    async def balance(self, address: str, block: int | str = "latest") -> Wei: ...

    async def receipt(self, tx_hash: str) -> Receipt | None: ...
