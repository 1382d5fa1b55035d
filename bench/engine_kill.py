"""The kill switch: from the market event that breaches a limit to the signed bytes of the last of 1,000 cancels.

One strategy holds a position and 1,000 resting orders. The price falls beyond the drawdown limit within one event.
Timed is one `Kernel.step` (book, marks, limits, stage, cancels), and then the encoding and signing of every command it
gave: one cancel-all for the venue and a cancel for each order, HMAC, as messages for Binance's WebSocket.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import numpy as np
from capstan_native import FreezeSwitch, HotKey, Kernel, OrderSigner

from bench.rows import Row, bound_row
from engine.records import COMMAND, EVENT, CommandKind, EventFlag, EventKind, ReportState

ORDERS: Final = 1_000
ROUNDS: Final = 15
SECOND: Final = 1_000_000_000
START: Final = 1_700_000_000 * SECOND
BUY, SELL, BOTH = 0, 1, 255
MUCH: Final = 10**24
KIND: Final = int(COMMAND.fields["kind"][1])
SENT: Final = frozenset({int(CommandKind.CANCEL), int(CommandKind.CANCEL_ALL)})
CANCEL: Final = 2
"""The stage that the drawdown leads to."""


def run() -> list[Row]:
    """Kill a fresh run again and again; give the medians."""
    deciding, whole = [], []
    listed = [(0, "BTCUSDT", 1, 2, 1, 5)]
    key, switch = HotKey("hmac", "a-secret-for-benches"), FreezeSwitch()
    signer = OrderSigner.binance("a", key, listed, door="websocket", api_key="key", switch=switch)
    for number in range(ROUNDS + 1):  # The first warms up.
        kernel = prepared()
        breach = levels(START + SECOND, clear=True, bid=4_000_000, ask=4_000_100)
        began = time.perf_counter_ns()
        commands = kernel.step(breach)
        decided = time.perf_counter_ns()
        frames = 0
        size = COMMAND.itemsize
        for at in range(0, len(commands), size):
            if commands[at + KIND] in SENT:
                frames += len(signer.encode(commands[at : at + size], START + SECOND))
        encoded = time.perf_counter_ns()
        check(commands, frames)
        if number:
            deciding.append((decided - began) / 1e6)
            whole.append((encoded - began) / 1e6)
    name = f"kill switch, {ORDERS:,} open orders"
    return [
        bound_row(
            topic="engine", name=f"{name}: breach to commands", ours=statistics.median(deciding), unit="ms", most=2
        ),
        bound_row(
            topic="engine", name=f"{name}: breach to signed bytes", ours=statistics.median(whole), unit="ms", most=2
        ),
    ]


def check(commands: bytes, frames: int) -> None:
    """Count: a cancel for every order, one for all, and their bytes."""
    kinds = np.frombuffer(commands, COMMAND)["kind"]
    cancels = int((kinds == CommandKind.CANCEL).sum()), int((kinds == CommandKind.CANCEL_ALL).sum())
    if cancels != (ORDERS, 1) or frames != ORDERS + 1 or not (kinds == CommandKind.STAGE).any():
        raise AssertionError(f"{cancels} cancels and {frames} frames are not what a kill is")


def prepared() -> Kernel:
    """A run with a position of one coin bought at 50,000, and 1,000 orders that the venue has accepted."""
    kernel = Kernel(configuration())
    kernel.step(levels(START, clear=True, bid=5_000_000, ask=5_000_100))
    bought = kernel.place(0, 0, BUY, 5_000_100, 100_000, order_type=0, time_in_force=1)
    orders = [kernel.place(0, 0, SELL, 5_100_000 + step, 10) for step in range(ORDERS)]
    kernel.take_commands()
    if bought is None or None in orders:
        raise AssertionError("the gate refused what the bench begins with")
    kernel.step(event(EventKind.FILL, START, side=BUY, price=5_000_100, size=100_000, sequence=1, aux=(bought, 0)))
    for order in (order for order in orders if order is not None):
        kernel.step(event(EventKind.REPORT, START, price=ReportState.ACCEPTED, size=-1, aux=(order, 0)))
    return kernel


def event(kind: EventKind, now_ns: int, *, side: int = BOTH, flags: int = 0, **fields: Any) -> bytes:
    """One record of instrument 0."""
    record = np.zeros((), EVENT)
    record["time_exchange_ns"] = record["time_local_ns"] = now_ns
    record["kind"], record["side"], record["flags"] = kind, side, flags
    for name, value in fields.items():
        record[name] = value
    return record.tobytes()


def levels(now_ns: int, *, clear: bool, bid: int, ask: int) -> bytes:
    """A whole book: one level a side."""
    begin = event(EventKind.CLEAR, now_ns, flags=EventFlag.SNAPSHOT) if clear else b""
    best_bid = event(EventKind.LEVEL, now_ns, side=BUY, price=bid, size=10**6, flags=EventFlag.SNAPSHOT)
    last = EventFlag.SNAPSHOT | EventFlag.LAST
    return begin + best_bid + event(EventKind.LEVEL, now_ns, side=SELL, price=ask, size=10**6, flags=last)


def configuration() -> dict[str, Any]:
    """One spot instrument, one strategy, no limit but the drawdown: 100 in the unit of account."""
    losses = {"drawdown": (100 * 10**8, CANCEL), "total": None, "daily": None, "velocity": None}
    return {
        "run": 1,
        "assets": [{"id": "a/BTC", "decimals": 8, "economic": 0}, {"id": "a/USDT", "decimals": 8, "economic": 1}],
        "economics": [{"symbol": "BTC", "mark": 0}, {"symbol": "USD", "mark": None}],
        "venues": [{"name": "a"}],
        "instruments": [
            {"symbol": "BTCUSDT", "venue": 0, "base": 0, "quote": 1, "tick": (1, 2), "lot": (1, 5)},
        ],
        "strategies": [{"name": "quotes", "capital": MUCH}],
        "limits": {"open_orders_max": 2 * ORDERS, "open_orders_total_max": 2 * ORDERS, "losses": losses},
    }
