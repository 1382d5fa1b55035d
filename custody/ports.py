"""What custody needs from others: a chain (`chain.ChainClient` satisfies it unknowingly), and people's approvals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from sqlmodel import Session

from chain import Block, FeeQuote, Survey
from chain.broadcast import Sent
from custody.approvals import ApprovalState, CanonicalIntent
from custody.policy import Decision, Proposal
from domain import ChainId, Wei
from domain.plans import BroadcastKind


class ChainPort(Protocol):
    """One chain. Reads raise `VenueUnavailable` or `chain.NodeRefused`; see `chain.ChainClient` for each method."""

    @property
    def chain_id(self) -> ChainId: ...

    async def head(self) -> Block: ...

    async def find_block(self, ref: int | str) -> Block | None: ...

    async def nonce(self, address: str, tag: int | str = "latest") -> int: ...

    async def balance(self, address: str, block: int | str = "latest") -> Wei: ...

    async def token_balance(self, token: str, address: str, block: int | str = "latest") -> int: ...

    async def gas_estimate(
        self, sender: str, to: str | None, data: bytes, value_wei: int = 0, block: int | str | None = None
    ) -> int: ...

    async def fees(self) -> FeeQuote: ...

    async def broadcast(self, raws: Sequence[bytes]) -> list[Sent]: ...

    async def survey(self, address: str, tx_hashes: Sequence[str] = (), blocks: Collection[int] = ()) -> Survey: ...

    async def agreed_nonce(self, address: str, number: int) -> int: ...


Statements = Callable[[Proposal], Awaitable[Sequence[Mapping[str, Any]]]]
"""What services attest about a transaction, as signed statements (`custody.policy.attestations`): prices, screening,
ages of addresses, a simulation. Custody and every signer verify them by the policy's own list of services."""


class PrivateWays(Protocol):
    """Ways onto the chain that show nothing to the public; `chain.paths.Ways` satisfies it."""

    def offers(self, kind: BroadcastKind) -> bool:
        """Tell whether anything is configured for plans of this kind."""
        ...

    async def send(self, kind: BroadcastKind, raws: Sequence[tuple[bytes, int]]) -> list[Sent]:
        """Send signed bytes, each with its last block (0: any), this way and no other; tell for each how it went."""
        ...


class ApprovalDesk(Protocol):
    """Asks people and collects what they sign; `custody.approvals.DatabaseApprovals` does. Called on threads."""

    def open(self, session: Session, intent: CanonicalIntent, decision: Decision) -> None:
        """Ask for what the decision requires, in the caller's transaction; the same intent again is a no-op."""
        ...

    def state(self, intent_id: str, now_ns: int) -> ApprovalState:
        """Say how far it has come. `rejected` and `expired` are final."""
        ...

    def evidence(self, intent_id: str) -> Mapping[str, Any]:
        """Give what signers are shown."""
        ...
