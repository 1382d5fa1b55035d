"""Alerts on the stream: what is going on, read from the database once a second, so that all processes tell the same."""

from __future__ import annotations

from typing import Any, Final

from sqlmodel import Session, col, func, select

from api.alerts.book import plain
from api.alerts.states import TOLD
from api.alerts.tables import AlertRow
from api.streams.hub import Hub
from runtime.database import Database

CHANNEL: Final = "alerts"
SHOWN_MAX: Final = 500
"""Of each organisation, the newest of what is going on; `GET /v1/alerts` has all."""

_Shown = dict[str, tuple[tuple[str, ...], dict[str, Any]]]
"""Whose channels an alert is on, and how it stands; by id."""


class AlertFeed:
    """Of one process. An alert is on its organisation's channel, and on its portfolio's if it is about one."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._shown: _Shown = {}

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
        newer = func.row_number().over(partition_by=col(AlertRow.organisation), order_by=col(AlertRow.number).desc())
        going_on = col(AlertRow.state).in_([state.value for state in TOLD])
        places = select(AlertRow.number, newer.label("place")).where(going_on).subquery()
        query = select(AlertRow).join(places, places.c.number == AlertRow.number).where(places.c.place <= SHOWN_MAX)
        shown = {row.id: _drawn(row) for row in session.exec(query.order_by(col(AlertRow.number)))}
        gone = [alert for alert in self._shown if alert not in shown]
        ended = session.exec(select(AlertRow).where(col(AlertRow.id).in_(gone))).all() if gone else ()
        return shown, {row.id: _drawn(row) for row in ended}


def _drawn(row: AlertRow) -> tuple[tuple[str, ...], dict[str, Any]]:
    channels = (row.organisation,) if row.portfolio is None else (row.organisation, row.portfolio)
    return channels, plain(row)
