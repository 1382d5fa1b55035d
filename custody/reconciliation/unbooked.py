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


def unbooked_transactions(chain_id: ChainId, assets: Collection[str]) -> UnbookedSource:
    """Give a source of the desk's signed transactions that are not settled.

    Args:
        chain_id: Of this chain.
        assets: Tokens whose transfers count, by asset id, beside those a plan names.
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
                found.append(Unbooked(attempt.tx_hash or "", _booker(intent, assets, did_anything=did_anything)))
        return found

    return read


def _booker(intent: Intent, assets: Collection[str], *, did_anything: bool) -> Callable[[Receipt], Sequence[Entry]]:
    named = (amount.asset.id for amount in (*intent.plan.spends, *intent.plan.receives_min))
    counted = {*assets, *named}
    return lambda receipt: receipts.entries(intent.plan, receipt, counted, did_anything=did_anything)
