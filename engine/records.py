"""The engine's 64-byte records as NumPy sees them: the layout of `native/engine/src/{event,command}.rs`, named.

Both sides are little-endian and share memory: `numpy.frombuffer(data, EVENT)` copies nothing. A test compares offsets
and kinds with the Rust side.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

EVENT: Final = np.dtype(
    [
        ("time_exchange_ns", "<i8"),
        ("time_local_ns", "<i8"),
        ("instrument", "<u4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("flags", "<u2"),
        ("price", "<i8"),
        ("size", "<i8"),
        ("sequence", "<u8"),
        ("aux", "<i8", (2,)),
    ]
)
"""One event; `EventKind` says what the fields mean."""

COMMAND: Final = np.dtype(
    [
        ("client_id", "<u8"),
        ("time_ns", "<i8"),
        ("price", "<i8"),
        ("size", "<i8"),
        ("instrument", "<u4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("time_in_force", "u1"),
        ("strategy", "u1"),
        ("rule", "u1"),
        ("stage", "u1"),
        ("reduce_only", "u1"),
        ("reserved", "<u4"),
        ("aux", "<i8", (2,)),
    ]
)
"""One command of the kernel."""


class EventKind(IntEnum):
    """See `Kind` in native/engine/src/event.rs."""

    LEVEL = 1
    CLEAR = 2
    TRADE = 3
    BEST = 4
    STALE = 5
    FUNDING = 6
    MARK = 7
    INDEX = 8
    BAR = 9
    ADD = 10
    MODIFY = 11
    DELETE = 12
    EXECUTE = 13
    REPORT = 20
    FILL = 21
    RECONCILE = 22
    TIMER = 30
    BLOCK = 31
    OPERATOR = 32
    RESTART = 33
    BALANCE = 34
    POOL = 35
    SETTLED = 36
    CURSOR = 37


class EventFlag(IntFlag):
    """See the constants in native/engine/src/event.rs."""

    LAST = 1
    SNAPSHOT = 2
    EXCHANGE = 4
    LOCAL = 8
    MAKER = 16
    PAYLOAD = 32
    FEE_BASE = 64
    FEE_OTHER = 128
    ASKED = 256
    FUSED = 512


class ReportState(IntEnum):
    """The low byte of a report's `price`; the second is the kind of the command it answers, the third the `Reason`."""

    ACCEPTED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELED = 4
    EXPIRED = 5
    REJECTED = 6
    UNKNOWN = 7
    LOST = 8


class Reason(IntEnum):
    """See `Reason` in native/engine/src/event.rs."""

    NONE = 0
    OTHER = 1
    WOULD_TAKE = 2
    INVALID = 3
    NOTIONAL_MIN = 4
    DUPLICATE = 5
    REDUCE_ONLY = 6
    TOO_MANY_ORDERS = 7
    THROTTLED = 8
    UNFILLED = 9
    DISCONNECTED = 10
    LIQUIDATED = 11
    BALANCE = 12
    UNKNOWN_ORDER = 13


class CommandKind(IntEnum):
    """See `Kind` in native/engine/src/command.rs."""

    PLACE = 1
    AMEND = 2
    CANCEL = 3
    CANCEL_ALL = 4
    ASK = 5
    SWAP = 6
    REJECTED = 7
    STAGE = 8
    TIMER = 9
    NOTICE = 10


class OperatorCode(IntEnum):
    """What a person may say; `event.rs` tells what each means."""

    KILL = 1
    STOP = 2
    RESUME = 3
    STAGE = 4
    PARAMETERS = 5
    RESUME_RUN = 6
