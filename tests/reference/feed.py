"""Binance-protocol messages to event tuples, written to be read: Python's JSON and Decimal. The decoder's oracle."""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, Decimal
from typing import Any, TypeAlias

Record: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""A record's fields in the order of `engine.records.EVENT`, `aux` as two."""

LEVEL, CLEAR, TRADE, BEST, STALE = 1, 2, 3, 4, 5
LAST, SNAPSHOT, BOTH = 1, 2, 4 | 8
NO_SIDE = 255
GAP = 2


class ReferenceFeed:
    """One instrument: sequence rules of spot and futures, snapshots with the diffs that waited for them."""

    def __init__(self, symbol: str, instrument: int, tick_size: str, lot_size: str) -> None:
        self.symbol, self.instrument = symbol, instrument
        self.tick, self.lot = Decimal(tick_size), Decimal(lot_size)
        self.state, self.known = "waiting", 0
        self.kept: list[tuple[dict[str, Any], list[Record]]] = []
        self.lag = self.latest = 0

    def decode(self, message: bytes, local: int) -> tuple[str, list[Record]]:
        decoded = json.loads(message)
        data: dict[str, Any] = decoded.get("data", decoded)
        time = (data.get("T") or data.get("E") or 0) * 1_000_000
        time = time or max(local - self.lag, self.latest)
        outcome, records = self._take(data, time, local)
        self.latest = max(self.latest, time)
        if "E" in data and "lastUpdateId" not in data and ("T" not in data or "t" in data):
            self.lag = local - data["E"] * 1_000_000
        return outcome, records

    def _take(self, data: dict[str, Any], time: int, local: int) -> tuple[str, list[Record]]:
        if "lastUpdateId" in data:
            return self._snapshot(data, time, local)
        if "t" in data:
            side = 1 if data["m"] else 0
            return "events", [self._record(time, local, TRADE, side, LAST, data["p"], data["q"], data["t"])]
        if isinstance(data["b"], str):
            return "events", [
                self._record(time, local, BEST, 0, 0, data["b"], data["B"], data["u"]),
                self._record(time, local, BEST, 1, LAST, data["a"], data["A"], data["u"]),
            ]
        return self._diff(data, self._levels(data["b"], data["a"], time, local, data, 0), time, local)

    def _diff(self, data: dict[str, Any], records: list[Record], time: int, local: int) -> tuple[str, list[Record]]:
        match self._judge(data):
            case "apply":
                self.state, self.known = "following", data["u"]
                return "events", records
            case "old":
                return "old", []
            case "waiting":
                self._keep(data, records)
                return "kept", []
        self.state, self.kept = "waiting", []
        self._keep(data, records)
        flags = BOTH | LAST
        return "gap", [(self.latest, local, self.instrument, STALE, NO_SIDE, flags, 0, 0, 0, GAP, 0)]

    def _judge(self, data: dict[str, Any]) -> str:
        if self.state == "waiting":
            return "waiting"
        if self.state == "fresh" and "pu" in data:
            old, follows = data["u"] < self.known, data["pu"] <= self.known
        else:
            old = data["u"] <= self.known
            follows = data["pu"] == self.known if "pu" in data else data["U"] <= self.known + 1
        return "old" if old else "apply" if follows else "gap"

    def _keep(self, data: dict[str, Any], records: list[Record]) -> None:
        if self.kept:
            last = self.kept[-1][0]["u"]
            if not (data["pu"] == last if "pu" in data else data["U"] <= last + 1):
                self.kept = []
        self.kept.append((data, records))

    def _snapshot(self, data: dict[str, Any], time: int, local: int) -> tuple[str, list[Record]]:
        if self.state != "waiting" and data["lastUpdateId"] <= self.known:
            return "old", []
        loaded = self._levels(data["bids"], data["asks"], time, local, data, SNAPSHOT)
        first = (time, local, self.instrument, CLEAR, NO_SIDE, BOTH | SNAPSHOT, 0, 0, data["lastUpdateId"], 0, 0)
        loaded = [first, *loaded] if loaded else [(*first[:5], first[5] | LAST, *first[6:])]
        self.state, self.known = "fresh", data["lastUpdateId"]
        waited: list[Record] = []
        while self.kept:
            diff, records = self.kept[0]
            verdict = self._judge(diff)
            if verdict == "gap":
                self.state = "waiting"
                return "too_old", []
            if verdict == "apply":
                self.state, self.known = "following", diff["u"]
                waited += [(record[0], local, *record[2:]) for record in records]
            self.kept.pop(0)
        if waited:
            every = [(*record[:5], record[5] & ~LAST, *record[6:]) for record in loaded + waited]
            return "events", [*every[:-1], (*every[-1][:5], every[-1][5] | LAST, *every[-1][6:])]
        return "events", loaded

    def _levels(
        self, bids: list[list[str]], asks: list[list[str]], time: int, local: int, data: dict[str, Any], flags: int
    ) -> list[Record]:
        sequence = data.get("u", data.get("lastUpdateId"))
        records = [
            self._record(time, local, LEVEL, side, flags, price, size, sequence, data.get("U", 0), data.get("pu", 0))
            for side, levels in ((0, bids), (1, asks))
            for price, size in levels
        ]
        if records:
            records[-1] = (*records[-1][:5], records[-1][5] | LAST, *records[-1][6:])
        return records

    def _record(
        self,
        time: int,
        local: int,
        kind: int,
        side: int,
        flags: int,
        price: str,
        size: str,
        sequence: int,
        first: int = 0,
        previous: int = 0,
    ) -> Record:
        ticks, lots = Decimal(price) / self.tick, (Decimal(size) / self.lot).to_integral_value(ROUND_DOWN)
        if ticks != int(ticks):
            raise ValueError(f"price {price} is off the tick {self.tick}")
        head = (time, local, self.instrument, kind, side, BOTH | flags)
        return (*head, int(ticks), int(lots), sequence, first, previous)
