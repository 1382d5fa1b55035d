"""`kill -9` at any point ends in the state of an uninterrupted run, and nothing was decided otherwise meanwhile."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from capstan_native import Kernel

from engine.records import EventFlag, EventKind, ReportState
from tests.engine.native import desk, driver
from tests.engine.native.desk import BUY, SECOND, SELL

KILLS = 200
SEED = 20_261_125


def life(config: dict[str, Any], steps: int) -> list[bytes]:
    """Events of a run in which everything happens to orders; from them the driver's strategy places the same again."""
    chance, kernel, told, trade = random.Random(SEED), Kernel(config), list[bytes](), 0

    def tell(records: bytes) -> None:
        for at in range(0, len(records), 64):
            told.append(records[at : at + 64])
            driver.act(kernel, told[-1])

    for step in range(steps):
        now_ns = SECOND + step * SECOND // 10
        instrument, mid = chance.randrange(4), 500_000 + chance.randrange(40)
        tell(desk.book(now_ns, mid, mid + 1, instrument))
        if step % 3 == 0:
            side, flags = chance.choice((BUY, SELL)), int(EventFlag.LAST)
            tell(desk.record(EventKind.TRADE, now_ns, instrument=instrument, side=side, price=mid, size=1, flags=flags))
        if (waiting := kernel.open_orders()) and chance.random() < 0.8:
            order = chance.choice(waiting)
            order_id, filled, place = order["client_id"], order["filled"], order["instrument"]
            most = min(order["size"], (order["amend"] or (0, order["size"]))[1]) - filled
            match chance.randrange(6):
                case 0 | 1 if most > 0:
                    trade += 1
                    lots, price, side = chance.randint(1, most), order["price"], order["side"]
                    tell(desk.fill(now_ns, order_id, side, price, lots, trade, fee=3, instrument=place))
                case 2:
                    tell(desk.report(now_ns, order_id, ReportState.CANCELED, filled=filled, instrument=place))
                case 3:
                    tell(desk.report(now_ns, order_id, ReportState.LOST, instrument=place))
                case _:
                    tell(desk.report(now_ns, order_id, ReportState.ACCEPTED, instrument=place))
        if step % 5 == 0:
            tell(desk.timer(now_ns))
    return told


def start(config_text: str, events: Path, folder: Path) -> subprocess.Popen[bytes]:
    # Without `site`: a start is a few milliseconds.
    command = [sys.executable, "-S", driver.__file__, config_text, str(events), str(folder)]
    packages = sysconfig.get_paths()["platlib"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": packages})


def sent(folder: Path) -> dict[int, set[bytes]]:
    """What left, by the number of the event that led to it. A line the kill cut in two is none."""
    data, found = (folder / "sent").read_bytes(), dict[int, set[bytes]]()
    for at in range(0, len(data) - driver.LINE + 1, driver.LINE):
        found.setdefault(int.from_bytes(data[at : at + 8], "little"), set()).add(data[at + 8 : at + 40])
    return found


@pytest.mark.timeout(300)
def test_a_run_killed_two_hundred_times_ends_as_one_that_was_not(tmp_path):
    config = desk.config()
    config_text = json.dumps(config)
    events = tmp_path / "events"
    told = life(json.loads(config_text), 700)
    events.write_bytes(b"".join(told))
    whole = tmp_path / "whole"
    whole.mkdir()
    with start(config_text, events, whole) as process:
        dots = len(process.communicate()[0])
    assert process.returncode == 0
    expected, decided = (whole / "result").read_bytes(), sent(whole)
    assert len(decided) > 300, "a run that decides little shows little"
    assert all(len(hashes) == 1 for hashes in decided.values())

    chance, kills, runs = random.Random(SEED), 0, 0
    while kills < KILLS:
        folder = tmp_path / "killed"
        folder.mkdir()
        runs += 1
        while True:
            with start(config_text, events, folder) as process:
                assert process.stdout is not None
                # Somewhere within the next stretch; where exactly is up to the machine.
                if not process.stdout.read(chance.randint(1, max(2, dots // 20))) or kills >= KILLS:
                    process.communicate()
                else:
                    process.send_signal(signal.SIGKILL)
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL
            kills += 1
        assert (folder / "result").read_bytes() == expected, f"run {runs}, seed {SEED}"
        after = sent(folder)
        # What a kill kept from leaving does not leave later: a restart asks the venue instead.
        assert all(decided[number] == hashes for number, hashes in after.items())
        shutil.rmtree(folder)
    assert runs >= 3
