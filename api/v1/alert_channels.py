"""Channels: who is told of alerts, by PagerDuty, e-mail or push; how it went, and a test."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.alerts.channels import FAILURES_MAX, TEST, VERIFICATION, Options, options_of
from api.alerts.states import Severity
from api.auth.bootstrap import read_email
from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import Conflict, Forbidden, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.services import Services, Use
from api.v1.deliveries import Delivery, DeliveryState, deliveries_of, end_receiver, newest_deliveries, shown
from api.webhooks.outbox import WEBHOOK
from api.webhooks.tables import AttemptRow, EndpointRow, EventRow

router = APIRouter(prefix="/v1/alert-channels", tags=["alerts"])

CHANNELS_MAX = 20
ChannelId = Annotated[str, Path(pattern=r"^chn_[0-9a-f]{16}$")]
Type = Literal["pagerduty", "email", "push"]
Level = Annotated[int, Field(ge=1, le=3, description="1 is told at once, 2 and 3 when nobody acknowledged.")]
Reads = Annotated[Principal, require(Scope.ALERTS_READ)]
Writes = Annotated[Principal, require(Scope.ALERTS_WRITE, weight=10)]
Loosens = Annotated[Principal, require(Scope.ALERTS_WRITE, step_up=True)]
_WHOLE = "channels tell of every portfolio: not for a caller of some"
_OF_TYPE: Final = {"pagerduty": {"routing_key", "region"}, "email": {"address"}, "push": {"platform", "token"}}
_NEEDED: Final = {"pagerduty": "routing_key", "email": "address", "push": "token"}
_EXAMPLE: JsonDict = {"type": "email", "description": "desk", "address": "desk@acme.example", "severity": "warning"}


class Channel(BaseModel):
    """Somebody who is told of alerts."""

    id: str = Field(examples=["chn_0123456789abcdef"])
    type: Type
    target: str = Field(description="An address, or the end of a key or token.")
    description: str
    severity: Severity = Field(description="The least that it is told of.")
    level: int
    enabled: bool
    disabled_reason: str
    verified: bool = Field(description="An address is told of alerts once its code came back.")
    created_at: datetime


class ChannelRequest(BaseModel):
    """Who is to be told. `routing_key` (and `region`), `address`, or `platform` and `token` go with the type."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    type: Type
    description: str = Field(default="", max_length=200)
    severity: Severity = Severity.WARNING
    level: Level = 1
    routing_key: str | None = Field(default=None, pattern=r"^[0-9A-Za-z]{32}$", repr=False)
    region: Literal["us", "eu"] | None = Field(default=None, description="Of the PagerDuty account; `us` unless said.")
    address: str | None = Field(default=None, max_length=254)
    platform: Literal["apns", "fcm"] | None = None
    token: str | None = Field(default=None, pattern=r"^[0-9A-Za-z:_\-]{16,400}$", repr=False)

    @model_validator(mode="after")
    def _of_its_type(self) -> ChannelRequest:
        given = {name for names in _OF_TYPE.values() for name in names if getattr(self, name) is not None}
        if beyond := sorted(given - _OF_TYPE[self.type]):
            raise ValueError(f"{self.type} has no {', '.join(beyond)}")
        if _NEEDED[self.type] not in given or (self.type == "push" and self.platform is None):
            raise ValueError(f"{self.type} wants {' and '.join(sorted(_OF_TYPE[self.type] - {'region'}))}")
        return self


class ChannelChange(BaseModel):
    """What is to be different; the rest stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"severity": "error"}]})

    description: str | None = Field(default=None, max_length=200)
    severity: Severity | None = None
    level: Level | None = None
    enabled: bool | None = None


class ChannelDelivery(Delivery):
    """One event for one channel."""

    alert: str | None
    last_status: int | None = Field(description="Of the last try: HTTP, or SMTP.")
    last_error: str
    last_answer: str


class Code(BaseModel):
    """What the e-mail said."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"code": "01234567"}]})

    code: str = Field(pattern=r"^[0-9]{8}$")


@router.get("")
async def list_channels(services: Use, who: Reads) -> Page[Channel]:
    """The organisation's channels; there are at most twenty."""
    who.check_whole(_WHOLE)

    def read(session: Session) -> list[Channel]:
        return [_shown(row) for row in session.exec(_channels(who.organisation).order_by(col(EndpointRow.id)))]

    return Page(data=await services.database.read(read))


