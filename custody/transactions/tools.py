"""What every part of the desk works with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlmodel import Session

from chain import Receipt
from compliance import Screener
from custody.ledger import Entry
from custody.policy import Judge
from custody.ports import ApprovalDesk, ChainPort, PrivateWays, Statements
from custody.transactions import receipts
from custody.transactions.options import DeskOptions
from custody.transactions.outbox import Outbox
from custody.transactions.records import Intent
from domain import Address, Refused
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from wallets import Network, Signer
from wallets.payloads import AccessList

_T = TypeVar("_T")

Checkpoint = Callable[[str], None]
"""Told on both sides of every edge of the lifecycle (`sign.before`); fault tests end the process there."""

Gate = Callable[[Session, Intent], None]
"""Raises `Refused` (rule `frozen`) while value must not leave; asked inside the database transaction that lets it."""


Booker = Callable[[TransactionPlan, Receipt, Collection[str]], Sequence[Entry] | None]
"""Says how a mined plan is booked; None leaves it to custody. Asked again with another receipt after a reorganisation
took the first away, so the keys must follow from the plan alone."""


AccessFinder = Callable[[Address, Address, bytes, int], Awaitable[AccessList]]
"""Says which storage a call (sender, contract, data, coins) had better declare; nothing where that costs more."""


KnownSince = Callable[[Session, Collection[Address]], Mapping[str, int]]
"""By address: since when we know it (Unix seconds). Those we do not know are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """See `Custody` for each."""

    outbox: Outbox
    policy: Judge
    screener: Screener
    signer: Signer
    chain: ChainPort
    network: Network
    approvals: ApprovalDesk | None
    statements: Statements | None
    gate: Gate
    now_ns: Callable[[], int]
    options: DeskOptions
    tell: Callable[[SwapSettled], None]
    correct: Callable[[SwapSettled, SwapSettled], None]
    checkpoint: Checkpoint
    booker: Booker | None
    known_since: KnownSince
    private: PrivateWays | None = None
    access: AccessFinder | None = None

    def check_way(self, plan: TransactionPlan) -> None:
        """Refuse a plan that could not be sent as it wants to be.

        Raises:
            Refused: Rule `broadcast`.
        """
        if plan.broadcast != "public" and (self.private is None or not self.private.offers(plan.broadcast)):
            raise Refused(
                f"{plan.intent_id} is to be sent as {plan.broadcast}, and nothing is configured for that",
                rule="broadcast",
                hint="Set private_endpoints, private_relays or bundle_relays under [chain].",
            )

    @property
    def sender(self) -> Address:
        return self.signer.address

    def assets(self, plan: TransactionPlan) -> set[str]:
        """The tokens whose movements are booked: any contract may emit a log that claims a transfer."""
        return {*self.policy.assets, *(a.asset.id for a in (*plan.spends, *plan.receives_min))}

    def entries(self, intent: Intent, receipt: Receipt) -> list[Entry]:
        """What a mined transaction is booked as."""
        assets = self.assets(intent.plan)
        if self.booker is not None and not intent.is_cancelled:
            booked = self.booker(intent.plan, receipt, assets)
            if booked is not None:
                return list(booked)
        return receipts.entries(intent.plan, receipt, assets, did_anything=not intent.is_cancelled)

    async def write(self, edge: str, work: Callable[[Session], _T]) -> _T:
        """Make one durable change on a thread, under the lease, with a checkpoint on either side of it."""
        self.checkpoint(f"{edge}.before")
        result = await asyncio.to_thread(self._write, work)
        self.checkpoint(f"{edge}.after")
        return result

    def _write(self, work: Callable[[Session], _T]) -> _T:
        with self.outbox.transaction() as session:
            return work(session)
