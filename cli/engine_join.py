"""Strategies that join a running engine, and the files by which they are there in later runs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from sqlmodel import Session

from api.strategies.files import settings_of
from api.strategies.versions import Authored, add_version
from cli.data_dir import read_json, write_json
from cli.engine_outcomes import TAKEN, change
from custody.audit import AuditLog
from domain import InputError, PlatformError
from domain import events as e
from engine.runner import LiveRunner
from engine.settings import EngineSettings
from engine.strategies.base import CatalogSettings
from runtime.database import Database

log = structlog.get_logger(__name__)


class Joiner:
    """Of one running engine.

    Args:
        runner: Whose strategies they are.
        database: Where the audit log and the versions are.
        folder: A file for each strategy that was made over the API.
        now_ns: For the records.
        joined: Called when one has joined.
    """

    def __init__(
        self,
        runner: LiveRunner,
        database: Database,
        folder: Path,
        now_ns: Callable[[], int],
        joined: Callable[[], Awaitable[None]],
    ) -> None:
        self._runner = runner
        self._joined = joined
        self._database = database
        self._folder = folder
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `create_strategy`: it runs from the next event on, and is there in later runs. Safe to send again.

        Raises:
            InputError: It cannot be, or there is another of its id; nothing changed.
            OutcomeUnknown: It will run, but does not yet.
        """
        table = request.get("settings")
        if not isinstance(table, Mapping):
            raise InputError("create_strategy: expected a table of settings")
        settings, kernel = settings_of(table), self._runner.kernel
        async with self._turn:
            file = self._folder / f"{settings.id}.json"
            if settings.id in kernel.numbers.strategies:
                if (read_json(file) or {}).get("settings") == settings.model_dump(mode="json"):
                    return {"strategy": settings.id, "created": False}
                raise InputError(
                    f"there is a strategy {settings.id}", hint="choose another id, or change its parameters"
                )
            kernel.maker(settings)  # Says what is wrong, before anything is written.
            if request.get("dry_run"):
                return {"strategy": settings.id, "created": False}
            # First the file: whoever dies in between finds it at the next start.
            write_json(file, {"settings": settings.model_dump(mode="json"), "is_stopped": False})
            authored = Authored("operator", str(request.get("by", "")), str(request.get("reason", ""))[:200])
            try:
                await self._join(settings, authored)
            except InputError:
                file.unlink()
                raise
        return {"strategy": settings.id, "created": True}

    async def retire(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `retire`: whether a strategy made over the API is there in later runs (`is_stopped`)."""
        strategy = str(request.get("strategy", ""))
        if strategy not in self._runner.kernel.numbers.strategies:
            raise InputError(f"no strategy {strategy[:40]!r}")
        async with self._turn:
            file = self._folder / f"{strategy}.json"
            if (known := read_json(file)) is None:
                return {"strategy": strategy, "in_later_runs": True}  # The settings file has it.
            is_stopped = bool(request.get("is_stopped"))
            write_json(file, known | {"is_stopped": is_stopped})
        return {"strategy": strategy, "in_later_runs": not is_stopped}

    def begin(self, wanted: Sequence[object]) -> None:
        """After a start: let join what is wanted and is not there."""
        for settings in wanted:
            if isinstance(settings, CatalogSettings) and settings.id not in self._runner.kernel.numbers.strategies:
                task = asyncio.create_task(self._from_file(settings), name=f"engine.join.{settings.id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until what `begin` began is done."""
        await asyncio.gather(*self._tasks)

    async def _from_file(self, settings: CatalogSettings) -> None:
        try:
            async with self._turn:
                await self._join(settings, Authored("file", "settings file", "it was not there when the run began"))
        except PlatformError as exc:
            log.error("strategy.not_joined", strategy=settings.id, error=str(exc))

    async def _join(self, settings: CatalogSettings, authored: Authored) -> None:
        event = e.StrategyJoined(time_ns=0, settings=settings.model_dump_json(), change=secrets.token_hex(8))

        async def record(outcome: str) -> None:
            await self._database.run(lambda session: self._record(session, settings, authored, outcome))

        await change(self._runner, event, record)
        await self._joined()
        log.warning("strategy.joined", strategy=settings.id, kind=settings.model_dump()["kind"], by=authored.author)

    def _record(self, session: Session, settings: CatalogSettings, authored: Authored, outcome: str) -> None:
        detail = {"source": authored.source, "by": authored.author, "reason": authored.reason, "outcome": outcome}
        self._audit.append(session, "strategy.created", f"strategy/{settings.id}", detail)
        if outcome == TAKEN:
            parameters = settings.model_dump(mode="json")
            add_version(session, settings.id, authored, changed={}, parameters=parameters, now_ns=self._now_ns())


def with_created(settings: EngineSettings, folder: Path, *, is_new_run: bool) -> EngineSettings:
    """The settings with the strategies that were made over the API behind their own.

    A new run is without those that were stopped; one that goes on has them, and they stay stopped.

    Raises:
        InputError: A file there is none of ours, or has the id of a strategy of the settings.
    """
    taken, created = {item.id for item in settings.strategies}, []
    for file in sorted(folder.glob("*.json")):
        table = read_json(file) or {}
        if table.get("is_stopped") and is_new_run:
            continue
        try:
            made = settings_of(table.get("settings") or {})
        except InputError as exc:
            raise InputError(f"{file}: {exc}", hint="it was made over the API; move it away to start without") from exc
        if made.id in taken:
            raise InputError(f"{file}: the settings file has a strategy {made.id}, too", hint="move one of them away")
        created.append(made)
    return settings.model_copy(update={"strategies": (*settings.strategies, *created)})
