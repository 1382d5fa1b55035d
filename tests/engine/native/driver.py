"""A process that steps a file of events with a journal, to be killed anywhere: see test_kill.py.

    driver.py CONFIG EVENTS FOLDER        config as JSON; events are records with their payloads

It writes a dot to its standard output every few events, what it decided to FOLDER/sent, and at the end what it came to
to FOLDER/result. It imports the native module only: two hundred starts are quick.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from capstan_native import Kernel, KernelJournal

BOOK = 1
SNAPSHOT_EVERY = 400
DOT_EVERY = 16
LINE = 40
"""Bytes of a line of FOLDER/sent: the event's number and a SHA-256 of what was decided."""


def act(kernel: Kernel, record: bytes) -> bytes:
    """Take one event; quote around the mid by what is seen: a strategy without a memory of its own."""
    woken, why = kernel.ingest(record)
    if woken & 1 and why & BOOK:
        instrument = int.from_bytes(record[16:20], "little")
        mid = kernel.mark(instrument) // 2
        size = 1 + kernel.position(0, instrument) % 4
        bids = [(mid - 3, size), (mid - 6, 2 * size)]
        kernel.set_targets(0, instrument, bids, [(mid + 4, size)])
        if mid % 7 == 0:
            kernel.timer(0, kernel.now_ns + 1_000, mid)
    return kernel.take_commands()


def events(path: Path) -> list[bytes]:
    """The events of a file: records with their payloads."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        is_long = int.from_bytes(data[at + 22 : at + 24], "little") & 32
        length = 64 + (-(-int.from_bytes(data[at + 56 : at + 64], "little") // 64) * 64 if is_long else 0)
        found.append(data[at : at + length])
        at += length
    return found


def main(config_text: str, events_file: str, folder: str) -> None:
    config, root = json.loads(config_text), Path(folder)
    kernel = Kernel(config)
    journal = KernelJournal(root / "journal", config["run"], 0, hashlib.sha256(config_text.encode()).digest())
    sent = os.open(root / "sent", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    # A kill may cut a line where it crosses a page; what follows would then begin in the middle of one.
    os.ftruncate(sent, os.fstat(sent).st_size // LINE * LINE)
    done = 0
    if (snapshot := journal.read_snapshot()) is not None:
        done, state = snapshot
        kernel.restore(state)
    for record in journal.recovered(done):
        act(kernel, record)
    for number, record in enumerate(events(Path(events_file))[journal.count :], journal.count):
        journal.append(record)
        if commands := act(kernel, record):
            journal.flush()
            os.write(sent, number.to_bytes(8, "little") + hashlib.sha256(commands).digest())
        if number % SNAPSHOT_EVERY == 0 and (state := kernel.snapshot()) is not None:
            journal.write_snapshot(state)
        if number % DOT_EVERY == 0:
            os.write(1, b".")
    journal.sync()
    (root / "result").write_bytes(kernel.state_hash() + kernel.digest())


if __name__ == "__main__":
    main(*sys.argv[1:4])
