"""API keys: who may list, make and end them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from api.auth.api_keys import NewKey, make_key
from api.auth.networks import parse_networks
from api.auth.portfolio_limits import listed, read_limit
from api.auth.principal import Principal, require
from api.auth.scopes import Scope, parse_scopes
from api.auth.signing import Algorithm
from api.auth.tables import ApiKeyRow
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant, instant_or_none
from api.services import Use

router = APIRouter(prefix="/v1/keys", tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^key_[a-z2-7]{16}$")]
Networks = Annotated[
    list[str],
    Field(max_length=50, description="Addresses or CIDR blocks that may use the key; none is anywhere."),
]
_DAY_NS = 24 * 3_600 * 10**9


class ApiKey(BaseModel):
    """A key, without its secret."""

    id: str = Field(examples=["key_k5qwczlyij2xgnzo"])
    name: str
    algorithm: Literal["ed25519", "hmac-sha256"]
    public_key: str | None = Field(description="Of an Ed25519 key, base64url.")
    user: str = Field(description="Who made it; it can do no more than that person.")
    scopes: list[Scope]
    portfolios: list[str] | None = Field(description="Null is every portfolio.")
    networks: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = Field(description="The last use, to the minute.")


class MadeKey(ApiKey):
    """A key that was just made."""

    secret: str | None = Field(description="Of an HMAC key, base64url of 32 bytes. It is never shown again.")


class KeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, examples=["market maker 1"])
    algorithm: Literal["ed25519", "hmac-sha256"] = "ed25519"
    public_key: str | None = Field(
        default=None, max_length=200, description="Ed25519: PEM, or 32 bytes in base64. The private key stays with you."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), examples=[["orders:read", "orders:write"]])
    portfolios: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(default=None, max_length=100)
    networks: Networks = []
    expires_in_days: int | None = Field(default=None, ge=1, le=3_650)


class NetworksRequest(BaseModel):
    """Where a key may be used from."""

    model_config = ConfigDict(extra="forbid")

    networks: Networks


@router.get("")
async def list_keys(
    services: Use, who: Annotated[Principal, require(Scope.KEYS_READ)], limit: Limit = 100, cursor: CursorText = None
) -> Page[ApiKey]:
    """The organisation's keys, newest first, revoked ones too."""
    scope = f"keys/{who.organisation}"
    after = services.cursors.open(scope, cursor, tuple[int, str])

    def read(session: Session) -> list[ApiKeyRow]:
        query = select(ApiKeyRow).where(ApiKeyRow.organisation == who.organisation)
        if after is not None:
            created_ns, name = after
            query = query.where(
                (col(ApiKeyRow.created_ns) < created_ns)
                | ((col(ApiKeyRow.created_ns) == created_ns) & (col(ApiKeyRow.id) > name))
            )
        query = query.order_by(col(ApiKeyRow.created_ns).desc(), col(ApiKeyRow.id)).limit(limit + 1)
        rows = list(session.exec(query))
        session.expunge_all()  # They outlive the session.
        return rows

    rows = await services.database.read(read)
    rows, following = services.cursors.page(scope, rows, limit, lambda row: (row.created_ns, row.id))
    return Page(data=[_shown(row) for row in rows], next=following)


@router.get("/{key}")
async def get_key(services: Use, who: Annotated[Principal, require(Scope.KEYS_READ)], key: KeyId) -> ApiKey:
    """One key."""
    return await services.database.read(lambda session: _shown(_find(session, who, key)))


@router.post("", status_code=201)
async def create_key(
    services: Use, who: Annotated[Principal, require(Scope.KEYS_WRITE, step_up=True, weight=10)], body: KeyRequest
) -> MadeKey:
    """Make a key, confirmed by a person. It can have no scope and no portfolio that its maker does not have."""
    scopes = frozenset(body.scopes)
    portfolios = who.check_gives(scopes, body.portfolios)
    auth, now = services.auth, services.clock.now_ns()
    expires_ns = None if body.expires_in_days is None else now + body.expires_in_days * _DAY_NS
    new = NewKey(body.name, Algorithm(body.algorithm), scopes, portfolios, body.networks, expires_ns, body.public_key)

    def write(session: Session) -> MadeKey:
        row, secret = make_key(
            session, new, organisation=who.organisation, user=who.user or "", seal=auth.seal, now_ns=now
        )
        detail = {"actor": who.actor, "scopes": row.scopes, "networks": row.networks, "algorithm": row.algorithm}
        auth.audit.append(session, "key.created", f"key/{row.id}", detail)
        return MadeKey(**_shown(row).model_dump(), secret=secret)

    return await services.database.run(write)


@router.put("/{key}/networks")
async def set_key_networks(
    services: Use, who: Annotated[Principal, require(Scope.KEYS_WRITE, step_up=True)], key: KeyId, body: NetworksRequest
) -> ApiKey:
    """Say where a key may be used from, confirmed by a person."""
    networks = msgspec.json.encode([str(network) for network in parse_networks(body.networks)]).decode()

    def write(session: Session) -> ApiKey:
        row = _find(session, who, key)
        detail = {"actor": who.actor, "before": row.networks, "after": networks}
        services.auth.audit.append(session, "key.networks-changed", f"key/{row.id}", detail)
        row.networks = networks
        return _shown(row)

    changed = await services.database.run(write)
    services.auth.standings.forget()
    return changed


@router.delete("/{key}")
async def revoke_key(services: Use, who: Annotated[Principal, require(Scope.KEYS_WRITE)], key: KeyId) -> ApiKey:
    """End a key, at once and for ever. Needs no confirmation: what makes things tighter never waits."""

    def write(session: Session) -> ApiKey:
        row = _find(session, who, key)
        if row.revoked_ns is None:
            row.revoked_ns = services.clock.now_ns()
            services.auth.audit.append(session, "key.revoked", f"key/{row.id}", {"actor": who.actor})
        return _shown(row)

    revoked = await services.database.run(write)
    services.auth.standings.forget()
    return revoked


def _find(session: Session, who: Principal, key: str) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key)
    if row is None or row.organisation != who.organisation:
        raise NotFound(f"no key {key}")
    return row


def _shown(row: ApiKeyRow) -> ApiKey:
    is_public = row.algorithm == Algorithm.ED25519
    return ApiKey(
        id=row.id,
        name=row.name,
        algorithm="ed25519" if is_public else "hmac-sha256",
        public_key=row.material if is_public else None,
        user=row.user,
        scopes=sorted(parse_scopes(row.scopes)),
        portfolios=listed(read_limit(row.portfolios)),
        networks=msgspec.json.decode(row.networks),
        created_at=instant(row.created_ns),
        expires_at=instant_or_none(row.expires_ns),
        revoked_at=instant_or_none(row.revoked_ns),
        used_at=instant_or_none(row.used_ns),
    )
