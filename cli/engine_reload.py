"""New parameters for strategies of a running engine: checked, journaled, taken, and recorded for whoever audits."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlmodel import Session

from api.strategies.versions import Authored, add_version, note_version
from cli.engine_outcomes import TAKEN, change
from custody.audit import AuditLog
from domain import InputError, PlatformError
from domain import events as e
from engine.runner import LiveRunner
from engine.strategies.base import CatalogSettings
from engine.strategies.changes import changed, differing
from runtime.database import Database

log = structlog.get_logger(__name__)


class Reloader:
    """Changes parameters between two events.

    Args:
        runner: Whose strategies they are.
        database: Where the audit log is: custody's books, or the paper run's own.
        now_ns: For the records.
    """

    def __init__(self, runner: LiveRunner, database: Database, now_ns: Callable[[], int]) -> None:
        self._runner = runner
        self._database = database
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)
        self._tasks: set[asyncio.Task[None]] = set()

    async def reload(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the operator's `reload`.

        Raises:
            InputError: No such strategy, keys that do not exist or are fixed, values that cannot be; nothing changed.
            OutcomeUnknown: It will take place, but has not yet.
        """
        strategy, changes = str(request.get("strategy", "")), request.get("changes")
        if not isinstance(changes, Mapping):
            raise InputError("reload: expected a table of changes")
        new, told = self._checked(strategy, changes)
        answer = {"strategy": strategy, "changed": told, "applied": False}
        if told and not request.get("dry_run"):
            await self._apply(new, told, "operator", str(request.get("by", "")), str(request.get("reason", ""))[:200])
            answer["applied"] = True
        return answer

    def begin(self, wanted: Sequence[object]) -> None:
        """After a start: note what each runs with, and take over what the settings say now and did not say before."""
        kernel = self._runner.kernel
        known = [settings for settings in wanted if isinstance(settings, CatalogSettings)]
        differ = [settings for settings in known if settings != kernel.file_parameters.get(settings.id, settings)]
        task = asyncio.create_task(self._begin(differ), name="engine.reload.begin")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, differ: Sequence[CatalogSettings]) -> None:
        try:
            await self.note_versions()
        except PlatformError as exc:
            log.error("strategy.versions_not_noted", error=str(exc))
        for settings in differ:
            await self._from_file(settings)

    async def note_versions(self) -> None:
        """Write what each strategy runs with, where nobody has."""
        parameters = {name: item.model_dump(mode="json") for name, item in self._runner.kernel.parameters.items()}
        seen = Authored("file", "settings file", "found at a start")

        def note(session: Session) -> None:
            for name, found in parameters.items():
                note_version(session, name, seen, found, self._now_ns())

        await self._database.run(note)

    async def settled(self) -> None:
        """Wait until what `begin` began is done."""
        await asyncio.gather(*self._tasks)

    async def _from_file(self, settings: CatalogSettings) -> None:
        current = self._runner.kernel.parameters[settings.id]
        told = _told(current, settings)
        try:
            await self._apply(settings, told, "file", "settings file", "the file changed between two starts")
        except PlatformError as exc:
            log.error("strategy.parameters_refused", strategy=settings.id, error=str(exc))

    def _checked(self, strategy: str, changes: Mapping[str, Any]) -> tuple[CatalogSettings, dict[str, list[Any]]]:
        current = self._runner.kernel.parameters.get(strategy)
        if current is None:
            known = ", ".join(self._runner.kernel.parameters) or "none"
            raise InputError(f"no strategy {strategy} whose parameters can change", hint=f"there are: {known}")
        new = changed(current, changes)
        return new, _told(current, new)

    async def _apply(self, new: CatalogSettings, told: dict[str, list[Any]], source: str, by: str, reason: str) -> None:
        event = e.ParametersChanged(
            time_ns=0, strategy=new.id, settings=new.model_dump_json(), source=source, change=secrets.token_hex(8)
        )
        detail = {"change": event.change, "changed": _text(told), "source": source, "by": by, "reason": reason}

        async def record(outcome: str) -> None:
            await self._record(new, Authored(source, by, reason), told, {**detail, "outcome": outcome})

        await change(self._runner, event, record)
        log.warning("strategy.reconfigured", strategy=new.id, changed=told, source=source, by=by)

    async def _record(
        self, new: CatalogSettings, authored: Authored, told: dict[str, list[Any]], detail: dict[str, Any]
    ) -> None:
        def append(session: Session) -> None:
            self._audit.append(session, "strategy.reconfigured", f"strategy/{new.id}", detail)
            if detail["outcome"] == TAKEN:
                parameters = new.model_dump(mode="json")
                add_version(session, new.id, authored, changed=told, parameters=parameters, now_ns=self._now_ns())

        await self._database.run(append)


def _told(current: CatalogSettings, new: CatalogSettings) -> dict[str, list[Any]]:
    """What changes, as JSON: from, to."""
    before, after = current.model_dump(mode="json"), new.model_dump(mode="json")
    return {key: [before[key], after[key]] for key in differing(current, new)}


def _text(value: Any) -> Any:
    """JSON without floats: the audit log has one way to write everything."""
    match value:
        case float():
            return repr(value)
        case dict():
            return {key: _text(item) for key, item in value.items()}
        case list():
            return [_text(item) for item in value]
    return value
