"""How far backtests are, on the stream: looked up once a second for those who read it, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlmodel import Session, col, select

from api.backtests.queue import ACTIVE
from api.backtests.shown import Backtest, shown
from api.backtests.tables import BacktestRow
from api.streams.hub import Hub
from runtime.database import Database

CHANNEL: Final = "backtests"
ENDED_SHOWN_NS: Final = 60 * 10**9
"""One that ended is still told for so long: a reader sees how."""


class Watch:
    """One process's."""

    def __init__(self, database: Database, hub: Hub, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._hub = hub
        self._now_ns = now_ns

    async def look(self) -> None:
        """Publish what the tables say now, to whoever reads."""
        organisations = self._hub.read_keys(CHANNEL)
        if not organisations:
            return
        since = self._now_ns() - ENDED_SHOWN_NS

        def read(session: Session) -> list[tuple[str, Backtest]]:
            recent = col(BacktestRow.state).in_(ACTIVE) | (col(BacktestRow.ended_ns) >= since)
            query = select(BacktestRow).where(col(BacktestRow.organisation).in_(organisations), recent)
            rows = session.exec(query.order_by(col(BacktestRow.number)).limit(1_000))
            return [(row.organisation, shown(row)) for row in rows]

        found: dict[str, dict[str, Any]] = {organisation: {} for organisation in organisations}
        for organisation, backtest in await self._database.read(read):
            found[organisation][backtest.id] = backtest.model_dump(mode="json")
        for organisation, state in found.items():
            self._hub.replace(CHANNEL, organisation, state)
