"""A synthetic L3 market: every order, cancel and trade of a small book, and what L2 and the tape show of it.

Not a model of any market: a truth to measure queue models against. Orders join near the touch, are cancelled by a rule
that decides who cancels, and trade first in, first out. Seeded; the same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from engine.records import EVENT, EventFlag, EventKind

BUY, SELL = 0, 1
STEP_NS = 1_000_000
MID = 10_000


@dataclass
class L3Market:
    """Grows event by event; `l3` is the truth, `l2` what a venue publishes of it.

    Attributes:
        who: Who cancels at a level: "anyone", "newest" (the later an order came, the likelier) or "mixed" of both.
        batch_ns: L2 levels are told at multiples of this (0: at once); trades are always told at once.
    """

    seed: int
    who: str = "mixed"
    batch_ns: int = 0
    l3: list[tuple[Any, ...]] = field(default_factory=list)
    l2: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.queues: tuple[dict[int, list[list[int]]], dict[int, list[list[int]]]] = ({}, {})
        self.now, self.ids, self.orders = 0, 0, 0
        self.changed: dict[tuple[int, int], None] = {}
        self.due = 0
        for away in range(1, 16):
            for _ in range(40):
                self._add(BUY, MID - away)
                self._add(SELL, MID + away)
        self.publish()

    def best(self, side: int) -> int:
        return max(self.queues[BUY]) if side == BUY else min(self.queues[SELL])

    def run(self, events: int) -> Iterator[int]:
        """Let so many things happen; give the time after each."""
        for _ in range(events):
            self.now += STEP_NS
            chance, side = self.random.random(), self.random.randrange(2)
            if chance < 0.04:
                self._take(side, max(1, int(self.random.expovariate(1 / 12))))
            elif chance < (0.52 if self.orders < 1_200 else 0.46):
                self._add(side, self._price(side))
            else:
                self._cancel(side)
            if self.batch_ns == 0 or self.now >= self.due:
                self.publish()
                self.due = (self.now // max(self.batch_ns, 1) + 1) * self.batch_ns
            yield self.now

    def publish(self) -> None:
        """Tell the levels that changed."""
        for side, price in self.changed:
            size = sum(size for _, size in self.queues[side].get(price, ()))
            self.l2.append((self.now, EventKind.LEVEL, side, price, size, 0))
        self.changed.clear()

    def _price(self, side: int) -> int:
        away = int(self.random.expovariate(0.45))
        best, opposite = self.best(side), self.best(side ^ 1)
        improve = abs(opposite - best) > 1 and self.random.random() < 0.15
        sign = 1 if side == BUY else -1
        return best + sign if improve else best - sign * away

    def _add(self, side: int, price: int) -> None:
        self.ids += 1
        size = 1 + int(self.random.expovariate(1 / 6))
        self.queues[side].setdefault(price, []).append([self.ids, size])
        self.orders += 1
        self._tell(EventKind.ADD, side, price, size, self.ids)

    def _cancel(self, side: int) -> None:
        prices = sorted(self.queues[side], reverse=side == BUY)
        if len(prices) < 5:
            return
        price = prices[min(int(self.random.expovariate(0.6)), len(prices) - 1)]
        queue = self.queues[side][price]
        newest = self.who == "newest" or (self.who == "mixed" and self.random.random() < 0.5)
        at = max(self.random.randrange(len(queue)) for _ in range(2 if newest else 1))
        id_, size = queue[at]
        if size > 2 and self.random.random() < 0.2:
            queue[at][1] = size - size // 2
            self._tell(EventKind.MODIFY, side, price, queue[at][1], id_)
            return
        del queue[at]
        self._gone(side, price)
        self._tell(EventKind.DELETE, side, price, 0, id_)

    def _take(self, taker: int, lots: int) -> None:
        maker = taker ^ 1
        while lots and len(self.queues[maker]) > 5:
            price = self.best(maker)
            queue = self.queues[maker][price]
            traded = 0
            while lots and queue:
                id_, size = queue[0]
                taken = min(lots, size)
                lots, traded = lots - taken, traded + taken
                self._tell(EventKind.EXECUTE, maker, price, taken, id_)
                queue[0][1] -= taken
                if queue[0][1] == 0:
                    del queue[0]
                    self._gone(maker, price)
            self.l2.append((self.now, EventKind.TRADE, taker, price, traded, 0))

    def _gone(self, side: int, price: int) -> None:
        self.orders -= 1
        if not self.queues[side][price]:
            del self.queues[side][price]

    def _tell(self, kind: int, side: int, price: int, size: int, id_: int) -> None:
        self.l3.append((self.now, kind, side, price, size, id_))
        self.changed[side, price] = None


def records(rows: list[tuple[Any, ...]]) -> np.ndarray[Any, Any]:
    """Rows of (time, kind, side, price, size, id) as event records."""
    events = np.zeros(len(rows), EVENT)
    if rows:
        time, kind, side, price, size, sequence = zip(*rows, strict=True)
        events["time_exchange_ns"] = events["time_local_ns"] = time
        events["kind"], events["side"], events["price"] = kind, side, price
        events["size"], events["sequence"] = size, sequence
        events["flags"] = EventFlag.LAST
    return events
