"""A venue's client as our adapter makes it, with a market that was not loaded."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cex.account import Account
from cex.connection import Connection, exchange_class
from cex.markets import Market, follow
from cex.orders import Orders
from cex.reports import Reports
from cex.settings import VenueSettings
from domain import PlatformError
from runtime import SystemClock
from tests.support.venue_harness.oddities import oddity

BASE, QUOTE = "BTC", "USDT"
SIZE, PRICE = Decimal("0.37"), Decimal("23457")
"""Figures that occur nowhere else in a request."""
ORDER_ID, VENUE_ORDER_ID = "c0a1b2c3d4e5f6071", "771199117711"
KEY, ACCOUNT = "hrns-key-7f3d9a51c2", "4711471147"
WALLET = "0x52908400098527886E0F7030069857D2E4169EE7"
SECRET = base64.b64encode(b"harness secret, 32 bytes of it!!").decode()
PRIVATE_KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"


@dataclass
class Client:
    connection: Connection
    orders: Orders
    account: Account
    reports: Reports
    market: Market

    @property
    def exchange(self) -> Any:
        return self.connection.exchange


def settings_of(venue: str, base_url: str) -> VenueSettings:
    wanted = exchange_class(venue)().requiredCredentials
    odd = oddity(venue)
    is_wallet = wanted.get("privateKey") and not wanted.get("apiKey")
    secret = odd.secret or (PRIVATE_KEY if wanted.get("privateKey") else SECRET)
    return VenueSettings.model_validate(
        {
            "id": "harness",
            "exchange": venue,
            "base_url": base_url,
            "instruments": ("BTC",),
            "api_key": f"literal-test:{odd.key or (WALLET if is_wallet else KEY)}",
            "secret": f"literal-test:{secret}",
            "passphrase": "literal-test:harness-passphrase",
            "account": ACCOUNT,
            "recv_window_ms": 100,
            "request_timeout_ms": 30_000,
            "options": odd.options,
            "rate_limits": ({"kind": "requests", "limit": 1_000_000, "window_s": 1},),
        }
    )


async def open_client(venue: str, base_url: str) -> Client:
    """Let the adapter load markets, which fails on what the server answers, and give it markets by hand.

    Raises:
        PlatformError: Not even a client can be made.
    """
    settings = settings_of(venue, base_url)
    connection = Connection(settings, SystemClock(), None)
    connection.late_ns = 0  # Nothing arrives late here.
    try:
        await connection.open()
    except PlatformError:
        if connection.exchange is None:
            await connection.close()
            raise
    exchange = connection.exchange
    connection.exchange.set_markets([_market(exchange, venue)], {})
    reports = Reports(lambda _event: None, lambda _order: None)
    market = follow(
        settings.model_copy(update={"instruments": (_symbol(exchange),)}),
        exchange.markets,
        exchange.precisionMode,
        {_symbol(exchange): PRICE},
    )[0]
    markets = {market.id: market}
    account = Account(connection, markets, reports)
    return Client(connection, Orders(connection, account, markets, reports), account, reports, market)


def _is_spot(exchange: Any) -> bool:
    return bool(exchange.has.get("spot"))


def _symbol(exchange: Any) -> str:
    return f"{BASE}/{QUOTE}" if _is_spot(exchange) else f"{BASE}/{QUOTE}:{QUOTE}"


def _market(exchange: Any, venue: str) -> dict[str, Any]:
    """Make a market in ccxt's own shape. Its id is a word of its own, unless the venue counts its markets."""
    is_spot, odd = _is_spot(exchange), oddity(venue)
    return dict(
        exchange.safe_market_structure(
            {
                "id": odd.market_id,
                "lowercaseId": odd.market_id.lower(),
                "symbol": _symbol(exchange),
                "base": BASE,
                "quote": QUOTE,
                "settle": None if is_spot else QUOTE,
                "baseId": odd.base_id,
                "quoteId": QUOTE,
                "settleId": None if is_spot else QUOTE,
                "type": "spot" if is_spot else "swap",
                "spot": is_spot,
                "margin": False,
                "swap": not is_spot,
                "future": False,
                "option": False,
                "active": True,
                "contract": not is_spot,
                "linear": None if is_spot else True,
                "inverse": None if is_spot else False,
                "contractSize": None if is_spot else "1",
                "taker": "0.001",
                "maker": "0.001",
                "precision": {2: {"amount": 2, "price": 0}, 3: {"amount": 8, "price": 5}}.get(
                    exchange.precisionMode, {"amount": "0.01", "price": "1"}
                ),
                "limits": {
                    "amount": {"min": "0.01", "max": None},
                    "price": {"min": None, "max": None},
                    "cost": {"min": None, "max": None},
                    "leverage": {"min": None, "max": None},
                },
                "info": dict(odd.info),
            }
            | odd.extra
        )
    )
