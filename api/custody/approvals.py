"""Which requests for approval still matter."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, and_
from sqlmodel import col, select

from custody.approvals.tables import ApprovalRequestRow
from custody.transactions.lifecycle import FINAL, SETTLED
from custody.transactions.tables import TransactionRow
from custody.withdrawals.lifecycle import ENDED
from custody.withdrawals.tables import WithdrawalRow

_TRANSACTION_ENDS: Final = frozenset(FINAL) | frozenset(SETTLED)


def not_over(now_s: int) -> ColumnElement[bool]:
    """Requests whose time is not over, and whose transaction or withdrawal has not ended."""
    sent = select(TransactionRow.intent_id).where(col(TransactionRow.state).in_(_TRANSACTION_ENDS))
    paid = select(WithdrawalRow.withdrawal_id).where(col(WithdrawalRow.state).in_(ENDED))
    intent = col(ApprovalRequestRow.intent_id)
    return and_(col(ApprovalRequestRow.expires_s) > now_s, intent.not_in(sent), intent.not_in(paid))
