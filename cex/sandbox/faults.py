"""Faults on demand: what a client must survive. Off unless the sandbox was started with `--faults`.

drop_ack        the next n orders are accepted, and the connection is cut instead of an answer
delay_ack       the next n orders are accepted at once, and answered after `delay_ms`
error_after_accept  the next n orders are accepted, and answered 504 / -1007 (execution status unknown)
reject_429      the next n signed requests are refused with 429 / -1003
drop_withdrawal_ack  the next n withdrawals are accepted, and the connection is cut instead of an answer
double_withdrawal    the next n withdrawals are carried out twice, as by a proxy that repeats a request
delay_withdrawal     the next n withdrawals are completed only after `delay_ms`
fail_withdrawal      the next n withdrawals are accepted, and fail; the amount is given back
gap             the next n depth diffs are lost
duplicate_report  the next n executionReports are sent twice
out_of_order    the next n executionReports are held back until after the one that follows
lose_report     the next n user events are lost
kill_sockets    every WebSocket is closed with code 1012, now
abort_sockets   every WebSocket is cut without a close frame, now
"""

from __future__ import annotations

from typing import Final

from cex.sandbox import errors

COUNTED: Final = frozenset(
    {
        "drop_ack",
        "delay_ack",
        "error_after_accept",
        "reject_429",
        "drop_withdrawal_ack",
        "double_withdrawal",
        "delay_withdrawal",
        "fail_withdrawal",
        "gap",
        "duplicate_report",
        "out_of_order",
        "lose_report",
    }
)
IMMEDIATE: Final = frozenset({"kill_sockets", "abort_sockets"})
_COUNT_MAX: Final = 1_000_000


class Faults:
    """Which faults are armed, and how often they still strike."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self.delay_ms = 0

    def arm(self, fault: str, count: int) -> None:
        """Let a fault strike `count` times from now on; 0 disarms it."""
        if fault not in COUNTED or not 0 <= count <= _COUNT_MAX:
            raise errors.invalid_parameter("fault")
        self._left[fault] = count

    def take(self, fault: str) -> bool:
        """Whether the fault strikes now; counts it."""
        left = self._left.get(fault, 0)
        if left:
            self._left[fault] = left - 1
        return left > 0

    def view(self) -> dict[str, int]:
        return {fault: self._left.get(fault, 0) for fault in sorted(COUNTED)}
