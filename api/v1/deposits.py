"""What arrived for one's clients, the addresses at which it does, and what screening held back."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import RawText
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant, instant_or_none
from api.custody.names import initiator_of
from api.custody.steps import Step, told
from api.custody.whose import whose
from api.services import Services, Use
from custody.deposits.states import DepositState
from custody.deposits.tables import DepositAddressRow, DepositEventRow, DepositRow
from domain import InputError

router = APIRouter(prefix="/v1", tags=["deposits"])

Reader = Annotated[Principal, require(Scope.DEPOSITS_READ)]
Clearer = Annotated[Principal, require(Scope.DEPOSITS_CLEAR, step_up=True, weight=5)]
Writer = Annotated[Principal, require(Scope.VAULTS_WRITE)]
DepositId = Annotated[int, Path(ge=1, le=2**62)]
ClientName = Annotated[str | None, Query(max_length=64)]

_EXAMPLE: Final[JsonDict] = {"client": "ulla", "kind": "forwarder"}


class Deposit(BaseModel):
    """An amount that arrived at an address of a client's."""

    id: int
    state: DepositState
    client: str
    address: str
    asset: str
    symbol: str | None
    raw: RawText
    amount: str | None = Field(description="As decimal text; null where the asset is not known here any more.")
    sender: str = Field(description="Who held it before.")
    chain_id: int
    tx_hash: str
    block_number: int
    seen_at: datetime
    final_at: datetime | None
    sweep: str | None = Field(description="The transaction that takes it to the vault.")


class DepositDetail(Deposit):
    """With every step it took."""

    history: list[Step]


class Clearance(BaseModel):
    """Why it is credited after all."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "its source was shown"}]})

    reason: str = Field(min_length=1, max_length=200, pattern=r"\S", description="In the audit log for ever.")


class NewDepositAddress(BaseModel):
    """For whom an address is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    client: str = Field(min_length=1, max_length=64, description="An `id` of /v1/clients.")
    kind: Literal["forwarder", "key"] = Field(
        default="forwarder", description="A contract without a key, or a key under the installation's extended one."
    )
    label: str = Field(
        default="", max_length=64, pattern=r"^[A-Za-z0-9._\-]*$", description="Tells several of one client apart."
    )


class DepositAddress(NewDepositAddress):
    """Where a client pays in, for ever."""

    address: str = Field(description="With its checksum: show it as it is.")
    network: str = Field(examples=["eip155:1"], description="What is sent on another network does not arrive.")


@router.get("/deposits")
async def list_deposits(
    services: Use, who: Reader, client: ClientName = None,
    state: Annotated[DepositState | None, Query()] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Deposit]:  # fmt: skip
    """What arrived for your clients, the newest first."""
    mine = await whose(services.directory, who)
    scope = f"deposits/{who.organisation}/{client}/{state}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Deposit]:
        query = select(DepositRow).where(mine.client(col(DepositRow.user)))
        query = query.order_by(col(DepositRow.id).desc()).limit(limit + 1)
        if client is not None:
            query = query.where(DepositRow.user == client)
        if state is not None:
            query = query.where(DepositRow.state == state)
        if before is not None:
            query = query.where(col(DepositRow.id) < before)
        return [_shown(services, row) for row in session.exec(query)]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.id)
    return Page[Deposit](data=rows, next=following)


@router.get("/deposits/{deposit}")
async def get_deposit(services: Use, who: Reader, deposit: DepositId) -> DepositDetail:
    """One of them, with every step it took."""
    mine = await whose(services.directory, who)

    def read(session: Session) -> DepositDetail:
        query = select(DepositRow).where(DepositRow.id == deposit, mine.client(col(DepositRow.user)))
        return _detail(services, session, deposit, session.exec(query).first())

    return await services.database.read(read)


