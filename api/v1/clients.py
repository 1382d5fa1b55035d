"""Clients of custody: whose balances the books keep. An organisation sees its own, and nobody else's."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlalchemy import func, union
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import RawText
from api.core.errors import Conflict
from api.core.pages import CursorText, Limit, Page
from api.custody.tables import ClientRow
from api.custody.whose import whose
from api.services import Use
from custody.counter import Counter
from custody.ledger.accounts import UserPart, user_account
from custody.ledger.ledger import balances_in
from custody.ledger.tables import BalanceRow
from custody.withdrawals import HOUSE

router = APIRouter(prefix="/v1/clients", tags=["clients"])

Reader = Annotated[Principal, require(Scope.VAULTS_READ)]
Writer = Annotated[Principal, require(Scope.VAULTS_WRITE)]
ClientId = Annotated[str, Path(pattern=r"^[A-Za-z0-9:._\-]{1,64}$")]

_EXAMPLE: Final[JsonDict] = {"name": "ulla"}
_PARTS: Final[tuple[UserPart, ...]] = ("available", "pending", "held")


class NewClient(BaseModel):
    """A client to be kept books for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,39}$", description="Your own name for it.")


class Client(BaseModel):
    """A client of yours. Everywhere else it is named by `id`."""

    id: str = Field(examples=["ulla"])
    name: str


class Balance(BaseModel):
    """What is owed to a client, in the asset's smallest unit and as decimal text."""

    asset: str
    symbol: str | None
    available: str | None = Field(description="As decimal text; null where the asset is not known here any more.")
    available_raw: RawText = Field(description="Free to be withdrawn.")
    pending_raw: RawText = Field(description="Deposited, and not deep enough in the chain yet.")
    held_raw: RawText = Field(description="Set aside for withdrawals under way.")


class ClientDetail(Client):
    """With what is owed to it."""

    balances: list[Balance]


@router.get("")
async def list_custody_clients(
    services: Use, who: Reader, limit: Limit = 100, cursor: CursorText = None
) -> Page[Client]:
    """Your clients, by id."""
    mine = await whose(services.directory, who)
    scope = f"clients/{who.organisation}"
    after = services.cursors.open(scope, cursor, str)

    def read(session: Session) -> list[str]:
        # Of the house also those that nobody has registered: the books know them.
        listed = select(ClientRow.id).where(ClientRow.organisation == who.organisation)
        account = col(BalanceRow.account)
        name = func.replace(func.replace(account, "user/", ""), "/available", "")
        booked = select(name.label("id")).where(account.like("user/%/available"), mine.client(name))
        both = union(listed, booked).subquery() if mine.is_house else listed.subquery()
        query = select(both.c.id).order_by(both.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(both.c.id > after)
        return [str(found) for found in session.exec(query)]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row)
    return Page[Client](data=[_shown(row) for row in rows], next=following)


@router.post("", status_code=201)
async def create_custody_client(services: Use, who: Writer, body: NewClient) -> Client:
    """Keep books for a client; the same name again is the same client."""
    mine = await whose(services.directory, who)
    client = body.name if mine.is_house else f"{who.organisation}:{body.name}"
    now = services.clock.now_ns()

    def write(session: Session) -> Client:
        services.database.serialize(session, f"client/{client}")
        row = session.get(ClientRow, client)
        if row is None:
            if client == HOUSE or (not mine.is_house and _is_booked(session, client)):
                raise Conflict(f"{client} is somebody else's name in the books")
            row = ClientRow(id=client, organisation=who.organisation, name=body.name, created_ns=now)
            session.add(row)
            detail = {"organisation": who.organisation, "actor": who.actor, "name": body.name}
            services.auth.audit.append(session, "client.created", f"user/{client}", detail)
        return _shown(row.id)

    return await services.database.run(write)


@router.get("/{client}")
async def get_custody_client(services: Use, who: Reader, client: ClientId) -> ClientDetail:
    """A client of yours, and what is owed to it."""
    custody, mine = services.custody, await whose(services.directory, who)

    def read(session: Session) -> ClientDetail:
        mine.check_client(session, client)
        return ClientDetail(**_shown(client).model_dump(), balances=_balances(session, custody, client))

    return await services.database.read(read)


def _balances(session: Session, custody: Counter, client: str) -> list[Balance]:
    booked = balances_in(session, f"user/{client}")
    owed = {part: booked.get(user_account(client, part), {}) for part in _PARTS}
    told = []
    for asset in sorted({asset for held in owed.values() for asset in held}):
        available, pending, held = (-owed[part].get(asset, 0) for part in _PARTS)
        told.append(
            Balance(
                asset=asset,
                symbol=custody.assets.symbol(asset),
                available=custody.assets.amount(asset, available),
                available_raw=str(available),
                pending_raw=str(pending),
                held_raw=str(held),
            )
        )
    return told


def _is_booked(session: Session, client: str) -> bool:
    accounts = [user_account(client, part) for part in _PARTS]
    query = select(BalanceRow.account).where(col(BalanceRow.account).in_(accounts)).limit(1)
    return session.exec(query).first() is not None


def _shown(client: str) -> Client:
    organisation, _, name = client.partition(":")
    return Client(id=client, name=name if name and organisation.startswith("org_") else client)
