"""Countdowns: an account's orders are cancelled when it falls silent, the dead-man's switch of Binance's futures API.

`POST /api/v3/countdownCancelAll` with `symbol` and `countdownTime` (milliseconds) begins one anew; 0 ends it.
Countdowns are kept in memory only: after a restart of the exchange the client's next heartbeat begins them again.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import structlog

from cex.sandbox import errors
from cex.sandbox.accounts import Account
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.params import Params
from cex.sandbox.trading import Trading

log = structlog.get_logger(__name__)

_LONGEST_MS: Final = 86_400_000


class Countdowns:
    """Which accounts must speak again, and until when."""

    def __init__(self, exchange: Exchange, trading: Trading) -> None:
        self._exchange = exchange
        self._trading = trading
        self._due: dict[tuple[int, str], tuple[Account, int]] = {}

    def begin(self, account: Account, params: Params) -> dict[str, Any]:
        """Begin an account's countdown on a symbol anew, or end it."""
        symbol = params.required("symbol")
        self._exchange.market(symbol)
        params.required("countdownTime")
        left_ms = params.integer("countdownTime") or 0
        if left_ms > _LONGEST_MS:
            raise errors.invalid_parameter("countdownTime")
        self._due.pop((account.id, symbol), None)
        if left_ms:
            self._due[account.id, symbol] = account, self._exchange.clock_ms() + left_ms
        return {"symbol": symbol, "countdownTime": str(left_ms)}

    def strike(self) -> None:
        """Cancel the orders of those whose time is up."""
        if not self._due:
            return
        now = self._exchange.clock_ms()
        for (account_id, symbol), (account, due_ms) in list(self._due.items()):
            if due_ms <= now:
                del self._due[account_id, symbol]
                with contextlib.suppress(ApiError):  # Nothing is open.
                    canceled = self._trading.cancel_all(account, Params({"symbol": symbol}))
                    log.info("sandbox.countdown", account=account.name, symbol=symbol, canceled=len(canceled))
