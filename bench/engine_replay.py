"""Market data alone: every level change and trade through two books on two timelines, no orders.

Ours is the backtest with its journal off and no strategy; hftbacktest runs ROIVectorMarketDepth, NautilusTrader no
strategy either.
"""

from __future__ import annotations

from bench.comparison import Arena, against
from bench.rows import Row, notes

_TARGETS = {"hftbacktest": 0.8, "nautilus": None, "nautilus2": None}


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    with Arena() as arena:
        answers = arena.compare("replay", rounds=9)
        rows = against(answers, arena.missing, _TARGETS, name="replay, both timelines")
        notes.append(f"replay without orders, {arena.market.name}\n{arena.sides_told(answers)}")
        if any(row["ok"] is False for row in rows):
            notes.append(f"profile of our replay\n{arena.profile('replay')}")
    return rows
