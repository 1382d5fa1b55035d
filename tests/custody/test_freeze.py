"""A frozen scope lets nothing out until two people have said so."""

from __future__ import annotations

import json

import pytest
from sqlmodel import col, select

from custody import freeze
from custody.audit import AuditLog, AuditRow
from custody.freeze import Freezes
from domain import ChainId, InputError, Refused
from runtime.database import Database

CHAIN = freeze.chain_scope(ChainId(1337))


@pytest.fixture
def freezes(database: Database) -> Freezes:
    return Freezes(database, AuditLog(database, lambda: 7), lambda: 7)


def check(database: Database, *scopes: str) -> str:
    with database.snapshot() as session:
        try:
            freeze.check(session, *scopes)
        except Refused as exc:
            return f"{exc.rule}: {exc}"
    return ""


def test_a_freeze_holds_its_scope_and_no_other(database: Database, freezes: Freezes) -> None:
    assert check(database, CHAIN, "vault/default") == ""
    freezes.impose(CHAIN, source="reconciliation", reason="5 units are missing")
    assert "5 units are missing" in check(database, "vault/default", CHAIN)
    assert check(database, CHAIN).startswith("frozen: ")
    assert check(database, "chain/1", "venue/v") == ""


def test_freezing_all_holds_everything(database: Database, freezes: Freezes) -> None:
    freezes.impose(freeze.ALL, source="operator:ann", reason="drill")
    assert check(database) != ""
    assert check(database, "venue/v") != ""


def test_two_different_people_lift_a_freeze_and_one_cannot(database: Database, freezes: Freezes) -> None:
    imposed = freezes.impose(CHAIN, source="reconciliation", reason="5 units are missing")
    left = freezes.lift(imposed.id, operator="ann", reason="found them")
    assert left is not None
    assert left.lifted_by == ("ann",)
    with pytest.raises(InputError, match="another person"):
        freezes.lift(imposed.id, operator="ann", reason="really")
    assert check(database, CHAIN) != ""
    assert freezes.lift(imposed.id, operator="bob", reason="saw them too") is None
    assert check(database, CHAIN) == ""
    with pytest.raises(InputError, match="no freeze"):
        freezes.lift(imposed.id, operator="cid", reason="late")


def test_the_same_finding_freezes_once_and_again_after_it_was_lifted(freezes: Freezes) -> None:
    first = freezes.impose(CHAIN, source="reconciliation", reason="a")
    assert freezes.impose(CHAIN, source="reconciliation", reason="b").id == first.id
    other = freezes.impose(CHAIN, source="operator:ann", reason="c")
    for name in ("ann", "bob"):
        freezes.lift(first.id, operator=name, reason="r")
    assert [found.id for found in freezes.standing()] == [other.id]
    assert freezes.impose(CHAIN, source="reconciliation", reason="d").id > other.id


@pytest.mark.parametrize(
    ("scope", "source", "reason"), [("chain", "s", "r"), ("vault/a b", "s", "r"), (CHAIN, "", "r"), (CHAIN, "s", " ")]
)
def test_a_malformed_freeze_is_refused(freezes: Freezes, scope: str, source: str, reason: str) -> None:
    with pytest.raises(InputError):
        freezes.impose(scope, source=source, reason=reason)


def test_imposing_and_lifting_are_in_the_audit_log(database: Database, freezes: Freezes) -> None:
    imposed = freezes.impose(CHAIN, source="reconciliation", reason="5 units are missing")
    freezes.lift(imposed.id, operator="ann", reason="found them")
    with database.snapshot() as session:
        rows = session.exec(select(AuditRow).order_by(col(AuditRow.sequence))).all()
        session.expunge_all()
    assert [(row.kind, row.subject) for row in rows] == [
        ("freeze.imposed", f"freeze/{imposed.id}"),
        ("freeze.lifted", f"freeze/{imposed.id}"),
    ]
    assert json.loads(rows[1].detail) == {"scope": CHAIN, "operator": "ann", "reason": "found them", "stands": True}
