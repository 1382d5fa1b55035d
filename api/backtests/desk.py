"""Backtests for those who ask: written with their key, found, cancelled, deleted; each organisation's alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from fastapi import Request
from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from api.auth.principal import Principal
from api.backtests.queue import ACTIVE, CANCELLED, QUEUED, RUNNING
from api.backtests.settings import BacktestSettings
from api.backtests.shown import Backtest, shown
from api.backtests.tables import BacktestResultRow, BacktestRow
from api.core.effects import Effects, Once
from api.core.errors import Conflict, NotFound
from api.core.pages import newest_of
from domain import PlatformError, Refused
from runtime.database import Database

NAME_MAX: Final = 80
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """One backtest in full."""

    about: Backtest
    config: str
    form: str
    result: str | None
    """JSON; None of one that is not done."""


class BacktestDesk:
    """Of one process.

    Args:
        database: With the API's tables.
        effects: What happens once.
        now_ns: The clock.
        settings: What may be asked for.
        recordings: The folder that backtests may read.
        slots: How many run at a time here; 0 refuses all.
    """

    def __init__(
        self,
        database: Database,
        effects: Effects,
        now_ns: Callable[[], int],
        settings: BacktestSettings,
        recordings: Path,
        slots: int,
    ) -> None:
        self._database = database
        self._effects = effects
        self._now_ns = now_ns
        self._settings = settings
        self._slots = slots
        self.recordings = recordings

    async def ask(self, request: Request, who: Principal, key: str, *, name: str, form: str, config: str) -> Once:
        """Have a backtest run, once for its key; asked for again it is answered as it was, whatever has changed since.

        Raises:
            InputError: The configuration cannot be; nothing is written.
            Refused: It asks for what is not for everybody, is too large, or there are too many already.
        """
        admitted: tuple[str, str] | PlatformError
        try:
            # Reading a configuration loads the strategies' catalog, and takes longer than others should wait.
            admitted = await asyncio.to_thread(self._checked, form, config)
        except PlatformError as exc:
            admitted = exc

        def write(session: Session) -> Backtest:
            if isinstance(admitted, PlatformError):
                raise admitted
            found_name, checked = admitted
            self._database.serialize(session, f"backtests/{who.organisation}")
            self._check_quota(session, who.organisation)
            row = BacktestRow(
                id=f"bt_{secrets.token_hex(12)}", organisation=who.organisation, actor=who.actor,
                name=(name or found_name)[:NAME_MAX], form=form, config=config, checked=checked, state=QUEUED,
                created_ns=self._now_ns(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            return shown(row)

        return await self._effects.once(request, who.organisation, key, write)

    async def found(self, who: Principal, backtest: str) -> Found:
        """One of the caller's organisation, with what was asked and, of one that is done, the figures.

        Raises:
            NotFound: It has none of that id.
        """

        def read(session: Session) -> Found:
            row = _find(session, who, backtest)
            result = session.exec(_of(backtest, BacktestResultRow.result)).first()
            return Found(shown(row), row.config, row.form, result)

        return await self._database.read(read)

    async def curve(self, who: Principal, backtest: str) -> str:
        """The net result over the run, as JSON.

        Raises:
            NotFound: The organisation has none of that id, or it is not done.
        """
        return await self._database.read(lambda session: _done(session, who, backtest, BacktestResultRow.curve))

    async def report(self, who: Principal, backtest: str) -> bytes:
        """The page, packed; errors as `curve`."""
        return await self._database.read(lambda session: _done(session, who, backtest, BacktestResultRow.report))

    async def page(
        self, who: Principal, state: str | None, before: int | None, limit: int
    ) -> list[tuple[int, Backtest]]:
        """The organisation's newest before a number, with theirs."""
        query = newest_of(BacktestRow, who.organisation, state=state, before=before, limit=limit)
        return await self._database.read(lambda session: [(row.number or 0, shown(row)) for row in session.exec(query)])

    async def cancel(self, who: Principal, backtest: str) -> Backtest:
        """Have one stop; one that has ended stays as it is.

        Raises:
            NotFound: The organisation has none of that id.
        """

        def write(session: Session) -> Backtest:
            row = _find(session, who, backtest, for_update=True)
            if row.state == QUEUED:
                row.state, row.ended_ns = CANCELLED, self._now_ns()
            elif row.state == RUNNING:
                row.cancel_asked = True
            session.add(row)
            return shown(row)

        return await self._database.run(write)

    async def delete(self, who: Principal, backtest: str) -> None:
        """Forget one that has ended, with its result.

        Raises:
            NotFound: The organisation has none of that id.
            Conflict: It has not ended.
        """

        def write(session: Session) -> None:
            row = _find(session, who, backtest, for_update=True)
            if row.state in ACTIVE:
                raise Conflict(f"{backtest} is {row.state}", hint="cancel it first")
            session.execute(delete(BacktestResultRow).where(col(BacktestResultRow.backtest) == backtest))
            session.delete(row)

        await self._database.run(write)

    def _checked(self, form: str, config: str) -> tuple[str, str]:
        if self._slots == 0:
            raise Refused(
                "no backtests are run here", rule="backtests-off", hint="backtests.slots below tasks.concurrency"
            )
        from engine.backtest.admission import Bounds, admit, read_config

        read = read_config(config, form)
        admit(read, self.recordings, Bounds(self._settings.market_s_max, self._settings.bytes_max))
        found = "".join(letter if letter.isprintable() else "?" for letter in read.name)
        return found, read.model_dump_json(exclude_unset=True)

    def _check_quota(self, session: Session, organisation: str) -> None:
        counts = dict(
            session.exec(
                select(BacktestRow.state, func.count())
                .where(BacktestRow.organisation == organisation)
                .group_by(BacktestRow.state)
            ).all()
        )
        if sum(counts.get(state, 0) for state in ACTIVE) >= self._settings.waiting_max:
            raise Refused(
                f"{self._settings.waiting_max} of your backtests wait or run already",
                rule="backtests-waiting",
                hint="wait for one, or cancel one",
            )
        if sum(counts.values()) >= self._settings.kept_max:
            raise Refused(
                f"{self._settings.kept_max} of your backtests are kept already",
                rule="backtests-kept",
                hint="delete some",
            )


def _find(session: Session, who: Principal, backtest: str, *, for_update: bool = False) -> BacktestRow:
    query = select(BacktestRow).where(BacktestRow.id == backtest, BacktestRow.organisation == who.organisation)
    row = session.exec(query.with_for_update() if for_update else query).first()
    if row is None:
        raise NotFound(f"no backtest {backtest}")
    return row


def _of(backtest: str, column: Any) -> Any:
    return select(column).where(BacktestResultRow.backtest == backtest)


def _done(session: Session, who: Principal, backtest: str, column: _T) -> _T:
    row = _find(session, who, backtest)
    value: _T | None = session.exec(_of(backtest, column)).first()
    if value is None:
        raise NotFound(f"{backtest} is {row.state}: nothing came of it", hint="one that is done has this")
    return value
