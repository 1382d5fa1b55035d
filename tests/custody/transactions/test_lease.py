"""One writer per account: a process that lost its lease, even while it was paused, writes nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest
from sqlmodel import Session

from custody import Ledger, open_books
from custody.transactions.lease import Lease, LeaseLost
from custody.transactions.lifecycle import State, Step
from custody.transactions.outbox import Outbox
from domain import InputError
from runtime import ManualClock
from runtime.database import Database
from runtime.processes import die_with_parent
from tests.custody.test_outbox import CHAIN, SENDER, plan
from tests.custody.victim import forkserver


def lease_of(database: Database, now_ns: Callable[[], int], name: str = "me", lease_s: float = 10) -> Lease:
    return Lease(database, chain_id=CHAIN, address=SENDER, holder=name, now_ns=now_ns, lease_s=lease_s)


def outbox_of(database: Database, lease: Lease) -> Outbox:
    ledger = Ledger(database, time.time_ns)
    return Outbox(database, ledger, chain_id=CHAIN, sender=SENDER, now_ns=time.time_ns, fence=lease.check)


def test_a_second_holder_waits_for_the_expiry_and_then_fences_the_first_off(database: Database) -> None:
    clock = ManualClock(10**18)
    first, second = (lease_of(database, clock.now_ns, name) for name in ("first", "second"))
    first.acquire()
    with pytest.raises(InputError, match="first"):
        second.acquire()
    clock.advance(seconds=9)
    first.renew()
    clock.advance(seconds=9)
    with pytest.raises(InputError):
        second.acquire()
    clock.advance(seconds=2)
    second.acquire()
    assert second.token == first.token + 1
    with pytest.raises(LeaseLost, match="second"):
        first.renew()
    with database.transaction() as session:
        second.check(session)
        with pytest.raises(LeaseLost):
            first.check(session)
    # Giving back what is lost takes nothing from the new holder.
    first.release()
    second.renew()
    with pytest.raises(InputError):
        first.acquire()
    second.release()
    first.acquire()
    first.release()


def test_a_step_and_its_event_are_undone_when_the_lease_is_lost(database: Database) -> None:
    clock = ManualClock(10**18)
    first, second = (lease_of(database, clock.now_ns, name) for name in ("first", "second"))
    first.acquire()
    outbox = outbox_of(database, first)
    outbox.record(plan(1, 5))
    intent = outbox.find("i1")
    assert intent is not None
    clock.advance(seconds=11)
    second.acquire()
    with pytest.raises(LeaseLost), outbox.transaction() as session:
        outbox.step(session, intent, Step.SCREENED)
    assert outbox.history("i1") == [(Step.CREATED, State.CREATED)]
    # Asking for something needs no lease: the holder finds it.
    assert outbox.record(plan(2, 5))
    second.release()
    first.release()


def test_the_lease_cannot_change_hands_while_a_transaction_of_the_holder_is_under_way(database: Database) -> None:
    """The check locks the row: a take-over waits for the transaction that passed it."""
    import threading

    clock = ManualClock(10**18)
    first, second = (lease_of(database, clock.now_ns, name) for name in ("first", "second"))
    first.acquire()
    outbox = outbox_of(database, first)
    outbox.record(plan(1, 5))
    intent = outbox.find("i1")
    assert intent is not None
    clock.advance(seconds=11)
    taken: list[int] = []

    def take() -> None:
        second.acquire()
        taken.append(second.token)

    thread = threading.Thread(target=take)
    with outbox.transaction() as session:
        outbox.step(session, intent, Step.SCREENED)
        thread.start()
        thread.join(0.2)
        assert not taken
    thread.join(60)
    assert taken == [2]
    assert outbox.history("i1")[-1] == (Step.SCREENED, State.SCREENED)
    second.release()
    first.release()


# --- processes


def _writer(url: str, pipe: Connection, lease_s: float) -> None:
    """Hold the lease and take one step per number it is sent; answer what came of it."""
    die_with_parent()
    database = Database(url)
    lease = lease_of(database, time.time_ns, f"process {os.getpid()}", lease_s)
    outbox = outbox_of(database, lease)
    try:
        lease.acquire()
        pipe.send("holds")
    except InputError:
        pipe.send("refused")
        return
    while (number := pipe.recv()) is not None:
        try:
            with outbox.transaction() as session:
                _move(outbox, session, number)
            pipe.send("written")
        except LeaseLost:
            pipe.send("lost")
    lease.release()
    database.dispose()


def _move(outbox: Outbox, session: Session, number: int) -> None:
    intent = outbox.find(f"i{number}")
    assert intent is not None
    outbox.step(session, intent, Step.SCREENED)


class Writer:
    """A process that holds, or wants, the lease."""

    def __init__(self, url: str, lease_s: float) -> None:
        self.pipe, far = forkserver.Pipe()
        self.process = forkserver.Process(target=_writer, args=(url, far, lease_s))
        self.process.start()
        far.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def hear(self) -> str:
        assert self.pipe.poll(20), "the process says nothing"
        return str(self.pipe.recv())

    def write(self, number: int) -> str:
        self.pipe.send(number)
        return self.hear()

    def end(self) -> None:
        if self.process.is_alive():
            self.pipe.send(None)
        self.process.join(60)


@pytest.fixture
def books(database_url: str) -> Database:
    return open_books(Database(database_url))


def test_a_paused_process_that_lost_its_lease_wakes_up_and_can_write_nothing(
    books: Database, database_url: str
) -> None:
    lease_s = 1.0
    ours = outbox_of(books, lease_of(books, time.time_ns))
    for number in (1, 2, 3):
        ours.record(plan(number, 5))
    first = Writer(database_url, lease_s)
    second = None
    try:
        assert first.hear() == "holds"
        assert first.write(1) == "written"
        os.kill(first.pid, signal.SIGSTOP)
        try:
            second = take_over(database_url, lease_s)
            assert second.write(2) == "written"
        finally:
            os.kill(first.pid, signal.SIGCONT)
        assert first.write(3) == "lost"
        assert ours.history("i3") == [(Step.CREATED, State.CREATED)]
        assert second.write(3) == "written"
    finally:
        first.end()
        if second is not None:
            second.end()
    books.dispose()


def test_a_killed_process_is_followed_at_once_without_waiting_for_the_expiry(
    books: Database, database_url: str
) -> None:
    ours = outbox_of(books, lease_of(books, time.time_ns))
    ours.record(plan(1, 5))
    first = Writer(database_url, 3600)
    assert first.hear() == "holds"
    rival = Writer(database_url, 3600)
    assert rival.hear() == "refused"
    rival.process.join(60)
    first.process.kill()
    first.process.join()
    second = take_over(database_url, 3600)
    try:
        assert second.write(1) == "written"
    finally:
        second.end()
    books.dispose()


def take_over(url: str, lease_s: float) -> Writer:
    """Start writers until one gets the lease (PostgreSQL notices a dead client in its own time)."""
    for _ in range(20):
        writer = Writer(url, lease_s)
        if writer.hear() == "holds":
            return writer
        writer.process.join(60)
    raise AssertionError("nobody gets the lease")
