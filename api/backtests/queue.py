"""Which backtest is whose turn, how far it is, and its end: rows that a worker may die over at any moment.

    queued ──claim──> running ──> done | failed | cancelled
       ^                 │
       └── its worker died or stops (three times at most)

A slot is worked by one process of the installation at a time, by the task's lock. So whoever has the slot knows that a
row which is still `running` in it was left by somebody who is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func
from sqlmodel import Session, col, select

from api.backtests.tables import BacktestResultRow, BacktestRow
from runtime.database import Database

ATTEMPTS_MAX: Final = 3
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
ACTIVE: Final = (QUEUED, RUNNING)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A backtest to run now."""

    id: str
    checked: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left; of one that failed an error and no result."""

    state: str
    error: str = ""
    hint: str = ""
    result: str = ""
    curve: str = ""
    report: bytes = b""


class Queue:
    """Synchronous, for the worker.

    Args:
        database: With the API's tables.
        now_ns: The clock.
        slots: How many there are; the first one also looks after those that are no more.
    """

    def __init__(self, database: Database, now_ns: Callable[[], int], slots: int) -> None:
        self._database = database
        self._now_ns = now_ns
        self._slots = slots

    def claim(self, slot: int) -> Claimed | None:
        """Take the next one into a slot: of the organisation that waited longest for its turn, the oldest."""
        # Asked every second, and most often there is nothing: only looking holds up nobody who writes (on SQLite orders
        # waited behind this, for 0.1 s where the garbage collector ran in the middle of it).
        with self._database.snapshot() as session:
            if session.exec(select(BacktestRow.id).where(col(BacktestRow.state).in_(ACTIVE)).limit(1)).first() is None:
                return None
        with self._database.transaction() as session:
            self._database.serialize(session, "backtests")
            self._take_back(session, slot)
            row = _next(session)
            if row is None:
                return None
            row.state, row.slot, row.attempts = RUNNING, slot, row.attempts + 1
            row.part, row.permille, row.started_ns = "starting", 0, self._now_ns()
            session.add(row)
            return Claimed(row.id, row.checked)

    def progress(self, backtest: str, part: str, permille: int) -> bool:
        """Say how far it is; give whether it shall go on."""
        with self._database.transaction() as session:
            row = _find(session, backtest)
            if row is None or row.state != RUNNING or row.cancel_asked:
                return False
            row.part, row.permille = part[:80], permille
            session.add(row)
            return True

    def give_back(self, backtest: str) -> None:
        """Let another worker do it from the beginning; this one stops, and it is not the backtest's fault."""
        with self._database.transaction() as session:
            row = _find(session, backtest)
            if row is not None and row.state == RUNNING:
                row.attempts -= 1
                _requeue(row)
                session.add(row)

    def finish(self, backtest: str, outcome: Outcome) -> None:
        """Write what came of it, at once. Of one that was to be cancelled nothing is kept."""
        with self._database.transaction() as session:
            row = _find(session, backtest)
            if row is None or row.state != RUNNING:
                return
            if row.cancel_asked:
                outcome = Outcome(CANCELLED)
            row.state, row.error, row.hint = outcome.state, outcome.error[:2_000], outcome.hint[:2_000]
            row.part, row.slot, row.ended_ns = "", None, self._now_ns()
            row.permille = 1_000 if outcome.state == DONE else row.permille
            session.add(row)
            if outcome.state == DONE:
                session.add(
                    BacktestResultRow(
                        backtest=backtest, result=outcome.result, curve=outcome.curve, report=outcome.report
                    )
                )

    def _take_back(self, session: Session, slot: int) -> None:
        left = col(BacktestRow.slot) == slot
        if slot == 0:
            left = left | (col(BacktestRow.slot) >= self._slots)
        for row in session.exec(select(BacktestRow).where(BacktestRow.state == RUNNING, left)):
            if row.cancel_asked:
                row.state, row.ended_ns, row.slot = CANCELLED, self._now_ns(), None
            elif row.attempts >= ATTEMPTS_MAX:
                row.state, row.ended_ns, row.slot = FAILED, self._now_ns(), None
                row.error = f"the worker died {row.attempts} times over it"
            else:
                _requeue(row)
            session.add(row)
        session.flush()


def _requeue(row: BacktestRow) -> None:
    row.state, row.slot, row.part, row.permille = QUEUED, None, "", 0


def _find(session: Session, backtest: str) -> BacktestRow | None:
    return session.exec(select(BacktestRow).where(BacktestRow.id == backtest).with_for_update()).first()


def _next(session: Session) -> BacktestRow | None:
    """The oldest one of whoever was served longest ago; who never was comes first."""
    oldest = select(func.min(BacktestRow.number)).where(BacktestRow.state == QUEUED).group_by(BacktestRow.organisation)
    waiting = list(session.exec(select(BacktestRow).where(col(BacktestRow.number).in_(oldest))))
    served = dict(
        session.exec(
            select(BacktestRow.organisation, func.max(BacktestRow.started_ns))
            .where(col(BacktestRow.organisation).in_([row.organisation for row in waiting]))
            .group_by(BacktestRow.organisation)
        ).all()
    )
    return min(waiting, key=lambda row: (served.get(row.organisation) or 0, row.number or 0), default=None)
