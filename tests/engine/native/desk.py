"""One run of the native kernel to play with: BTC/USD spot where orders can be amended and where not, two contracts."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from capstan_native import Kernel

from engine.records import COMMAND, CommandKind, EventFlag, EventKind, Reason, ReportState

SECOND: Final = 1_000_000_000
SPOT, PLAIN, LINEAR, INVERSE = range(4)
BTC, USD = 0, 1
BUY, SELL, SIDE_NONE = 0, 1, 255
BOOK, TRADE, FILL, REPORT, TIMER, CONTROL = 1, 2, 8, 16, 32, 1024
_EVENT: Final = struct.Struct("<qqIBBHqqQqq")


def config(**changes: Any) -> dict[str, Any]:
    def instrument(
        symbol: str, venue: int, lot: tuple[int, int], contract: str = "spot", **more: Any
    ) -> dict[str, Any]:
        head = {"symbol": symbol, "venue": venue, "base": BTC, "quote": USD, "tick": (1, 1), "lot": lot}
        return {**head, "contract": contract, **more}

    def strategy(name: str) -> dict[str, Any]:
        return {"name": name, "subscriptions": [(None, BOOK | TRADE | TIMER)]}

    return {
        "run": 7,
        "assets": [
            {"id": "a/BTC", "decimals": 8, "economic": 0},
            {"id": "a/USD", "decimals": 8, "economic": 1},
        ],
        "economics": [{"symbol": "BTC", "mark": SPOT}, {"symbol": "USD", "mark": None}],
        "venues": [{"name": "a", "can_amend": True}, {"name": "b"}],
        "instruments": [
            instrument("SPOT", 0, (1, 5)),
            instrument("PLAIN", 1, (1, 5)),
            instrument("LINEAR", 0, (1, 3), "linear"),
            instrument("INVERSE", 0, (1, 0), "inverse", face=(100, 0)),
        ],
        "strategies": [strategy("first"), strategy("second")],
        **changes,
    }


def record(
    kind: EventKind,
    now_ns: int,
    *,
    instrument: int = SPOT,
    side: int = SIDE_NONE,
    flags: int = 0,
    price: int = 0,
    size: int = 0,
    sequence: int = 0,
    aux: tuple[int, int] = (0, 0),
    payload: bytes = b"",
) -> bytes:
    if payload:
        flags, aux = flags | EventFlag.PAYLOAD, (aux[0], len(payload))
    head = _EVENT.pack(now_ns, now_ns, instrument, kind, side, flags, price, size, sequence, *aux)
    return head + payload + bytes(-len(payload) % 64)


def book(now_ns: int, bid: int, ask: int, instrument: int = SPOT) -> bytes:
    def level(side: int, price: int, flags: int) -> bytes:
        return record(EventKind.LEVEL, now_ns, instrument=instrument, side=side, price=price, size=10**6, flags=flags)

    clear = record(EventKind.CLEAR, now_ns, instrument=instrument)
    return clear + level(BUY, bid, 0) + level(SELL, ask, EventFlag.LAST)


def report(
    now_ns: int,
    client_id: int,
    state: ReportState,
    *,
    filled: int = -1,
    answers: int = 0,
    reason: Reason = Reason.NONE,
    asked: bool = False,
    terms: tuple[int, int] | None = None,
    instrument: int = SPOT,
    venue_order: int = 0,
) -> bytes:
    return record(
        EventKind.REPORT,
        now_ns,
        instrument=instrument,
        flags=EventFlag.ASKED if asked else 0,
        price=state | answers << 8 | reason << 16,
        size=filled,
        sequence=venue_order,
        aux=(signed(client_id), 0),
        payload=struct.pack("<qq", *terms) if terms else b"",
    )


def fill(
    now_ns: int,
    client_id: int,
    side: int,
    price: int,
    lots: int,
    trade: int,
    *,
    fee: int = 0,
    asked: bool = False,
    instrument: int = SPOT,
) -> bytes:
    flags = EventFlag.ASKED if asked else 0
    aux = (signed(client_id), fee)
    return record(
        EventKind.FILL,
        now_ns,
        instrument=instrument,
        side=side,
        flags=flags,
        price=price,
        size=lots,
        sequence=trade,
        aux=aux,
    )


def timer(now_ns: int) -> bytes:
    return record(EventKind.TIMER, now_ns)


def balance(now_ns: int, asset: int, raw: int) -> bytes:
    return record(EventKind.BALANCE, now_ns, aux=(asset, 0), payload=raw.to_bytes(16, "little", signed=True))


def reconcile(now_ns: int, *, end: bool, asked_ns: int = 0, venue: int = 0) -> bytes:
    return record(EventKind.RECONCILE, now_ns, instrument=venue, aux=(int(end), asked_ns))


def signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def opened(kernel: Kernel, now_ns: int = SECOND) -> Kernel:
    """Show a book of 50,000.0 / 50,000.1 on every instrument."""
    for instrument in range(4):
        kernel.step(book(now_ns, 500_000, 500_001, instrument))
    return kernel


def commands(data: bytes) -> Any:
    return np.frombuffer(data, COMMAND)


def kinds(data: bytes) -> list[CommandKind]:
    return [CommandKind(kind) for kind in commands(data)["kind"].tolist()]
