"""Passkeys of people: make one, log in with one, let one go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from api.auth.passkeys import Asserted
from api.auth.principal import Principal, public, require
from api.auth.tables import PasskeyRow, UserRow
from api.core.errors import ApiError, NotFound, Unauthenticated
from api.core.times import instant, instant_or_none
from api.services import Use
from api.v1.logins import SlugOrId, TokenPair, origin_of
from api.v1.second_factors import check_is_there

router = APIRouter(prefix="/v1/auth/passkeys", tags=["auth"])

CredentialJson = Annotated[
    dict[str, Any], Field(description="What the browser gives: `credential.toJSON()`.", max_length=20)
]


class Options(BaseModel):
    """What the browser is given: `PublicKeyCredential.parse…OptionsFromJSON(public_key)`."""

    public_key: dict[str, Any]


class NewPasskey(BaseModel):
    """A passkey that the browser has made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, examples=["phone"])
    credential: CredentialJson


class Passkey(BaseModel):
    """A passkey of the person's."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None


class PasskeyLogin(BaseModel):
    """A passkey that was used."""

    model_config = ConfigDict(extra="forbid")

    credential: CredentialJson
    organisation: SlugOrId


@router.post("/registration", status_code=201)
async def begin_registration(services: Use, request: Request, who: Annotated[Principal, require(weight=5)]) -> Options:
    """Begin to make a passkey: confirmed by who has a second factor, else within 15 minutes of a login."""
    user = who.check_person()
    await check_is_there(services, request, who)

    def write(session: Session) -> Options:
        return Options(public_key=services.auth.passkeys.registration(session, session.get_one(UserRow, user)))

    return await services.database.run(write)


@router.post("", status_code=201)
async def register(services: Use, who: Annotated[Principal, require(weight=5)], body: NewPasskey) -> Passkey:
    """Keep the passkey that was made."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> Passkey | ApiError:
        try:
            row = auth.passkeys.register(session, user, body.name, body.credential)
        except ApiError as exc:
            return exc  # The challenge stays used.
        auth.audit.append(session, "user.passkey-added", f"user/{user}", {"actor": who.actor, "name": body.name})
        return _shown(row)

    made = await services.database.run(write)
    if isinstance(made, ApiError):
        raise made
    return made


@router.get("")
async def list_passkeys(services: Use, who: Annotated[Principal, require()]) -> list[Passkey]:
    """The person's passkeys."""
    user = who.check_person()

    def read(session: Session) -> list[Passkey]:
        query = select(PasskeyRow).where(PasskeyRow.user == user).order_by(PasskeyRow.name, PasskeyRow.id)
        return [_shown(row) for row in session.exec(query)]

    return await services.database.read(read)


@router.delete("/{passkey}")
async def remove_passkey(
    services: Use,
    who: Annotated[Principal, require(step_up=True)],
    passkey: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,1400}$")],
) -> Passkey:
    """Let a passkey go, confirmed with a code or a passkey."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> Passkey:
        row = session.get(PasskeyRow, passkey)
        if row is None or row.user != user:
            raise NotFound("no such passkey")
        session.delete(row)
        auth.audit.append(session, "user.passkey-removed", f"user/{user}", {"actor": who.actor, "name": row.name})
        return _shown(row)

    return await services.database.run(write)


@router.post("/login/options", status_code=201, dependencies=[public()])
async def begin_login(services: Use, request: Request) -> Options:
    """Begin to log in with a passkey."""
    await services.auth.gate.spend_by_address(request, "passkey-options", 60)
    return Options(public_key=await services.database.run(services.auth.passkeys.login))


@router.post("/login", dependencies=[public()])
async def log_in_with_passkey(services: Use, request: Request, body: PasskeyLogin) -> TokenPair:
    """Log in with a passkey: it is two factors in one, the device and what unlocks it."""
    auth = services.auth
    origin = await origin_of(services, request, str(body.credential.get("id"))[:1400])

    def write(session: Session) -> Asserted | ApiError:
        try:
            found = auth.passkeys.logged_in(session, body.credential)
        except ApiError as exc:
            return exc  # The challenge stays used.
        user = session.get(UserRow, found.user)
        if user is None or user.disabled_ns is not None:
            return Unauthenticated("these do not log anybody in", code="invalid_login")
        return found

    found = await services.database.run(write)
    if isinstance(found, ApiError):
        raise found
    return TokenPair.of(await auth.logins.begin(found.user, "hwk user mfa", body.organisation, origin))


def _shown(row: PasskeyRow) -> Passkey:
    return Passkey(id=row.id, name=row.name, created_at=instant(row.created_ns), used_at=instant_or_none(row.used_ns))
