"""The L2 book, written to be read: Python's JSON, Decimal and dicts. The oracle of `capstan_native.L2Book`."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


class ReferenceBook:
    """Levels by price in ticks. `valid` says whether it may be believed."""

    def __init__(self, tick_size: str, lot_size: str) -> None:
        self.tick, self.lot = Decimal(tick_size), Decimal(lot_size)
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last_update_id = 0
        self.valid = False
        self.kept: list[dict[str, Any]] = []

    def apply_snapshot(self, message: bytes) -> bool:
        snapshot = _payload(message)
        self.bids, self.asks = {}, {}
        self._set(snapshot["bids"], snapshot["asks"])
        self.last_update_id, self.valid = snapshot["lastUpdateId"], True
        self._check_crossed()
        kept, self.kept = self.kept, []
        for position, diff in enumerate(kept):
            if not self.valid:
                break
            if diff["u"] <= self.last_update_id:
                continue
            if diff["U"] > self.last_update_id + 1:
                self.valid, self.kept = False, kept[position:]
                break
            self._apply(diff)
        return self.valid

    def apply_diff(self, message: bytes) -> bool:
        diff = _payload(message)
        if self.valid and diff["u"] <= self.last_update_id:
            return False
        if self.valid and diff["U"] <= self.last_update_id + 1:
            self._apply(diff)
            return True
        if self.valid:
            self.valid, self.kept = False, []
        if self.kept and diff["U"] > self.kept[-1]["u"] + 1:
            self.kept = []
        self.kept.append(diff)
        return False

    def top(self, n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        if not self.valid:
            return [], []
        return sorted(self.bids.items(), reverse=True)[:n], sorted(self.asks.items())[:n]

    def _apply(self, diff: dict[str, Any]) -> None:
        self._set(diff["b"], diff["a"])
        self.last_update_id = diff["u"]
        self._check_crossed()

    def _set(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for book, levels in ((self.bids, bids), (self.asks, asks)):
            for price, qty in levels:
                ticks, lots = int(Decimal(price) / self.tick), int(Decimal(qty) / self.lot)
                if lots:
                    book[ticks] = lots
                else:
                    book.pop(ticks, None)

    def _check_crossed(self) -> None:
        if self.bids and self.asks and max(self.bids) >= min(self.asks):
            self.valid, self.kept = False, []


def _payload(message: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(message)
    data: dict[str, Any] = decoded.get("data", decoded)
    return data
