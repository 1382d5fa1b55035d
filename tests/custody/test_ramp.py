"""The capital grows by two different people's word within a day, and by nothing else."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from custody.audit import AuditLog, AuditRow
from custody.ramp import PROPOSAL_NS, Ramps, sign_approval, sign_proposal
from domain import InputError, InvariantError, Refused
from runtime import ManualClock, Secret
from runtime.database import Database
from tests.databases import books_at

scopes = itertools.count()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1)


def ramps_on(database: Database, clock: ManualClock, **more: object) -> Ramps:
    return Ramps(database, AuditLog(database, clock.now_ns), clock.now_ns, **{"scope": "live", **more})  # type: ignore[arg-type]


@pytest.fixture
def ramps(database: Database, clock: ManualClock) -> Ramps:
    return ramps_on(database, clock)


def propose(ramps: Ramps, operator: str = "ann", against: tuple[str, ...] = (), **more: object) -> int:
    step = ramps.standing()
    assert step is not None
    return ramps.propose(step, "t2", operator=operator, reason="it went well", against=against, **more).id  # type: ignore[arg-type]


def approve(ramps: Ramps, number: int, operator: str = "bob", against: tuple[str, ...] = (), **more: object) -> int:
    return ramps.approve(number, operator=operator, reason="so it did", against=against, **more).stage  # type: ignore[arg-type]


def test_two_different_people_step_up_and_each_is_recorded(database: Database, ramps: Ramps) -> None:
    assert ramps.standing() is None
    assert ramps.begin("t1", "run1", seen=None).stage == 1
    number = propose(ramps)
    for same in ("ann", "ANN"):
        with pytest.raises(InputError, match="another person"):
            approve(ramps, number, same)
    assert approve(ramps, number) == 2
    with pytest.raises(InputError, match="no proposal"):
        approve(ramps, number, "cid")
    assert ramps.standing().terms == "t2"  # type: ignore[union-attr]
    with database.snapshot() as session:
        rows = session.exec(select(AuditRow).where(col(AuditRow.kind).startswith("ramp.")).order_by(AuditRow.sequence))
        told = [(row.kind, json.loads(row.detail)) for row in rows]
    assert [kind for kind, _ in told] == ["ramp.begun", "ramp.proposed", "ramp.raised"]
    assert (told[2][1]["proposed_by"], told[2][1]["operator"], told[2][1]["stage"]) == ("ann", "bob", 2)


def test_what_speaks_against_it_refuses_proposal_and_approval(ramps: Ramps) -> None:
    ramps.begin("t1", "run1", seen=None)
    with pytest.raises(Refused, match="no step up: 3 whole days"):
        propose(ramps, against=("3 whole days",))
    assert ramps.proposals() == []
    number = propose(ramps)
    with pytest.raises(Refused, match="a drawdown"):
        approve(ramps, number, against=("a drawdown",))
    with pytest.raises(InputError, match="name and a reason"):
        propose(ramps, operator="")
    assert ramps.standing().stage == 1  # type: ignore[union-attr]


def test_a_proposal_is_void_after_a_day_and_after_another_step(ramps: Ramps, clock: ManualClock) -> None:
    ramps.begin("t1", "run1", seen=None)
    number = propose(ramps)
    clock.advance(ns=PROPOSAL_NS)
    assert [item.id for item in ramps.proposals()] == [number]
    clock.advance(ns=1)
    assert ramps.proposals() == []
    with pytest.raises(InputError, match="no proposal"):
        approve(ramps, number)
    number, other = propose(ramps), propose(ramps)
    approve(ramps, number)
    with pytest.raises(InputError, match="no proposal"):
        approve(ramps, other)
    old = ramps.standing()
    assert old is not None
    assert ramps.lower(1, "t1", operator="cid", reason="a bad feeling").stage == 1
    with pytest.raises(InputError, match="another by now"):
        ramps.propose(old, "t3", operator="ann", reason="x", against=())
    with pytest.raises(InputError, match="not lower"):
        ramps.lower(2, "t2", operator="cid", reason="x")


def test_runs_are_noted_at_the_step_that_was_seen(ramps: Ramps) -> None:
    first = ramps.begin("t1", "run1", seen=None)
    assert ramps.begin("t1", "run1", seen=first.id) == first
    assert ramps.begin("t1", "run2", seen=first.id).runs == ("run1", "run2")
    approve(ramps, propose(ramps))
    with pytest.raises(InputError, match="changed during the start"):
        ramps.begin("t1", "run2", seen=first.id)
    assert ramps.standing().runs == ()  # type: ignore[union-attr]


def test_where_operators_have_keys_only_their_signatures_step_up(database: Database, clock: ManualClock) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    keys = {name: Secret(bytes([n] * 32).hex()) for n, name in enumerate(("ann", "bob"), 1)}
    public = {
        name: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key.reveal())).public_key().public_bytes_raw().hex()
        for name, key in keys.items()
    }
    ramps = ramps_on(database, clock, operators=public)
    step = ramps.begin("t1", "run1", seen=None)
    wrong = sign_proposal(keys["bob"], step.id, 2, "t2", "ann", "it went well")
    for signature in (None, wrong):
        with pytest.raises(Refused, match="ann did not sign"):
            propose(ramps, signature=signature)
    with pytest.raises(Refused, match="eve did not sign"):
        propose(ramps, "eve", signature=wrong)
    number = propose(ramps, signature=sign_proposal(keys["ann"], step.id, 2, "t2", "ann", "it went well"))
    [proposal] = ramps.proposals()
    with pytest.raises(Refused, match="bob did not sign"):
        approve(ramps, number, signature=sign_approval(keys["bob"], proposal, "bob", "another reason"))
    assert approve(ramps, number, signature=sign_approval(keys["bob"], proposal, "bob", "so it did")) == 2


def test_paper_and_live_steps_are_apart_and_rows_stay(database: Database, ramps: Ramps, clock: ManualClock) -> None:
    paper = ramps_on(database, clock, scope="paper")
    paper.begin("t1", "run1", seen=None)
    approve(paper, propose(paper))
    assert ramps.standing() is None
    for table in ("ramp_steps", "ramp_proposals", "ramp_runs"):
        with pytest.raises(InvariantError), database.transaction() as session:
            session.connection().exec_driver_sql(f"DELETE FROM {table}")


people = st.sampled_from(["ann", "bob", "Ann"])
moves = st.lists(
    st.tuples(st.sampled_from(["propose", "approve", "lower", "wait", "begin"]), people, st.booleans()), max_size=14
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return books_at(tmp_path_factory.mktemp("ramp") / "books.db")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_whatever_people_do_it_grows_by_one_and_by_two_of_them(
    own: Database, actions: list[tuple[str, str, bool]]
) -> None:
    clock = ManualClock(1)
    ramps = ramps_on(own, clock, scope=f"s{next(scopes)}")
    ramps.begin("t", "run", seen=None)
    asked: dict[int, tuple[str, int, int]] = {}
    for what, who, is_good in actions:
        step = ramps.standing()
        assert step is not None
        against = () if is_good else ("no",)
        newest = max(asked, default=0)
        try:
            if what == "propose":
                asked[ramps.propose(step, "t", operator=who, reason="r", against=against).id] = (
                    who,
                    step.id,
                    clock.now_ns(),
                )
                assert is_good
            elif what == "approve":
                ramps.approve(newest, operator=who, reason="r", against=against)
            elif what == "lower":
                ramps.lower(max(1, step.stage - 1), "t", operator=who, reason="r")
            elif what == "begin":
                ramps.begin("t", f"run{who}", seen=step.id)
            else:
                clock.advance(ns=PROPOSAL_NS // 2 + 1)
        except (InputError, Refused):
            assert ramps.standing() == step
        after = ramps.standing()
        assert after is not None
        if after.stage > step.stage:
            proposer, at_step, time_ns = asked[newest]
            assert what == "approve"
            assert is_good
            assert after.stage == step.stage + 1
            assert proposer.casefold() != who.casefold()
            assert at_step == step.id
            assert clock.now_ns() - time_ns <= PROPOSAL_NS
