"""Custody grants, counts, ends; and no crash of a signer widens a window."""

from __future__ import annotations

import capstan_native as native
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import col, select

from custody import freeze
from custody.audit import AuditLog, AuditRow
from custody.freeze import Freezes
from custody.session_keys import SessionKeys, keep_allotted, open_warden
from domain import InputError, InvariantError, Refused
from runtime.database import Database
from tests.support.hot import AUTHORITY, BTC, NOW_NS, SECOND, SECP_SECRET, order, terms

USDT = 10**8


class World:
    """A clock, custody's keeper on a database, and a signer that can crash."""

    def __init__(self, database: Database) -> None:
        self.now = NOW_NS
        self.audit = AuditLog(database, lambda: self.now)
        self.freezes = Freezes(database, self.audit, lambda: self.now)
        self.keys = SessionKeys(database, self.audit, AUTHORITY, lambda: self.now)
        self.database = database

    def start(self, key_id: int) -> tuple[native.SessionWarden, native.OrderSigner]:
        """Start a signer as a new process would: from its secret, asking custody."""
        key = native.HotKey("secp256k1", SECP_SECRET)
        held = open_warden(self.keys, key_id, key, native.FreezeSwitch(), authority=AUTHORITY.public, now_ns=self.now)
        return held, native.OrderSigner.hyperliquid("hyper", key, [(BTC, 0)], warden=held)

    def sign(self, signer: native.OrderSigner, dollars: int) -> str:
        try:
            signer.encode(order(size=2 * dollars), self.now)
        except native.SigningRefused as exc:
            return str(exc.args[0])
        return ""

    def audited(self) -> list[str]:
        with self.database.snapshot() as session:
            kinds = session.exec(select(AuditRow.kind).order_by(col(AuditRow.sequence))).all()
        return [kind for kind in kinds if kind.startswith("session-key.")]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def issue(world: World, **changes: object) -> int:
    return world.keys.issue(terms(**changes), operator="ann").id


def test_a_key_signs_what_custody_granted_and_the_record_says_so(world: World) -> None:
    key_id = issue(world)
    held, signer = world.start(key_id)
    assert held.allotted(world.now) == (1_000 * USDT, 10)
    assert world.sign(signer, 900) == ""
    assert world.sign(signer, 101) == "allotment"
    keep_allotted(world.keys, held, value_min=500 * USDT, count_min=2, now_ns=world.now)
    assert world.sign(signer, 101) == ""
    assert world.audited() == ["session-key.issued", "session-key.allotted", "session-key.allotted"]
    (key,) = world.keys.listed()
    assert (key.terms, key.operator, key.revoked) == (terms(), "ann", None)


def test_what_was_granted_cannot_be_rewritten(world: World) -> None:
    key_id = issue(world)
    world.start(key_id)
    world.keys.revoke(key_id, source="ann", reason="done")
    for table in ("session_keys", "session_allotments", "session_revocations"):
        with pytest.raises(InvariantError), world.database.transaction() as session:
            session.execute(text(f"DELETE FROM {table}"))


def test_crashes_do_not_widen_the_window(world: World) -> None:
    key_id = issue(world)
    spent = 0
    for _ in range(4):
        _, signer = world.start(key_id)  # each takes a quarter of the window, and forgets what it signed
        assert world.sign(signer, 999) == ""
        spent += 999
    with pytest.raises(Refused) as raised:
        world.start(key_id)
    assert raised.value.rule == "velocity"
    assert spent <= 4_000
    # The blocks could be used until 10 s after; a window later they count no more.
    world.now += 70 * SECOND - 1
    with pytest.raises(Refused):
        world.start(key_id)
    world.now += 1
    _, signer = world.start(key_id)
    assert world.sign(signer, 999) == ""


def test_an_old_allotment_is_of_no_use_to_a_new_signer(world: World) -> None:
    key_id = issue(world)
    held, _ = world.start(key_id)
    allotment = world.keys.allot(key_id, held.instance)
    after, signer = world.start(key_id)
    with pytest.raises(native.SigningRefused, match="another signer"):
        after.allot(allotment.statement.text, allotment.statement.signature, world.now)
    assert world.sign(signer, 1_000) == ""
    assert world.sign(signer, 1) == "allotment"


def test_a_quiet_key_keeps_its_block_and_uses_no_more_of_the_window(world: World) -> None:
    key_id = issue(world)
    held, signer = world.start(key_id)
    for _ in range(100):
        world.now += 5 * SECOND
        keep_allotted(world.keys, held, value_min=500 * USDT, count_min=2, now_ns=world.now)
    assert held.newest(world.now) == (1, 1_000 * USDT, 10, world.now + 10 * SECOND)
    assert world.audited() == ["session-key.issued", "session-key.allotted"]
    assert world.sign(signer, 1_000) == ""
    # What is nearly used up is not renewed, another takes its place; and all of them count.
    for _ in range(3):
        keep_allotted(world.keys, held, value_min=500 * USDT, count_min=2, now_ns=world.now)
        assert world.sign(signer, 1_000) == ""
    with pytest.raises(Refused) as raised:
        keep_allotted(world.keys, held, value_min=500 * USDT, count_min=2, now_ns=world.now)
    assert raised.value.rule == "velocity"