@router.post("/deposits/{deposit}/clearances", status_code=201)
async def clear_deposit(services: Use, who: Clearer, deposit: DepositId, body: Clearance) -> DepositDetail:
    """Credit a deposit that screening held back, once it is final: to whose client it came. For the house.

    A person decides it and confirms it; who, and why, is in the audit log.
    """
    await services.directory.check_house(who)
    await whose(services.directory, who)  # Of all portfolios.
    arrivals = services.custody.arrivals
    if arrivals is None:
        raise NotFound("no deposits are taken here", code="no_deposits", hint="[custody.deposits] in capstan.toml")

    def find(session: Session) -> tuple[str, DepositState]:
        row = session.get(DepositRow, deposit)
        if row is None:
            raise NotFound(f"no deposit {deposit}")
        return initiator_of(session, who), DepositState(row.state)

    operator, state = await services.database.read(find)
    if state is not DepositState.SUSPENDED:
        raise Conflict(f"deposit {deposit} is {state}", hint="GET /v1/deposits?state=suspended has what is held back")
    try:
        await asyncio.to_thread(arrivals.clear, deposit, operator=operator, reason=body.reason)
    except InputError as exc:  # Not final yet, or somebody else was sooner.
        raise Conflict(str(exc), hint=exc.hint) from exc
    return await services.database.read(
        lambda session: _detail(services, session, deposit, session.get(DepositRow, deposit))
    )


@router.get("/deposit-addresses")
async def list_deposit_addresses(
    services: Use, who: Reader, client: ClientName = None, limit: Limit = 100, cursor: CursorText = None
) -> Page[DepositAddress]:
    """The addresses that your clients were given, the newest first."""
    mine = await whose(services.directory, who)
    scope = f"deposit-addresses/{who.organisation}/{client}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[tuple[int, DepositAddress]]:
        query = select(DepositAddressRow).where(mine.client(col(DepositAddressRow.user)))
        query = query.order_by(col(DepositAddressRow.id).desc()).limit(limit + 1)
        if client is not None:
            query = query.where(DepositAddressRow.user == client)
        if before is not None:
            query = query.where(col(DepositAddressRow.id) < before)
        return [
            (
                row.id or 0,
                DepositAddress(
                    client=row.user, kind="forwarder" if row.kind == "forwarder" else "key", label=row.label,
                    address=row.address, network=f"eip155:{row.chain_id}",
                ),
            )
            for row in session.exec(query)
        ]  # fmt: skip

    return services.cursors.numbered(scope, await services.database.read(read), limit)


@router.post("/deposit-addresses", status_code=201)
async def give_deposit_address(services: Use, who: Writer, body: NewDepositAddress) -> DepositAddress:
    """Give a client an address, the same one whenever it is asked for.

    A forwarder's is given out only once the factory on the chain was found to be ours, to the byte.
    """
    custody, mine = services.custody, await whose(services.directory, who)
    if custody.deposits is None:
        raise NotFound("no deposits are taken here", code="no_deposits", hint="[custody.deposits] in capstan.toml")
    await services.database.read(lambda session: mine.check_client(session, body.client))
    if body.kind == "forwarder":
        await custody.check_deposits()
    given = await asyncio.to_thread(custody.deposits.assign, body.client, body.kind, label=body.label)
    return DepositAddress(
        client=given.user, kind=given.kind, label=given.label, address=given.address, network=given.network
    )


def _detail(services: Services, session: Session, deposit: int, row: DepositRow | None) -> DepositDetail:
    if row is None:
        raise NotFound(f"no deposit {deposit}")
    events = select(DepositEventRow).where(DepositEventRow.deposit_id == deposit)
    steps = session.exec(events.order_by(col(DepositEventRow.id))).all()
    return DepositDetail(**_shown(services, row).model_dump(), history=told(steps))


def _shown(services: Services, row: DepositRow) -> Deposit:
    assets = services.assets
    return Deposit(
        id=row.id or 0, state=DepositState(row.state), client=row.user, address=row.address, asset=row.asset,
        symbol=assets.symbol(row.asset), raw=str(row.raw),
        amount=assets.amount(row.asset, row.raw), sender=row.sender, chain_id=row.chain_id,
        tx_hash=row.tx_hash, block_number=row.block_number, seen_at=instant(row.seen_ns),
        final_at=instant_or_none(row.final_ns), sweep=row.sweep_id,
    )  # fmt: skip
