"""Following a transaction: where its withdrawal is, and what that means for the books."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlmodel import Session, col, select

from custody.ledger import Entry, postings
from custody.transactions.lifecycle import State as TransactionState
from custody.transactions.tables import TransactionRow
from custody.withdrawals.lifecycle import FOLLOWED, State, Step, way
from custody.withdrawals.tables import WithdrawalRow
from domain import InvariantError
from domain.events import SwapSettled


def follow_in(session: Session, row: WithdrawalRow) -> tuple[Sequence[Step], Sequence[Entry]]:
    """Find the steps that bring a withdrawal to where its transaction is, and the entries that belong to the last.

    The transaction itself books that value left the vault (and undoes that when a reorganisation undoes it); the debt
    is taken off the books here, once it is final.
    """
    transaction = session.exec(
        select(TransactionRow).where(col(TransactionRow.intent_id) == row.withdrawal_id)
    ).one_or_none()
    if transaction is None:
        raise InvariantError(f"{row.withdrawal_id} has no transaction to follow")
    state = TransactionState(transaction.state)
    target = FOLLOWED[state]
    steps = way(State(row.state), target, what=row.withdrawal_id)
    row.followed, row.due_ns = transaction.state, 0
    row.tx_hash = transaction.tx_hash or row.tx_hash
    row.reason = _reason(state, transaction)
    if target is not State.BOOKED:
        return steps, ()
    done = postings.withdrawal_done(
        row.withdrawal_id, row.user, row.asset, row.raw, fee_raw=row.fee_raw, tx_hash=row.tx_hash
    )
    return steps, (done,)


def _reason(state: TransactionState, transaction: TransactionRow) -> str:
    if state is TransactionState.FINAL or not transaction.settlement:
        return ""
    return msgspec.json.decode(transaction.settlement, type=SwapSettled).reason
