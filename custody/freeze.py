"""Freezes: nothing leaves a scope until people have looked.

A freeze is a row, and so is each person's word that it may end; neither is ever changed. A freeze ends when two
different people have given theirs. Whatever lets value out asks `check` in the transaction of each of its steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Text, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from custody.audit import AuditLog
from custody.columns import APPEND_ONLY, row_number
from domain import ChainId, InputError, Refused
from runtime import Secret
from runtime.database import Database

ALL: Final = "all"
"""The scope that holds every other."""
PEOPLE_TO_LIFT: Final = 2

_SCOPE: Final = re.compile(r"all|(chain|venue|vault)/[A-Za-z0-9:._\-]{1,80}")
_NAME: Final = re.compile(r"[A-Za-z0-9:._@+\-]{1,80}")


class FreezeRow(SQLModel, table=True):
    """One freeze: of what, by whom, why."""

    __tablename__ = "freezes"
    __table_args__ = (Index("ix_freezes_scope", "scope"), APPEND_ONLY)

    id: int | None = row_number()
    scope: str = Field(sa_column=Column(String(90), nullable=False))
    source: str = Field(sa_column=Column(String(80), nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class FreezeLiftRow(SQLModel, table=True):
    """One person's word that a freeze may end."""

    __tablename__ = "freeze_lifts"
    __table_args__ = (UniqueConstraint("freeze_id", "operator"), APPEND_ONLY)

    id: int | None = row_number()
    freeze_id: int = Field(sa_column=Column(BigInteger, ForeignKey("freezes.id"), nullable=False))
    operator: str = Field(sa_column=Column(String(80), nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze that stands. `lifted_by` has agreed already; one more is needed."""

    id: int
    scope: str
    source: str
    reason: str
    time_ns: int
    lifted_by: tuple[str, ...]


def chain_scope(chain_id: ChainId) -> str:
    """Everything on a chain."""
    return f"chain/{chain_id}"


def venue_scope(venue: str) -> str:
    """Everything at an exchange."""
    return f"venue/{venue}"


def vault_scope(vault: str) -> str:
    """One vault."""
    return f"vault/{vault}"


def check(session: Session, *scopes: str) -> None:
    """Let a step out pass, unless one of its scopes (or everything) is frozen.

    Raises:
        Refused: Rule `frozen`; says which freeze.
    """
    if found := standing(session, ALL, *scopes):
        raise Refused(
            f"{found[0].scope} is frozen: {found[0].reason} (freeze {found[0].id})",
            rule="frozen",
            hint="`capstan custody freezes` lists them; two people lift one",
        )


def standing(session: Session, *scopes: str) -> list[Freeze]:
    """Give the freezes that stand, oldest first; of these scopes, or all when none is given."""
    query = select(FreezeRow).order_by(col(FreezeRow.id))
    if scopes:
        query = query.where(col(FreezeRow.scope).in_(scopes))
    rows = session.exec(query).all()
    lifts: dict[int, list[str]] = {}
    if rows:
        wanted = [row.id for row in rows]
        for lift in session.exec(select(FreezeLiftRow).where(col(FreezeLiftRow.freeze_id).in_(wanted))):
            lifts.setdefault(lift.freeze_id, []).append(lift.operator)
    return [
        Freeze(row.id or 0, row.scope, row.source, row.reason, row.time_ns, tuple(sorted(lifts.get(row.id or 0, ()))))
        for row in rows
        if len(set(lifts.get(row.id or 0, ()))) < PEOPLE_TO_LIFT
    ]


def sign_lift(key: Secret, freeze_id: int, operator: str, reason: str) -> bytes:
    """Sign one's word that a freeze may end, with an Ed25519 key: 32 bytes in hex.

    Raises:
        InputError: It is no such key.
    """
    return sign(key, _lift_statement(freeze_id, operator, reason))


def sign(key: Secret, statement: bytes) -> bytes:
    """Sign a statement with an operator's Ed25519 key: 32 bytes in hex.

    Raises:
        InputError: It is no such key.
    """
    try:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.reveal().strip()))
    except ValueError as exc:
        raise InputError("an operator's key is 32 bytes in hex") from exc
    return private.sign(statement)


def ensure_signed(operators: Mapping[str, str], operator: str, signature: bytes | None, statement: bytes) -> None:
    """Let a statement pass that an operator signed.

    Raises:
        Refused: Nobody of that name, or it is not this person's signature (rule `operator`).
    """
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(operators[operator]))
        public.verify(signature or b"", statement)
    except (KeyError, ValueError, InvalidSignature) as exc:
        raise Refused(
            f"{operator} did not sign this", rule="operator", hint="give your key with --key-ref file:PATH"
        ) from exc


def check_name(operator: str, reason: str, what: str) -> None:
    """Let a person's name and reason pass.

    Raises:
        InputError: One is missing or malformed.
    """
    if not _NAME.fullmatch(operator) or not reason.strip():
        raise InputError(f"{what} needs an operator's name and a reason")


class Freezes:
    """Imposes and lifts freezes, each with its audit record.

    Args:
        database: Where they are.
        audit: Where it is recorded.
        now_ns: The time.
        operators: Ed25519 public keys in hex, by name. When there are any, only these people lift, by signature.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        now_ns: Callable[[], int],
        *,
        operators: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._now_ns = now_ns
        self._operators = dict(operators or {})

    @property
    def operators(self) -> frozenset[str]:
        """Who lifts, where operators have keys; else nobody in particular."""
        return frozenset(self._operators)

    def impose(self, scope: str, *, source: str, reason: str) -> Freeze:
        """Freeze a scope in a transaction of its own; see `impose_in`."""
        with self._database.transaction() as session:
            return self.impose_in(session, scope, source=source, reason=reason)

    def impose_in(self, session: Session, scope: str, *, source: str, reason: str) -> Freeze:
        """Freeze a scope: `all`, or a chain, venue or vault. One freeze of a scope and source stands at a time.

        Args:
            session: A transaction of the caller's.
            scope: See `chain_scope`, `venue_scope`, `vault_scope`, `ALL`.
            source: Who: `reconciliation`, `solvency`, `operator:<name>`.
            reason: What was found, for whoever has to lift it.

        Raises:
            InputError: Not a scope, not a name, or no reason.
        """
        if not _SCOPE.fullmatch(scope) or not _NAME.fullmatch(source) or not reason.strip():
            raise InputError(f"cannot freeze {scope!r} for {source!r}: scope, source or reason is malformed")
        self._database.serialize(session, f"freeze/{scope}")
        for freeze in standing(session, scope):
            if freeze.source == source:
                return freeze
        row = FreezeRow(scope=scope, source=source, reason=reason, time_ns=self._now_ns())
        session.add(row)
        session.flush()
        self._audit.append(
            session, "freeze.imposed", f"freeze/{row.id}", {"scope": scope, "source": source, "reason": reason}
        )
        return Freeze(row.id or 0, scope, source, reason, row.time_ns, ())

    def lift(self, freeze_id: int, *, operator: str, reason: str, signature: bytes | None = None) -> Freeze | None:
        """Give one person's word that a freeze may end; None once it has ended, else the freeze as it still stands.

        Raises:
            InputError: No such freeze stands, this person has agreed already, or a name or the reason is missing.
            Refused: Operators have keys, and this is not signed by theirs (rule `operator`).
        """
        check_name(operator, reason, "lifting a freeze")
        self._check_signature(freeze_id, operator, reason, signature)
        with self._database.transaction() as session:
            self._database.serialize(session, f"freeze-lift/{freeze_id}")
            found = [freeze for freeze in standing(session) if freeze.id == freeze_id]
            if not found:
                raise InputError(f"no freeze {freeze_id} stands")
            if operator in found[0].lifted_by:
                raise InputError(f"{operator} has agreed already: another person must lift freeze {freeze_id}")
            session.add(FreezeLiftRow(freeze_id=freeze_id, operator=operator, reason=reason, time_ns=self._now_ns()))
            session.flush()
            left = [freeze for freeze in standing(session) if freeze.id == freeze_id]
            detail = {"scope": found[0].scope, "operator": operator, "reason": reason, "stands": bool(left)}
            if signature is not None:
                detail["signature"] = signature.hex()
            self._audit.append(session, "freeze.lifted", f"freeze/{freeze_id}", detail)
            return left[0] if left else None

    def _check_signature(self, freeze_id: int, operator: str, reason: str, signature: bytes | None) -> None:
        if not self._operators:
            return
        try:
            ensure_signed(self._operators, operator, signature, _lift_statement(freeze_id, operator, reason))
        except Refused as exc:
            raise Refused(f"{operator} did not sign for freeze {freeze_id} to end", rule="operator") from exc

    def standing(self) -> list[Freeze]:
        """Give every freeze that stands, oldest first."""
        with self._database.snapshot() as session:
            return standing(session)


def _lift_statement(freeze_id: int, operator: str, reason: str) -> bytes:
    return f"capstan/freeze-lift/v1\n{freeze_id}\n{operator}\n{reason}".encode()
