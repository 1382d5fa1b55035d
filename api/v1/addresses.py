"""Where one's clients withdraw to, and since when: a thief's new address has to wait, and be seen."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.custody.whose import whose
from api.services import Services, Use
from api.v1.withdrawals import Recipient
from custody.withdrawals.tables import AddressRow

router = APIRouter(prefix="/v1/addresses", tags=["addresses"])

Reader = Annotated[Principal, require(Scope.ADDRESSES_READ)]
Confirmed = Annotated[Principal, require(Scope.ADDRESSES_WRITE, step_up=True, weight=5)]
AddressId = Annotated[int, Path(ge=1, le=2**62)]

_EXAMPLE: Final[JsonDict] = {
    "client": "ulla", "address": "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f", "label": "Ulla's ledger",
}  # fmt: skip


class NewAddress(Recipient):
    """An address of a client, on the installation's chain or as an exchange sends to it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    client: str = Field(min_length=1, max_length=64, description="An `id` of /v1/clients.")
    label: str = Field(default="", max_length=80, description="A name for people.")


class Address(NewAddress):
    """An entry of a client's address book."""

    id: int
    place: str = Field(description="The chain's id, or the exchange and its network: binance:ETH.")
    added_at: datetime
    usable_at: datetime = Field(description="Its cool-down is over then.")


@router.get("")
async def list_addresses(
    services: Use, who: Reader,
    client: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Address]:  # fmt: skip
    """The addresses of your clients, the newest first."""
    mine = await whose(services.directory, who)
    scope = f"addresses/{who.organisation}/{client}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Address]:
        query = select(AddressRow).where(mine.client(col(AddressRow.user)), AddressRow.removed_ns == 0)
        query = query.order_by(col(AddressRow.id).desc()).limit(limit + 1)
        if client is not None:
            query = query.where(AddressRow.user == client)
        if before is not None:
            query = query.where(col(AddressRow.id) < before)
        return [_shown(services, row) for row in session.exec(query)]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.id)
    return Page[Address](data=rows, next=following)


@router.post("", status_code=201, response_model=Address)
async def add_address(
    request: Request, services: Use, who: Confirmed, body: NewAddress, key: IdempotencyKeyText
) -> Response:
    """Enter an address of a client; its cool-down begins. One that is there already keeps its age."""
    custody, mine = services.custody, await whose(services.directory, who)
    destination = body.destination(custody.vault.chain_id)

    def work(session: Session) -> Address:
        mine.check_client(session, body.client)
        return _shown(services, custody.addresses.add_in(session, body.client, destination, body.label, by=who.actor))

    return (await services.effects.once(request, who.organisation, key, work)).response()


@router.delete("/{address}", status_code=204)
async def remove_address(services: Use, who: Confirmed, address: AddressId) -> None:
    """Take an address out. Entered again, it is new again."""
    custody, mine = services.custody, await whose(services.directory, who)

    def write(session: Session) -> None:
        query = select(AddressRow).where(AddressRow.id == address, AddressRow.removed_ns == 0)
        row = session.exec(query.where(mine.client(col(AddressRow.user))).with_for_update()).first()
        if row is None:
            raise NotFound(f"no address {address}")
        custody.addresses.remove_in(session, row, by=who.actor)

    await services.database.run(write)


def _shown(services: Services, row: AddressRow) -> Address:
    venue, _, network = row.place.partition(":")
    cool_down_s = 0 if services.counter is None else services.counter.addresses.cool_down_s
    return Address(
        id=row.id or 0, client=row.user, address=row.address, venue=venue if network else "", network=network,
        memo=row.memo, label=row.label, place=row.place, added_at=instant(row.added_ns),
        usable_at=instant(row.added_ns + cool_down_s * 10**9),
    )  # fmt: skip