def test_a_block_that_is_over_or_anothers_is_not_renewed(world: World) -> None:
    key_id = issue(world)
    held, _ = world.start(key_id)
    world.now += 10 * SECOND
    with pytest.raises(Refused) as raised:
        world.keys.renew(key_id, held.instance, 1)
    assert raised.value.rule == "allotment"
    for sequence, instance in ((1, "00" * 16), (2, held.instance)):
        with pytest.raises(InputError, match="no allotment"):
            world.keys.renew(key_id, instance, sequence)


def test_a_revoked_key_falls_silent_when_its_block_is_over(world: World) -> None:
    key_id = issue(world)
    held, signer = world.start(key_id)
    assert world.sign(signer, 1) == ""
    revoked = world.keys.revoke(key_id, source="bob", reason="host was lost")
    assert revoked.revoked == "bob: host was lost"
    assert world.keys.revoke(key_id, source="cid", reason="again").revoked == "bob: host was lost"
    for attempt in (
        lambda: world.keys.allot(key_id, held.instance),
        lambda: world.keys.renew(key_id, held.instance, 1),
        lambda: world.keys.certificate(key_id),
        lambda: world.start(key_id),
    ):
        with pytest.raises(Refused) as raised:
            attempt()
        assert raised.value.rule == "revoked"
    world.now += 10 * SECOND
    assert world.sign(signer, 1) == "allotment"
    assert world.audited()[-1] == "session-key.revoked"


@pytest.mark.parametrize("scope", [freeze.ALL, "venue/hyper"])
def test_a_freeze_stops_a_key_at_the_start_and_while_it_runs(world: World, scope: str) -> None:
    key_id = issue(world)
    held, signer = world.start(key_id)
    imposed = world.freezes.impose(scope, source="engine", reason="daily loss")
    for attempt in (
        lambda: world.start(key_id),
        lambda: keep_allotted(world.keys, held, value_min=0, count_min=0, now_ns=world.now),
        lambda: issue(world, key="hmac:" + "0" * 32),
    ):
        with pytest.raises(Refused) as raised:
            attempt()
        assert raised.value.rule == "frozen"
    world.now += 10 * SECOND
    assert world.sign(signer, 1) == "allotment"
    world.freezes.lift(imposed.id, operator="ann", reason="looked")
    with pytest.raises(Refused):
        world.start(key_id)
    world.freezes.lift(imposed.id, operator="bob", reason="looked")
    keep_allotted(world.keys, held, value_min=0, count_min=0, now_ns=world.now)
    assert world.sign(signer, 1) == ""


def test_a_freeze_elsewhere_does_not_stop_it(world: World) -> None:
    key_id = issue(world)
    world.freezes.impose("venue/other", source="engine", reason="x")
    world.start(key_id)


def test_a_key_has_one_grant_at_a_time(world: World) -> None:
    key_id = issue(world)
    with pytest.raises(InputError, match="already"):
        issue(world, order_max=2 * USDT)
    world.keys.revoke(key_id, source="ann", reason="other terms")
    assert issue(world) != key_id
    world.now += 3_600 * SECOND
    assert issue(world, until_ns=world.now + SECOND) > key_id
    with pytest.raises(InputError, match="ahead"):
        issue(world)


def test_a_key_ends_by_itself(world: World) -> None:
    key_id = issue(world, until_ns=NOW_NS + 5 * SECOND)
    held, signer = world.start(key_id)
    newest = held.newest(world.now)
    assert newest is not None
    assert newest[3] == NOW_NS + 5 * SECOND
    world.now += 5 * SECOND
    with pytest.raises(Refused) as raised:
        keep_allotted(world.keys, held, value_min=0, count_min=0, now_ns=world.now)
    assert raised.value.rule == "expired"
    assert world.sign(signer, 1) == "expired"


def test_what_another_authority_signs_is_not_believed(world: World) -> None:
    key_id = issue(world)
    key = native.HotKey("secp256k1", SECP_SECRET)
    with pytest.raises(Refused) as raised:
        open_warden(world.keys, key_id, key, native.FreezeSwitch(), authority=bytes(range(32)), now_ns=world.now)
    assert raised.value.rule == "untrusted"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["sign", "sign", "crash", "keep"]), st.integers(1, 1_000), st.integers(0, 15)),
        min_size=5,
        max_size=40,
    )
)
def test_no_run_of_crashes_signs_more_than_a_window(database: Database, steps: list[tuple[str, int, int]]) -> None:
    world = World(database)
    # One database for all examples: each has a key of its own, far from the former in time.
    world.now = NOW_NS + len(world.keys.listed()) * 86_400 * SECOND
    for key in world.keys.listed():
        world.keys.revoke(key.id, source="test", reason="over")
    key_id = issue(world, from_ns=world.now, until_ns=world.now + 3_600 * SECOND)
    running: tuple[native.SessionWarden, native.OrderSigner] | None = None
    signed: list[tuple[int, int]] = []
    for action, dollars, wait in steps:
        world.now += wait * SECOND
        try:
            if running is None or action == "crash":
                running = world.start(key_id)
            elif action == "keep":
                keep_allotted(world.keys, running[0], value_min=300 * USDT, count_min=2, now_ns=world.now)
        except Refused:
            continue
        if action == "sign" and world.sign(running[1], dollars) == "":
            signed.append((world.now, dollars))
        window = [value for time, value in signed if time > world.now - 60 * SECOND]
        assert sum(window) <= 4_000
        assert len(window) <= 40
