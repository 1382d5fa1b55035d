"""The book of alerts: opened, escalated, acknowledged, resolved; each in the transaction that tells it.

Finding ──> open ──> alert + event + outbox ──> webhooks and the channels of its level and severity
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.alerts.rules import LEVEL_MAX, Finding, Rule, rule_of
from api.alerts.states import TOLD, Event, Severity, State, after
from api.alerts.tables import AlertEventRow, AlertRow
from api.core.times import instant
from api.webhooks.outbox import WEBHOOK, Outbox
from api.webhooks.tables import EndpointRow
from domain import InvariantError
from runtime.database import Database

PRODUCT: Final = "capstan"
"""Who acts where no person does."""


class AlertBook:
    """Of one process; keeps nothing."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns
        self._outbox = Outbox(now_ns)

    def open(self, session: Session, finding: Finding) -> AlertRow | None:
        """Raise an alert, or count one that is there; None where its rule is off."""
        rule = rule_of(session, finding)
        live = self._live(session, _live_key(finding.organisation, finding.kind, finding.key))
        if live is None:
            is_new = rule.enabled and not self._was_seen(session, finding)
            return self._begin(session, finding, rule) if is_new else None
        if not rule.enabled:
            self._end(session, live, note="its rule was switched off")
            return None
        live.summary, live.detail = finding.summary[:300], _json(finding)
        if finding.seen_ns > live.seen_ns:
            live.seen_ns, live.count = finding.seen_ns, live.count + 1
        if live.state == State.WAITING and self._now_ns() >= live.created_ns + rule.after_s * 10**9:
            self._tell(session, live, Event.OPENED, PRODUCT, escalate_s=rule.escalate_s)
        session.add(live)
        return live

    def acknowledge(self, session: Session, row: AlertRow, actor: str, note: str) -> None:
        """Say that somebody sees to it. Said again it changes nothing.

        Raises:
            Conflict: It is over.
        """
        self._lock(session, row)
        if row.state == State.ACKNOWLEDGED:
            return
        row.acknowledged_by = actor
        self._tell(session, row, Event.ACKNOWLEDGED, actor, note)

    def resolve(self, session: Session, row: AlertRow, actor: str, note: str) -> None:
        """Say that it is over.

        Raises:
            Conflict: It was over.
        """
        self._lock(session, row)
        self._end(session, row, actor, note)

    def resolve_key(self, session: Session, organisation: str, kind: str, key: str, actor: str) -> None:
        """Resolve what is there of a key, if anything is."""
        if (row := self._live(session, _live_key(organisation, kind, key))) is not None:
            self._end(session, row, actor)

    def escalate_due(self, session: Session) -> int:
        """Take what nobody acknowledged in time a level up; give how many."""
        query = select(AlertRow).where(AlertRow.state == State.OPEN, col(AlertRow.escalate_ns) <= self._now_ns())
        rows = session.exec(query.order_by(col(AlertRow.number)).limit(500)).all()
        count = 0
        for row in rows:
            if not self._lock(session, row) or row.state != State.OPEN:
                continue  # Somebody saw to it just now.
            count += 1
            row.level += 1
            rule = rule_of(session, Finding(row.organisation, row.kind, row.key, "", rule=_own_rule(row)))
            escalate_s = rule.escalate_s if row.level < LEVEL_MAX else 0
            self._tell(session, row, Event.ESCALATED, PRODUCT, escalate_s=escalate_s)
        return count

    def keep(
        self, session: Session, findings: Iterable[Finding], kinds: frozenset[str], *, unsure: Collection[str] = ()
    ) -> None:
        """Bring the alerts of some kinds to what was found: open what is new, resolve what is no longer found.

        Args:
            session: The transaction.
            findings: Everything that is so now.
            kinds: The kinds that they are all of.
            unsure: Keys of which it cannot be told whether they still are: left as they are.
        """
        found = {_live_key(f.organisation, f.kind, f.key): f for f in findings}
        query = select(AlertRow).where(col(AlertRow.live_key).is_not(None), col(AlertRow.kind).in_(kinds))
        for row in session.exec(query.order_by(col(AlertRow.number))).all():
            if row.live_key in found or row.key in unsure:
                continue
            if self._lock(session, row) and row.live_key is not None:  # Somebody may have ended it just now.
                self._end(session, row)
        for finding in found.values():
            self.open(session, finding)

    def forget(self, session: Session, before_ns: int, count: int) -> int:
        """Forget the oldest of those that were over before an instant, at most so many; give how many it were."""
        query = select(AlertRow.number).where(AlertRow.state == State.RESOLVED, AlertRow.changed_ns < before_ns)
        old = list(session.exec(query.order_by(col(AlertRow.number)).limit(count)))
        if old:
            session.execute(delete(AlertEventRow).where(col(AlertEventRow.alert).in_(old)))
            session.execute(delete(AlertRow).where(col(AlertRow.number).in_(old)))
        return len(old)

    # --- parts

    def _begin(self, session: Session, finding: Finding, rule: Rule) -> AlertRow:
        now = self._now_ns()
        row = AlertRow(
            id=f"alr_{secrets.token_hex(8)}", organisation=finding.organisation, portfolio=finding.portfolio,
            kind=finding.kind, key=finding.key[:120], severity=rule.severity.value, summary=finding.summary[:300],
            live_key=_live_key(finding.organisation, finding.kind, finding.key), detail=_json(finding),
            state=State.WAITING.value, level=1, count=1, seen_ns=finding.seen_ns or now,
            created_ns=now, changed_ns=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        if rule.after_s == 0:
            self._tell(session, row, Event.OPENED, PRODUCT, escalate_s=rule.escalate_s)
        return row

    def _was_seen(self, session: Session, finding: Finding) -> bool:
        """Whether an alert that is over was raised by this very event."""
        if not finding.seen_ns:
            return False
        query = select(AlertRow.number).where(AlertRow.organisation == finding.organisation)
        query = query.where(AlertRow.kind == finding.kind, AlertRow.key == finding.key[:120])
        return session.exec(query.where(AlertRow.seen_ns >= finding.seen_ns).limit(1)).first() is not None

    def _live(self, session: Session, live_key: str) -> AlertRow | None:
        # Two processes that find the same at once: the second waits here, and finds the first one's.
        self._serialize(session, live_key)
        query = select(AlertRow).where(AlertRow.live_key == live_key).execution_options(populate_existing=True)
        return session.exec(query).first()

    def _lock(self, session: Session, row: AlertRow) -> bool:
        """Read an alert again, for one writer at a time: a person and the watch may be at it. False: it is gone."""
        self._serialize(session, _live_key(row.organisation, row.kind, row.key))
        query = select(AlertRow).where(AlertRow.number == row.number).execution_options(populate_existing=True)
        return session.exec(query).first() is not None

    def _serialize(self, session: Session, live_key: str) -> None:
        self._database.serialize(session, f"alert/{live_key}")

    def _end(self, session: Session, row: AlertRow, actor: str = PRODUCT, note: str = "") -> None:
        """Of one that nobody was told of nothing stays."""
        if row.state == State.WAITING:
            session.delete(row)
            return
        row.live_key = None
        self._tell(session, row, Event.RESOLVED, actor, note)

    def _tell(
        self, session: Session, row: AlertRow, event: Event, actor: str, note: str = "", *, escalate_s: int = 0
    ) -> None:
        now = self._now_ns()
        row.state = after(State(row.state), event).value
        row.changed_ns = now
        row.escalate_ns = now + escalate_s * 10**9 if escalate_s else None
        session.add(row)
        session.add(AlertEventRow(alert=number_of(row), event=event.value, actor=actor, note=note, time_ns=now))
        session.flush()
        told = plain(row) | {"actor": actor, "note": note}
        channels = [channel.id for channel in channels_of(session, row)]
        self._outbox.announce(
            session, row.organisation, f"alert.{event.value}", told, subject=row.id, channels=channels
        )


def channels_of(session: Session, row: AlertRow) -> list[EndpointRow]:
    """The channels that are told of an alert: of its level and severity, confirmed to be the organisation's."""
    query = select(EndpointRow).where(EndpointRow.organisation == row.organisation, col(EndpointRow.enabled))
    found = []
    for channel in session.exec(query.where(EndpointRow.type != WEBHOOK).order_by(col(EndpointRow.id))):
        options = msgspec.json.decode(channel.options)
        is_for_it = Severity(row.severity).rank >= Severity(options["severity"]).rank
        if options["verified"] and options["level"] <= row.level and is_for_it:
            found.append(channel)
    return found


def plain(row: AlertRow) -> dict[str, Any]:
    """An alert as it is told."""
    return {
        "id": row.id, "kind": row.kind, "severity": row.severity, "state": row.state, "summary": row.summary,
        "detail": msgspec.json.decode(row.detail), "portfolio": row.portfolio, "level": row.level, "count": row.count,
        "created_at": instant(row.created_ns), "changed_at": instant(row.changed_ns),
        "acknowledged_by": row.acknowledged_by,
    }  # fmt: skip


def is_going_on(row: AlertRow) -> bool:
    return State(row.state) in TOLD


def number_of(row: AlertRow) -> int:
    if row.number is None:
        raise InvariantError("an alert that was written has no number")
    return row.number


def _live_key(organisation: str, kind: str, key: str) -> str:
    return f"{organisation}/{kind}/{key[:120]}"


def _own_rule(row: AlertRow) -> str | None:
    """A drawdown's key is the id of its rule."""
    return row.key if row.key.startswith("rul_") else None


def _json(finding: Finding) -> str:
    return msgspec.json.encode(dict(finding.detail)).decode()
