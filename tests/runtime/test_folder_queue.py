"""The embedded broker: what is put is taken whole, by one, whoever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from kombu.simple import SimpleQueue

from runtime.task_settings import TaskSettings
from runtime.tasks import make_app

MESSAGES = 400


def queue_of(app: Celery) -> SimpleQueue:
    return app.connection_for_read().SimpleQueue("nudges")


def take_all(queue: SimpleQueue) -> list[Any]:
    taken = []
    while True:
        try:
            message = queue.get(block=False)
        except queue.Empty:
            return taken
        message.ack()
        taken.append(message.payload)


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    return make_app(TaskSettings(), tmp_path)


def test_messages_come_in_their_order_and_leave_nothing(app: Celery, tmp_path: Path) -> None:
    queue = queue_of(app)
    for number in range(20):
        queue.put(number)
    assert take_all(queue) == list(range(20))
    assert list((tmp_path / "queue").iterdir()) == []


def test_a_message_nobody_can_read_is_dropped_and_the_next_one_taken(app: Celery, tmp_path: Path) -> None:
    queue = queue_of(app)
    queue.put("first")
    [first] = (tmp_path / "queue").iterdir()
    first.write_bytes(b"")
    queue.put("second")
    assert take_all(queue) == ["second"]


def test_readers_beside_writers_take_every_message_whole_and_once(app: Celery) -> None:
    taken: list[list[int]] = [[], []]
    written = threading.Event()

    def read(mine: list[int]) -> None:
        queue = queue_of(app)
        while not written.is_set():
            mine += take_all(queue)
        mine += take_all(queue)

    def write(first: int) -> None:
        queue = queue_of(app)
        for number in range(first, MESSAGES, 2):
            queue.put(number)

    readers = [threading.Thread(target=read, args=(mine,)) for mine in taken]
    writers = [threading.Thread(target=write, args=(first,)) for first in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    written.set()
    for thread in readers:
        thread.join()
    assert sorted(taken[0] + taken[1]) == list(range(MESSAGES))


def test_a_writer_killed_anywhere_leaves_only_whole_messages(app: Celery, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from runtime.tasks import make_app; from runtime.task_settings import TaskSettings\n"
        "queue = make_app(TaskSettings(), pathlib.Path(sys.argv[1])).connection_for_write().SimpleQueue('nudges')\n"
        "number = 0\n"
        "while True: queue.put({'number': number, 'padding': 'x' * 200_000}); number += 1; print(number, flush=True)\n"
    )
    expected = 0
    for after in (1, 2, 5, 9):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < after:
            pass
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        numbers = [payload["number"] for payload in take_all(queue_of(app))]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= after
        expected += len(numbers)
    assert expected >= 17


def test_the_address_is_known_to_kombu(tmp_path: Path) -> None:
    options = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    with Connection("folder://", transport_options=options) as connection:
        assert connection.transport.driver_name == "folder"
