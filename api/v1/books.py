"""The books: what is held, by account and asset."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.services import Use

router = APIRouter(tags=["ledger"])


@router.get("/v1/ledger/balances")
async def balances(
    services: Use,
    who: Annotated[Principal, require(Scope.LEDGER_READ)],
    prefix: Annotated[str, Query(max_length=200, examples=["venue"])] = "",
) -> dict[str, dict[str, str]]:
    """Balances of the installation's books by account and asset, raw integers as text; for the house."""
    await services.directory.check_house(who)
    found = await asyncio.to_thread(services.ledger.balances, prefix)
    return {account: {asset: str(raw) for asset, raw in assets.items()} for account, assets in found.items()}
