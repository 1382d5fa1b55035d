"""Where ccxt's Hyperliquid client differs from the venue, or leaves out what orders need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mend(exchange: Any, now_ms: Callable[[], int], window_ms: int) -> None:
    """Mend ccxt's client. Once, after it was made."""
    _expire_orders(exchange, now_ms, window_ms)
    _let_the_countdown_end(exchange)
    if hasattr(exchange, "parse_ws_trade"):
        # The stream tells trades as REST does; ccxt reads them apart there, without who made and what was paid in.
        exchange.parse_ws_trade = exchange.parse_trade


def _expire_orders(exchange: Any, now_ms: Callable[[], int], window_ms: int) -> None:
    """Sign every order anew, with `expiresAfter`: its nonce alone would hold for days."""
    make = exchange.create_orders_request

    def create_orders_request(orders: Any, params: Any = None) -> Any:
        request = make(orders, params or {})
        expires_ms = now_ms() + window_ms
        signature = exchange.sign_l1_action(
            request["action"], request["nonce"], request.get("vaultAddress"), expires_ms
        )
        return {**request, "signature": signature, "expiresAfter": expires_ms}

    exchange.create_orders_request = create_orders_request


def _let_the_countdown_end(exchange: Any) -> None:
    """Let a countdown of 0 mean none: ccxt asks for a cancel at this very instant, which the venue refuses."""
    begin = exchange.cancel_all_orders_after

    async def cancel_all_orders_after(timeout_ms: int, params: Any = None) -> Any:
        if timeout_ms:
            return await begin(timeout_ms, params or {})
        action, nonce = {"type": "scheduleCancel"}, exchange.incrementing_nonce()
        signature = exchange.sign_l1_action(action, nonce)
        return await exchange.privatePostExchange({"action": action, "nonce": nonce, "signature": signature})

    exchange.cancel_all_orders_after = cancel_all_orders_after
