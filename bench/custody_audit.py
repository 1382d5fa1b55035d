"""Verifying a million audit records, against the bare SHA-256 of the same bytes and against one row at a time."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.rows import Row, ratio_row

if TYPE_CHECKING:
    from runtime.database import Database

_RECORDS = 1_000_000
_NAIVE = 20_000
_LIMIT_S = 15.0


def run() -> list[Row]:
    """Measure; takes about a minute, most of it to write the log."""
    from custody.audit import CheckpointKeeper, Ed25519CheckpointSigner, verify_audit
    from custody.tables import open_books
    from runtime import Secret
    from runtime.database import Database

    with tempfile.TemporaryDirectory(prefix="capstan-bench-") as folder:
        database = open_books(Database.at(Path(folder) / "audit.db"))
        contents = _fill(database)
        CheckpointKeeper(database, Ed25519CheckpointSigner(Secret("11" * 32)), time.time_ns).run()
        ours, found = _seconds(lambda: verify_audit(database))
        if not found.is_sound or (found.records, found.covered) != (_RECORDS, _RECORDS):
            raise RuntimeError(f"the log is not what was written: {found}")
        bare, _ = _seconds(lambda: [hashlib.sha256(content).digest() for content in contents])
        naive, _ = _seconds(lambda: _one_at_a_time(database))
        database.dispose()
    common = {"topic": "custody", "ours": round(ours, 2), "unit": "s for 1 M"}
    return [
        ratio_row(
            name="audit verify: chain, tree, checkpoint", peer_name="15 s", ratio=_LIMIT_S / ours, target=1, **common
        ),
        ratio_row(
            name="audit verify: share of bare SHA-256",
            peer_name=f"hashing alone ({bare:.2f} s)",
            ratio=bare / ours,
            target=0.05,
            **common,
        ),
        ratio_row(
            name="audit verify: pages",
            peer_name=f"a query per record ({naive * _RECORDS / _NAIVE:.0f} s)",
            ratio=naive * _RECORDS / _NAIVE / ours,
            target=5,
            **common,
        ),
    ]


def _fill(database: Database) -> list[bytes]:
    """Write the log in bulk, as `AuditLog` would one by one; give the bytes that were hashed."""
    from sqlalchemy import insert

    from custody.audit import AuditRow, canonical, record_hash

    previous, contents = "0" * 64, []
    for first in range(1, _RECORDS + 1, 50_000):
        rows = []
        for sequence in range(first, first + 50_000):
            kind, subject = "transaction.signed", f"transaction/w-{sequence}"
            detail = canonical({"attempt": 0, "nonce": sequence, "state": "signed", "tx_hash": f"0x{sequence:064x}"})
            hashed = record_hash(sequence, sequence, kind, subject, detail, previous)
            contents.append(
                f"capstan/audit/v1\n{sequence}\n{sequence}\n{kind}\n{subject}\n{previous}\n{detail}".encode()
            )
            rows.append((sequence, sequence, kind, subject, detail, previous, hashed))
            previous = hashed
        names = ("sequence", "time_ns", "kind", "subject", "detail", "previous", "hash")
        with database.transaction() as session:
            session.execute(insert(AuditRow), [dict(zip(names, row, strict=True)) for row in rows])
    return contents


def _one_at_a_time(database: Database) -> None:
    from custody.audit import AuditRow, record_hash

    previous = "0" * 64
    with database.snapshot() as session:
        for sequence in range(1, _NAIVE + 1):
            row = session.get_one(AuditRow, sequence)
            hashed = record_hash(row.sequence, row.time_ns, row.kind, row.subject, row.detail, row.previous)
            if row.previous != previous or row.hash != hashed:
                raise RuntimeError(f"record {sequence} does not hold")
            previous = hashed


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result
