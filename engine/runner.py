"""The live shell around the kernel: sockets and clock on one side, pure steps on the other.

    emit() ──> queue ──> stamp ──> journal ──> kernel.step ──> dispatch ──> venues, custody
                                                    └──> fills ──> ledger

Everything runs on one event loop, which owns the kernel. The queue conflates books (the newest replaces the one still
waiting) and never drops anything else; when it overflows the run stops. Start after a crash and first start are one
path: replay what the journal holds, cancel what rests at the venues, learn every trade, announce the restart, ask about
what is open. All of that reaches the kernel before the first market data of the new process. The announcement closes
the opening: a journal without one never traded, and its opening is simply taken again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine

import msgspec
import structlog

from domain import (
    Fill,
    InputError,
    Instrument,
    InvariantError,
    OrderRejected,
    OrderState,
    OutcomeUnknown,
    PlatformError,
    Refused,
    VenueError,
    VenueUnavailable,
)
from domain import events as e
from engine.edge.words import STAGES
from engine.journal import Journal
from engine.native import NativeKernel
from engine.opening import Opening
from engine.ports import ExchangeVenue
from engine.replay import CommandDigest
from engine.wiring import Wiring
from runtime import LatencyRecorder, tracing
from runtime import metrics as m

log = structlog.get_logger(__name__)

FREEZE = "freeze"
"""The last stage of the kill: see docs/risk.md."""
JOURNAL_SYNC_S = 0.1
FINAL_CANCEL_S = 20.0
"""How long a venue may take to confirm the last cancel on the way out."""


class LiveRunner:
    """Runs one kernel against the world until it is stopped."""

    def __init__(self, kernel: NativeKernel, journal: Journal, wiring: Wiring) -> None:
        self.kernel = kernel
        self.tick_to_order = LatencyRecorder()
        self.decisions = CommandDigest()
        self._journal = journal
        self._wiring = wiring
        self._opening = Opening(kernel, wiring)
        self._queue: deque[list[e.Event]] = deque()
        self._waiting_books: dict[str, list[e.Event]] = {}
        self._wake = asyncio.Event()
        self._unposted: list[tuple[str, Fill, Instrument]] = []
        self._posting = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._commands: set[asyncio.Task[None]] = set()
        self._failure: InvariantError | None = None
        self._last_ns = 0
        self._done = asyncio.Event()
        self._progress = asyncio.Event()

    # --- life

    def recover(self) -> int:
        """Replay the journal into the kernel; return the epoch of the run that starts now.

        Raises:
            InvariantError: It decides otherwise than the run did: its orders would not be those at the venues.
        """
        epoch = 0
        recovered, self._journal.recovered = self._journal.recovered, []
        for event in recovered:
            booked = self.kernel.trades_booked
            self._last_ns = event.time_ns
            if isinstance(event, e.DecisionsStamped):
                self.decisions.check(event)
                continue
            self.decisions.add(self.kernel.step(event))
            if isinstance(event, e.EngineRestarted):
                epoch = event.epoch + 1
            elif isinstance(event, e.FillReported) and self.kernel.trades_booked > booked:
                self._note_fill(event.fill)  # Posting twice is a no-op; a fill journaled but not posted is posted now.
        return epoch

    async def run(self, stop: asyncio.Event, *, started: Callable[[], None] | None = None) -> None:
        """Trade until `stop` is set, then wind down: withdraw quotes, finish or unwind legs, settle, post.

        Raises:
            PlatformError: Something that must hold does not (InvariantError), or the start could not be completed.
                Everything resting was cancelled first, as far as the venues answered.
        """
        epoch = self.recover()
        self.kernel.on_signal = self._wiring.on_signal
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if self.kernel.stage == FREEZE:
                    # The process before this one may have died between reaching it and carrying it out.
                    self._freeze("a start in this stage")
                background = [
                    tasks.create_task(self._tick(), name="engine.timer"),
                    tasks.create_task(self._sync_journal(), name="engine.journal"),
                ]
                tasks.create_task(self._post(), name="engine.ledger")
                opening = [*await self._opening.learn(epoch), *self._wiring.first()]
                self._queue.extendleft([event] for event in reversed(opening))
                loop = tasks.create_task(self._loop(), name="engine.loop")
                if started is not None:
                    started()
                await stop.wait()
                self.emit(e.OperatorSpoke(time_ns=0, command="stop"))
                await self._until_idle()
                self._done.set()
                self._wake.set()
                await loop
                # What could not be done by now (a venue that does not answer) is left to the next start.
                for task in (*background, *self._commands):
                    task.cancel()
                self._posting.set()
        except ExceptionGroup as group:
            # Whatever it was: nobody watches the orders any more, so they go.
            failure = _first_failure(group)
            log.critical("engine.failed", error=str(failure), kind=type(failure).__name__)
            for venue in self._wiring.venues.values():
                await _quietly(venue.cancel_all(), "engine.emergency_cancel")
            if isinstance(failure, PlatformError):
                raise failure from group
            raise InvariantError(f"the engine failed: {type(failure).__name__}: {failure}") from group
        finally:
            self._journal.sync()
            await self._post_now()

    def emit(self, event: e.Event) -> None:
        """Queue an event; see the module for what happens when the queue is full."""
        if self._opening.takes(event):
            return
        if isinstance(event, e.BookChanged):
            waiting = self._waiting_books.get(event.instrument)
            if waiting is not None:
                waiting[0] = event
                return
            cell: list[e.Event] = [event]
            self._waiting_books[event.instrument] = cell
        else:
            if isinstance(event, e.BookInvalidated):
                self._waiting_books.pop(event.instrument, None)
            cell = [event]
        if len(self._queue) >= self._wiring.queue_max:
            # Not raised here: the caller is a venue, which can do nothing about it.
            self._failure = InvariantError(f"event queue holds {len(self._queue)} events: the kernel cannot keep up")
        else:
            self._queue.append(cell)
        self._wake.set()

    def now_ns(self) -> int:
        """The time by the clock that events are stamped with."""
        return self._wiring.clock.now_ns()

    async def until_halted(self, timeout_s: float) -> None:
        """Wait until every strategy is stopped and no order of ours is open.

        Raises:
            OutcomeUnknown: It takes longer; the cancels go on.
        """
        try:
            await self.until(lambda: bool(self.kernel.halted) and not self.kernel.orders.open_orders(), timeout_s)
        except TimeoutError as exc:
            left = len(self.kernel.orders.open_orders())
            raise OutcomeUnknown(
                f"{left} orders are not confirmed as cancelled yet",
                request_id="kill",
                hint="ask again, or look at the venue",
            ) from exc

    async def until_stage(self, number: int, strategy: str, timeout_s: float) -> None:
        """Wait until the run, or one of its strategies, is stopped at least so far.

        Raises:
            OutcomeUnknown: The engine has not come to it yet.
        """

        def reached() -> bool:
            own = self.kernel.stages.get(strategy, STAGES[0]) if strategy else STAGES[0]
            return max(STAGES.index(own), STAGES.index(self.kernel.stage)) >= number

        try:
            await self.until(reached, timeout_s)
        except TimeoutError as exc:
            raise OutcomeUnknown("the engine has not come to it yet", request_id="stage") from exc

    async def reconfigure(
        self, change: e.ParametersChanged | e.StrategyJoined | e.LimitsChanged, timeout_s: float
    ) -> None:
        """Change parameters, strategies or limits between two events; see the events for what was checked before.

        Raises:
            InputError: It was refused, and everything is as it was.
            OutcomeUnknown: The event waits; it takes place when its turn comes.
        """
        self.emit(change)
        try:
            await self.until(lambda: change.change in self.kernel.changes, timeout_s)
        except TimeoutError as exc:
            raise OutcomeUnknown("the engine has not come to it yet", request_id=change.change) from exc
        if refused := self.kernel.changes[change.change]:
            raise InputError(refused)

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds, looking at each step.

        Raises:
            TimeoutError: It takes longer.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._progress.clear()
                await self._progress.wait()

    # --- the loop

    async def _loop(self) -> None:
        while not (self._done.is_set() and not self._queue):
            if self._failure is not None:
                raise self._failure
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            # A burst is worked off in slices so that sockets are read in between.
            for _ in range(min(len(self._queue), 64)):
                self._take_one()
            m.EVENT_QUEUE.set(len(self._queue))
            self._progress.set()
            await asyncio.sleep(0)

    def _take_one(self) -> None:
        cell = self._queue.popleft()
        event = cell[0]
        if isinstance(event, e.BookChanged) and self._waiting_books.get(event.instrument) is cell:
            del self._waiting_books[event.instrument]
        # One clock, one order: the kernel's time never runs backwards.
        self._last_ns = max(self._last_ns, self._wiring.clock.now_ns())
        event = msgspec.structs.replace(event, time_ns=self._last_ns)
        self._journal.append(event)
        if isinstance(event, e.EngineRestarted):
            # Its epoch is in every id from here on: not even a power cut may let the next start give it again.
            self._journal.sync()
        booked = self.kernel.trades_booked
        commands = self.kernel.step(event)
        self.decisions.add(commands)
        if isinstance(event, e.TimerFired):
            self._journal.append(self.decisions.stamp(self._last_ns))
        if isinstance(event, e.FillReported) and self.kernel.trades_booked > booked:
            self._note_fill(event.fill)
        elif isinstance(event, e.SwapSettled):
            m.SWAPS.labels(event.status).inc()
        for command in commands:
            self._dispatch(command)
        self._wiring.on_step(event, commands)

    def _dispatch(self, command: e.Command) -> None:
        match command:
            case e.PlaceOrder():
                self._start(self._place(command), "engine.place")
            case e.CancelOrder():
                self._start(self._cancel(command), "engine.cancel")
            case e.AskOrder():
                self._start(self._ask(command), "engine.ask")
            case e.CancelAllOrders():
                self._start(self._cancel_all(command), "engine.cancel_all")
            case e.SubmitSwap():
                self._start(self._swap(command), "engine.swap")
            case e.RiskRejected():
                m.RISK_REJECTED.labels(command.rule).inc()
                log.info("risk.rejected", strategy=command.strategy, rule=command.rule, detail=command.detail)
            case e.StageReached():
                log.warning("engine.stage", stage=command.stage, rule=command.rule, strategy=command.strategy)
                if command.stage == FREEZE and not command.strategy:
                    self._freeze(command.rule or "operator")
            case e.WakeStrategy():
                self._wake_later(command)
            case e.AccountDiffers():
                log.error(
                    "account.differs",
                    finding=command.finding,
                    order_id=command.client_order_id,
                    detail=command.detail,
                )

    def _freeze(self, rule: str) -> None:
        if self._wiring.freeze is not None:
            self._start(self._wiring.freeze(rule), "engine.freeze")

    def _wake_later(self, command: e.WakeStrategy) -> None:
        """Tell a strategy its timer once its instant has come by our clock."""
        left_ns = command.at_ns - self._wiring.clock.now_ns()
        if left_ns <= 0:
            self.emit(e.TimerFired(time_ns=0, tag=command.tag, strategy=command.strategy))
        else:
            asyncio.get_running_loop().call_later(left_ns / 1e9, self._wake_later, command)

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        if self._tasks is None:
            raise InvariantError("a command was given before the runner started")
        task = self._tasks.create_task(work, name=name)
        self._commands.add(task)
        task.add_done_callback(self._command_done)

    def _command_done(self, task: asyncio.Task[None]) -> None:
        self._commands.discard(task)
        self._progress.set()

    # --- commands

    async def _place(self, command: e.PlaceOrder) -> None:
        venue = self._venue(command.instrument)
        try:
            sent_ns = await _traced(command, venue)
        except OrderRejected as exc:
            self._report(command.client_order_id, OrderState.REJECTED, f"{exc.code} {exc.reason}".strip() or str(exc))
        except (InputError, Refused) as exc:
            self._report(command.client_order_id, OrderState.REJECTED, str(exc))
        except OutcomeUnknown as exc:
            log.warning("order.unknown", order_id=command.client_order_id, error=str(exc))
            self._report(command.client_order_id, OrderState.UNKNOWN, str(exc))
        except VenueUnavailable as exc:
            self._report(command.client_order_id, OrderState.REJECTED, f"never sent: {exc}")
        else:
            m.ORDERS_SENT.labels(venue.id).inc()
            if command.caused_by_ns:
                latency_ns = sent_ns - command.caused_by_ns
                self.tick_to_order.record(latency_ns)
                m.TICK_TO_ORDER.observe(latency_ns / 1e9)

    async def _cancel(self, command: e.CancelOrder) -> None:
        try:
            await self._venue(command.instrument).cancel(command)
        except VenueError as exc:
            # The order may or may not rest. It stays open in our books; ask, and the strategy cancels again.
            log.warning("cancel.failed", order_id=command.client_order_id, error=str(exc))
            await self._ask(e.AskOrder(client_order_id=command.client_order_id, instrument=command.instrument))

    async def _ask(self, command: e.AskOrder) -> None:
        try:
            await self._venue(command.instrument).ask(command)
        except VenueError as exc:
            log.warning("ask.failed", order_id=command.client_order_id, error=str(exc))
            self._report(command.client_order_id, OrderState.UNKNOWN, "the venue does not answer")

    async def _cancel_all(self, command: e.CancelAllOrders) -> None:
        """Kill means kill: try until the venue says it is done, with the run's own end as the only bound."""
        venue = self._wiring.venues[command.venue]
        delay_s = 0.05
        while True:
            try:
                count = await venue.cancel_all()
            except VenueError as exc:
                log.error("cancel_all.failed", venue=command.venue, error=str(exc), retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)
            else:
                log.warning("cancel_all.done", venue=command.venue, orders=count, reason=command.reason)
                return

    async def _swap(self, command: e.SubmitSwap) -> None:
        """Hand a swap to custody. Only what custody never recorded may be settled here, as refused."""
        if self._wiring.desk is None:
            self._refuse(command, "no_custody", "this run has no custody desk")
            return
        delay_s = 0.1
        while True:
            try:
                await self._wiring.desk.submit(command)
            except Refused as exc:
                self._refuse(command, exc.rule, str(exc))
            except InputError as exc:
                self._refuse(command, "plan", str(exc))
            except VenueError as exc:
                # Recorded or not, the same intent id again is safe.
                log.warning("swap.submit_failed", intent_id=command.intent_id, error=str(exc), retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)
                continue
            return

    def _refuse(self, command: e.SubmitSwap, rule: str, reason: str) -> None:
        log.warning("swap.refused", intent_id=command.intent_id, rule=rule, reason=reason)
        self.emit(e.SwapSettled(time_ns=0, intent_id=command.intent_id, status="refused", reason=f"{rule}: {reason}"))

    def _report(self, client_order_id: str, state: OrderState, reason: str) -> None:
        self.emit(e.OrderReported(time_ns=0, client_order_id=client_order_id, state=state, reason=reason))

    def _venue(self, instrument_id: str) -> ExchangeVenue:
        return self._wiring.venues[str(self.kernel.markets.instruments[instrument_id].venue)]

    # --- truth

    async def _until_idle(self) -> None:
        """Wait until nothing is in flight; past the bound the leftovers are logged and left to the next start."""
        try:
            async with asyncio.timeout(self._wiring.wind_down_s):
                while self._queue or self._commands or not self.kernel.is_idle:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            log.error(
                "engine.not_idle",
                open_orders=[o.client_order_id for o in self.kernel.orders.open_orders()],
                swaps=list(self.kernel.swaps),
            )
        for venue in self._wiring.venues.values():
            await _quietly(venue.cancel_all(), "engine.final_cancel")

    def _note_fill(self, fill: Fill) -> None:
        instrument = self.kernel.markets.instruments[f"{fill.venue}:{fill.symbol}"]
        strategy = self.kernel.strategy_of(fill.client_order_id)
        m.FILLS.labels(fill.venue).inc()
        self._unposted.append((strategy, fill, instrument))
        self._posting.set()

    async def _post(self) -> None:
        # Ends by itself: cancelled in the middle of a batch it would leave open whether that was posted.
        while not self._done.is_set():
            await self._posting.wait()
            await self._post_now()

    async def _post_now(self) -> None:
        self._posting.clear()
        batch, self._unposted = self._unposted, []
        if batch:
            try:
                await self._wiring.bookkeeper.post_fills(batch)
            except BaseException:
                self._unposted = batch + self._unposted
                raise

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._wiring.timer_ms / 1000)
            self.emit(e.TimerFired(time_ns=0))

    async def _sync_journal(self) -> None:
        while True:
            await asyncio.sleep(JOURNAL_SYNC_S)
            await asyncio.to_thread(self._journal.sync)


async def _quietly(work: Coroutine[None, None, int], event: str) -> None:
    """Do something on the way out that must not hide why we are leaving, nor keep us from it."""
    try:
        async with asyncio.timeout(FINAL_CANCEL_S):
            await work
    except Exception as exc:
        log.error(event, error=f"{type(exc).__name__}: {exc}")


def _first_failure(group: ExceptionGroup[Exception]) -> Exception:
    """The first exception inside groups of groups."""
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first


async def _traced(command: e.PlaceOrder, venue: ExchangeVenue) -> int:
    """Send an order; of one that a client asked for, as part of the client's trace."""
    if (parent := tracing.taken(command.client_order_id)) is None:
        return await venue.place(command)
    with tracing.span("venue.place", parent=parent, venue=venue.id, client_order_id=command.client_order_id):
        return await venue.place(command)
