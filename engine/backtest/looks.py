"""What the market was when an order was decided, when it traded, and after: what fills are judged by.

Made once per run from the events, for the orders and fills of that run; small enough to be kept with them.
"""

from __future__ import annotations

from typing import Any, Final

import capstan_native as native
import numpy as np
import numpy.typing as npt

from engine.data.captures import Events
from engine.records import CommandKind, EventKind

Integers = npt.NDArray[np.int64]

HORIZONS_S: Final = (1, 10, 60)
"""How long after a fill the mid is looked at again."""

LOOK: Final = np.dtype(
    [
        ("decided_ns", "<i8"),
        ("decided_bid", "<i8"),
        ("decided_ask", "<i8"),
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("mids_after", "<i8", (len(HORIZONS_S),)),
    ]
)
"""One fill: when its order got its price, the touch we saw then, the venue's touch when it traded, and twice the mid
after each of `HORIZONS_S` (0 beyond the end of the data). All prices in ticks; 0 where there was no book."""

_BOOK: Final = (EventKind.LEVEL, EventKind.CLEAR, EventKind.STALE)


def looks_at(events: Events, fills: Events, commands: Any) -> npt.NDArray[np.void]:
    """Look at the market around each fill."""
    made = np.zeros(len(fills), LOOK)
    if not len(fills):
        return made
    made["decided_ns"] = _decided(fills, commands)
    for instrument in np.unique(fills["instrument"]):
        of_book = events[(events["instrument"] == instrument) & np.isin(events["kind"], _BOOK)]
        rows = np.frombuffer(native.touches(of_book.tobytes(), int(instrument)), np.int64).reshape(-1, 7)
        ours = fills["instrument"] == instrument
        local, bids, asks = rows[:, 2], rows[:, 3], rows[:, 5]
        exchange = np.maximum.accumulate(of_book["time_exchange_ns"][rows[:, 0]])
        some = fills[ours]
        decided = made["decided_ns"][ours]
        made["decided_bid"][ours], made["decided_ask"][ours] = _at(local, decided, bids), _at(local, decided, asks)
        # The book just before: a trade and the level it takes away come with one instant.
        traded = some["time_exchange_ns"] - 1
        made["bid"][ours], made["ask"][ours] = _at(exchange, traded, bids), _at(exchange, traded, asks)
        twice = np.where((bids > 0) & (asks > 0), bids + asks, 0)
        after = np.zeros((len(some), len(HORIZONS_S)), np.int64)
        for column, seconds in enumerate(HORIZONS_S):
            when = some["time_exchange_ns"] + seconds * 1_000_000_000
            known = when <= (exchange[-1] if len(rows) else 0)
            after[:, column] = np.where(known, _at(exchange, when, twice), 0)
        made["mids_after"][ours] = after
    return made


def traded_values(events: Events, instruments: int) -> tuple[float, ...]:
    """What the market traded: the sum of price times size of each instrument, in ticks times lots.

    Of public trades; of bars where there are none. Sizes alone mean value for inverse contracts: see `traded_lots`.
    """
    return tuple(_traded(events, at, is_value=True) for at in range(instruments))


def traded_lots(events: Events, instruments: int) -> tuple[float, ...]:
    """How many lots the market traded of each instrument."""
    return tuple(_traded(events, at, is_value=False) for at in range(instruments))


def _traded(events: Events, instrument: int, *, is_value: bool) -> float:
    ours = events["instrument"] == instrument
    some = events[ours & (events["kind"] == EventKind.TRADE)]
    if not len(some):
        some = events[ours & (events["kind"] == EventKind.BAR)]
    sizes = some["size"].astype(np.float64)
    return float((sizes * some["price"]).sum() if is_value else sizes.sum())


def _decided(fills: Events, commands: Any) -> Integers:
    """When each fill's order was placed, or last amended before the fill; the fill's own time if neither is known."""
    asked = commands[(commands["kind"] == CommandKind.PLACE) | (commands["kind"] == CommandKind.AMEND)]
    order = np.lexsort((asked["time_ns"], asked["client_id"]))
    ids, times = asked["client_id"][order], asked["time_ns"][order]
    found = fills["time_exchange_ns"].astype(np.int64)
    first, last = (np.searchsorted(ids, fills["aux"][:, 0].astype(np.uint64), side) for side in ("left", "right"))
    for at in np.flatnonzero(last > first):
        begin, end = int(first[at]), int(last[at])
        found[at] = times[max(begin, begin + int(np.searchsorted(times[begin:end], found[at], "right")) - 1)]
    return np.asarray(found)


def _at(times: Integers, wanted: Integers, values: Integers) -> Integers:
    """The last value at or before each instant, 0 before the first."""
    if not len(times):
        return np.zeros(len(wanted), np.int64)
    at = np.searchsorted(times, wanted, side="right") - 1
    return np.where(at >= 0, values[np.maximum(at, 0)], 0)
