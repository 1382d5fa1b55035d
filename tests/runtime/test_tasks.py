"""Background tasks: one of a kind at a time, tried again only where that is safe, on a broker or on a folder."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domain import InputError, OutcomeUnknown, Refused, VenueUnavailable
from runtime.database import Database
from runtime.processes import is_alive, spawn
from runtime.task_settings import TaskSettings
from runtime.tasks import Job, add_task, make_app, nudge, run_alone, schedule


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'locks.db'}"


def test_one_run_of_a_task_and_its_ids_at_a_time(url: str) -> None:
    entered, leave = threading.Event(), threading.Event()
    runs: list[int] = []

    def work(number: int) -> None:
        runs.append(number)
        if number == 1 and not entered.is_set():
            entered.set()
            assert leave.wait(60)

    first = threading.Thread(target=run_alone, args=(lambda: Database(url), "t", work, (1,)))
    first.start()
    assert entered.wait(60)
    assert run_alone(lambda: Database(url), "t", work, (1,)) is False
    assert run_alone(lambda: Database(url), "t", work, (2,)) is True  # another id
    leave.set()
    first.join(60)
    assert run_alone(lambda: Database(url), "t", work, (1,)) is True
    assert runs == [1, 2, 1]


def test_the_lock_is_freed_when_the_work_fails(url: str) -> None:
    def fail() -> None:
        raise InputError("no")

    for _ in range(2):
        with pytest.raises(InputError, match="no"):
            run_alone(lambda: Database(url), "t", fail)


@pytest.mark.parametrize(
    ("error", "runs"),
    [
        (VenueUnavailable("down"), 4),
        (OutcomeUnknown("maybe", request_id="x"), 1),
        (Refused("no", rule="frozen"), 1),
        (InputError("bad"), 1),
    ],
)
def test_only_what_was_certainly_not_accepted_is_tried_again(
    tmp_path: Path, url: str, error: Exception, runs: int
) -> None:
    app = make_app(TaskSettings(), tmp_path)
    app.conf.task_always_eager = True
    count = []

    def work(_number: int) -> None:
        count.append(1)
        raise error

    add_task(app, "t", work, lock=lambda: Database(url))
    assert app.tasks["t"].apply(args=(1,)).failed()
    assert len(count) == runs


def test_the_embedded_queue_is_a_folder_only_its_owner_reads(tmp_path: Path) -> None:
    app = make_app(TaskSettings(), tmp_path / "tasks")
    add_task(app, "t", lambda number: None, lock=lambda: Database("sqlite:///never.db"))
    nudge(app, "t", 7)
    [message] = (tmp_path / "tasks" / "queue").iterdir()
    assert '"t"' in message.read_text()
    assert (tmp_path / "tasks" / "queue").stat().st_mode & 0o77 == 0


def test_a_broker_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    app = make_app(TaskSettings(broker="redis://127.0.0.1:1/0"), tmp_path)
    with pytest.raises(VenueUnavailable, match="broker"):
        nudge(app, "t", 1)


def test_other_brokers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="amqp"):
        make_app(TaskSettings(broker="amqp://guest@localhost"), tmp_path)


def test_a_nudge_expires_when_the_next_one_is_due(tmp_path: Path) -> None:
    app = make_app(TaskSettings(), tmp_path)
    schedule(app, [Job("t", (1,), 5.0), Job("t", (2,), 0.2)])
    entries = app.conf.beat_schedule
    assert sorted(entries) == ["t/1", "t/2"]
    assert entries["t/1"]["options"]["expires"] == 5.0
    assert entries["t/2"]["options"]["expires"] == 1.0


WORKER_WITH_A_LATE_CHILD = """
import os, sys, time
from pathlib import Path
from runtime.database import Database
from runtime.task_settings import TaskSettings
from runtime.tasks import add_task, make_app

folder, worker, forks = Path(sys.argv[1]), os.getpid(), []

def stand_still():
    if len(forks) == 1:
        (folder / "late").write_text(str(os.getpid()))
        while os.getppid() == worker:
            time.sleep(0.01)

def work():
    (folder / "new").write_text(str(os.getpid()))
    (folder / "new").rename(folder / "works")

os.register_at_fork(before=lambda: forks.append(0), after_in_child=stand_still)
app = make_app(TaskSettings(), folder)
add_task(app, "t", work, lock=lambda: Database(f"sqlite:///{folder / 'locks.db'}"))
app.worker_main(["worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"])
"""


def test_a_process_whose_worker_is_killed_before_it_is_bound_to_it_ends_nevertheless(tmp_path: Path) -> None:
    nudge(make_app(TaskSettings(), tmp_path), "t")
    worker = spawn([sys.executable, "-c", WORKER_WITH_A_LATE_CHILD, str(tmp_path)], log=tmp_path / "log")
    try:
        wait_until((tmp_path / "works").exists, tmp_path / "log")
    finally:
        worker.kill()  # The one that works dies at once, mostly waiting for work: with the queue's lock.
        worker.wait()
    late, works = (int((tmp_path / name).read_text()) for name in ("late", "works"))
    assert late != works
    try:
        wait_until(lambda: not is_alive(works) and not is_alive(late), tmp_path / "log")
    finally:
        if is_alive(late):
            os.kill(late, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    """At most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
