"""Price-time matching, written to be read: lists scanned from the front, no index, no cleverness.

Speaks the rows of `capstan_native.MatchingEngine` (see its stub), so that both can be compared event by event.
"""

from __future__ import annotations

from dataclasses import dataclass

import capstan_native as native

Row = tuple[int, int, int, int, int, int]
LIMIT_MAX = 1 << 39


@dataclass
class Resting:
    id: int
    owner: int
    price: int
    lots: int


class ReferenceEngine:
    """The book is two lists of orders in priority order."""

    def __init__(self) -> None:
        self.sides: tuple[list[Resting], list[Resting]] = ([], [])

    def submit(
        self, id: int, owner: int, side: int, price: int, lots: int, kind: int, tif: int, stp: int, quote: int
    ) -> list[Row]:
        why = self._objection(id, side, price, lots, kind, tif, quote)
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
            self._rest(side, Resting(id, owner, price, left))
            rows.append((native.RESTED, id, 0, price, left, left))
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
            if maker.owner == owner and stp != native.STP_NONE:
                if stp != native.STP_EXPIRE_TAKER:
                    rows.append((native.PREVENTED, maker.id, id, maker.price, maker.lots, 0))
                    others.pop(0)
                if stp != native.STP_EXPIRE_MAKER:
                    rows.append((native.PREVENTED, id, maker.id, maker.price, 0 if quote else left, 0))
                    prevented = True
            else:
                taken = min(can_take, maker.lots)
                maker.lots -= taken
                left -= taken
                budget -= taken * maker.price
                rows.append((native.TRADED, id, maker.id, maker.price, taken, maker.lots))
                if maker.lots == 0:
                    others.pop(0)
            level_is_over = not others or others[0].price != maker.price
            taker_is_over = prevented or (budget // maker.price == 0 if quote else left == 0)
            now = self._lots_at(1 - side, maker.price)
            if (level_is_over or taker_is_over) and now != levels_before[maker.price]:
                rows.append((native.LEVEL, 1 - side, 0, maker.price, now, now))
        return rows, left, prevented

    def cancel(self, id: int) -> list[Row]:
        found = self._find(id)
        if found is None:
            return [(native.REJECTED, id, native.UNKNOWN_ID, 0, 0, 0)]
        side, order = found
        self.sides[side].remove(order)
        return [(native.CANCELED, id, 0, order.price, order.lots, 0), self._level_row(side, order.price)]

    def reduce(self, id: int, left: int) -> list[Row]:
        found = self._find(id)
        if found is None:
            return [(native.REJECTED, id, native.UNKNOWN_ID, 0, 0, 0)]
        side, order = found
        if not 0 < left < order.lots:
            return [(native.REJECTED, id, native.BAD_SIZE, 0, 0, 0)]
        order.lots = left
        return [(native.REDUCED, id, 0, order.price, 0, left), self._level_row(side, order.price)]

    def levels(self, side: int) -> list[tuple[int, int]]:
        return list(self._levels(side).items())

    def orders(self, side: int) -> list[tuple[int, int, int, int]]:
        return [(order.id, order.owner, order.price, order.lots) for order in self.sides[side]]

    def _objection(self, id: int, side: int, price: int, lots: int, kind: int, tif: int, quote: int) -> int:
        if self._find(id) is not None:
            return native.DUPLICATE_ID
        if kind != native.MARKET and not 1 <= price <= LIMIT_MAX:
            return native.BAD_PRICE
        if quote and (quote < 0 or kind != native.MARKET or tif == native.FOK):
            return native.BAD_SIZE
        if not quote and not 1 <= lots <= LIMIT_MAX:
            return native.BAD_SIZE
        others = self.sides[1 - side]
        if kind == native.LIMIT_MAKER and others and _reaches(kind, side, price, others[0].price):
            return native.WOULD_TAKE
        return 0

    def _fills_whole(self, owner: int, side: int, price: int, lots: int, kind: int, stp: int) -> bool:
        for maker in self.sides[1 - side]:
            if not _reaches(kind, side, price, maker.price):
                break
            if maker.owner == owner and stp == native.STP_EXPIRE_MAKER:
                continue
            if maker.owner == owner and stp != native.STP_NONE:
                break
            lots -= maker.lots
            if lots <= 0:
                return True
        return False

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