@router.post("", status_code=201)
async def create_channel(services: Use, who: Writes, body: ChannelRequest) -> Channel:
    """Have somebody told. An address gets a code first, and alerts once the code came back."""
    who.check_whole(_WHOLE)
    if body.type == "email" and not services.alerts.settings.smtp_host:
        raise Conflict("this installation has no mail server", code="no_mail_server", hint="[alerts] smtp_host")
    secret = body.routing_key or body.token or ""
    target = read_email(body.address or "") if body.type == "email" else f"…{secret[-4:]}"
    options = Options(
        severity=body.severity, level=body.level, verified=body.type != "email",
        region=body.region or "us", platform=body.platform or "fcm",
    )  # fmt: skip

    def write(session: Session) -> Channel:
        services.database.serialize(session, f"alert-channels/{who.organisation}")
        if len(session.exec(_channels(who.organisation)).all()) >= CHANNELS_MAX:
            raise Conflict(f"there are {CHANNELS_MAX} already")
        row = EndpointRow(
            id=f"chn_{secrets.token_hex(8)}", organisation=who.organisation, type=body.type, url=target, kinds="",
            description=body.description, options=options.text(), enabled=True, created_ns=services.clock.now_ns(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        if secret:
            services.alerts.channels.keep_secret(session, row.id, secret)
        if not options.verified:
            services.webhooks.outbox.tell_one(session, row, VERIFICATION, {"channel": row.id})
        _audit(services, session, "alert-channel.created", row, who)
        return _shown(row)

    return await services.database.run(write)


@router.get("/{channel}")
async def get_channel(services: Use, who: Reads, channel: ChannelId) -> Channel:
    """One channel."""
    return await services.database.read(lambda session: _shown(_find(session, who, channel)))


@router.patch("/{channel}")
async def change_channel(services: Use, who: Loosens, channel: ChannelId, body: ChannelChange) -> Channel:
    """Change a channel. A person confirms it: whoever can change channels could silence them."""

    def write(session: Session) -> Channel:
        row = _find(session, who, channel)
        options = options_of(row)
        row.options = msgspec.structs.replace(
            options, severity=body.severity or options.severity, level=body.level or options.level
        ).text()
        row.description = row.description if body.description is None else body.description
        if body.enabled is not None:
            if body.enabled and options.failures >= FAILURES_MAX:
                raise Conflict("too many wrong codes came: make another channel")
            row.enabled, row.disabled_reason = body.enabled, "" if body.enabled else "by a person"
        _audit(services, session, "alert-channel.changed", row, who)
        return _shown(row)

    return await services.database.run(write)


@router.delete("/{channel}", status_code=204)
async def delete_channel(services: Use, who: Loosens, channel: ChannelId) -> None:
    """End a channel, with its log."""

    def write(session: Session) -> None:
        row = _find(session, who, channel)
        _audit(services, session, "alert-channel.deleted", row, who)
        end_receiver(session, row)

    await services.database.run(write)


@router.post("/{channel}/verifications", status_code=201)
async def verify_channel(services: Use, who: Writes, channel: ChannelId, body: Code) -> Channel:
    """Give back the code that was sent to an address. Five wrong ones end the channel."""

    def write(session: Session) -> tuple[Channel, bool]:
        services.database.serialize(session, f"alert-channels/{who.organisation}")
        row = _find(session, who, channel)
        session.refresh(row)
        options = options_of(row)
        if options.verified or not row.enabled:
            return _shown(row), options.verified
        is_right = hmac.compare_digest(services.alerts.channels.code(row), body.code)
        if is_right:
            options = msgspec.structs.replace(options, verified=True)
            _audit(services, session, "alert-channel.verified", row, who)
        else:
            options = msgspec.structs.replace(options, failures=options.failures + 1)
            if options.failures >= FAILURES_MAX:
                row.enabled, row.disabled_reason = False, "too many wrong codes"
        row.options = options.text()
        return _shown(row), is_right

    found, is_right = await services.database.run(write)
    if not is_right:
        raise Forbidden("this is not the code that was sent", code="wrong_code")
    return found


@router.post("/{channel}/tests", status_code=202)
async def test_channel(services: Use, who: Writes, channel: ChannelId) -> Delivery:
    """Tell this channel that it is being tested."""

    def write(session: Session) -> Delivery:
        row = _find(session, who, channel)
        if not row.enabled or not options_of(row).verified:
            raise Conflict("this channel is not enabled, or its address not confirmed")
        event = services.webhooks.outbox.tell_one(session, row, TEST, {"channel": row.id})
        return shown(*session.exec(deliveries_of(channel).where(EventRow.id == event)).one())

    return await services.database.run(write)


@router.get("/{channel}/deliveries")
async def list_channel_deliveries(
    services: Use,
    who: Reads,
    channel: ChannelId,
    state: DeliveryState | None = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Page[ChannelDelivery]:
    """What it was told or is to be, the newest first, with how the last try went."""
    scope = f"alert-channels/{who.organisation}/{channel}/{state}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[ChannelDelivery]:
        _find(session, who, channel)
        found = newest_deliveries(session, channel, state=state, before=before, limit=limit + 1)
        return [_with_last(session, shown(row, event), event) for row, event in found]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.id)
    return Page(data=rows, next=following)


# --- parts


def _with_last(session: Session, delivery: Delivery, event: EventRow) -> ChannelDelivery:
    query = select(AttemptRow).where(AttemptRow.delivery == delivery.id).order_by(col(AttemptRow.id).desc())
    last = session.exec(query.limit(1)).first()
    return ChannelDelivery(
        **delivery.model_dump(),
        alert=event.subject,
        last_status=last.status if last else None,
        last_error=last.error if last else "",
        last_answer=last.answer if last else "",
    )


def _find(session: Session, who: Principal, channel: str) -> EndpointRow:
    who.check_whole(_WHOLE)
    row = session.get(EndpointRow, channel)
    if row is None or row.organisation != who.organisation or row.type == WEBHOOK:
        raise NotFound(f"no channel {channel}")
    return row


def _channels(organisation: str) -> Any:
    return select(EndpointRow).where(EndpointRow.organisation == organisation, EndpointRow.type != WEBHOOK)


def _audit(services: Services, session: Session, what: str, row: EndpointRow, who: Principal) -> None:
    detail = {"actor": who.actor, "type": row.type, "target": row.url, "enabled": row.enabled}
    services.auth.audit.append(session, what, f"alert-channel/{row.id}", detail)


def _shown(row: EndpointRow) -> Channel:
    options = options_of(row)
    return Channel.model_validate(
        {
            "id": row.id, "type": row.type, "target": row.url, "description": row.description,
            "severity": options.severity, "level": options.level, "enabled": row.enabled,
            "disabled_reason": row.disabled_reason, "verified": options.verified,
            "created_at": instant(row.created_ns),
        }
    )  # fmt: skip
