"""Recording the steps of exchange withdrawals, with a checkpoint on either side of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlmodel import Session

from custody import freeze
from custody.ledger import Entry
from custody.withdrawals.lifecycle import Step
from custody.withdrawals.store import Find, Withdrawal, WithdrawalStore
from custody.withdrawals.tables import WithdrawalRow
from domain.withdrawals import VenueWithdrawal

NS = 10**9


@dataclass(frozen=True, slots=True)
class Recorder:
    """See `VenueDesk` for the arguments."""

    store: WithdrawalStore
    now_ns: Callable[[], int]
    checkpoint: Callable[[str], None]
    decimals: int

    async def take(
        self,
        withdrawal: Withdrawal,
        *steps: Step,
        detail: dict[str, Any] | None = None,
        entries: Sequence[Entry] = (),
        also: Callable[[Session, WithdrawalRow], None] | None = None,
    ) -> Withdrawal:
        """Take steps in one database transaction; see `WithdrawalStore.take`."""
        self.checkpoint(f"{steps[0]}.before")
        taken = await asyncio.to_thread(self.store.take, withdrawal, steps, detail=detail, entries=entries, also=also)
        self.checkpoint(f"{steps[0]}.after")
        return taken

    async def change(self, edge: str, withdrawal: Withdrawal, find: Find) -> None:
        """Take the steps that `find` names for the row as it stands."""
        self.checkpoint(f"{edge}.before")
        await asyncio.to_thread(self.store.change_state, withdrawal.id, find)
        self.checkpoint(f"{edge}.after")

    async def later(self, withdrawal: Withdrawal, after_s: float) -> None:
        """Look at it again after a while."""
        due_ns = self.now_ns() + round(after_s * NS)

        def wait(_session: Session, row: WithdrawalRow) -> None:
            row.due_ns = due_ns

        await asyncio.to_thread(self.store.change, withdrawal.id, wait)

    def order(self, withdrawal: Withdrawal) -> VenueWithdrawal:
        """What the exchange is asked for: the amount and the agreed fee, under our id."""
        to = withdrawal.venue
        return VenueWithdrawal(
            client_id=withdrawal.id,
            asset=withdrawal.asset.partition("/")[2],
            amount=Decimal(withdrawal.raw + withdrawal.fee_raw).scaleb(-self.decimals),
            network=to.network,
            address=to.address,
            memo=to.memo,
        )


def scopes(withdrawal: Withdrawal) -> tuple[str, ...]:
    """What a freeze of which holds it back."""
    return freeze.venue_scope(withdrawal.venue.venue), freeze.vault_scope(withdrawal.vault)
