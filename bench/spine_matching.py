"""The sandbox's matching engine in Rust against two in Python, on the same seeded history of orders.

One is the oracle of the tests, written to be read (lists, scanned); the other is what one would write for speed in
Python (a dict of deques, bisected prices, lazy removal). All three must trade alike, or there is nothing to compare.
"""

from __future__ import annotations

import bisect
import random
import struct
from collections import deque
from dataclasses import dataclass

import capstan_native as native

from bench.rows import Row, interleaved, ratio_row
from tests.reference.matching import ReferenceEngine

TARGET_RATIO = 20
TARGET_RATIO_TUNED = 2
"""The tuned book emits no events and knows neither owners nor order types: it does less. Measured 2.4 to 6.9."""
_ORDERS = 5_000
_EVENT = struct.Struct("<6q")


@dataclass(frozen=True)
class Step:
    """A limit order, or with `lots` 0 a cancel."""

    id: int
    owner: int
    side: int
    price: int
    lots: int


def run() -> list[Row]:
    """Measure; takes about fifteen seconds."""
    history = _history(random.Random(7))
    batch = b"".join(_record(step) for step in history)
    volume = _volume(native.MatchingEngine().run(batch))
    if not volume or volume != _reference(history) or volume != _plain(history):
        raise AssertionError("the engines do not trade alike")
    rows = []
    for name, peer, target in (
        ("plain reference", _reference, TARGET_RATIO),
        ("tuned Python book", _plain, TARGET_RATIO_TUNED),
    ):
        ours, theirs = interleaved(lambda: native.MatchingEngine().run(batch), lambda peer=peer: peer(history))
        rows.append(
            ratio_row(
                topic="spine",
                name="matching in batches",
                ours=len(history) / ours,
                unit="orders/s",
                peer_name=name,
                ratio=theirs / ours,
                target=target,
            )
        )
    return rows


def history_batch() -> tuple[bytes, int]:
    """Give the history as one batch of the engine's, and how many commands it holds."""
    history = _history(random.Random(7))
    return b"".join(map(_record, history)), len(history)


def traded(events: bytes) -> int:
    """Count the trades among a batch's events."""
    return sum(row[0] == native.TRADED for row in _EVENT.iter_unpack(events))


def _history(chance: random.Random) -> list[Step]:
    """Orders around a price that drifts; four in ten steps cancel, so that the book stays at some hundred orders."""
    steps: list[Step] = []
    alive: list[int] = []
    mid = 300_000
    for id_ in range(1, _ORDERS + 1):
        mid += chance.randint(-2, 2)
        if len(alive) > 200 and chance.random() < 0.45:
            steps.append(Step(alive.pop(chance.randrange(len(alive))), 0, 0, 0, 0))
            continue
        side = chance.randint(0, 1)
        away = int(chance.expovariate(0.1)) - 4
        price = mid - away if side == native.BUY else mid + away
        steps.append(Step(id_, id_ % 5, side, price, chance.randint(1, 500)))
        alive.append(id_)
    return steps


def _record(step: Step) -> bytes:
    if not step.lots:
        return struct.pack("<8q", native.CANCEL, step.id, 0, 0, 0, 0, 0, 0)
    return struct.pack("<8q", native.SUBMIT | step.side << 8, step.id, step.owner, step.price, step.lots, 0, 0, 0)


def _volume(events: bytes) -> int:
    return sum(row[4] for row in _EVENT.iter_unpack(events) if row[0] == native.TRADED)


def _reference(history: list[Step]) -> int:
    engine, volume = ReferenceEngine(), 0
    for step in history:
        if step.lots:
            for row in engine.submit(step.id, step.owner, step.side, step.price, step.lots, 0, 0, 0, 0):
                if row[0] == native.TRADED:
                    volume += row[4]
        else:
            engine.cancel(step.id)
    return volume


def _plain(history: list[Step]) -> int:
    book, volume = PlainBook(), 0
    for step in history:
        if step.lots:
            volume += sum(lots for _maker, _price, lots in book.limit(step.id, step.side, step.price, step.lots))
        else:
            book.cancel(step.id)
    return volume


class PlainBook:
    """Limit orders and cancels only, tuned: nothing is scanned, cancelled orders are skipped when reached."""

    def __init__(self) -> None:
        self._levels: tuple[dict[int, deque[list[int]]], dict[int, deque[list[int]]]] = ({}, {})
        # Negated for bids, so that the best price is always first.
        self._prices: tuple[list[int], list[int]] = ([], [])
        self._orders: dict[int, list[int]] = {}

    def limit(self, id_: int, side: int, price: int, lots: int) -> list[tuple[int, int, int]]:
        trades = []
        levels, prices = self._levels[1 - side], self._prices[1 - side]
        sign = 1 if side == native.BUY else -1
        while lots and prices and prices[0] <= price * sign:
            at = prices[0] * sign
            queue = levels[at]
            while lots and queue:
                maker = queue[0]
                if not maker[1]:
                    queue.popleft()
                    continue
                taken = min(lots, maker[1])
                maker[1] -= taken
                lots -= taken
                trades.append((maker[0], at, taken))
                if not maker[1]:
                    queue.popleft()
                    del self._orders[maker[0]]
            if not queue:
                del levels[at], prices[0]
        if lots:
            order = [id_, lots]
            self._orders[id_] = order
            queue_here = self._levels[side].get(price)
            if queue_here is None:
                self._levels[side][price] = deque((order,))
                bisect.insort(self._prices[side], -price * sign)
            else:
                queue_here.append(order)
        return trades

    def cancel(self, id_: int) -> None:
        order = self._orders.pop(id_, None)
        if order is not None:
            order[1] = 0
