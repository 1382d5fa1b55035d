"""Webhooks: who is told what, how it went, and once more."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant, instant_or_none
from api.services import Services, Use
from api.v1.deliveries import Delivery, DeliveryState, deliveries_of, end_receiver, newest_deliveries, shown
from api.webhooks.outbox import WEBHOOK
from api.webhooks.secrets import Secret
from api.webhooks.tables import AttemptRow, DeliveryRow, EndpointRow, EventRow

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

ENDPOINTS_MAX = 20
EndpointId = Annotated[str, Path(pattern=r"^whk_[0-9a-f]{16}$")]
DeliveryId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Kind = Literal[
    "fill.created", "order.ended", "kill.pressed", "kill.ended", "alert.opened", "alert.acknowledged",
    "alert.escalated", "alert.resolved", "withdrawal.changed", "withdrawal.ended", "deposit.changed", "approval.asked",
    "approval.changed",
]  # fmt: skip
Url = Annotated[str, Field(min_length=8, max_length=2_000, examples=["https://hooks.example.com/capstan"])]
Reads = Annotated[Principal, require(Scope.WEBHOOKS_READ)]
Writes = Annotated[Principal, require(Scope.WEBHOOKS_WRITE, weight=5)]
_WHOLE = "webhooks tell of every portfolio: a caller of some has none"
_HOUR_NS = 3_600 * 10**9


class Endpoint(BaseModel):
    """A URL that is told what happens."""

    id: str = Field(examples=["whk_0123456789abcdef"])
    url: str
    description: str
    kinds: list[str] = Field(description="Empty is every kind.")
    enabled: bool
    disabled_reason: str
    public_keys: list[str] = Field(description="Of the live secrets, for `v1a` signatures; the newest first.")
    old_secret_until: datetime | None = Field(description="How long the secret before the newest signs too.")
    created_at: datetime


class MadeEndpoint(Endpoint):
    """With the secret that was just made."""

    secret: str = Field(description="For `v1` signatures. It is never shown again.")


class EndpointRequest(BaseModel):
    """Who is to be told."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    description: str = Field(default="", max_length=200)
    kinds: list[Kind] = Field(default=[], max_length=20, examples=[["fill.created"]])


class EndpointChange(BaseModel):
    """What is to be different; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    description: str | None = Field(default=None, max_length=200)
    kinds: list[Kind] | None = Field(default=None, max_length=20)
    enabled: bool | None = Field(default=None, examples=[False])


class Rotation(BaseModel):
    """How long the old secret signs beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(default=24, ge=0, le=720)


class Attempt(BaseModel):
    """One request."""

    at: datetime
    took_ms: int
    status: int | None = Field(description="Null where nobody answered.")
    error: str
    answer: str = Field(description="Its first bytes.")


class DeliveryDetail(Delivery):
    """With what was sent and how it went."""

    body: str
    attempts: list[Attempt]


@router.get("")
async def list_webhooks(services: Use, who: Reads) -> Page[Endpoint]:
    """The organisation's endpoints; there are at most twenty."""
    who.check_whole(_WHOLE)

    def read(session: Session) -> list[Endpoint]:
        query = _webhooks(select(EndpointRow), who.organisation)
        return [_shown(services, session, row) for row in session.exec(query.order_by(col(EndpointRow.id)))]

    return Page(data=await services.database.read(read))


