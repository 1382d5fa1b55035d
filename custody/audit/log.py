"""Appending to the audit log, inside the transaction of whoever has something to record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert
from sqlmodel import Session, col, select

from custody.audit.records import GENESIS, canonical, check_names, record_hash
from custody.audit.tables import AuditRow
from runtime.database import Database, before_commit

_WAITING: Final = "capstan_audit"


@dataclass(frozen=True, slots=True)
class _Pending:
    time_ns: int
    kind: str
    subject: str
    detail: str


class AuditLog:
    """The log in a database whose schema `open_books` has brought up to date."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns

    def append(self, session: Session, kind: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Record something in a transaction of the caller's (a `Database.transaction`): it stands or falls with it.

        The record takes its place in the chain when the transaction commits, one transaction after another.

        Args:
            session: The transaction's.
            kind: What happened, dotted: `policy.activated`, `freeze.imposed`.
            subject: What it happened to: `transaction/<intent id>`, `key/<address>`. No spaces.
            detail: JSON without floats and without secrets; amounts are text.

        Raises:
            InputError: A name or the detail cannot be recorded.
        """
        check_names(kind, subject)
        pending = _Pending(self._now_ns(), kind, subject, canonical(detail))
        if session.in_nested_transaction():  # It falls with the savepoint too.
            self._write(session, [pending])
            return
        waiting: list[_Pending] | None = session.info.get(_WAITING)
        if waiting is None:
            waiting = session.info[_WAITING] = []
            before_commit(session, self._write_waiting)
        waiting.append(pending)

    def _write_waiting(self, session: Session) -> None:
        self._write(session, session.info.pop(_WAITING))

    def _write(self, session: Session, records: list[_Pending]) -> None:
        self._database.serialize(session, "audit")
        head = session.exec(select(AuditRow).order_by(col(AuditRow.sequence).desc()).limit(1)).first()
        sequence, previous = (0, GENESIS) if head is None else (head.sequence, head.hash)
        rows = []
        for record in records:
            sequence += 1
            hashed = record_hash(sequence, record.time_ns, record.kind, record.subject, record.detail, previous)
            rows.append(
                {
                    "sequence": sequence,
                    "time_ns": record.time_ns,
                    "kind": record.kind,
                    "subject": record.subject,
                    "detail": record.detail,
                    "previous": previous,
                    "hash": hashed,
                }
            )
            previous = hashed
        session.execute(insert(AuditRow), rows)
