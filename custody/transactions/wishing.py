"""A transaction desk for a process that holds no key: it records and asks, the holder of the key does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlmodel import Session

from custody.ledger import Ledger
from custody.transactions.outbox import Outbox
from custody.transactions.plans import check_plan
from custody.transactions.records import Wish
from domain import Address, ChainId
from domain.plans import TransactionPlan
from runtime.database import Database


class WishingDesk:
    """Of one account. Satisfies `custody.withdrawals.TransactionDesk`."""

    def __init__(
        self, database: Database, ledger: Ledger, chain_id: ChainId, account: Address, now_ns: Callable[[], int]
    ) -> None:
        self.chain_id = chain_id
        self.address = account
        self._outbox = Outbox(
            database, ledger, chain_id=chain_id, sender=account, now_ns=now_ns, fence=lambda _session: None
        )

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record a plan in the caller's transaction; the desk with the key finds it when it next looks."""
        check_plan(plan, chain_id=self.chain_id, sender=self.address)
        return self._outbox.record_in(session, plan, initiator=initiator, vault=vault)

    def wake(self) -> None:
        return None

    async def cancel(self, intent_id: str) -> None:
        await asyncio.to_thread(self._outbox.wish, intent_id, Wish.CANCEL)

    async def hold(self, intent_id: str) -> None:
        await asyncio.to_thread(self._outbox.wish, intent_id, Wish.HOLD)

    async def release(self, intent_id: str) -> None:
        await asyncio.to_thread(self._outbox.wish, intent_id, Wish.RELEASE)
