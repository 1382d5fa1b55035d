"""Whatever is done to a log, verifying says where."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody.audit import (
    AuditLog,
    AuditVerification,
    Checkpoint,
    CheckpointKeeper,
    Ed25519CheckpointSigner,
    record_hash,
    verify_audit,
)
from domain import InvariantError
from runtime import Secret
from runtime.database import Database
from tests.databases import books_at

SIGNER = Ed25519CheckpointSigner(Secret("11" * 32))
OTHER = Ed25519CheckpointSigner(Secret("22" * 32))
COLUMNS = ("sequence", "time_ns", "kind", "subject", "detail", "previous", "hash")
RECORDS, SIGNED = 12, (5, 9)
"""A log of twelve records, with checkpoints over five and nine."""


def write(database: Database, count: int, *, start: int = 0) -> None:
    """Append records, no two alike."""
    log = AuditLog(database, lambda: 1_000)
    for number in range(start, start + count):
        with database.transaction() as session:
            log.append(session, "test.written", f"record/{number}", {"text": "é" * number, "number": number})


def checkpoint(database: Database, signer: Ed25519CheckpointSigner = SIGNER) -> Checkpoint | None:
    return CheckpointKeeper(database, signer, lambda: 2_000).run()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Checkpoint]]:
    path = tmp_path_factory.mktemp("audit") / "log.db"
    database = books_at(path)
    made = []
    for until, since in zip((*SIGNED, RECORDS), (0, *SIGNED), strict=True):
        write(database, until - since, start=since)
        if until in SIGNED:
            signed = checkpoint(database)
            assert signed is not None
            assert signed.count == until
            made.append(signed)
    database.dispose()
    with sqlite3.connect(path) as connection:
        for table in ("audit_log", "audit_checkpoints"):
            connection.execute(f"DROP TRIGGER {table}_no_update")
            connection.execute(f"DROP TRIGGER {table}_no_delete")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path, made


def after(
    original: tuple[Path, list[Checkpoint]],
    folder: Path,
    change: Callable[[sqlite3.Connection], object],
    *,
    with_exported: bool = True,
) -> AuditVerification:
    copy = folder / "copy.db"
    shutil.copy(original[0], copy)
    connection = sqlite3.connect(copy)
    change(connection)
    connection.commit()
    connection.close()
    database = Database.at(copy)
    try:
        return verify_audit(database, exported=original[1] if with_exported else (), trusted=(SIGNER.key,))
    finally:
        database.dispose()
        for leftover in folder.glob("copy.db*"):
            leftover.unlink()


def rewrite(connection: sqlite3.Connection, first: int = 1) -> None:
    """Compute every sequence and hash from a record on anew: what somebody with the database's password can do."""
    rows = connection.execute(f"SELECT {','.join(COLUMNS)} FROM audit_log ORDER BY sequence").fetchall()
    connection.execute("DELETE FROM audit_log")
    previous = "0" * 64
    for number, row in enumerate(rows, 1):
        if number >= first:
            _, time_ns, kind, subject, detail, _, _ = row
            hashed = record_hash(number, time_ns, kind, subject, detail, previous)
            row = (number, time_ns, kind, subject, detail, previous, hashed)  # noqa: PLW2901
        connection.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?,?)", row)
        previous = row[-1]


def test_an_untouched_log_is_sound(original: tuple[Path, list[Checkpoint]], tmp_path: Path) -> None:
    found = after(original, tmp_path, lambda connection: None)
    assert found.is_sound
    assert (found.records, found.checkpoints, found.covered) == (RECORDS, 2, 9)
    assert found.keys == (SIGNER.key,)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.integers(1, RECORDS), column=st.sampled_from(COLUMNS), data=st.data())
