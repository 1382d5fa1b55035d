"""OAuth clients of an organisation: make, list and end them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from api.auth.oauth import NewClient, make_client
from api.auth.portfolio_limits import listed, read_limit
from api.auth.principal import Principal, require
from api.auth.scopes import Scope, parse_scopes
from api.auth.tables import OAuthClientRow
from api.core.errors import NotFound
from api.core.times import instant, instant_or_none
from api.services import Use

router = APIRouter(prefix="/v1/oauth-clients", tags=["oauth"])

ClientId = Annotated[str, Path(pattern=r"^app_[a-z2-7]{16}$")]


class OAuthClient(BaseModel):
    """A program that acts for members who let it, or for itself."""

    id: str
    name: str
    user: str = Field(description="Who made it. One that acts for itself can do no more than that person.")
    redirects: list[str]
    scopes: list[Scope]
    portfolios: list[str] | None
    is_confidential: bool
    acts_alone: bool
    created_at: datetime
    revoked_at: datetime | None


class MadeClient(OAuthClient):
    """A client that was just made."""

    secret: str | None = Field(description="Never shown again; null for a public client.")


class ClientRequest(BaseModel):
    """A client to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, examples=["tax reports"])
    redirects: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[], max_length=20, examples=[["https://tax.example/callback"]]
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    portfolios: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(default=None, max_length=100)
    is_confidential: bool = Field(default=True, description="It runs where it can keep a secret.")
    acts_alone: bool = Field(default=False, description="It may ask for tokens of its own (client credentials).")


@router.get("")
async def list_oauth_clients(services: Use, who: Annotated[Principal, require(Scope.KEYS_READ)]) -> list[OAuthClient]:
    """The organisation's clients, revoked ones too."""

    def read(session: Session) -> list[OAuthClient]:
        query = select(OAuthClientRow).where(OAuthClientRow.organisation == who.organisation)
        return [_shown(row) for row in session.exec(query.order_by(OAuthClientRow.name, OAuthClientRow.id))]

    return await services.database.read(read)


@router.post("", status_code=201)
async def create_oauth_client(
    services: Use, who: Annotated[Principal, require(Scope.KEYS_WRITE, step_up=True, weight=10)], body: ClientRequest
) -> MadeClient:
    """Make a client, confirmed by a person, with no scope and no portfolio that its maker does not have."""
    scopes = frozenset(body.scopes)
    portfolios = who.check_gives(scopes, body.portfolios)
    new = NewClient(body.name, body.redirects, scopes, portfolios, body.is_confidential, body.acts_alone)

    def write(session: Session) -> MadeClient:
        row, secret = make_client(
            session, new, organisation=who.organisation, user=who.user or "", now_ns=services.clock.now_ns()
        )
        detail = {"actor": who.actor, "scopes": row.scopes, "redirects": row.redirects}
        services.auth.audit.append(session, "oauth-client.created", f"client/{row.id}", detail)
        return MadeClient(**_shown(row).model_dump(), secret=secret)

    return await services.database.run(write)


@router.delete("/{client}")
async def revoke_client(
    services: Use, who: Annotated[Principal, require(Scope.KEYS_WRITE)], client: ClientId
) -> OAuthClient:
    """End a client and everything it holds, within a second. Needs no confirmation."""

    def write(session: Session) -> OAuthClient:
        row = session.get(OAuthClientRow, client)
        if row is None or row.organisation != who.organisation:
            raise NotFound(f"no client {client}")
        if row.revoked_ns is None:
            row.revoked_ns = services.clock.now_ns()
            services.auth.audit.append(session, "oauth-client.revoked", f"client/{row.id}", {"actor": who.actor})
        return _shown(row)

    revoked = await services.database.run(write)
    services.auth.standings.forget()
    return revoked


def _shown(row: OAuthClientRow) -> OAuthClient:
    return OAuthClient(
        id=row.id,
        name=row.name,
        user=row.user,
        redirects=msgspec.json.decode(row.redirects),
        scopes=sorted(parse_scopes(row.scopes)),
        portfolios=listed(read_limit(row.portfolios)),
        is_confidential=row.secret is not None,
        acts_alone=row.acts_alone,
        created_at=instant(row.created_ns),
        revoked_at=instant_or_none(row.revoked_ns),
    )
