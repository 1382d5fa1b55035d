"""The books: accounts with what they hold, and every entry that led there."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import RawText
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.custody.whose import whose
from api.services import Services, Use
from custody.ledger.ledger import beneath
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])

Reader = Annotated[Principal, require(Scope.LEDGER_READ)]
Prefix = Annotated[
    str | None,
    Query(min_length=1, max_length=200, examples=["user/ulla"], description="An account and all beneath it."),
]


class Account(BaseModel):
    """What an account holds of an asset. What is owed counts down: to a client we owe what stands there as negative."""

    account: str = Field(examples=["user/ulla/available"])
    asset: str
    symbol: str | None
    raw: RawText
    amount: str | None = Field(description="As decimal text; null where the asset is not known here any more.")


class Posting(BaseModel):
    """Added to an account, or, negative, taken from it."""

    account: str
    asset: str
    raw: RawText


class Entry(BaseModel):
    """A balanced movement of value; nothing of it is ever changed."""

    id: int
    key: str = Field(description="What happened, named uniquely and for ever.")
    kind: str
    strategy: str
    note: str
    tx_hash: str | None
    at: datetime
    postings: list[Posting] = Field(description="Those of your own accounts; the house sees all, and they sum to zero.")


@router.get("/balances")
async def list_ledger_balances(
    services: Use, who: Reader, prefix: Annotated[str, Query(max_length=200, examples=["venue"])] = ""
) -> dict[str, dict[str, str]]:
    """Balances of the installation's books by account and asset, raw integers as text; for the house."""
    await services.directory.check_house(who)
    found = await asyncio.to_thread(services.ledger.balances, prefix)
    return {account: {asset: str(raw) for asset, raw in assets.items()} for account, assets in found.items()}


@router.get("/accounts")
async def list_ledger_accounts(
    services: Use, who: Reader, prefix: Prefix = None,
    asset: Annotated[str | None, Query(max_length=140)] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Account]:  # fmt: skip
    """Your clients' accounts and your strategies', by name; of the house all there are. Empty ones are left out."""
    mine, strategies = await whose(services.directory, who), _strategies(services, who)
    scope = f"ledger-accounts/{who.organisation}/{prefix}/{asset}"
    after = services.cursors.open(scope, cursor, tuple[str, str])

    def read(session: Session) -> list[Account]:
        account, of = col(BalanceRow.account), col(BalanceRow.asset)
        query = select(BalanceRow).where(mine.account(account, strategies), BalanceRow.raw != 0)
        if prefix is not None:
            query = query.where(beneath(account, prefix))
        if asset is not None:
            query = query.where(of == asset)
        if after is not None:
            query = query.where((account > after[0]) | ((account == after[0]) & (of > after[1])))
        found = session.exec(query.order_by(account, of).limit(limit + 1))
        return [_account(services, row) for row in found]

    def position(last: Account) -> tuple[str, str]:
        return last.account, last.asset

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, position)
    return Page[Account](data=rows, next=following)


@router.get("/entries")
async def list_ledger_entries(
    services: Use, who: Reader, account: Prefix = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Entry]:  # fmt: skip
    """What was booked on your accounts, the newest first."""
    mine, strategies = await whose(services.directory, who), _strategies(services, who)
    scope = f"ledger-entries/{who.organisation}/{account}/{kind}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Entry]:
        name = col(PostingRow.account)
        own = mine.account(name, strategies)
        query = select(EntryRow).order_by(col(EntryRow.id).desc()).limit(limit + 1)
        if account is not None:
            touching = select(PostingRow.entry_id).where(own, beneath(name, account))
            query = query.where(col(EntryRow.id).in_(touching))
        elif not mine.is_house:
            query = query.where(col(EntryRow.id).in_(select(PostingRow.entry_id).where(own)))
        if kind is not None:
            query = query.where(EntryRow.kind == kind)
        if before is not None:
            query = query.where(col(EntryRow.id) < before)
        found = session.exec(query).all()
        legs: dict[int, list[Posting]] = {}
        lines = select(PostingRow).where(own, col(PostingRow.entry_id).in_([row.id for row in found]))
        for leg in session.exec(lines.order_by(col(PostingRow.entry_id), col(PostingRow.line))):
            told = Posting(account=leg.account, asset=leg.asset, raw=str(leg.raw))
            legs.setdefault(leg.entry_id, []).append(told)
        return [_entry(row, legs.get(row.id or 0, [])) for row in found]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.id)
    return Page[Entry](data=rows, next=following)


def _strategies(services: Services, who: Principal) -> list[str]:
    return sorted({name for portfolio in services.directory.visible(who) for name in portfolio.strategies})


def _account(services: Services, row: BalanceRow) -> Account:
    assets = services.assets
    return Account(
        account=row.account, asset=row.asset, symbol=assets.symbol(row.asset), raw=str(row.raw),
        amount=assets.amount(row.asset, row.raw),
    )  # fmt: skip


def _entry(row: EntryRow, legs: list[Posting]) -> Entry:
    return Entry(
        id=row.id or 0, key=row.key, kind=row.kind, strategy=row.strategy, note=row.note,
        tx_hash=row.tx_hash or None, at=instant(row.time_ns), postings=legs,
    )  # fmt: skip
