"""Public trades in the order of their numbers, each once, with nothing missing that REST still tells.

    lines ──> Arbiter ──> told at once
                └─ Gap ──> asked of REST; what comes meanwhile waits its turn
    all lines were down ──> REST is asked for what came after the last one told

For venues that number the trades of a market one by one (Binance).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from cex.feeds.arbiter import Arbiter, Gap
from cex.feeds.data import Datum, PublicTrade, TradesMissing
from domain import VenueUnavailable
from runtime import Clock

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 50_000
ATTEMPTS: Final = 5
BACKOFF_S: Final = (0.1, 2.0)
PAGE: Final = 1_000

Fetch = Callable[[int], Awaitable[Sequence[PublicTrade]]]
"""Asks for up to `PAGE` trades from a number on, oldest first; fewer, or newer ones, when the venue has no more."""


class TradeTape:
    """See the module. One event loop; `close` when its lines are no longer read."""

    def __init__(
        self, instrument: str, fetch: Fetch, emit: Callable[[Datum], None], clock: Clock, *, hold_ns: int
    ) -> None:
        self.arbiter: Arbiter[PublicTrade] = Arbiter(hold_ns=hold_ns)
        self._instrument = instrument
        self._fetch = fetch
        self._emit = emit
        self._clock = clock
        self._waiting: deque[PublicTrade | Gap] = deque()
        self._filling: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None

    def open(self, line: int) -> None:
        """A line is subscribed."""
        was_down = not self.arbiter.lines
        self.arbiter.open(line)
        if was_down and self.arbiter.last is not None:
            self._catching_up = self._start(self._catching_up, self._catch_up(line))

    def close_line(self, line: int) -> None:
        self._pass(self.arbiter.close(line, self._clock.monotonic_ns()))

    def take(self, line: int, trade: PublicTrade, now_ns: int) -> None:
        """Take a trade that a line brought. Its id is a number."""
        number = int(trade.trade_id)
        self._pass(self.arbiter.take(line, number, number, trade, now_ns))

    def expire(self, now_ns: int) -> None:
        if self.arbiter.due_ns is not None:
            self._pass(self.arbiter.expire(now_ns))

    def close(self) -> None:
        for task in (self._filling, self._catching_up):
            if task is not None:
                task.cancel()

    def _pass(self, items: Sequence[PublicTrade | Gap]) -> None:
        for item in items:
            if self._waiting or isinstance(item, Gap):
                self._wait(item)
            else:
                self._emit(item)

    def _wait(self, item: PublicTrade | Gap) -> None:
        self._waiting.append(item)
        if len(self._waiting) > WAITING_MAX:
            # REST does not answer: what is there is told, and what is not is said to be missing.
            self._flush()
        else:
            self._filling = self._start(self._filling, self._fill())

    def _flush(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Gap):
                self._missing(item)
            else:
                self._emit(item)

    async def _fill(self) -> None:
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, Gap):
                found = await self._ask(item)
                if not self._waiting or self._waiting[0] is not item:
                    continue  # Flushed meanwhile.
                for trade in found:
                    self._emit(trade)
                if len(found) < item.last - item.first + 1:
                    self._missing(item, len(found))
            else:
                self._emit(item)
            self._waiting.popleft()

    async def _ask(self, gap: Gap) -> list[PublicTrade]:
        """Page through a gap; give what there is of it."""
        found: dict[int, PublicTrade] = {}
        first, delay_s, attempts = gap.first, BACKOFF_S[0], 0
        while first <= gap.last and attempts < ATTEMPTS:
            try:
                page = await self._fetch(first)
            except VenueUnavailable as exc:
                attempts += 1
                log.warning("trades.not_fetched", instrument=self._instrument, error=str(exc), retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_S[1])
                continue
            numbers = [int(trade.trade_id) for trade in page]
            found |= {n: trade for n, trade in zip(numbers, page, strict=True) if gap.first <= n <= gap.last}
            if not numbers or max(numbers) < first:
                break
            first = max(numbers) + 1
        log.info("trades.filled", instrument=self._instrument, first=gap.first, last=gap.last, found=len(found))
        return [found[number] for number in sorted(found)]

    async def _catch_up(self, line: int) -> None:
        """Ask for what was traded while nobody listened; copies of what the line brings by itself are dropped."""
        while self.arbiter.last is not None:
            first = self.arbiter.last + 1
            try:
                page = await self._fetch(first)
            except VenueUnavailable as exc:
                # The next trade shows the gap, and it is asked for then.
                log.warning("trades.not_caught_up", instrument=self._instrument, error=str(exc))
                return
            now_ns = self._clock.monotonic_ns()
            for trade in page:
                if line in self.arbiter.lines:
                    self.take(line, trade, now_ns)
            # A full page of the newest ones is all there is without a key: asked again, it would come again.
            if len(page) < PAGE or int(page[0].trade_id) != first or line not in self.arbiter.lines:
                return

    def _missing(self, gap: Gap, found: int = 0) -> None:
        reason = f"trades {gap.first} to {gap.last}: {gap.last - gap.first + 1 - found} of them are not to be had"
        log.warning("trades.missing", instrument=self._instrument, reason=reason)
        self._emit(TradesMissing(instrument=self._instrument, received_ns=self._clock.now_ns(), reason=reason))

    def _start(self, running: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start unless it runs already."""
        if running is not None and not running.done():
            work.close()
            return running
        task = asyncio.create_task(work, name=f"cex.tape.{self._instrument}")
        task.add_done_callback(_report_failure)
        return task


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("trades.task_failed", error=repr(exc))
