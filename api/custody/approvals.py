"""Requests for approval: which still matter, and how they are told."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, and_, exists
from sqlmodel import col

from api.core.times import instant
from custody.approvals import ApprovalRequest, ApprovalState, Verdict, digest_of
from custody.approvals.tables import ApprovalRequestRow
from custody.transactions.lifecycle import FINAL, SETTLED
from custody.transactions.tables import TransactionRow
from custody.withdrawals.lifecycle import ENDED
from custody.withdrawals.tables import WithdrawalRow

_NS: Final = 10**9
_TRANSACTION_ENDS: Final = frozenset(FINAL) | frozenset(SETTLED)


class Requirement(BaseModel):
    """So many of a group."""

    group: str
    count: int
    rule: str = Field(description="Of the policy, that wants it.")


class Given(BaseModel):
    """What somebody has said."""

    by: str = Field(description="As the policy names the person.")
    key: str
    verdict: Verdict


class Asked(BaseModel):
    """Something that waits for people, or did."""

    id: str = Field(description="The intent's: of a withdrawal, its id.")
    state: ApprovalState
    reason: str = Field(description="Why it is in this state: what is missing, who rejected, what ended it.")
    vault: str
    initiator: str = Field(description="Who asked for it; cannot approve it.")
    text: str = Field(description="What it does, in words made from its bytes.")
    intent: dict[str, Any] = Field(description="What is signed about, in its canonical form.")
    digest: str = Field(description="32 bytes to sign for a yes; compute it yourself from `intent` and `text`.")
    reject_digest: str = Field(description="32 bytes to sign for a no.")
    requirements: list[Requirement]
    given: list[Given]
    opened_at: datetime
    expires_at: datetime


def not_over(now_s: int) -> ColumnElement[bool]:
    """Requests whose time is not over, and whose transaction or withdrawal has not ended."""
    intent = col(ApprovalRequestRow.intent_id)
    sent = exists().where(col(TransactionRow.intent_id) == intent, col(TransactionRow.state).in_(_TRANSACTION_ENDS))
    paid = exists().where(col(WithdrawalRow.withdrawal_id) == intent, col(WithdrawalRow.state).in_(ENDED))
    return and_(col(ApprovalRequestRow.expires_s) > now_s, ~sent, ~paid)


def shown(request: ApprovalRequest) -> Asked:
    """A request as it is told."""
    intent = request.intent
    return Asked(
        id=intent.intent_id, state=request.state, reason=request.reason, vault=intent.vault,
        initiator=intent.initiator, text=request.text, intent=intent.to_document(), digest=request.digest,
        reject_digest=digest_of(intent, request.text, Verdict.REJECT).hex(),
        requirements=[Requirement(group=r.group, count=r.count, rule=r.rule) for r in request.requirements],
        given=[Given(by=name, key=given.key, verdict=given.verdict) for name, given in request.approvals],
        opened_at=instant(request.opened_ns), expires_at=instant(intent.expires_s * _NS),
    )  # fmt: skip
