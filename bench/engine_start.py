"""From starting a fresh process to its first messages handled: interpreter, imports, an engine, a few thousand rows.

The best of several starts by the wall clock: what else runs on the machine only ever adds.
"""

from __future__ import annotations

from functools import partial

from bench.comparison import PEERS, Peer, Unavailable, started
from bench.market import market
from bench.rows import Row, figure_row, ratio_row

_MOST_S = 0.5


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    first = market().head(100)
    ours = min(started(Peer.ours, first, "replay") for _ in range(7))
    name = "start to first event, fresh process"
    rows = [
        ratio_row(topic="engine", name=name, ours=ours, unit="s", peer_name="0.5 s", ratio=_MOST_S / ours, target=1)
    ]
    for peer in PEERS:
        try:
            theirs = min(started(partial(Peer.open, peer), first, "replay") for _ in range(3))
        except Unavailable as error:
            rows.append(figure_row(topic="engine", name=name, ours=ours, unit="s", peer_name=f"{peer}: {error}"))
            continue
        rows.append(figure_row(topic="engine", name=name, ours=ours, unit="s", peer_name=peer, ratio=theirs / ours))
    return rows
