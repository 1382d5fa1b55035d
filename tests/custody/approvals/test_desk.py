"""Requests are opened, approved, rejected and end; what the desk says is recomputed from the signatures."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import sqlalchemy as sa

from custody.approvals import ApprovalState, DatabaseApprovals, Verdict, approve, verify
from custody.ports import ApprovalDesk
from domain import InputError, InvariantError, Refused
from tests.support.approvers import CALL, Bundle, decision, groups_of, intent, key_of, need

SECOND = 10**9


class Town:
    """A desk with its clock and the active bundle."""

    def __init__(self, database):
        self.now_s = 1_000
        self.bundle = Bundle()
        self.database = database
        self.desk = DatabaseApprovals(database, rules=lambda: self.bundle, now_ns=lambda: self.now_s * SECOND)
        self.port: ApprovalDesk = self.desk

    def open(self, asked=None, *requirements):
        with self.database.transaction() as session:
            self.desk.open(session, asked or intent(self.bundle), decision(*requirements, bundle=self.bundle))

    def say(self, name, verdict=Verdict.APPROVE, intent_id="w-1"):
        request = self.desk.find(intent_id)
        return self.desk.add(intent_id, approve(key_of(name), request.intent, request.text, verdict))

    def state(self, intent_id="w-1"):
        return self.port.state(intent_id, self.now_s * SECOND)


@pytest.fixture
def town(database):
    return Town(database)


def refused(rule, call, *arguments):
    with pytest.raises(Refused) as refusal:
        call(*arguments)
    assert refusal.value.rule == rule


def test_a_quorum_is_met_approval_by_approval(town):
    town.open(None, need(2), need(1, "treasurers"))
    assert town.state() is ApprovalState.PENDING
    assert town.say("bob") is ApprovalState.PENDING
    assert town.say("carol") is ApprovalState.PENDING
    assert "1 of treasurers" in town.desk.find("w-1").reason
    assert town.say("dave") is ApprovalState.MET
    assert town.state() is ApprovalState.MET
    verified = verify(town.desk.evidence("w-1"), subject=CALL, rules=town.bundle, now_s=town.now_s)
    verified.check([need(2), need(1, "treasurers")])


def test_what_people_say_is_in_the_audit_log(town):
    town.open(None, need(1))
    town.say("alice")
    town.say("bob", Verdict.REJECT)
    with town.database.snapshot() as session:
        rows = session.execute(sa.text("SELECT kind, subject, detail FROM audit_log ORDER BY 1")).all()
    assert [(kind, subject) for kind, subject, _ in rows] == [
        ("approval.asked", "intent/w-1"),
        ("approval.given", "intent/w-1"),
        ("approval.rejected", "intent/w-1"),
    ]
    assert '"by":"alice"' in rows[1][2]


def test_nobody_to_ask_is_met_at_once(town):
    town.open()
    assert town.state() is ApprovalState.MET


def test_one_rejection_ends_it_even_after_a_quorum(town):
    town.open(None, need(1))
    assert town.say("alice") is ApprovalState.MET
    assert town.say("bob", Verdict.REJECT) is ApprovalState.REJECTED
    refused("approval-over", town.say, "carol")
    assert "rejected by bob" in town.desk.find("w-1").reason


def test_the_initiator_may_reject_but_not_approve(town):
    town.open(intent(initiator="alice"), need(1))
    refused("initiator", town.say, "alice")
    assert town.say("alice", Verdict.REJECT) is ApprovalState.REJECTED


def test_who_is_not_asked_cannot_say_anything(town):
    town.open(None, need(1, "treasurers"))
    refused("approver", town.say, "bob")
    refused("approver", town.say, "mallory")
    refused("approver", town.say, "bob", Verdict.REJECT)
    assert town.state() is ApprovalState.PENDING


def test_time_ends_it(town):
    town.open(None, need(1))
    town.now_s = 2_000
    assert town.state() is ApprovalState.EXPIRED
    refused("approval-over", town.say, "alice")
    refused("approval-expired", town.open, intent(intent_id="w-2"))


def test_another_policy_ends_it(town):
    town.open(None, need(1))
    assert town.say("alice") is ApprovalState.MET
    town.bundle = replace(town.bundle, version=8)
    assert town.state() is ApprovalState.EXPIRED
    assert "version 7" in town.desk.find("w-1").reason
    with pytest.raises(Refused, match="another policy"), town.database.transaction() as session:
        town.desk.open(session, intent(intent_id="w-2"), decision(need(1)))


def test_who_leaves_a_group_counts_no_more(town):
    town.open(None, need(1))
    town.say("alice")
    town.bundle = replace(town.bundle, groups=groups_of(operators=("bob", "carol")))
    assert town.state() is ApprovalState.PENDING


def test_opening_again_is_a_no_op_and_another_intent_an_error(town):
    town.open(None, need(1))
    town.open(None, need(1))
    with pytest.raises(InputError, match="another intent"):
        town.open(intent(subject=replace(CALL, gas_limit=1)), need(1))


def test_opening_is_part_of_the_callers_transaction(town):
    with contextlib.suppress(KeyError), town.database.transaction() as session:
        town.desk.open(session, intent(), decision(need(1)))
        raise KeyError
    with pytest.raises(InputError, match="nobody was asked"):
        town.state()


def test_what_nobody_could_ever_approve_is_refused_at_once(town):
    refused("approvers", town.open, None, need(4))
    refused("approvers", town.open, None, need(1, "ghosts"))
    refused("approvers", town.open, intent(initiator="alice"), need(3))


def test_the_same_approval_again_is_a_no_op(town):
    town.open(None, need(2))
    assert town.say("alice") is town.say("alice") is ApprovalState.PENDING
    assert len(town.desk.find("w-1").approvals) == 1


def test_an_approval_of_one_intent_is_none_of_another(town):
    town.open(None, need(1))
    town.open(intent(intent_id="w-2"), need(1))
    first = town.desk.find("w-1")
    refused("approval-signature", town.desk.add, "w-2", approve(key_of("alice"), first.intent, first.text))


def test_edited_rows_do_not_make_a_quorum(town):
    """Whoever can write to the database past its triggers still cannot approve."""
    town.open(None, need(2))
    town.say("alice")
    with town.database.transaction() as session:
        session.execute(
            sa.text(
                "INSERT INTO approvals (intent_id, approver, key, verdict, proof, counter, time_ns)"
                " SELECT intent_id, 'bob', :key, verdict, proof, counter, time_ns FROM approvals"
            ),
            {"key": town.bundle.groups["operators"]["bob"][0]},
        )
    assert town.state() is not ApprovalState.MET


@pytest.mark.parametrize("table", ["approvals", "approval_requests"])
def test_rows_are_append_only(town, table):
    town.open(None, need(1))
    town.say("alice")
    for change in (f"UPDATE {table} SET intent_id = intent_id", f"DELETE FROM {table}"):
        with pytest.raises(InvariantError), town.database.transaction() as session:
            session.execute(sa.text(change))


def test_pending_requests_are_listed_oldest_first(town):
    for number in (1, 2, 3):
        town.open(intent(intent_id=f"w-{number}"), need(1))
    town.say("alice", intent_id="w-2")
    assert [request.intent.intent_id for request in town.desk.list()] == ["w-1", "w-3"]
    assert len(town.desk.list(pending_only=False)) == 3
    town.now_s = 2_000
    assert town.desk.list() == []


def test_attestations_travel_with_the_evidence(town):
    town.open(None, need(1))
    for amount in ("1", "2"):
        with town.database.transaction() as session:
            town.desk.attest(session, "w-1", [{"usd": amount}])
    assert town.port.evidence("w-1")["attestations"] == [{"usd": "2"}]
