"""Alerts: what is going on, who sees to it, and what was."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from api.alerts.book import number_of, plain
from api.alerts.rules import ENDED_BY_PEOPLE
from api.alerts.states import Severity, State
from api.alerts.tables import AlertEventRow, AlertRow
from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.services import Use

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

AlertId = Annotated[str, Path(pattern=r"^alr_[0-9a-f]{16}$")]
Reads = Annotated[Principal, require(Scope.ALERTS_READ)]
Acknowledges = Annotated[Principal, require(Scope.ALERTS_ACKNOWLEDGE)]
EVENTS_MAX = 200


class Alert(BaseModel):
    """Something that a person should know."""

    id: str = Field(examples=["alr_0123456789abcdef"])
    kind: str = Field(examples=["kill.pressed"])
    severity: Severity
    state: Literal["open", "acknowledged", "resolved"]
    summary: str
    detail: dict[str, Any] = Field(description="Amounts are text.")
    portfolio: str | None = Field(description="Null: it is about the whole organisation.")
    level: int = Field(description="How far it was escalated: channels of this level and below were told.")
    count: int = Field(description="How often it happened while it was not over.")
    created_at: datetime
    changed_at: datetime
    acknowledged_by: str | None


class AlertEvent(BaseModel):
    """What happened to an alert."""

    event: Literal["opened", "escalated", "acknowledged", "resolved"]
    at: datetime
    actor: str = Field(description="`capstan` where no person did it.")
    note: str


class AlertDetail(Alert):
    """With its history, the oldest first."""

    events: list[AlertEvent]


class Note(BaseModel):
    """What there is to say about it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "looking at the feed"}]})

    note: str = Field(default="", max_length=200)


@router.get("")
async def list_alerts(
    services: Use,
    who: Reads,
    state: Literal["open", "acknowledged", "resolved"] | None = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Page[Alert]:
    """The organisation's alerts, the newest first; a caller of some portfolios sees theirs."""
    scope = f"alerts/{who.organisation}/{state}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[tuple[int, Alert]]:
        query = select(AlertRow).where(AlertRow.organisation == who.organisation, AlertRow.state != State.WAITING)
        query = query if state is None else query.where(AlertRow.state == state)
        query = query if who.portfolios is None else query.where(col(AlertRow.portfolio).in_(who.portfolios))
        query = query if before is None else query.where(col(AlertRow.number) < before)
        found = session.exec(query.order_by(col(AlertRow.number).desc()).limit(limit + 1))
        return [(number_of(row), Alert.model_validate(plain(row))) for row in found]

    return services.cursors.numbered(scope, await services.database.read(read), limit)


@router.get("/{alert}")
async def get_alert(services: Use, who: Reads, alert: AlertId) -> AlertDetail:
    """One alert, and what happened to it."""
    return await services.database.read(lambda session: _shown(session, _find(session, who, alert)))


@router.post("/{alert}/acknowledgements", status_code=201)
async def acknowledge_alert(services: Use, who: Acknowledges, alert: AlertId, body: Note) -> AlertDetail:
    """Say that you see to it: it is escalated no further. Safe to send again."""

    def write(session: Session) -> AlertDetail:
        row = _find(session, who, alert)
        services.alerts.book.acknowledge(session, row, who.actor, body.note)
        return _shown(session, row)

    return await services.database.run(write)


@router.post("/{alert}/resolutions", status_code=201)
async def resolve_alert(services: Use, who: Acknowledges, alert: AlertId, body: Note) -> AlertDetail:
    """Say that it is over, of an alert whose end only a person can tell. All others end when they are over."""

    def write(session: Session) -> AlertDetail:
        row = _find(session, who, alert)
        if row.kind not in ENDED_BY_PEOPLE:
            raise Conflict(
                f"{row.kind} ends when it is over", code="ends_by_itself", hint="acknowledge it: it goes no further up"
            )
        services.alerts.book.resolve(session, row, who.actor, body.note)
        return _shown(session, row)

    return await services.database.run(write)


def _find(session: Session, who: Principal, alert: str) -> AlertRow:
    row = session.exec(select(AlertRow).where(AlertRow.id == alert)).first()
    is_seen = row is not None and row.organisation == who.organisation and row.state != State.WAITING
    if row is None or not is_seen or (who.portfolios is not None and row.portfolio not in who.portfolios):
        raise NotFound(f"no alert {alert}")
    return row


def _shown(session: Session, row: AlertRow) -> AlertDetail:
    query = select(AlertEventRow).where(AlertEventRow.alert == number_of(row)).order_by(col(AlertEventRow.id))
    events = [
        {"event": e.event, "at": instant(e.time_ns), "actor": e.actor, "note": e.note}
        for e in session.exec(query.limit(EVENTS_MAX))
    ]
    return AlertDetail.model_validate(plain(row) | {"events": events})
