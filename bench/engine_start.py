"""From starting a fresh process to its first messages handled: interpreter, imports, an engine, a few thousand rows.

The best of several starts by the wall clock: what else runs on the machine only ever adds.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from bench.comparison import PEERS, Peer, Unavailable, started
from bench.market import market
from bench.rows import Row, figure_row, notes, ratio_row

_MOST_S = 0.5


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    first = market().head(100)
    ours = min(started(Peer.ours, first, "replay") for _ in range(7))
    name = "start to first event, fresh process"
    rows = [
        ratio_row(topic="engine", name=name, ours=ours, unit="s", peer_name="0.5 s", ratio=_MOST_S / ours, target=1)
    ]
    if not rows[0]["ok"]:
        notes.append(f"what our start imports, slowest last (microseconds: own, with what it imports)\n{_imports()}")
    for peer in PEERS:
        try:
            theirs = min(started(partial(Peer.open, peer), first, "replay") for _ in range(3))
        except Unavailable as error:
            rows.append(figure_row(topic="engine", name=name, ours=ours, unit="s", peer_name=f"{peer}: {error}"))
            continue
        rows.append(figure_row(topic="engine", name=name, ours=ours, unit="s", peer_name=peer, ratio=theirs / ours))
    return rows


def _imports() -> str:
    command = [sys.executable, "-X", "importtime", "-c", "import bench.capstan"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    lines = [line.removeprefix("import time:") for line in told if line.startswith("import time:")][1:]
    return "\n".join(sorted(lines, key=lambda line: int(line.split("|")[1]))[-12:])
