"""What a journal survives, and what it refuses to guess."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from domain import InputError, InvariantError
from domain import events as e
from engine.journal import MAGIC, Journal, read_journal

HEADER = {"version": 1, "run": "t"}


def timers(count):
    return [e.TimerFired(time_ns=i) for i in range(count)]


def written(path, count=20):
    journal = Journal.open(path, HEADER)
    for event in timers(count):
        journal.append(event)
    journal.close()
    return path


def recovered(path):
    journal = Journal.open(path, HEADER)
    journal.close()
    return journal.recovered


def test_events_come_back_in_order(tmp_path):
    path = written(tmp_path / "j")
    assert recovered(path) == timers(20)
    header, events = read_journal(path)
    assert header == HEADER
    assert list(events) == timers(20)


def test_every_torn_tail_is_cut_to_whole_records(tmp_path):
    data = written(tmp_path / "j", 3).read_bytes()
    for size in range(len(MAGIC), len(data)):
        path = tmp_path / f"torn{size}"
        path.write_bytes(data[:size])
        journal = Journal.open(path, HEADER)
        kept = journal.recovered
        assert kept == timers(len(kept))
        journal.append(e.TimerFired(time_ns=99))
        journal.close()
        assert recovered(path) == [*kept, e.TimerFired(time_ns=99)]


def test_damage_inside_is_an_error(tmp_path):
    path = written(tmp_path / "j")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((InvariantError, InputError)):
        Journal.open(path, HEADER)


def test_other_settings_are_refused_by_name(tmp_path):
    path = written(tmp_path / "j")
    with pytest.raises(InputError, match="run differ"):
        Journal.open(path, {**HEADER, "run": "other"})


def test_foreign_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a journal at all")
    with pytest.raises(InputError, match="not a journal"):
        Journal.open(path, HEADER)
    assert path.read_text() == "not a journal at all"


def test_kill_9_loses_no_appended_event(tmp_path):
    path = tmp_path / "j"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from engine.journal import Journal; from domain import events as e\n"
        f"j = Journal.open(Path({str(path)!r}), {HEADER!r})\n"
        "for i in range(50): j.append(e.TimerFired(time_ns=i))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}, timeout=30, check=False)
    assert died.returncode == -9
    assert recovered(path) == timers(50)


def test_journal_in_use_is_refused_until_its_writer_is_gone(tmp_path):
    path = tmp_path / "j"
    first = Journal.open(path, HEADER)
    with pytest.raises(InputError, match="in use"):
        Journal.open(path, HEADER)
    first.append(e.TimerFired(time_ns=0))
    first.close()
    assert recovered(path) == timers(1)
