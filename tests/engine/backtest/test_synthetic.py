"""The synthetic market is a market: never crossed, messages end, sequences and clocks go up, a seed is a seed."""

from __future__ import annotations

import numpy as np

from engine.backtest.synthetic import synthesize
from engine.records import EventFlag, EventKind


def test_book_is_never_crossed_and_trades_are_at_the_touch():
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    trades = 0
    for kind, side, flags, price, size in synthesize(seconds=20)[["kind", "side", "flags", "price", "size"]].tolist():
        if kind == EventKind.LEVEL:
            if size:
                sides[side][price] = size
            else:
                del sides[side][price]
        elif kind == EventKind.TRADE:
            trades += 1
            touch = min(sides[1]) if side == 0 else max(sides[0])
            assert price == touch
            assert 0 < size <= sides[1 - side][price]
        if flags & EventFlag.LAST:
            assert max(sides[0]) < min(sides[1])
            assert {len(s) for s in sides} == {20}
    assert trades > 100


def test_clocks_and_sequences_only_go_up():
    events = synthesize(seconds=5, feed_latency_us=700)
    assert (np.diff(events["time_exchange_ns"]) >= 0).all()
    assert (np.diff(events["sequence"].astype(np.int64)) == 1).all()
    assert (events["time_local_ns"] - events["time_exchange_ns"] == 700_000).all()


def test_seed_decides_everything():
    assert synthesize(seconds=2, seed=1).tobytes() == synthesize(seconds=2, seed=1).tobytes()
    assert synthesize(seconds=2, seed=1).tobytes() != synthesize(seconds=2, seed=2).tobytes()
