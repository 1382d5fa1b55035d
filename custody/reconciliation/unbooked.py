"""Transactions of the desk that may be in a block and are not in the books yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sqlmodel import Session, col, select

from chain import Receipt
from custody.ledger import Entry
from custody.reconciliation.ports import Unbooked, UnbookedSource
from custody.transactions import receipts
from custody.transactions.lifecycle import WORKED_ON
from custody.transactions.records import Intent, Kind, intents_of
from custody.transactions.tables import TransactionRow
from domain import ChainId
from domain.plans import TransactionPlan

Booker = Callable[[TransactionPlan, Receipt, Collection[str]], list[Entry] | None]
"""Says what a mined plan of its own kind is booked as; None for plans of other kinds."""


def unbooked_transactions(chain_id: ChainId, assets: Collection[str], booker: Booker | None = None) -> UnbookedSource:
    """Give a source of the desk's signed transactions that are not settled.

    Args:
        chain_id: Of this chain.
        assets: Tokens whose transfers count, by asset id, beside those a plan names.
        booker: The desk's, if it sweeps.
    """

    def read(session: Session) -> Sequence[Unbooked]:
        query = select(TransactionRow).where(
            col(TransactionRow.chain_id) == chain_id,
            col(TransactionRow.nonce).is_not(None),
            col(TransactionRow.state).in_(WORKED_ON),
        )
        found = []
        for intent in intents_of(session, session.exec(query).all()):
            for attempt in intent.signed:
                did_anything = attempt.kind is not Kind.CANCEL
                found.append(
                    Unbooked(attempt.tx_hash or "", _booking(intent, assets, booker, did_anything=did_anything))
                )
        return found

    return read


def _booking(
    intent: Intent, assets: Collection[str], booker: Booker | None, *, did_anything: bool
) -> Callable[[Receipt], Sequence[Entry]]:
    named = (amount.asset.id for amount in (*intent.plan.spends, *intent.plan.receives_min))
    counted = {*assets, *named}

    def entries_of(receipt: Receipt) -> Sequence[Entry]:
        found = None if booker is None or not did_anything else booker(intent.plan, receipt, counted)
        if found is not None:
            return found
        return receipts.entries(intent.plan, receipt, counted, did_anything=did_anything)

    return entries_of
