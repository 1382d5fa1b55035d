"""Faults on demand: what a client must survive. Off unless the sandbox was started with `--faults`.

A fault is armed for the next n occasions, or for each occasion with a probability, drawn by a seed of its own: the same
seed strikes at the same occasions, whatever else is armed. `docs/venues/sandbox.md` says what each of them does.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from cex.sandbox import errors

COUNTED: Final = frozenset(
    {
        # Orders, before and after the exchange has looked at them.
        "drop_order",
        "delay_order",
        "error_before_accept",
        "drop_ack",
        "delay_ack",
        "error_after_accept",
        "reject_after_ack",
        # Cancels, questions, and whatever is signed.
        "drop_cancel_ack",
        "fail_query",
        "reject_429",
        # Withdrawals.
        "drop_withdrawal_ack",
        "double_withdrawal",
        "delay_withdrawal",
        "fail_withdrawal",
        # The streams.
        "gap",
        "duplicate_depth",
        "out_of_order_depth",
        "delay_depth",
        "duplicate_report",
        "out_of_order",
        "lose_report",
        "delay_report",
        # Snapshots of the book.
        "partial_snapshot",
        "stale_snapshot",
    }
)
IMMEDIATE: Final = frozenset(
    {"kill_sockets", "abort_sockets", "stall_sockets", "terminate_streams", "clock_skew", "none"}
)
"""Done when asked for; `none` disarms everything that is armed."""
COUNT_MAX: Final = 1_000_000


class Kind(Enum):
    """What a signed request is, as far as faults tell requests apart."""

    ORDER = "order"
    CANCEL = "cancel"
    QUERY = "query"
    OTHER = "other"

    @classmethod
    def of(cls, *, places: bool, cancels: bool, asks: bool) -> Kind:
        return cls.ORDER if places else cls.CANCEL if cancels else cls.QUERY if asks else cls.OTHER


class Faults:
    """Which faults are armed, and how often they still strike."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._chances: dict[str, tuple[float, random.Random]] = {}
        self.struck: Counter[str] = Counter()
        self.delay_ms = 0
        self.skew_ms = 0
        """How far the exchange's clock is ahead of the true one."""

    def arm(self, fault: str, count: int) -> None:
        """Let a fault strike `count` times from now on; 0 disarms it."""
        if fault not in COUNTED or not 0 <= count <= COUNT_MAX:
            raise errors.invalid_parameter("fault")
        self._chances.pop(fault, None)
        self._left.pop(fault, None)
        if count:
            self._left[fault] = count

    def arm_randomly(self, fault: str, probability: float, seed: int) -> None:
        """Let a fault strike each time with this probability, until it is armed otherwise."""
        if fault not in COUNTED or not 0 <= probability <= 1:
            raise errors.invalid_parameter("probability")
        self.arm(fault, 0)
        if probability:
            self._chances[fault] = probability, random.Random(f"{seed} {fault}")

    def calm(self) -> None:
        """Disarm everything; the clock is right again."""
        self._left.clear()
        self._chances.clear()
        self.skew_ms = 0

    def is_armed(self, fault: str) -> bool:
        return fault in self._left or fault in self._chances

    def take(self, fault: str) -> bool:
        """Whether the fault strikes now; counts it."""
        if not self._left and not self._chances:
            return False
        if left := self._left.get(fault, 0):
            if left == 1:
                del self._left[fault]
            else:
                self._left[fault] = left - 1
        elif (chance := self._chances.get(fault)) is None or chance[1].random() >= chance[0]:
            return False
        self.struck[fault] += 1
        return True

    async def before(self, request: Kind) -> bool:
        """Let faults strike before the exchange looks at a signed request; return whether its connection is to be cut.

        Raises:
            ApiError: It is refused; nothing happened.
        """
        if self.take("reject_429"):
            raise errors.too_many_requests(0, 1)
        if request is Kind.QUERY and self.take("fail_query"):
            raise errors.unavailable()
        if request is not Kind.ORDER:
            return False
        if self.take("delay_order"):
            await asyncio.sleep(self.delay_ms / 1000)
        if self.take("error_before_accept"):
            raise errors.status_unknown()
        return self.take("drop_order")

    async def after(self, request: Kind) -> bool:
        """Let faults strike at the answer to what was done; return whether the connection is to be cut instead.

        Raises:
            ApiError: The answer says that the outcome is unknown.
        """
        if request is Kind.CANCEL:
            return self.take("drop_cancel_ack")
        if request is not Kind.ORDER:
            return False
        if self.take("delay_ack"):
            await asyncio.sleep(self.delay_ms / 1000)
        if self.take("error_after_accept"):
            raise errors.status_unknown()
        return self.take("drop_ack")

    def view(self) -> dict[str, Any]:
        return {
            "faults": {fault: self._left.get(fault, 0) for fault in sorted(COUNTED)},
            "probabilities": {fault: chance for fault, (chance, _) in sorted(self._chances.items())},
            "struck": dict(sorted(self.struck.items())),
            "delay_ms": self.delay_ms,
            "skew_ms": self.skew_ms,
        }


class Line:
    """A stream on its way out. When its fault strikes, a message and all behind it come `delay_ms` later, in order."""

    def __init__(self, faults: Faults, fault: str) -> None:
        self._faults = faults
        self._fault = fault
        self._waiting: deque[Callable[[], None]] = deque()

    def send(self, deliver: Callable[[], None]) -> None:
        """Deliver now or later."""
        if self._waiting:
            self._waiting.append(deliver)
        elif self._faults.take(self._fault):
            self._waiting.append(deliver)
            asyncio.get_running_loop().call_later(self._faults.delay_ms / 1000, self._flush)
        else:
            deliver()

    def _flush(self) -> None:
        while self._waiting:
            self._waiting.popleft()()
