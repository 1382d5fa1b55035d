"""One bid and one ask a tick behind the touch, post-only, replaced when the target moves: native kernel against peers.

Looked at on the first update of the book in each 10 ms or 100 ms of event time; 1 ms to the venue and 1 ms back; queue
positions by probability where the peer knows them. Ours runs the whole chain: orders, reservations, portfolio, risk
gate, a journal in a file (the feed by reference, the rest as it comes), hash and record of every command and fill.
hftbacktest has none of these, a strategy compiled by numba over its simulator. NautilusTrader's strategy is Python, the
only kind its package runs as is, with its risk checks off.
"""

from __future__ import annotations

from bench.comparison import Arena, against
from bench.rows import Row, notes

_TARGETS = {"hftbacktest": 0.6, "nautilus": 20.0, "nautilus2": 10.0}


def run() -> list[Row]:
    """Measure; takes about a minute."""
    rows = []
    with Arena() as arena:
        for interval_ms in (10, 100):
            interval = {"interval_ns": interval_ms * 1_000_000}
            answers = arena.compare("make_market", **interval)
            made = against(answers, arena.missing, _TARGETS, name=f"market making, native, {interval_ms} ms")
            notes.append(f"market making every {interval_ms} ms, {arena.market.name}\n{arena.sides_told(answers)}")
            if any(row["ok"] is False for row in made):
                notes.append(f"profile of our market making\n{arena.profile('make_market', **interval)}")
            rows += made
    return rows
