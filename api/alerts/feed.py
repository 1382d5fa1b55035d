"""Alerts on the stream: what is going on, read from the database once a second, so that all processes tell the same."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from sqlmodel import Session, col, select

from api.alerts.book import plain
from api.alerts.states import TOLD
from api.alerts.tables import AlertRow
from api.streams.hub import Hub
from domain import PlatformError
from runtime.database import Database

log = structlog.get_logger(__name__)

CHANNEL: Final = "alerts"
EVERY_S: Final = 1.0
SHOWN_MAX: Final = 1_000
"""Newest of what is going on; `GET /v1/alerts` has all."""

_Shown = dict[str, tuple[tuple[str, ...], dict[str, Any]]]
"""Whose channels an alert is on, and how it stands; by id."""


class AlertFeed:
    """Of one process. An alert is on its organisation's channel, and on its portfolio's if it is about one."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._shown: _Shown = {}

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                await self.refresh()
            except PlatformError as exc:
                log.warning("alerts.feed_waits", error=str(exc))
            await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Read once, and tell what changed: what is over is told once more, then taken away."""
        shown, over = await self._database.read(self._read)
        for alert, (channels, value) in (shown | over).items():
            for channel in channels:
                self._hub.publish(CHANNEL, channel, {alert: value})
        for alert, (channels, _) in over.items():
            for channel in channels:
                self._hub.publish(CHANNEL, channel, {alert: None})
        self._shown = shown

    def _read(self, session: Session) -> tuple[_Shown, _Shown]:
        query = select(AlertRow).where(col(AlertRow.state).in_([state.value for state in TOLD]))
        rows = session.exec(query.order_by(col(AlertRow.number).desc()).limit(SHOWN_MAX)).all()
        shown = {row.id: _drawn(row) for row in reversed(rows)}
        gone = [alert for alert in self._shown if alert not in shown]
        ended = session.exec(select(AlertRow).where(col(AlertRow.id).in_(gone))).all() if gone else ()
        return shown, {row.id: _drawn(row) for row in ended}


def _drawn(row: AlertRow) -> tuple[tuple[str, ...], dict[str, Any]]:
    channels = (row.organisation,) if row.portfolio is None else (row.organisation, row.portfolio)
    return channels, plain(row)
