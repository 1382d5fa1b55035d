"""How each component is asked. Made of what is passed in: the API and the worker ask alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlmodel import select

from api.health.board import Check, Component
from api.health.tables import PulseRow
from domain import VenueUnavailable
from runtime.database import Database

WORKER: Final = "worker"
PULSE_S: Final = 15.0
"""How often the schedule nudges the worker to say that it is alive."""
PULSES_MISSED_MAX: Final = 4

Ask = Callable[[str], Awaitable[dict[str, Any]]]


def basic_components(database: Database, engine: Ask, now_ns: Callable[[], int]) -> tuple[Component, ...]:
    """What every installation has."""
    return (
        Component("database", database_check(database), is_required=True),
        Component("engine", engine_check(engine)),
        Component(WORKER, worker_check(database, now_ns)),
        Component("venues", venues_check(engine)),
    )


def database_check(database: Database) -> Check:
    """Whether the books' database answers."""

    async def check() -> str:
        await database.read(lambda session: session.execute(sa.text("SELECT 1")).scalar_one())
        return database.name.partition(":")[0]

    return check


def engine_check(engine: Ask) -> Check:
    """Whether the engine answers, and that it trades or was stopped by somebody."""

    async def check() -> str:
        status = await engine("status")
        if status["state"] == "starting":
            raise VenueUnavailable("the engine is starting")
        return str(status.get("halted") or status["state"])

    return check


def worker_check(database: Database, now_ns: Callable[[], int]) -> Check:
    """Whether the schedule, the queue and a worker do their work: together they write a pulse."""

    async def check() -> str:
        seen_ns = await database.read(
            lambda session: session.exec(select(PulseRow.time_ns).where(PulseRow.name == WORKER)).first()
        )
        if seen_ns is None:
            raise VenueUnavailable("no worker was seen yet", hint="capstan worker --beat")
        age_s = max(0, now_ns() - seen_ns) / 1e9
        if age_s > PULSE_S * PULSES_MISSED_MAX:
            raise VenueUnavailable(f"the worker was seen {age_s:.0f} s ago", hint="capstan worker --beat")
        return f"seen {age_s:.0f} s ago"

    return check


def venues_check(engine: Ask) -> Check:
    """Whether each exchange's books can be trusted."""

    async def check() -> str:
        told = await engine("venues")
        if lost := lost_venues(told):
            raise VenueUnavailable(f"not connected: {', '.join(lost)}")
        return ", ".join(venue["id"] for venue in told["venues"]) or "none"

    return check


def lost_venues(told: Mapping[str, Any]) -> dict[str, str]:
    """Exchanges of which no book can be trusted, and why, of what the engine tells of them."""
    return {
        venue["id"]: str(venue["failure"] or "not connected")
        for venue in told["venues"]
        if venue["failure"] or not venue["is_connected"]
    }


def socket_check(path: Path) -> Check:
    """Whether a process listens at a socket."""

    async def check() -> str:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError as exc:
            raise VenueUnavailable(f"nobody listens at {path}") from exc
        writer.close()
        return "listens"

    return check


def redis_check(url: str) -> Check:
    """Whether a Redis answers."""

    async def check() -> str:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        redis = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        try:
            await redis.ping()
        except (RedisError, OSError) as exc:
            raise VenueUnavailable(f"Redis does not answer: {type(exc).__name__}") from exc
        finally:
            await redis.aclose()
        return "answers"

    return check