@router.post("", status_code=201)
async def create_webhook(services: Use, who: Writes, body: EndpointRequest) -> MadeEndpoint:
    """Have a URL told. It leads outside, now and at each delivery."""
    who.check_whole(_WHOLE)
    await services.webhooks.guard.admit(body.url)
    now = services.clock.now_ns()

    def write(session: Session) -> MadeEndpoint:
        services.database.serialize(session, f"webhooks/{who.organisation}")
        query = _webhooks(select(EndpointRow.id), who.organisation)
        if len(session.exec(query).all()) >= ENDPOINTS_MAX:
            raise Conflict(f"there are {ENDPOINTS_MAX} already")
        row = EndpointRow(
            id=f"whk_{secrets.token_hex(8)}", organisation=who.organisation, url=body.url,
            description=body.description, kinds=_words(body.kinds), enabled=True, created_ns=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        made = services.webhooks.secrets.add(session, row.id, now_ns=now, old_until_ns=now)
        _audit(services, session, "webhook.created", row, who)
        return _made(services, session, row, made)

    return await services.database.run(write)


@router.get("/{webhook}")
async def get_webhook(services: Use, who: Reads, webhook: EndpointId) -> Endpoint:
    """One endpoint."""
    return await services.database.read(lambda session: _shown(services, session, _find(session, who, webhook)))


@router.patch("/{webhook}")
async def change_webhook(services: Use, who: Writes, webhook: EndpointId, body: EndpointChange) -> Endpoint:
    """Change an endpoint. Enabled again, it is told what waited meanwhile."""
    if body.url is not None:
        await services.webhooks.guard.admit(body.url)

    def write(session: Session) -> Endpoint:
        row = _find(session, who, webhook)
        row.url = row.url if body.url is None else body.url
        row.description = row.description if body.description is None else body.description
        row.kinds = row.kinds if body.kinds is None else _words(body.kinds)
        if body.enabled is not None:
            row.enabled, row.disabled_reason = body.enabled, "" if body.enabled else "by a person"
        _audit(services, session, "webhook.changed", row, who)
        return _shown(services, session, row)

    return await services.database.run(write)


@router.delete("/{webhook}", status_code=204)
async def delete_webhook(services: Use, who: Writes, webhook: EndpointId) -> None:
    """End an endpoint, with its log."""

    def write(session: Session) -> None:
        row = _find(session, who, webhook)
        _audit(services, session, "webhook.deleted", row, who)
        end_receiver(session, row)

    await services.database.run(write)


@router.post("/{webhook}/secrets", status_code=201)
async def rotate_secret(services: Use, who: Writes, webhook: EndpointId, body: Rotation) -> MadeEndpoint:
    """Make a new secret. Requests bear the signatures of both until the overlap ends."""
    now = services.clock.now_ns()

    def write(session: Session) -> MadeEndpoint:
        services.database.serialize(session, f"webhooks/{who.organisation}")
        row = _find(session, who, webhook)
        until = now + body.overlap_hours * _HOUR_NS
        made = services.webhooks.secrets.add(session, row.id, now_ns=now, old_until_ns=until)
        _audit(services, session, "webhook.secret-rotated", row, who)
        return _made(services, session, row, made)

    return await services.database.run(write)


@router.post("/{webhook}/tests", status_code=202)
async def test_webhook(services: Use, who: Writes, webhook: EndpointId) -> Delivery:
    """Send a `webhook.test` event to this endpoint."""

    def write(session: Session) -> Delivery:
        row = _find(session, who, webhook)
        if not row.enabled:
            raise Conflict("this endpoint is not enabled")
        event = services.webhooks.outbox.test(session, row)
        return shown(*session.exec(deliveries_of(webhook).where(EventRow.id == event)).one())

    return await services.database.run(write)


@router.get("/{webhook}/deliveries")
async def list_deliveries(
    services: Use,
    who: Reads,
    webhook: EndpointId,
    state: DeliveryState | None = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Page[Delivery]:
    """What was told or is to be, the newest first."""
    scope = f"webhooks/{who.organisation}/{webhook}/{state}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Delivery]:
        _find(session, who, webhook)
        found = newest_deliveries(session, webhook, state=state, before=before, limit=limit + 1)
        return [shown(row, event) for row, event in found]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.id)
    return Page(data=rows, next=following)


@router.get("/{webhook}/deliveries/{delivery}")
async def get_delivery(services: Use, who: Reads, webhook: EndpointId, delivery: DeliveryId) -> DeliveryDetail:
    """One delivery, with every request of it."""

    def read(session: Session) -> DeliveryDetail:
        row, event = _find_delivery(session, who, webhook, delivery)
        query = select(AttemptRow).where(AttemptRow.delivery == delivery).order_by(col(AttemptRow.id))
        attempts = [
            Attempt(at=instant(a.time_ns), took_ms=a.took_ms, status=a.status, error=a.error, answer=a.answer)
            for a in session.exec(query.limit(500))
        ]
        return DeliveryDetail(**shown(row, event).model_dump(), body=event.body, attempts=attempts)

    return await services.database.read(read)


@router.post("/{webhook}/deliveries/{delivery}/replays", status_code=202)
async def replay_delivery(services: Use, who: Writes, webhook: EndpointId, delivery: DeliveryId) -> Delivery:
    """Tell it once more, now, under the same `webhook-id`; the ladder begins anew."""

    def write(session: Session) -> Delivery:
        row, event = _find_delivery(session, who, webhook, delivery)
        row.state, row.tries, row.due_ns = "pending", 0, services.clock.now_ns()
        return shown(row, event)

    return await services.database.run(write)


# --- parts


def _find(session: Session, who: Principal, webhook: str) -> EndpointRow:
    who.check_whole(_WHOLE)
    row = session.get(EndpointRow, webhook)
    if row is None or row.organisation != who.organisation or row.type != WEBHOOK:
        raise NotFound(f"no webhook {webhook}")
    return row


def _find_delivery(session: Session, who: Principal, webhook: str, delivery: int) -> tuple[DeliveryRow, EventRow]:
    _find(session, who, webhook)
    found = session.exec(deliveries_of(webhook).where(DeliveryRow.id == delivery)).first()
    if found is None:
        raise NotFound(f"no delivery {delivery}")
    return found[0], found[1]


def _webhooks(query: Any, organisation: str) -> Any:
    return query.where(EndpointRow.organisation == organisation, EndpointRow.type == WEBHOOK)


def _words(kinds: list[Kind]) -> str:
    return " ".join(sorted(set(kinds)))


def _audit(services: Services, session: Session, what: str, row: EndpointRow, who: Principal) -> None:
    detail = {"actor": who.actor, "url": row.url, "kinds": row.kinds, "enabled": row.enabled}
    services.auth.audit.append(session, what, f"webhook/{row.id}", detail)


def _made(services: Services, session: Session, row: EndpointRow, secret: Secret) -> MadeEndpoint:
    return MadeEndpoint(**_shown(services, session, row).model_dump(), secret=secret.text)


def _shown(services: Services, session: Session, row: EndpointRow) -> Endpoint:
    live = services.webhooks.secrets.live(session, row.id, services.clock.now_ns())
    return Endpoint(
        id=row.id,
        url=row.url,
        description=row.description,
        kinds=row.kinds.split(),
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        public_keys=[secret.public_text for secret in live],
        old_secret_until=instant_or_none(live[1].expires_ns) if len(live) > 1 else None,
        created_at=instant(row.created_ns),
    )
