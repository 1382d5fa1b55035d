"""Issues session keys, allots to them, revokes them; everything recorded before it is signed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from sqlmodel import Session, col, select

from custody import freeze
from custody.audit import AuditLog
from custody.session_keys.statements import Certified, SessionAuthority, allotment_text, certificate_text
from custody.session_keys.tables import SessionAllotmentRow, SessionKeyRow, SessionRevocationRow
from custody.session_keys.terms import SessionTerms
from domain import InputError, Refused
from runtime.database import Database

_NS = 10**9
_NAME = re.compile(r"[A-Za-z0-9:._@\-]{1,80}")
_INSTANCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A key and how it stands."""

    id: int
    terms: SessionTerms
    operator: str
    time_ns: int
    revoked: str | None = None
    """Why and by whom it was ended."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """A block of value and orders, written down as spent, for one signer."""

    sequence: int
    value: int
    count: int
    until_ns: int
    statement: Certified


class SessionKeys:
    """Custody's side of session keys.

    Args:
        database: Where they are.
        audit: Where it is recorded.
        authority: Signs what signers believe; None where keys are only granted elsewhere, listed and revoked.
        now_ns: The time.
    """

    def __init__(
        self, database: Database, audit: AuditLog, authority: SessionAuthority | None, now_ns: Callable[[], int]
    ) -> None:
        self._database = database
        self._audit = audit
        self._authority = authority
        self._now_ns = now_ns

    @property
    def authority(self) -> bytes:
        """The public key that signers believe."""
        return self._signer().public

    def issue(self, terms: SessionTerms, *, operator: str) -> SessionKey:
        """Grant a key its terms. A key has one grant at a time: the former is to be revoked, or over.

        Raises:
            InputError: The terms are malformed or over already, the operator has no name, or the key has a grant.
            Refused: The scope is frozen.
        """
        terms.check()
        certificate_text(0, terms)
        now_ns = self._now_ns()
        if not _NAME.fullmatch(operator) or terms.until_ns <= now_ns:
            raise InputError("a session key needs an operator's name and an end that lies ahead")
        with self._database.transaction() as session:
            self._database.serialize(session, "session-keys")
            freeze.check(session, terms.scope)
            for other in self._read(session, SessionKeyRow.key == terms.key):
                if other.revoked is None and other.terms.until_ns > now_ns:
                    raise InputError(f"{terms.key} is session key {other.id} already", hint="revoke that first")
            row = SessionKeyRow(
                key=terms.key,
                scope=terms.scope,
                terms=msgspec.json.encode(terms).decode(),
                operator=operator,
                time_ns=now_ns,
            )
            session.add(row)
            session.flush()
            detail = {"operator": operator, "certificate": certificate_text(row.id or 0, terms)}
            self._audit.append(session, "session-key.issued", f"session-key/{row.id}", detail)
            return SessionKey(row.id or 0, terms, operator, now_ns)

    def certificate(self, key_id: int) -> Certified:
        """Sign what a key was granted.

        Raises:
            InputError: No such key.
            Refused: It is revoked or over (rule `revoked`, `expired`), or its scope is frozen.
        """
        with self._database.snapshot() as session:
            key = self._standing(session, key_id)
        return self._signer().certify(certificate_text(key.id, key.terms))

    def allot(self, key_id: int, instance: str) -> Allotment:
        """Count a block as spent and sign it for one signer.

        However often signers crash and ask again, what is signed within any `window_s` stays within the window's
        limits: a block counts whole from here until a window after the last moment it can be used.

        Raises:
            InputError: No such key, or not a signer's name.
            Refused: As `certificate`; or the window is used up (rule `velocity` or `count`).
        """
        if not _INSTANCE.fullmatch(instance):
            raise InputError(f"not a signer's name: {instance!r}")
        with self._database.transaction() as session:
            self._database.serialize(session, f"session-key/{key_id}")
            key = self._standing(session, key_id)
            terms, now_ns = key.terms, self._now_ns()
            counted = self._counted(session, key, now_ns)
            value = min(terms.window_max // terms.allotment_share, terms.window_max - sum(v for v, _ in counted))
            count = min(terms.window_count // terms.allotment_share, terms.window_count - sum(c for _, c in counted))
            if value <= 0:
                raise Refused(f"session key {key_id} has used its window up", rule="velocity")
            if count <= 0:
                raise Refused(f"session key {key_id} has used the window's orders up", rule="count")
            row = SessionAllotmentRow(
                key_id=key_id,
                instance=instance,
                value=value,
                count=count,
                time_ns=now_ns,
                until_ns=min(now_ns + terms.allotment_s * _NS, terms.until_ns),
            )
            session.add(row)
            session.flush()
            detail = {"instance": instance, "sequence": row.id, "value": str(value), "orders": count}
            self._audit.append(session, "session-key.allotted", f"session-key/{key_id}", detail)
        # Only now that it is written down.
        return self._allotment(row, row.id or 0)

    def renew(self, key_id: int, instance: str, sequence: int) -> Allotment:
        """Let the block that a signer holds last longer; it holds no more for it, and counts on.

        Raises:
            InputError: No such key, or no such block of this signer.
            Refused: As `certificate`; or the block is over (rule `allotment`): another is to be allotted.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"session-key/{key_id}")
            key = self._standing(session, key_id)
            now_ns = self._now_ns()
            first = session.get(SessionAllotmentRow, sequence)
            if first is None or first.renews is not None or (first.key_id, first.instance) != (key_id, instance):
                raise InputError(f"no allotment {sequence} of session key {key_id} for signer {instance}")
            renewals = select(SessionAllotmentRow.until_ns).where(col(SessionAllotmentRow.renews) == sequence)
            if max([first.until_ns, *session.exec(renewals)]) <= now_ns:
                raise Refused(f"allotment {sequence} of session key {key_id} is over", rule="allotment")
            row = SessionAllotmentRow(
                key_id=key_id,
                renews=sequence,
                instance=instance,
                value=first.value,
                count=first.count,
                time_ns=now_ns,
                until_ns=min(now_ns + key.terms.allotment_s * _NS, key.terms.until_ns),
            )
            session.add(row)
            session.flush()
        return self._allotment(row, sequence)

    def revoke(self, key_id: int, *, source: str, reason: str) -> SessionKey:
        """End a key: nothing is allotted to it again, and it falls silent within `allotment_s`. Twice is once.

        Raises:
            InputError: No such key, not a name, or no reason.
        """
        if not _NAME.fullmatch(source) or not reason.strip():
            raise InputError("revoking a session key needs a name and a reason")
        with self._database.transaction() as session:
            self._database.serialize(session, f"session-key/{key_id}")
            key = self._find(session, key_id)
            if key.revoked is not None:
                return key
            session.add(SessionRevocationRow(key_id=key_id, source=source, reason=reason, time_ns=self._now_ns()))
            session.flush()
            detail = {"source": source, "reason": reason}
            self._audit.append(session, "session-key.revoked", f"session-key/{key_id}", detail)
            return self._find(session, key_id)

    def listed(self) -> list[SessionKey]:
        """Give every key that was ever issued, oldest first."""
        with self._database.snapshot() as session:
            return self._read(session)

    # --- parts

    def _signer(self) -> SessionAuthority:
        if self._authority is None:
            raise InputError("the session authority's key is needed for this")
        return self._authority

    def _counted(self, session: Session, key: SessionKey, now_ns: int) -> list[tuple[int, int]]:
        """Give value and orders of every block that can still have been used within a window."""
        since_ns = now_ns - key.terms.window_s * _NS
        rows = session.exec(
            select(SessionAllotmentRow).where(
                col(SessionAllotmentRow.key_id) == key.id, col(SessionAllotmentRow.until_ns) > since_ns
            )
        )
        return list({row.renews or row.id: (row.value, row.count) for row in rows}.values())

    def _allotment(self, row: SessionAllotmentRow, sequence: int) -> Allotment:
        text = allotment_text(
            row.key_id,
            row.instance,
            sequence,
            value=row.value,
            count=row.count,
            from_ns=row.time_ns,
            until_ns=row.until_ns,
        )
        return Allotment(sequence, row.value, row.count, row.until_ns, self._signer().certify(text))

    def _standing(self, session: Session, key_id: int) -> SessionKey:
        key = self._find(session, key_id)
        if key.revoked is not None:
            raise Refused(f"session key {key_id} was revoked by {key.revoked}", rule="revoked")
        if key.terms.until_ns <= self._now_ns():
            raise Refused(f"session key {key_id} is over", rule="expired")
        freeze.check(session, key.terms.scope)
        return key

    def _find(self, session: Session, key_id: int) -> SessionKey:
        found = self._read(session, SessionKeyRow.id == key_id)
        if not found:
            raise InputError(f"no session key {key_id}")
        return found[0]

    def _read(self, session: Session, *where: object) -> list[SessionKey]:
        query = select(SessionKeyRow).order_by(col(SessionKeyRow.id))
        for condition in where:
            query = query.where(condition)  # type: ignore[arg-type]
        rows = session.exec(query).all()
        ends = {row.key_id: f"{row.source}: {row.reason}" for row in session.exec(select(SessionRevocationRow))}
        return [
            SessionKey(
                row.id or 0,
                msgspec.json.decode(row.terms, type=SessionTerms),
                row.operator,
                row.time_ns,
                ends.get(row.id or 0),
            )
            for row in rows
        ]
