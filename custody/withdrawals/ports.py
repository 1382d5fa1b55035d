"""What withdrawals need of the packages they are joined with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlmodel import Session

from domain import Address, ChainId
from domain.plans import TransactionPlan
from domain.withdrawals import VenueWithdrawal, VenueWithdrawalReport
from runtime.secrets import ApiKey


class TransactionDesk(Protocol):
    """One account's way to a chain; `custody.Custody` satisfies it."""

    @property
    def chain_id(self) -> ChainId: ...

    @property
    def address(self) -> Address: ...

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record a plan in the caller's transaction; `wake` afterwards."""
        ...

    def wake(self) -> None: ...

    async def cancel(self, intent_id: str) -> None: ...

    async def hold(self, intent_id: str) -> None: ...

    async def release(self, intent_id: str) -> None: ...


class ExchangeWithdrawals(Protocol):
    """An exchange that sends coins out; `cex.CcxtWithdrawals` satisfies it.

    A key is given as a function that unseals it: it is called for one request, and what it gives is not kept.
    """

    @property
    def venue(self) -> str: ...

    @property
    def knows_client_ids(self) -> bool:
        """Whether the exchange keeps the id we give a withdrawal, so that it can be found by it."""
        ...

    async def submit(self, order: VenueWithdrawal, unseal: Callable[[], ApiKey]) -> VenueWithdrawalReport:
        """Ask for a withdrawal, once.

        Raises:
            OrderRejected: The exchange said no: nothing leaves.
            VenueUnavailable: Nothing reached it.
            OutcomeUnknown: It may have been accepted: `find`, never again `submit`.
        """
        ...

    async def find(
        self, order: VenueWithdrawal, since_ms: int, unseal: Callable[[], ApiKey]
    ) -> Sequence[VenueWithdrawalReport]:
        """Give every withdrawal since an instant that may be this one: by client id, else by address and amount.

        Raises:
            VenueUnavailable: It could not be asked.
        """
        ...
