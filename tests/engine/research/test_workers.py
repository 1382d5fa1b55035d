"""Research on Celery workers: the same result as in one process; what is lost is sent again, or given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domain import InputError, VenueUnavailable
from engine.research.executors import Here, Workers, make_research_app
from engine.research.study import load_study
from engine.research.walkforward import run_walk_forward
from runtime.task_settings import TaskSettings
from tests.engine.research.studies import write_study

ROOT = Path(__file__).parents[3]


@pytest.fixture
def broker(tmp_path):
    """Redis where there is one, as between machines; else a folder."""
    return os.environ.get("CAPSTAN_TEST_REDIS_URL") or str(tmp_path / "broker")


def test_two_celery_workers_give_the_same_as_one_process(broker, tmp_path):
    study = write_study(tmp_path)
    settings = load_study(study)
    expected = run_walk_forward(settings, study.parent, Here()).digest
    name = f"research-{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "tests.engine.research.celery_worker", broker, name]
    workers = [subprocess.Popen(command, cwd=ROOT, start_new_session=True) for _ in range(2)]
    try:
        at = TaskSettings(namespace=name, broker=broker if "://" in broker else "")
        app = make_research_app(at, tmp_path / "here" if at.broker else Path(broker))
        assert run_walk_forward(settings, study.parent, Workers(app, patience_s=60)).digest == expected
        with pytest.raises(InputError, match="a worker refused: no unit of work"):
            Workers(app, patience_s=60).run([{"kind": "nothing"}])
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def test_work_that_nobody_does_is_given_up(tmp_path):
    app = make_research_app(TaskSettings(namespace="research"), tmp_path)
    with pytest.raises(VenueUnavailable, match="no worker answered"):
        Workers(app, patience_s=0.0).run([{"kind": "nothing"}])


class Losing:
    """An application whose workers lose what is sent first."""

    def __init__(self):
        self.sent = 0

    def send_task(self, name, *, args, task_id, retry):
        self.sent += 1
        return Lost() if self.sent <= 2 else Answered({"answer": {"unit": args[0]["number"]}})


class Lost:
    def ready(self):
        return False


class Answered:
    def __init__(self, result):
        self.result = result

    def ready(self):
        return True

    def failed(self):
        return False

    def forget(self):
        pass


def test_work_that_a_worker_lost_is_sent_again_and_answers_keep_their_order():
    app = Losing()
    found = Workers(app, patience_s=0.0).run([{"number": 1}, {"number": 2}, {"number": 3}])
    assert found == [{"unit": 1}, {"unit": 2}, {"unit": 3}]
    assert app.sent == 5
