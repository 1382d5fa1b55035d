"""What the database knows that people should: presses that hold, approvals that wait, receivers that fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final

import msgspec
from sqlmodel import Session, col, func, or_, select

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
WAITING_MAX: Final = 200
"""Of one organisation, the oldest: whoever has more waiting is told of these, and nobody else of fewer."""
GONE: Final = "the receiver answered"


def held(session: Session) -> list[Held]:
    """Presses of the kill switch that were not released."""
    rows = session.exec(select(KillRow).where(col(KillRow.released_ns).is_(None)))
    return [Held(row.organisation, row.is_whole, frozenset(msgspec.json.decode(row.strategies))) for row in rows]


def approvals_waiting(session: Session, now_s: int) -> list[Finding]:
    """Requests that nobody rejected and that fewer people signed than they ask for, of whose vault it leaves.

    Who signed is not verified here: signers do that. A person in two groups counts once, so this errs towards waiting.
    """
    waiting = select(ApprovalRequestRow.intent_id).where(not_over(now_s))
    said = select(ApprovalRow.intent_id, ApprovalRow.approver, ApprovalRow.verdict)
    given: dict[str, list[tuple[str, str]]] = {}
    for intent, approver, verdict in session.exec(said.where(col(ApprovalRow.intent_id).in_(waiting))):
        given.setdefault(intent, []).append((approver, verdict))
    owners, counts = _owners(session, waiting), Counter[str]()
    query = select(ApprovalRequestRow.intent_id, ApprovalRequestRow.requirements, ApprovalRequestRow.expires_s)
    query = query.where(not_over(now_s)).order_by(col(ApprovalRequestRow.id))
    found = []
    for intent, requirements, expires_s in session.exec(query):
        verdicts, owner = given.get(intent, []), owners(intent)
        people = {approver for approver, verdict in verdicts if verdict == "approve"}
        wanted = sum(count for _, count, _ in json.loads(requirements))
        is_rejected = any(verdict != "approve" for _, verdict in verdicts)
        if is_rejected or len(people) >= wanted or owner is None or counts[owner] >= WAITING_MAX:
            continue
        counts[owner] += 1
        detail = {"intent": intent, "signed": len(people), "asked": wanted, "expires_s": expires_s}
        summary = f"{intent} waits for approval: {len(people)} of {wanted}"
        found.append(Finding(owner, WAITING, intent, summary, detail=detail))
    return found


def receivers_failing(session: Session) -> list[Finding]:
    """Webhooks and channels that were told nothing since something could not be told."""
    failed = or_(
        col(DeliveryRow.state) == "failed",
        (col(DeliveryRow.state) == "pending") & (col(DeliveryRow.tries) >= TRIES_FAILING),
    )
    query = select(DeliveryRow.endpoint, func.max(DeliveryRow.id)).where(failed).group_by(DeliveryRow.endpoint)
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


def _owners(session: Session, intents: Any) -> Callable[[str], str | None]:
    """Whose people sign about each of some intents: the organisation of the vault that it leaves."""
    sent = select(TransactionRow.intent_id, TransactionRow.vault).where(col(TransactionRow.intent_id).in_(intents))
    vaults = dict(session.exec(sent).all())
    drawn = select(WithdrawalRow.withdrawal_id, WithdrawalRow.vault, WithdrawalRow.user)
    users: dict[str, str] = {}
    for withdrawal, vault, user in session.exec(drawn.where(col(WithdrawalRow.withdrawal_id).in_(intents))):
        if vault:
            vaults.setdefault(withdrawal, vault)
        users[withdrawal] = user
    of_vault = cache(partial(organisation_of_vault, session))
    of_client = cache(partial(organisation_of, session))

    def owner(intent: str) -> str | None:
        if intent not in vaults and intent in users:
            return of_client(users[intent])
        return of_vault(vaults.get(intent, ""))

    return owner
