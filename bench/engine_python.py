"""Strategies in Python: the same market maker, and a callback on every event, against NautilusTrader's.

An event is a message of the venue (an update of many levels, or a trade) or each of its rows; both are measured.
"""

from __future__ import annotations

from bench.comparison import Arena, against
from bench.rows import Row, notes

_PEERS = ("nautilus", "nautilus2")


def run() -> list[Row]:
    """Measure; takes about a minute."""
    rows = []
    with Arena(_PEERS) as arena:

        def compare(case: str, name: str, targets: dict[str, float | None], **parameters: object) -> None:
            answers = arena.compare(case, rounds=5, **parameters)
            # The peers' market maker is in Python already; ours says which it runs.
            made = against(answers, arena.missing, targets, name=name)
            notes.append(f"{name}, {arena.market.name}\n{arena.sides_told(answers)}")
            if any(row["ok"] is False for row in made):
                notes.append(f"profile of ours: {name}\n{arena.profile(case, **parameters)}")
            rows.extend(made)

        for interval_ms in (10, 100):
            name, interval_ns = f"market making, Python, {interval_ms} ms", interval_ms * 1_000_000
            compare("make_market", name, dict.fromkeys(_PEERS, 10.0), interval_ns=interval_ns, python=True)
        compare("callbacks", "Python callback a message", dict.fromkeys(_PEERS, 5.0), by_message=True)
        compare("callbacks", "Python callback a row", dict.fromkeys(_PEERS, 5.0), by_message=False)
    return rows
