"""The routes of `/v1`, a module for each resource. A module declares `router`; `ROUTERS` lists them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.v1 import (
    approvals,
    backtests,
    books,
    clients,
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
    withdrawals,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    # Routes are looked through in this order at each request: what is asked for most often comes first.
    orders.router,
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
    clients.router,
    withdrawals.router,
    approvals.router,
)
