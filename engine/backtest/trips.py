"""Round trips: what was opened matched with what closed it, oldest first. Lots are matched exactly."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from engine.backtest.money import fee_values, fills_in, mark_end
from engine.backtest.run import Finished


class Trip(NamedTuple):
    """One lot of business, opened and closed. Money is in quote units."""

    instrument: str
    side: str
    """`long` or `short`."""
    opened_ns: int
    closed_ns: int
    size: float
    """Base units, or contracts."""
    entry: float
    exit: float
    result: float
    """Before fees."""
    fees: float

    @property
    def net(self) -> float:
        return self.result - self.fees


class _Open(NamedTuple):
    time_ns: int
    lots: int
    price: float
    fee_per_lot: float


def trips_of(run: Finished) -> list[Trip]:
    """All round trips of a run, in the order in which they closed; what is still open at the end is none."""
    found = [trip for at in range(len(run.markets)) for trip in _trips(run, at)]
    return sorted(found, key=lambda trip: trip.closed_ns)


def _trips(run: Finished, instrument: int) -> list[Trip]:
    market, fills = run.markets[instrument], fills_in(run, instrument)
    tick, lot, mark = float(market.tick_size), float(market.lot_size), mark_end(run, instrument)
    face = float(market.face or 0)
    fees = fee_values(run, instrument).tolist()
    waiting: deque[_Open] = deque()
    is_long, found = True, []
    rows = zip(
        fills["time_local_ns"].tolist(),
        fills["side"].tolist(),
        fills["price"].tolist(),
        fills["size"].tolist(),
        fees,
        strict=True,
    )
    for time_ns, side, ticks, lots, fee in rows:
        price, left, per_lot = ticks * tick, lots, fee / lots
        buys = side == 0
        while left and waiting and is_long != buys:
            opened = waiting.popleft()
            closed = min(left, opened.lots)
            sign = 1.0 if is_long else -1.0
            gained = (
                face * (1 / opened.price - 1 / price) * mark if market.contract == "inverse" else price - opened.price
            )
            found.append(
                Trip(
                    instrument=market.name,
                    side="long" if is_long else "short",
                    opened_ns=opened.time_ns,
                    closed_ns=time_ns,
                    size=closed * lot,
                    entry=opened.price,
                    exit=price,
                    result=sign * gained * closed * lot,
                    fees=closed * (opened.fee_per_lot + per_lot),
                )
            )
            left -= closed
            if opened.lots > closed:
                waiting.appendleft(opened._replace(lots=opened.lots - closed))
        if left:
            is_long = buys
            waiting.append(_Open(time_ns, left, price, per_lot))
    return found
