"""The caller's organisation: how it looks to its people, what it charges, where they may come from."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self

import msgspec
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel import Session, select

from api.auth.networks import caller_address, is_within, parse_networks
from api.auth.principal import Principal, public, require
from api.auth.scopes import Scope
from api.auth.tables import OrganisationRow
from api.core.amounts import PositiveText
from api.core.errors import Conflict, NotFound
from api.services import Use

router = APIRouter(prefix="/v1", tags=["organisation"])

Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", examples=["#0b5fff"])]
Slug = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
_BPS_MAX = 1_000
BpsText = Annotated[
    str,
    Field(pattern=r"^-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?$", examples=["7.5"], description="Hundredths of a per cent."),
]


class Branding(BaseModel):
    """What people see: public, since login pages show it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=120)
    logo: str = Field(default="", max_length=500, pattern=r"^(https://[^\s\"'<>\\]+)?$", description="An https URL.")
    primary: Colour = "#0b5fff"
    accent: Colour = "#12b886"
    background: Colour = "#ffffff"


class FeeTier(BaseModel):
    """Fees from a volume on."""

    model_config = ConfigDict(extra="forbid")

    volume_30d: PositiveText = Field(description="In the quote currency, from here on.")
    maker_bps: BpsText
    taker_bps: BpsText

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        maker, taker = Decimal(self.maker_bps), Decimal(self.taker_bps)
        if max(abs(maker), abs(taker)) > _BPS_MAX:
            raise ValueError(f"a fee is at most {_BPS_MAX} bps")
        if maker + taker < 0:
            raise ValueError("a rebate is never more than the other side pays")
        return self


class FeeSchedule(BaseModel):
    """What the organisation charges its own clients."""

    model_config = ConfigDict(extra="forbid")

    tiers: list[FeeTier] = Field(default=[], max_length=50, description="By rising volume, the first from 0.")
    withdrawals: dict[Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,120}$")], PositiveText] = Field(
        default={}, max_length=500, description="Flat, by asset."
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        volumes = [Decimal(tier.volume_30d) for tier in self.tiers]
        if volumes and volumes[0] != 0:
            raise ValueError("the first tier is from volume 0")
        if any(before >= after for before, after in pairwise(volumes)):
            raise ValueError("tiers go by rising volume")
        return self


class Organisation(BaseModel):
    """The caller's organisation."""

    id: str
    slug: str
    name: str
    branding: Branding
    fees: FeeSchedule
    networks: list[str] = Field(description="Where its people and keys may come from; none is anywhere.")
    rate_limit: int = Field(description="Weight a minute of each caller.")
    status: Literal["open"] = "open"


class AllowList(BaseModel):
    """Addresses and CIDR blocks."""

    model_config = ConfigDict(extra="forbid")

    networks: list[str] = Field(max_length=200)


@router.get("/organisation")
async def get_organisation(services: Use, who: Annotated[Principal, require(Scope.ORGANISATION_READ)]) -> Organisation:
    """Name, looks, fees and allow-list."""
    return await services.database.read(lambda session: _shown(session.get_one(OrganisationRow, who.organisation)))


@router.get("/branding/{slug}", dependencies=[public()])
async def get_branding(services: Use, slug: Slug) -> Branding:
    """How an organisation looks, for its login page."""

    def read(session: Session) -> Branding:
        row = session.exec(select(OrganisationRow).where(OrganisationRow.slug == slug)).first()
        if row is None or row.closed_ns is not None:
            raise NotFound(f"no organisation {slug}")
        return branding_of(row)

    return await services.database.read(read)


@router.put("/organisation/branding")
async def set_branding(
    services: Use, who: Annotated[Principal, require(Scope.ORGANISATION_WRITE)], body: Branding
) -> Organisation:
    """Change how the organisation looks."""

    def write(session: Session) -> Organisation:
        row = session.get_one(OrganisationRow, who.organisation)
        before, row.branding, row.name = row.branding, body.model_dump_json(), body.name
        services.auth.audit.append(
            session, "organisation.branding-changed", f"organisation/{row.id}",
            {"actor": who.actor, "before": before, "after": row.branding},
        )  # fmt: skip
        return _shown(row)

    return await services.database.run(write)


@router.put("/organisation/fees")
async def set_fees(
    services: Use, who: Annotated[Principal, require(Scope.ORGANISATION_WRITE, step_up=True)], body: FeeSchedule
) -> Organisation:
    """Change what the organisation charges, confirmed by a person."""

    def write(session: Session) -> Organisation:
        row = session.get_one(OrganisationRow, who.organisation)
        before, row.fees = row.fees, body.model_dump_json()
        services.auth.audit.append(
            session, "organisation.fees-changed", f"organisation/{row.id}",
            {"actor": who.actor, "before": before, "after": row.fees},
        )  # fmt: skip
        return _shown(row)

    return await services.database.run(write)


@router.put("/organisation/networks")
async def set_networks(
    services: Use,
    request: Request,
    who: Annotated[Principal, require(Scope.ORGANISATION_WRITE, step_up=True)],
    body: AllowList,
) -> Organisation:
    """Say where people and keys may come from, confirmed by a person. A list without one's own address is refused."""
    networks = parse_networks(body.networks)
    address = caller_address(request, parse_networks(services.auth.settings.trusted_proxies))
    if networks and not is_within(address, networks):
        raise Conflict(f"{address}, where you are, is not on this list", code="would_lock_out")
    text = msgspec.json.encode([str(network) for network in networks]).decode()

    def write(session: Session) -> Organisation:
        row = session.get_one(OrganisationRow, who.organisation)
        before, row.networks = row.networks, text
        services.auth.audit.append(
            session, "organisation.networks-changed", f"organisation/{row.id}",
            {"actor": who.actor, "before": before, "after": text},
        )  # fmt: skip
        return _shown(row)

    changed = await services.database.run(write)
    services.auth.standings.forget()
    return changed


def branding_of(row: OrganisationRow) -> Branding:
    """How an organisation looks; by its name alone until it has said."""
    return Branding(name=row.name) if row.branding == "{}" else Branding.model_validate_json(row.branding)


def _shown(row: OrganisationRow) -> Organisation:
    return Organisation(
        id=row.id,
        slug=row.slug,
        name=row.name,
        branding=branding_of(row),
        fees=FeeSchedule.model_validate_json(row.fees),
        networks=msgspec.json.decode(row.networks),
        rate_limit=row.rate_limit,
    )
