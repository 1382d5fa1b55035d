"""What the database knows that people should: presses that hold, approvals that wait, receivers that fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import msgspec
from sqlmodel import Session, col, or_, select

from api.alerts.findings import FAILING, WAITING, Held
from api.alerts.rules import Finding
from api.custody.approvals import not_over
from api.custody.whose import organisation_of, organisation_of_vault
from api.kill.tables import KillRow
from api.webhooks.outbox import WEBHOOK
from api.webhooks.tables import DeliveryRow, EndpointRow
from custody.approvals.tables import ApprovalRequestRow, ApprovalRow
from custody.transactions.tables import TransactionRow
from custody.withdrawals.tables import WithdrawalRow

TRIES_FAILING: Final = 4
"""Of one delivery: two and a half hours of the ladder."""
_READ_MAX: Final = 500
GONE: Final = "the receiver answered"


def held(session: Session) -> list[Held]:
    """Presses of the kill switch that were not released."""
    rows = session.exec(select(KillRow).where(col(KillRow.released_ns).is_(None)))
    return [Held(row.organisation, row.is_whole, frozenset(msgspec.json.decode(row.strategies))) for row in rows]


def approvals_waiting(session: Session, now_s: int) -> list[Finding]:
    """Requests that nobody rejected and that fewer people signed than they ask for, of whose vault it leaves.

    Who signed is not verified here: signers do that. A person in two groups counts once, so this errs towards waiting.
    """
    query = select(ApprovalRequestRow).where(not_over(now_s)).order_by(col(ApprovalRequestRow.id))
    found = []
    for request in session.exec(query.limit(_READ_MAX)).all():
        given = session.exec(select(ApprovalRow).where(ApprovalRow.intent_id == request.intent_id)).all()
        people = {approval.approver for approval in given if approval.verdict == "approve"}
        wanted = sum(count for _, count, _ in json.loads(request.requirements))
        is_rejected = any(approval.verdict != "approve" for approval in given)
        owner = _owner(session, request.intent_id)
        if is_rejected or len(people) >= wanted or owner is None:
            continue
        detail = {"intent": request.intent_id, "signed": len(people), "asked": wanted, "expires_s": request.expires_s}
        summary = f"{request.intent_id} waits for approval: {len(people)} of {wanted}"
        found.append(Finding(owner, WAITING, request.intent_id, summary, detail=detail))
    return found


def receivers_failing(session: Session) -> list[Finding]:
    """Webhooks and channels that were told nothing since something could not be told."""
    failed = or_(
        col(DeliveryRow.state) == "failed",
        (col(DeliveryRow.state) == "pending") & (col(DeliveryRow.tries) >= TRIES_FAILING),
    )
    query = select(DeliveryRow.endpoint, DeliveryRow.id).where(failed).order_by(col(DeliveryRow.id))
    newest: dict[str, int] = {endpoint: number or 0 for endpoint, number in session.exec(query)}
    failing = [name for name, number in newest.items() if not _was_told_since(session, name, number)]
    rows = session.exec(select(EndpointRow).where(col(EndpointRow.id).in_(failing), col(EndpointRow.enabled))).all()
    gone = select(EndpointRow).where(
        col(EndpointRow.enabled).is_(False), col(EndpointRow.disabled_reason).startswith(GONE)
    )
    return [_failing(row, "cannot be told") for row in rows] + [
        _failing(row, row.disabled_reason) for row in session.exec(gone).all()
    ]


def _was_told_since(session: Session, endpoint: str, number: int) -> bool:
    query = select(DeliveryRow.id).where(DeliveryRow.endpoint == endpoint, DeliveryRow.state == "delivered")
    return session.exec(query.where(col(DeliveryRow.id) > number).limit(1)).first() is not None


def _failing(row: EndpointRow, why: str) -> Finding:
    what = "webhook" if row.type == WEBHOOK else f"{row.type} channel"
    detail: Mapping[str, str] = {"receiver": row.id, "type": row.type, "description": row.description}
    return Finding(row.organisation, FAILING, row.id, f"{what} {row.id}: {why}", detail=detail)


def _owner(session: Session, intent: str) -> str | None:
    """Whose people sign about an intent: the organisation of the vault that it leaves."""
    query = select(TransactionRow.vault).where(TransactionRow.intent_id == intent)
    if (vault := session.exec(query).first()) is not None:
        return organisation_of_vault(session, vault)
    row = session.exec(select(WithdrawalRow).where(WithdrawalRow.withdrawal_id == intent)).first()
    if row is not None:
        return organisation_of_vault(session, row.vault) if row.vault else organisation_of(session, row.user)
    return organisation_of_vault(session, "")
