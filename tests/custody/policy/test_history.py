"""Accepted policies in the books: successors rest, nothing goes back, the audit log knows."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from custody.audit import list_audit, verify_audit
from custody.policy.history import PolicyHistory
from domain import InvariantError, Refused
from runtime import ManualClock
from runtime.database import Database
from tests.support.policies import ADMINS, NOW_S, document, signed

DAY = 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_S * 10**9)


def version(history: PolicyHistory) -> int | None:
    active = history.active()
    return None if active is None else active.bundle.rulebook.version


def test_a_successor_rests_and_a_higher_one_overtakes_it(database: Database, clock: ManualClock) -> None:
    history = PolicyHistory(database, ADMINS, now_ns=clock.now_ns)
    assert version(history) is None
    history.accept(signed(document(extra="min_delay: 1d")))
    assert version(history) == 7
    next_day = 'activates_at: "1970-01-02T00:16:40Z"'
    assert history.accept(signed(document(version=8, extra=next_day))).effective_s == NOW_S + DAY
    clock.advance(seconds=DAY // 2)
    later = 'activates_at: "1970-01-03T00:00:00Z"'
    history.accept(signed(document(version=9, extra=later), at_s=NOW_S + DAY // 2))
    clock.advance(seconds=DAY // 2)
    assert version(history) == 7
    clock.advance(seconds=DAY)
    assert version(history) == 9
    assert [each.bundle.rulebook.version for each in history.all()] == [7, 8, 9]


def test_what_the_administrators_did_not_sign_or_what_is_old_is_not_accepted(
    database: Database, clock: ManualClock
) -> None:
    history = PolicyHistory(database, ADMINS, now_ns=clock.now_ns)
    history.accept(signed(document(version=8, extra="min_delay: 1d")))
    for bad, rule in (
        (signed(document(version=9), "ada"), "policy-quorum"),
        (signed(document(version=7)), "policy-version"),
        (signed(document(version=8)), "policy-version"),
        (signed(document(version=9)), "policy-delay"),
    ):
        with pytest.raises(Refused) as error:
            history.accept(bad)
        assert error.value.rule == rule
    assert len(history.all()) == 1


def test_acceptance_is_in_the_audit_log_once_and_stays(database: Database, clock: ManualClock) -> None:
    history = PolicyHistory(database, ADMINS, now_ns=clock.now_ns)
    bundle = signed(document())
    assert history.accept(bundle) == history.accept(bundle)
    with database.snapshot() as session:
        rows = list_audit(session, kind="policy.activated")
        found = [(row.subject, json.loads(row.detail)["digest"]) for row in rows]
    assert found == [("policy/7", bundle.rulebook.digest)]
    assert verify_audit(database).is_sound
    with pytest.raises(InvariantError, match="append-only"), database.transaction() as session:
        session.execute(text("UPDATE policy_bundles SET effective_s = 0"))
