"""The routes of `/v1`, a module for each resource. A module declares `router`; `ROUTERS` lists them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.v1 import (
    backtests,
    books,
    docs,
    engine,
    health,
    keys,
    kills,
    logins,
    market,
    oauth,
    oauth_clients,
    orders,
    organisation,
    passkeys,
    portfolios,
    quotes,
    second_factors,
    step_ups,
    strategies,
    stream,
    tickets,
    trades,
    users,
    venues,
    wallets,
    webhooks,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    docs.router,
    engine.router,
    books.router,
    market.router,
    trades.router,
    venues.router,
    quotes.router,
    backtests.router,
    portfolios.router,
    orders.router,
    kills.router,
    strategies.router,
    stream.router,
    logins.router,
    second_factors.router,
    passkeys.router,
    wallets.router,
    oauth.router,
    oauth_clients.router,
    step_ups.router,
    tickets.router,
    keys.router,
    users.router,
    organisation.router,
    webhooks.router,
)
