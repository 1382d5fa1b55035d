"""The books: what is held, by account and asset."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from api.auth.principal import require
from api.auth.scopes import Scope
from api.services import Use

router = APIRouter(tags=["ledger"])


@router.get("/v1/ledger/balances", dependencies=[require(Scope.LEDGER_READ)])
async def balances(services: Use, prefix: str = "") -> dict[str, dict[str, str]]:
    """Balances by account and asset, raw integers as text."""
    found = await asyncio.to_thread(services.ledger.balances, prefix)
    return {account: {asset: str(raw) for asset, raw in assets.items()} for account, assets in found.items()}
