"""Telling what is due, once each and all side by side; what fails comes again by the ladder.

Who is told what stands in the outbox; how a kind of receiver is told is its `Teller`'s business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
import structlog
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.webhooks.tables import AttemptRow, DeliveryRow, EndpointRow, EventRow
from domain import InvariantError, PlatformError, Refused
from runtime.database import Database

log = structlog.get_logger(__name__)

LADDER_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits between the tries, as Standard Webhooks recommends; after the last, a delivery has failed."""
TRY_S: Final = 10.0
_ONE_RUN: Final = 200
_ONE_ENDPOINT: Final = 10
"""Of one run: a receiver that hangs takes no more than this from the others."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one try tells."""

    event: str
    kind: str
    subject: str | None
    body: bytes
    now_ns: int


@dataclass(frozen=True, slots=True)
class Reply:
    """How one try went. Of nobody who answered there is no status."""

    is_delivered: bool
    status: int | None = None
    error: str = ""
    answer: str = ""
    is_final: bool = False
    """The same again would be refused again."""
    gone: str = ""
    """Why the receiver is to be told nothing more."""


Tell = Callable[[Told], Awaitable[Reply]]
"""One try; bounded by `TRY_S`. Whatever it raises is a try that failed."""


class Teller(Protocol):
    """Tells one kind of receiver."""

    def prepare(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        """Read what telling it needs: its keys, its address."""
        ...


@dataclass(frozen=True, slots=True)
class _Due:
    delivery: int
    endpoint: str
    told: Told
    tell: Tell


@dataclass(frozen=True, slots=True)
class _Outcome:
    time_ns: int
    took_ms: int
    reply: Reply


class Deliverer:
    """Of one run of the task; one runs at a time (`runtime.tasks`).

    Args:
        database: Whose outbox.
        tellers: By `EndpointRow.type`; what has none waits.
        now_ns: The clock.
    """

    def __init__(self, database: Database, tellers: Mapping[str, Teller], now_ns: Callable[[], int]) -> None:
        self._database = database
        self._tellers = tellers
        self._now_ns = now_ns

    async def run(self) -> int:
        """Tell what is due, each once; give how many were tried."""
        due = await self._database.read(self._take)
        async with asyncio.TaskGroup() as tasks:
            for one in due:
                tasks.create_task(self._deliver(one), name=f"webhooks.{one.delivery}")
        return len(due)

    def _take(self, session: Session) -> list[_Due]:
        now = self._now_ns()
        turn = func.row_number().over(
            partition_by=col(DeliveryRow.endpoint), order_by=(col(DeliveryRow.due_ns), col(DeliveryRow.id))
        )
        turns = (
            select(col(DeliveryRow.id), turn.label("turn"))
            .join(EndpointRow, col(EndpointRow.id) == DeliveryRow.endpoint)
            .where(DeliveryRow.state == "pending", DeliveryRow.due_ns <= now, col(EndpointRow.enabled))
            .where(col(EndpointRow.type).in_(tuple(self._tellers)))
            .subquery()
        )
        query = (
            select(DeliveryRow, EventRow, EndpointRow)
            .join(EventRow, col(EventRow.id) == DeliveryRow.event)
            .join(EndpointRow, col(EndpointRow.id) == DeliveryRow.endpoint)
            .join(turns, turns.c.id == DeliveryRow.id)
            .where(turns.c.turn <= _ONE_ENDPOINT)
            # Everybody's first before anybody's second: who has much to be told, and hangs, holds up nobody else.
            .order_by(turns.c.turn, col(DeliveryRow.due_ns), col(DeliveryRow.id))
            .limit(_ONE_RUN)
        )
        found: list[_Due] = []
        tells: dict[str, Tell] = {}
        for delivery, event, endpoint in session.exec(query):
            if endpoint.id not in tells:
                tells[endpoint.id] = self._prepared(session, endpoint, now)
            told = Told(event.id, event.kind, event.subject, event.body.encode(), now)
            found.append(_Due(_number(delivery), endpoint.id, told, tells[endpoint.id]))
        return found

    def _prepared(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        """How an endpoint is told; of one that cannot be read, a try that fails: the others are told all the same."""
        try:
            return self._tellers[endpoint.type].prepare(session, endpoint, now_ns)
        except PlatformError as exc:
            problem = exc
            log.error("webhooks.unreadable", endpoint=endpoint.id, error=str(exc))

        async def fail(_told: Told) -> Reply:
            raise problem

        return fail

    async def _deliver(self, due: _Due) -> None:
        outcome = await self._ask(due)
        await self._database.run(lambda session: self._note(session, due, outcome))
        reply = outcome.reply
        log.info(
            "webhooks.told", endpoint=due.endpoint, event_id=due.told.event, status=reply.status, error=reply.error
        )

    async def _ask(self, due: _Due) -> _Outcome:
        now, began = self._now_ns(), time.monotonic()
        try:
            async with asyncio.timeout(TRY_S):
                reply = await due.tell(due.told)
        except TimeoutError:
            reply = Reply(False, error=f"no answer within {TRY_S:g} s")
        except Refused as exc:
            log.warning("webhooks.refused", endpoint=due.endpoint, event_id=due.told.event, rule=exc.rule)
            reply = Reply(False, error=str(exc))
        except PlatformError as exc:
            reply = Reply(False, error=str(exc))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            reply = Reply(False, error=f"{type(exc).__name__}: {exc}")
        except Exception:
            # Our bug. The run is others' too, and goes on.
            log.exception("webhooks.failed", endpoint=due.endpoint, event_id=due.told.event)
            reply = Reply(False, error="an error of ours; the worker's log has it")
        return _Outcome(now, int((time.monotonic() - began) * 1_000), reply)

    def _note(self, session: Session, due: _Due, outcome: _Outcome) -> None:
        row = session.get(DeliveryRow, due.delivery)
        if row is None:
            return  # Its endpoint is no more.
        reply = outcome.reply
        session.add(
            AttemptRow(
                delivery=due.delivery, time_ns=outcome.time_ns, took_ms=outcome.took_ms, status=reply.status,
                error=reply.error[:300], answer=reply.answer,
            )
        )  # fmt: skip
        if row.state != "pending":
            return  # Somebody ended it meanwhile.
        row.tries += 1
        if reply.is_delivered:
            row.state = "delivered"
        elif reply.is_final or row.tries > len(LADDER_S):
            row.state = "failed"
        else:
            row.due_ns = self._now_ns() + LADDER_S[row.tries - 1] * 10**9
        if reply.gone and (endpoint := session.get(EndpointRow, due.endpoint)) is not None:
            endpoint.enabled, endpoint.disabled_reason = False, reply.gone


def _number(row: DeliveryRow) -> int:
    if row.id is None:
        raise InvariantError("a delivery that was read has no number")
    return row.id
