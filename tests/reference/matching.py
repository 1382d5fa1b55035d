"""Price-time matching, written to be read: lists scanned from the front, no index, no cleverness.

Speaks the rows of `capstan_native.MatchingEngine` (see its stub), so that both can be compared event by event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import capstan_native as native

Row = tuple[int, int, int, int, int, int]
LIMIT_MAX = 1 << 39


@dataclass
class Resting:
    id: int
    owner: int
    price: int
    lots: int
    """What is shown."""
    hidden: int = 0
    display: int = 0

    @property
    def left(self) -> int:
        return self.lots + self.hidden


class ReferenceEngine:
    """The book is two lists of orders in priority order."""

    def __init__(self) -> None:
        self.sides: tuple[list[Resting], list[Resting]] = ([], [])

    def submit(
        self,
        id: int,
        owner: int,
        side: int,
        price: int,
        lots: int,
        kind: int,
        tif: int,
        stp: int,
        quote: int,
        display: int = 0,
    ) -> list[Row]:
        why = self._objection(id, side, price, lots, kind, tif, quote, display)
        if why:
            return [(native.REJECTED, id, why, 0, 0, 0)]
        if tif == native.FOK and not self._fills_whole(owner, side, price, lots, kind, stp):
            return [(native.EXPIRED, id, 0, 0, lots, 0)]
        rows, left, prevented = self._match(id, owner, side, price, lots, kind, stp, quote)
        if prevented:
            return rows
        if quote:
            if not rows or not self.sides[1 - side]:
                rows.append((native.EXPIRED, id, 0, 0, 0, 0))
        elif left and (kind == native.MARKET or tif != native.GTC):
            rows.append((native.EXPIRED, id, 0, 0, left, 0))
        elif left:
            shown = min(left, display or left)
            self._rest(side, Resting(id, owner, price, shown, left - shown, display))
            rows.append((native.RESTED, id, 0, price, shown, left))
            rows.append(self._level_row(side, price))
        return rows

    def _match(
        self, id: int, owner: int, side: int, price: int, lots: int, kind: int, stp: int, quote: int
    ) -> tuple[list[Row], int, bool]:
        """Trade until the taker is done, out of reach, or stopped by its own order: (rows, lots left, stopped)."""
        rows: list[Row] = []
        left, budget, prevented = lots, quote, False
        others = self.sides[1 - side]
        levels_before = self._levels(1 - side)
        while others and not prevented:
            maker = others[0]
            can_take = budget // maker.price if quote else left
            if can_take == 0 or not _reaches(kind, side, price, maker.price):
                break
            taken = min(can_take, maker.lots)
            if maker.owner == owner and stp not in (native.STP_NONE, native.STP_DECREMENT):
                if stp != native.STP_EXPIRE_TAKER:
                    rows.append((native.PREVENTED, maker.id, id, maker.price, maker.left, 0))
                    others.pop(0)
                if stp != native.STP_EXPIRE_MAKER:
                    rows.append((native.PREVENTED, id, maker.id, maker.price, 0 if quote else left, 0))
                    prevented = True
            else:
                maker.lots -= taken
                left -= taken
                budget -= taken * maker.price
                if maker.owner == owner and stp == native.STP_DECREMENT:
                    still = budget // maker.price if quote else left
                    rows.append((native.PREVENTED, maker.id, id, maker.price, taken, maker.left))
                    rows.append((native.PREVENTED, id, maker.id, maker.price, taken, still))
                    prevented = still == 0
                else:
                    rows.append((native.TRADED, id, maker.id, maker.price, taken, maker.left))
                rows += self._after_trade(1 - side, maker)
            level_is_over = not others or others[0].price != maker.price
            taker_is_over = prevented or (budget // maker.price == 0 if quote else left == 0)
            now = self._lots_at(1 - side, maker.price)
            if (level_is_over or taker_is_over) and now != levels_before[maker.price]:
                rows.append((native.LEVEL, 1 - side, 0, maker.price, now, now))
        return rows, left, prevented

    def _after_trade(self, side: int, maker: Resting) -> list[Row]:
        """Take a maker out that has nothing left; let an iceberg that shows nothing show more, behind its equals."""
        if maker.left == 0:
            self.sides[side].remove(maker)
        elif maker.lots == 0:
            self.sides[side].remove(maker)
            maker.lots = min(maker.display, maker.hidden)
            maker.hidden -= maker.lots
            self._rest(side, maker)
            return [(native.REFILLED, maker.id, 0, maker.price, maker.lots, maker.left)]
        return []

    def cancel(self, id: int) -> list[Row]:
        found = self._find(id)
        if found is None:
            return [(native.REJECTED, id, native.UNKNOWN_ID, 0, 0, 0)]
        side, order = found
        self.sides[side].remove(order)
        return [(native.CANCELED, id, 0, order.price, order.left, 0), self._level_row(side, order.price)]

    def reduce(self, id: int, left: int) -> list[Row]:
        found = self._find(id)
        if found is None:
            return [(native.REJECTED, id, native.UNKNOWN_ID, 0, 0, 0)]
        side, order = found
        if not 0 < left < order.left:
            return [(native.REJECTED, id, native.BAD_SIZE, 0, 0, 0)]
        order.lots = min(order.lots, left)
        order.hidden = left - order.lots
        return [(native.REDUCED, id, 0, order.price, 0, left), self._level_row(side, order.price)]

    def levels(self, side: int) -> list[tuple[int, int]]:
        return list(self._levels(side).items())

    def orders(self, side: int) -> list[tuple[int, int, int, int, int]]:
        return [(order.id, order.owner, order.price, order.lots, order.hidden) for order in self.sides[side]]

    def _objection(
        self, id: int, side: int, price: int, lots: int, kind: int, tif: int, quote: int, display: int
    ) -> int:
        if self._find(id) is not None:
            return native.DUPLICATE_ID
        if kind != native.MARKET and not 1 <= price <= LIMIT_MAX:
            return native.BAD_PRICE
        if quote and (quote < 0 or kind != native.MARKET or tif == native.FOK or display):
            return native.BAD_SIZE
        if not quote and not (1 <= lots <= LIMIT_MAX and 0 <= display <= lots):
            return native.BAD_SIZE
        others = self.sides[1 - side]
        if kind == native.LIMIT_MAKER and others and _reaches(kind, side, price, others[0].price):
            return native.WOULD_TAKE
        return 0

    def _fills_whole(self, owner: int, side: int, price: int, lots: int, kind: int, stp: int) -> bool:
        """Play the order on a copy of the book, and see."""
        trial = ReferenceEngine()
        trial.sides = tuple([replace(order) for order in book] for book in self.sides)  # type: ignore[assignment]
        rows, left, _ = trial._match(-1, owner, side, price, lots, kind, stp, 0)
        return left == 0 and sum(row[4] for row in rows if row[0] == native.TRADED) == lots

    def _rest(self, side: int, order: Resting) -> None:
        book = self.sides[side]
        worse = (
            i for i, o in enumerate(book) if (o.price < order.price if side == native.BUY else o.price > order.price)
        )
        book.insert(next(worse, len(book)), order)

    def _find(self, id: int) -> tuple[int, Resting] | None:
        return next(((side, order) for side in (0, 1) for order in self.sides[side] if order.id == id), None)

    def _levels(self, side: int) -> dict[int, int]:
        levels: dict[int, int] = {}
        for order in self.sides[side]:
            levels[order.price] = levels.get(order.price, 0) + order.lots
        return levels

    def _lots_at(self, side: int, price: int) -> int:
        return sum(order.lots for order in self.sides[side] if order.price == price)

    def _level_row(self, side: int, price: int) -> Row:
        lots = self._lots_at(side, price)
        return (native.LEVEL, side, 0, price, lots, lots)


def _reaches(kind: int, side: int, price: int, other: int) -> bool:
    if kind == native.MARKET:
        return True
    return other <= price if side == native.BUY else other >= price
