"""The market every comparison runs on: recorded Binance USD-M where it is at hand, else a seeded one of its shape."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np

from engine.records import EVENT, EventFlag, EventKind
from tests.support.market_data import load_recording, market_data_folder

_RECORDING: Final = "usdm_btcusdt"
_BOTH: Final = int(EventFlag.EXCHANGE | EventFlag.LOCAL)

Events = np.ndarray[Any, np.dtype[np.void]]


@dataclass(frozen=True)
class Market:
    """Levels and trades of one instrument in local order, on its grid."""

    name: str
    events: Events
    tick: Decimal = Decimal("0.1")
    lot: Decimal = Decimal("0.001")

    def head(self, rows: int) -> Market:
        """Give its first messages, at least `rows` records of them."""
        is_last = self.events["flags"] & int(EventFlag.LAST) != 0
        end = int(np.argmax(is_last[rows:])) + rows + 1
        return Market(self.name, self.events[:end], self.tick, self.lot)


def market() -> Market:
    """Load the recorded market: BTCUSDT perpetual, 345 s; or make the seeded one.

    The venue's own best prices are left out, since not every peer takes them.
    """
    folder = market_data_folder()
    if folder is None:
        return Market("a seeded market (no recording here)", seeded())
    events = load_recording(folder, _RECORDING).events
    taken = np.isin(events["kind"], (EventKind.LEVEL, EventKind.CLEAR, EventKind.TRADE))
    return Market(f"recorded {_RECORDING}", np.ascontiguousarray(events[taken]))


def seeded(seed: int = 7, messages: int = 28_000) -> Events:
    """Make a book of 1,000 levels a side that is never crossed, one message in four a depth update of some 68 levels.

    The middle walks; the update after a step moves the touch. What trades print lies at the touch.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    rows: list[tuple[Any, ...]] = []
    now_ns, middle, sequence = 1_700_000_000_000_000_000, 600_000, 1

    def emit(levels: list[tuple[int, int, int]], flags: int) -> None:
        for at, (side, price, size) in enumerate(levels, 1):
            marks = flags | (EventFlag.LAST if at == len(levels) else 0)
            times = (now_ns, now_ns + 5_000_000)
            rows.append((*times, 0, EventKind.LEVEL, side, marks, price, size, sequence, (0, 0)))

    rows.append((now_ns, now_ns + 5_000_000, 0, EventKind.CLEAR, 255, _BOTH | EventFlag.SNAPSHOT, 0, 0, 1, (0, 0)))
    sizes = random.geometric(1 / 800, (2, 1_000)).tolist()
    book = [(0, middle - 1 - at, size) for at, size in enumerate(sizes[0])]
    book += [(1, middle + 1 + at, size) for at, size in enumerate(sizes[1])]
    emit(book, _BOTH | EventFlag.SNAPSHOT)
    for _ in range(messages):
        now_ns += int(random.exponential(12_000_000)) + 1
        sequence += 1
        if random.random() < 0.75:
            side = int(random.integers(2))
            price, size = middle + (1 if side == 0 else -1), int(random.geometric(1 / 50))
            marks = _BOTH | EventFlag.LAST
            rows.append((now_ns, now_ns + 5_000_000, 0, EventKind.TRADE, side, marks, price, size, sequence, (0, 0)))
            continue
        step = int(random.choice((-1, 0, 0, 0, 0, 0, 0, 1)))
        middle += step
        offsets, amounts = random.geometric(1 / 60, 68).tolist(), random.geometric(1 / 800, 68).tolist()
        changes = {(0, middle - at): size for at, size in zip(offsets[:34], amounts[:34], strict=True)}
        changes |= {(1, middle + at): size for at, size in zip(offsets[34:], amounts[34:], strict=True)}
        changes |= {(0, middle - 1): 900, (1, middle + 1): 900, (0, middle): 0, (1, middle): 0}
        changes |= {(1, middle - 1): 0, (0, middle + 1): 0} if step else {}
        emit([(side, price, size) for (side, price), size in changes.items()], _BOTH)
    return np.array(rows, EVENT)
