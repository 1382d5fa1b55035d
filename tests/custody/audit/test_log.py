"""Records stand or fall with the transaction that wrote them, and form one chain."""

from __future__ import annotations

import threading

import pytest
from sqlmodel import col, select

from custody.audit import AuditLog, AuditRow, record_hash
from domain import InputError
from runtime.database import Database


@pytest.fixture
def log(database: Database) -> AuditLog:
    return AuditLog(database, lambda: 7)


def rows(database: Database) -> list[AuditRow]:
    with database.snapshot() as session:
        found = list(session.exec(select(AuditRow).order_by(col(AuditRow.sequence))))
        session.expunge_all()
        return found


def assert_is_chain(found: list[AuditRow]) -> None:
    previous = "0" * 64
    for number, row in enumerate(found, 1):
        assert row.sequence == number
        assert row.previous == previous
        previous = record_hash(row.sequence, row.time_ns, row.kind, row.subject, row.detail, row.previous)
        assert row.hash == previous


def test_records_take_their_places_in_one_chain(database: Database, log: AuditLog) -> None:
    with database.transaction() as session:
        log.append(session, "policy.activated", "policy/3", {"digest": "ab", "version": 3})
        log.append(session, "key.created", "key/0x1", {"b": [1, "x"], "a": None})
    with database.transaction() as session:
        log.append(session, "freeze.imposed", "freeze/1", {})
    found = rows(database)
    assert [row.detail for row in found] == ['{"digest":"ab","version":3}', '{"a":null,"b":[1,"x"]}', "{}"]
    assert_is_chain(found)


def test_a_transaction_that_fails_leaves_no_record(database: Database, log: AuditLog) -> None:
    def fail() -> None:
        with database.transaction() as session:
            log.append(session, "a.b", "c", {})
            log.append(session, "a.b", "not a subject", {})

    with pytest.raises(InputError):
        fail()
    with database.transaction() as session:
        try:
            with session.begin_nested():
                log.append(session, "a.undone", "c", {})
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        with session.begin_nested():
            log.append(session, "a.kept", "c", {})
        log.append(session, "a.last", "c", {})
    assert [row.kind for row in rows(database)] == ["a.kept", "a.last"]
    assert_is_chain(rows(database))


def test_many_writers_at_once_make_one_chain_without_a_gap(database: Database, log: AuditLog) -> None:
    def write(name: int) -> None:
        for number in range(10):
            with database.transaction() as session:
                log.append(session, "test.ran", f"writer/{name}", {"number": number})

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(database)
    assert len(found) == 80
    assert_is_chain(found)
    for name in range(8):  # Each writer's own records are in its own order.
        mine = [row.detail for row in found if row.subject == f"writer/{name}"]
        assert mine == [f'{{"number":{number}}}' for number in range(10)]


@pytest.mark.parametrize(
    ("kind", "subject", "detail"),
    [
        ("Kind", "s", {}),
        ("", "s", {}),
        ("k", "a b", {}),
        ("k", "", {}),
        ("k", "a\nb", {}),
        ("k", "s", {"x": 0.5}),
        ("k", "s", {"x": [{"y": 1.0}]}),
        ("k", "s", {"x": object()}),
        ("k", "s", {1: "x"}),
    ],
)
def test_what_cannot_be_hashed_in_one_way_is_refused(
    database: Database, log: AuditLog, kind: str, subject: str, detail: dict[str, object]
) -> None:
    with pytest.raises(InputError), database.transaction() as session:
        log.append(session, kind, subject, detail)
    assert rows(database) == []