def test_one_bit_of_any_column_of_any_record_is_found_and_placed(
    original: tuple[Path, list[Checkpoint]],
    tmp_path_factory: pytest.TempPathFactory,
    sequence: int,
    column: str,
    data: st.DataObject,
) -> None:
    def flip(connection: sqlite3.Connection) -> None:
        (value,) = connection.execute(f"SELECT {column} FROM audit_log WHERE sequence = ?", (sequence,)).fetchone()
        if isinstance(value, int):
            # Beyond the log: within it, another record has that number, and the database refuses two.
            changed: int | str = value ^ (1 << data.draw(st.integers(4 if column == "sequence" else 0, 40)))
        else:
            place = data.draw(st.integers(0, len(value) - 1))
            flipped = chr(ord(value[place]) ^ (1 << data.draw(st.integers(0, 6))))
            changed = value[:place] + flipped + value[place + 1 :]
        connection.execute(f"UPDATE audit_log SET {column} = ? WHERE sequence = ?", (changed, sequence))

    found = after(original, tmp_path_factory.getbasetemp(), flip, with_exported=data.draw(st.booleans()))
    assert not found.is_sound
    assert found.first_bad == sequence


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(1, RECORDS), last=st.integers(1, RECORDS), chained=st.booleans(), kind=st.sampled_from("dsi"))
def test_a_deletion_a_swap_and_an_insertion_are_found_also_when_the_chain_is_made_to_fit(
    original: tuple[Path, list[Checkpoint]],
    tmp_path_factory: pytest.TempPathFactory,
    first: int,
    last: int,
    chained: bool,
    kind: str,
) -> None:
    first, last = min(first, last), max(first, last)

    def change(connection: sqlite3.Connection) -> None:
        if kind == "d":
            connection.execute("DELETE FROM audit_log WHERE sequence BETWEEN ? AND ?", (first, last))
        elif kind == "s":
            connection.execute("UPDATE audit_log SET sequence = -1 WHERE sequence = ?", (first,))
            connection.execute("UPDATE audit_log SET sequence = ? WHERE sequence = ?", (first, last))
            connection.execute("UPDATE audit_log SET sequence = ? WHERE sequence = -1", (last,))
        else:
            connection.execute("UPDATE audit_log SET sequence = -sequence - 1 WHERE sequence >= ?", (first,))
            connection.execute("UPDATE audit_log SET sequence = -sequence WHERE sequence < 0")
            connection.execute("INSERT INTO audit_log VALUES (?, 0, 'a', 'b', '{}', '', '')", (first,))
        if chained:
            rewrite(connection, first)

    found = after(original, tmp_path_factory.getbasetemp(), change)
    if kind == "s" and first == last:
        assert found.is_sound
        return
    covered = max((count for count in SIGNED if count < first), default=0)
    if not chained and not (kind == "d" and last == RECORDS):
        assert found.first_bad == first
    elif first > SIGNED[-1]:
        assert found.is_sound  # Nothing was signed about these yet: the next checkpoint is due.
    elif kind == "d" and RECORDS - (last - first + 1) < min(count for count in SIGNED if count >= first):
        assert found.first_bad == RECORDS - (last - first)
    else:
        assert found.first_bad == covered + 1


@pytest.mark.parametrize("kept", range(SIGNED[-1]))
def test_a_log_cut_short_is_found_by_checkpoints_kept_elsewhere(
    original: tuple[Path, list[Checkpoint]], tmp_path: Path, kept: int
) -> None:
    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_log WHERE sequence > ?", (kept,))
        connection.execute("DELETE FROM audit_checkpoints WHERE count > ?", (kept,))

    found = after(original, tmp_path, cut)
    assert found.first_bad == kept + 1
    assert not found.is_sound
    assert after(original, tmp_path, cut, with_exported=False).is_sound  # Which is why they are exported.


def test_checkpoints_that_were_altered_forged_or_signed_by_another_are_found(
    original: tuple[Path, list[Checkpoint]], tmp_path: Path
) -> None:
    def problems(statement: str) -> str:
        found = after(original, tmp_path, lambda connection: connection.execute(statement))
        assert found.first_bad is None
        return "\n".join(found.problems)

    assert "not signed by the key" in problems("UPDATE audit_checkpoints SET time_ns = 3 WHERE count = 5")
    assert "not signed by the key" in problems(f"UPDATE audit_checkpoints SET key = '{OTHER.key}' WHERE count = 5")
    assert "not in the database" in problems("DELETE FROM audit_checkpoints WHERE count = 5")


def test_another_keys_checkpoints_do_not_cover_a_rewritten_log(tmp_path: Path) -> None:
    database = books_at(tmp_path / "log.db")
    write(database, 3)
    checkpoint(database, OTHER)
    assert verify_audit(database).is_sound
    found = verify_audit(database, trusted=(SIGNER.key,))
    assert not found.is_sound
    assert "not trusted" in found.problems[0]


def test_a_log_that_does_not_hold_together_is_not_signed_over(database: Database) -> None:
    write(database, 3)
    assert checkpoint(database) is not None
    write(database, 2, start=3)
    with database.transaction() as session:
        names = ("audit_log_no_update",) if database.is_sqlite else ("audit_log_append_only ON audit_log",)
        for name in names:
            session.execute(sa.text(f"DROP TRIGGER {name}"))
        session.execute(sa.text("UPDATE audit_log SET detail = '{}' WHERE sequence = 5"))
    with pytest.raises(InvariantError, match="record 5"):
        checkpoint(database)
    assert verify_audit(database).first_bad == 5


def test_checkpoints_and_verification_are_the_same_on_both_databases(database: Database) -> None:
    write(database, 4)
    assert checkpoint(database) is not None
    write(database, 3)
    second = checkpoint(database)
    assert second is not None
    assert second.count == 7
    assert checkpoint(database) is None
    found = verify_audit(database, exported=[second], trusted=(SIGNER.key,))
    assert found.is_sound
    assert (found.records, found.checkpoints, found.covered) == (7, 2, 7)
