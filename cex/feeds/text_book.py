"""A book that keeps its levels both as the venue wrote them, for its checksum, and as ticks and lots."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from cex.feeds.data import Levels
from cex.numbers import to_decimal
from domain import InputError, Instrument


class _Side:
    """Levels by a key that sorts best first."""

    def __init__(self) -> None:
        self.keys: list[tuple[int, int]] = []
        self.levels: dict[tuple[int, int], tuple[str, str, int]] = {}

    def set(self, key: tuple[int, int], name: str, qty: str, lots: int) -> None:
        if key not in self.levels:
            insort(self.keys, key)
        self.levels[key] = (name, qty, lots)

    def remove(self, key: tuple[int, int]) -> None:
        if self.levels.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def truncate(self, depth: int) -> None:
        for key in self.keys[depth:]:
            del self.levels[key]
        del self.keys[depth:]


class TextBook:
    """Price levels, or with `order` given the single orders of one, in the order of their ids."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._sides = {True: _Side(), False: _Side()}
        self._orders: dict[int, tuple[bool, tuple[int, int]]] = {}

    def clear(self) -> None:
        self._sides = {True: _Side(), False: _Side()}
        self._orders.clear()

    def set(self, *, is_bid: bool, price: str, qty: str, shown: str | None = None, order: int = 0) -> tuple[int, int]:
        """Lay down a level's size, or an order's; zero takes it away. Returns ticks and lots.

        `shown` is the size's text in the checksum where it is another.

        Raises:
            InputError: A number that is none, negative, or off the instrument's grid. Nothing was changed.
        """
        ticks, lots = self._instrument.ticks(to_decimal(price)), self._instrument.lots(to_decimal(qty))
        if ticks <= 0 or lots < 0:
            raise InputError(f"expected a price above and a size not below zero, found {price} and {qty}")
        key = (-ticks if is_bid else ticks, order)
        if order:
            self.remove_order(order)
        if lots:
            self._sides[is_bid].set(key, str(order) if order else price, qty if shown is None else shown, lots)
            if order:
                self._orders[order] = (is_bid, key)
        else:
            self._sides[is_bid].remove(key)
        return ticks, lots

    def remove_order(self, order: int) -> tuple[bool, int] | None:
        """Take an order away; give its side and ticks, nothing when it is not known."""
        known = self._orders.pop(order, None)
        if known is None:
            return None
        is_bid, key = known
        self._sides[is_bid].remove(key)
        return is_bid, abs(key[0])

    def truncate(self, depth: int) -> None:
        """Forget levels beyond the depth that is subscribed: the venue tells nothing more of them."""
        for side in self._sides.values():
            side.truncate(depth)

    def texts(self, *, is_bid: bool, levels: int) -> Sequence[tuple[str, str]]:
        """The best levels as the venue wrote them (of orders, their ids)."""
        side = self._sides[is_bid]
        return [side.levels[key][:2] for key in side.keys[:levels]]

    def top(self, *, is_bid: bool, levels: int) -> Levels:
        """The best levels in ticks and lots; orders of one price together."""
        side, found = self._sides[is_bid], dict[int, int]()
        for key in side.keys:
            ticks = abs(key[0])
            if ticks not in found and len(found) == levels:
                break
            found[ticks] = found.get(ticks, 0) + side.levels[key][2]
        return tuple(found.items())
