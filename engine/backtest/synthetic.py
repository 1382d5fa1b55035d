"""A seeded market for examples and tests: a book that is never crossed, trades that consume it, two clocks.

It claims no realism beyond that: sizes are geometric, arrivals exponential, the mid wanders. With one version of NumPy
the same seed gives the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.records import EVENT, EventFlag, EventKind

START_NS: Final = 1_700_000_000_000_000_000
_DEPTH: Final = 20
_STEP_NS: Final = 5_000_000
_BUY, _SELL, _NONE = 0, 1, 255
_BOTH: Final = int(EventFlag.EXCHANGE | EventFlag.LOCAL)
_LAST: Final = _BOTH | int(EventFlag.LAST)
_SHARE_TRADES: Final = 0.2
_SHARE_IMPROVING: Final = 0.35


def synthesize(
    *,
    instrument: int = 0,
    seconds: float = 60.0,
    seed: int = 7,
    price: int = 300_000,
    size: int = 200,
    feed_latency_us: int = 1_000,
) -> npt.NDArray[np.void]:
    """Make the market data of one instrument as `engine.records.EVENT`.

    Args:
        instrument: Its number in the run.
        seconds: How much market time; about 400 records a second.
        seed: Another seed is another market.
        price: Where the mid begins, in ticks.
        size: Mean size of a level, in lots.
        feed_latency_us: From the venue's clock to ours.
    """
    return _Market(np.random.Generator(np.random.PCG64(seed)), instrument, price, size, feed_latency_us).run(seconds)


class _Market:
    def __init__(self, random: np.random.Generator, instrument: int, price: int, size: int, latency_us: int) -> None:
        self._random = random
        self._instrument = instrument
        self._size = size
        self._latency_ns = latency_us * 1_000
        self._now_ns = START_NS
        self._sequence = 0
        self._drawn: list[int] = []
        self._rows: list[tuple[Any, ...]] = []
        # Each side as (price, size), best first, always `_DEPTH` levels.
        self._sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = (
            [(price - 1 - at, self._draw()) for at in range(_DEPTH)],
            [(price + 1 + at, self._draw()) for at in range(_DEPTH)],
        )

    def run(self, seconds: float) -> npt.NDArray[np.void]:
        self._snapshot()
        steps = int(seconds * 1e9 / _STEP_NS)
        waits = self._random.exponential(_STEP_NS, steps).astype(np.int64) + 1
        chances, sides = self._random.random(steps), self._random.integers(0, 2, steps)
        depths = np.minimum(self._random.geometric(0.25, steps), _DEPTH) - 1
        for wait, chance, side, depth in zip(
            waits.tolist(), chances.tolist(), sides.tolist(), depths.tolist(), strict=True
        ):
            self._now_ns += wait
            if chance < _SHARE_TRADES:
                self._trade(side)
            elif chance < _SHARE_TRADES + _SHARE_IMPROVING and self._sides[1][0][0] - self._sides[0][0][0] > 1:
                self._improve(side)
            else:
                price = self._sides[side][depth][0]
                self._sides[side][depth] = (price, lots := self._draw())
                self._message([(side, price, lots)])
        return np.array(self._rows, dtype=EVENT)

    def _trade(self, taker: int) -> None:
        """Someone takes from the other side's touch; a level that is gone is replaced far away."""
        side = 1 - taker
        levels = self._sides[side]
        price, shown = levels[0]
        lots = min(self._draw(), shown)
        self._emit(EventKind.TRADE, taker, price, lots, _LAST)
        if lots < shown:
            levels[0] = (price, shown - lots)
            self._message([(side, price, shown - lots)])
            return
        far = (levels[-1][0] + (1 if side == _SELL else -1), self._draw())
        del levels[0]
        levels.append(far)
        self._message([(side, price, 0), (side, *far)])

    def _improve(self, side: int) -> None:
        """Someone quotes inside the spread; the level furthest away leaves."""
        levels = self._sides[side]
        far = levels.pop()[0]
        best = (levels[0][0] + (1 if side == _BUY else -1), self._draw())
        levels.insert(0, best)
        self._message([(side, *best), (side, far, 0)])

    def _message(self, changes: list[tuple[int, int, int]]) -> None:
        for at, (side, price, lots) in enumerate(changes, 1):
            self._emit(EventKind.LEVEL, side, price, lots, _LAST if at == len(changes) else _BOTH)

    def _snapshot(self) -> None:
        snapshot = int(EventFlag.SNAPSHOT)
        self._emit(EventKind.CLEAR, _NONE, 0, 0, _BOTH | snapshot)
        levels = [(side, price, lots) for side in (_BUY, _SELL) for price, lots in self._sides[side]]
        for at, (side, price, lots) in enumerate(levels, 1):
            flags = (_LAST if at == len(levels) else _BOTH) | snapshot
            self._emit(EventKind.LEVEL, side, price, lots, flags)

    def _emit(self, kind: EventKind, side: int, price: int, lots: int, flags: int) -> None:
        self._sequence += 1
        self._rows.append(
            (
                self._now_ns,
                self._now_ns + self._latency_ns,
                self._instrument,
                int(kind),
                side,
                flags,
                price,
                lots,
                self._sequence,
                (0, 0),
            )
        )

    def _draw(self) -> int:
        if not self._drawn:
            self._drawn = self._random.geometric(1 / self._size, 4_096).tolist()
        return self._drawn.pop()
