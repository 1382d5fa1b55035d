"""Following the chain from its beginning, or from a checkpoint on: the check that every reader of the log makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast

from sqlmodel import Session, col, select

from custody.audit.merkle import MerkleTree
from custody.audit.records import GENESIS
from custody.audit.tables import AuditRow

_PAGE: Final = 20_000
Record = tuple[int, int, str, str, str, str, str]
"""Sequence, time, kind, subject, detail, previous hash, hash."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold, and how."""

    sequence: int
    reason: str


class Chain:
    """How far the chain has been followed, and what it came to."""

    def __init__(self, head: str = GENESIS, tree: MerkleTree | None = None) -> None:
        self.head = head
        self.tree = MerkleTree() if tree is None else tree

    @property
    def count(self) -> int:
        """Records that hold."""
        return self.tree.count

    def follow(self, records: Sequence[Record]) -> Break | None:
        """Go on over these records, up to the first that does not hold."""
        expected, head = self.tree.count, self.head
        leaves: list[bytes] = []
        found: Break | None = None
        for sequence, time_ns, kind, subject, detail, previous, hashed in records:
            expected += 1
            if sequence != expected:
                found = Break(expected, f"record {expected} is missing: {sequence} comes next")
                break
            if previous != head:
                found = Break(sequence, f"record {sequence} does not follow the one before it")
                break
            # The same bytes as `record_hash`; written out, because a call a record is a second in a million.
            content = f"capstan/audit/v1\n{sequence}\n{time_ns}\n{kind}\n{subject}\n{previous}\n{detail}"
            digest = sha256(content.encode("utf-8", "surrogatepass"))
            head = digest.hexdigest()
            if hashed != head:
                found = Break(sequence, f"record {sequence} is not what was recorded")
                break
            leaves.append(digest.digest())
        self.tree.extend(leaves)
        if leaves:
            self.head = leaves[-1].hex()
        return found


def pages(session: Session, after: int = 0) -> Iterator[list[Record]]:
    """Read the log in order, some thousand records at a time."""
    # The driver's own rows: mapping a million of them to anything else takes longer than hashing them.
    columns = "sequence, time_ns, kind, subject, detail, previous, hash"
    connection = session.connection()
    while True:
        query = f"SELECT {columns} FROM audit_log WHERE sequence > {int(after)} ORDER BY sequence LIMIT {_PAGE}"
        page = cast("list[Record]", connection.exec_driver_sql(query).cursor.fetchall())
        if not page:
            return
        yield page
        after = page[-1][0]


def list_audit(
    session: Session, *, kind: str = "", subject: str = "", after: int = 0, limit: int = 1000
) -> list[AuditRow]:
    """List records, oldest first. A `kind` that ends in a dot means all that begin with it."""
    query = select(AuditRow).where(col(AuditRow.sequence) > after).order_by(col(AuditRow.sequence)).limit(limit)
    if kind.endswith("."):
        query = query.where(col(AuditRow.kind).startswith(kind, autoescape=True))
    elif kind:
        query = query.where(col(AuditRow.kind) == kind)
    if subject:
        query = query.where(col(AuditRow.subject) == subject)
    return list(session.exec(query))
