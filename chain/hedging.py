"""Asking a second node when the first is slow: the first answer counts, the other question is dropped.

Only for questions that change nothing. The wait before the second question is the time within which the first node
answers nearly always, so few questions are doubled; a budget bounds them when everything is slow at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SHARE: Final = 0.95
"""The share of answers that come before a second node is asked."""
DELAY_DEFAULT_S: Final = 0.5
"""While too little is measured."""
DELAY_MIN_S: Final = 0.005
_EARNED: Final = 0.1
_SAVED_MAX: Final = 20.0


class Budget:
    """One doubled question for ten plain ones, and a few in hand."""

    def __init__(self) -> None:
        self._saved = _SAVED_MAX / 2

    def earn(self) -> None:
        """A question was asked."""
        self._saved = min(self._saved + _EARNED, _SAVED_MAX)

    def spend(self) -> bool:
        """Tell whether a question may be doubled now, and count it."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


def delay_s(measured: float | None, request_timeout_s: float) -> float:
    """How long to wait for the first node, from its measured tail."""
    wanted = DELAY_DEFAULT_S if measured is None else max(measured, DELAY_MIN_S)
    return min(wanted, request_timeout_s / 2)


class Race(Generic[T]):
    """Attempts one after another: the next begins when one fails, or (once) when one is slow."""

    def __init__(self, attempts: Sequence[Callable[[], Awaitable[T]]], failure: type[Exception]) -> None:
        self._attempts = attempts
        self._failure = failure
        self.failures: list[Exception] = []
        self.late: list[int] = []
        """Which attempts were still silent when another won."""

    async def run(self, patience_s: float | None, may_double: Callable[[], bool]) -> tuple[int, T] | None:
        """Give the winner's number and answer; None when all failed, with `failures` saying how.

        With `patience_s` None no second attempt begins before the first has failed. Errors of any other kind end the
        race at once and are raised.
        """
        running: dict[asyncio.Task[T], int] = {}
        following = 0
        is_doubled = False
        try:
            while True:
                if not running:
                    if following == len(self._attempts):
                        return None
                    running[self._start(following)] = following
                    following += 1
                can_double = patience_s is not None and not is_doubled and following < len(self._attempts)
                done, _ = await asyncio.wait(
                    running, timeout=patience_s if can_double else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    is_doubled = True
                    if may_double():
                        running[self._start(following)] = following
                        following += 1
                    continue
                for task in sorted(done, key=lambda task: running[task]):
                    number = running.pop(task)
                    try:
                        answer = task.result()
                    except self._failure as exc:
                        self.failures.append(exc)
                        continue
                    self.late = sorted(other for other in running.values() if other < number)
                    return number, answer
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)

    def _start(self, number: int) -> asyncio.Task[T]:
        async def attempt() -> T:
            return await self._attempts[number]()

        return asyncio.create_task(attempt(), name="chain.attempt")
