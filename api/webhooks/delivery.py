"""Telling what is due, once each and all side by side; what fails comes again by the ladder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.webhooks.guard import CheckedResolver, Guard
from api.webhooks.secrets import Secret, Secrets, headers
from api.webhooks.tables import AttemptRow, DeliveryRow, EndpointRow, EventRow
from domain import InvariantError, PlatformError
from runtime.database import Database

log = structlog.get_logger(__name__)

LADDER_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits between the tries, as Standard Webhooks recommends; after the last, a delivery has failed."""
TRY_S: Final = 10.0
_ONE_RUN: Final = 200
_ONE_ENDPOINT: Final = 10
"""Of one run: a receiver that hangs takes no more than this from the others."""
_ANSWER_BYTES: Final = 1_024
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class _Due:
    delivery: int
    endpoint: str
    event: str
    url: str
    body: bytes
    secrets: list[Secret]


@dataclass(frozen=True, slots=True)
class _Outcome:
    time_ns: int
    took_ms: int
    status: int | None
    error: str
    answer: str

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Of one run of the task; one runs at a time (`runtime.tasks`)."""

    def __init__(self, database: Database, secrets: Secrets, guard: Guard, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._secrets = secrets
        self._guard = guard
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
            .subquery()
        )
        query = (
            select(DeliveryRow, EventRow, EndpointRow)
            .join(EventRow, col(EventRow.id) == DeliveryRow.event)
            .join(EndpointRow, col(EndpointRow.id) == DeliveryRow.endpoint)
            .where(col(DeliveryRow.id).in_(select(turns.c.id).where(turns.c.turn <= _ONE_ENDPOINT)))
            .order_by(col(DeliveryRow.due_ns), col(DeliveryRow.id))
            .limit(_ONE_RUN)
        )
        found: list[_Due] = []
        live: dict[str, list[Secret]] = {}
        for delivery, event, endpoint in session.exec(query):
            if endpoint.id not in live:
                live[endpoint.id] = self._secrets.live(session, endpoint.id, now)
            number = _number(delivery)
            found.append(_Due(number, endpoint.id, event.id, endpoint.url, event.body.encode(), live[endpoint.id]))
        return found

    async def _deliver(self, due: _Due) -> None:
        outcome = await self._ask(due)
        await self._database.run(lambda session: self._note(session, due, outcome))
        log.info("webhooks.told", endpoint=due.endpoint, event_id=due.event, status=outcome.status, error=outcome.error)

    async def _ask(self, due: _Due) -> _Outcome:
        now, began = self._now_ns(), time.monotonic()
        status, error, answer = None, "", ""
        try:
            scheme = self._guard.parse(due.url).scheme
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self._guard, scheme), use_dns_cache=False, force_close=True
            )
            signed = headers(due.event, now // 10**9, due.body, due.secrets)
            sent = {"content-type": "application/json", "user-agent": "capstan-webhooks/1", **signed}
            async with (
                asyncio.timeout(TRY_S),
                # Cookies are kept for nobody, netrc and proxies are the server's own affair.
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
                ) as session,
                session.post(due.url, data=due.body, headers=sent, allow_redirects=False) as response,
            ):
                status = response.status
                answer = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace").replace("\0", "")
                if 300 <= status < 400:
                    error = "redirects are not followed"
        except TimeoutError:
            error = f"no answer within {TRY_S:g} s"
        except PlatformError as exc:
            error = str(exc)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            error = f"{type(exc).__name__}: {exc}"
        took_ms = int((time.monotonic() - began) * 1_000)
        return _Outcome(now, took_ms, status, error[:300], answer)

    def _note(self, session: Session, due: _Due, outcome: _Outcome) -> None:
        row = session.get(DeliveryRow, due.delivery)
        if row is None:
            return  # Its endpoint is no more.
        session.add(
            AttemptRow(
                delivery=due.delivery, time_ns=outcome.time_ns, took_ms=outcome.took_ms, status=outcome.status,
                error=outcome.error, answer=outcome.answer,
            )
        )  # fmt: skip
        if row.state != "pending":
            return  # Somebody ended it meanwhile.
        row.tries += 1
        if outcome.is_delivered:
            row.state = "delivered"
        elif row.tries > len(LADDER_S):
            row.state = "failed"
        else:
            row.due_ns = self._now_ns() + LADDER_S[row.tries - 1] * 10**9
        if outcome.status == _GONE and (endpoint := session.get(EndpointRow, due.endpoint)) is not None:
            endpoint.enabled, endpoint.disabled_reason = False, "the receiver answered 410 Gone"


def _number(row: DeliveryRow) -> int:
    if row.id is None:
        raise InvariantError("a delivery that was read has no number")
    return row.id
