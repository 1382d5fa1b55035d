"""Withdrawals at any exchange ccxt knows. No key is kept here: one is unsealed for a request and dropped after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import aiohttp

from cex.connection import exchange_class, open_session
from cex.errors import await_foreign, describe, place_error, query_error, reading
from cex.handover import CURRENT, Handover
from cex.numbers import to_decimal
from cex.settings import VenueSettings
from cex.urls import rewrite
from domain import InputError, OrderRejected, OutcomeUnknown, PlatformError, VenueUnavailable
from domain.withdrawals import VenueWithdrawal, VenueWithdrawalReport, VenueWithdrawalState
from runtime import Clock, SystemClock
from runtime.secrets import ApiKey

_STATES: Final = {
    "pending": VenueWithdrawalState.PENDING,
    "ok": VenueWithdrawalState.COMPLETED,
    "failed": VenueWithdrawalState.FAILED,
    "canceled": VenueWithdrawalState.FAILED,
}
_CLIENT_ID: Final = {"binance": "withdrawOrderId", "okx": "clientId", "bitget": "clientOid"}
"""By exchange: the parameter and field that carries our id. Others are searched by address and amount."""
_FOUND_MAX: Final = 1000

Unseal = Callable[[], ApiKey]


class CcxtWithdrawals:
    """One account's withdrawals. Satisfies `custody.withdrawals.ExchangeWithdrawals`.

    Args:
        settings: Of the venue; its trading keys are not used.
        clock: Measures nothing that decides; stamps what was sent.
    """

    def __init__(self, settings: VenueSettings, clock: Clock | None = None) -> None:
        self._settings = settings.model_copy(update={"api_key": None, "secret": None, "passphrase": None})
        self._clock = clock or SystemClock()
        self._markets: tuple[Any, Any] | None = None

    @property
    def venue(self) -> str:
        return self._settings.id

    @property
    def knows_client_ids(self) -> bool:
        return self._settings.exchange in _CLIENT_ID

    async def submit(self, order: VenueWithdrawal, unseal: Unseal) -> VenueWithdrawalReport:
        """Ask for a withdrawal, once. See the port for the errors."""
        handover = Handover()
        where = f"withdrawal {order.client_id}"
        try:
            async with self._opened(unseal) as exchange:
                code = _code(exchange, order.asset)
                if Decimal(exchange.currency_to_precision(code, str(order.amount))) != order.amount:
                    raise InputError(f"{where}: {self.venue} does not take {order.amount} {order.asset} exactly")
                parameters = {"network": order.network, **({"tag": order.memo} if order.memo else {})}
                if self.knows_client_ids:
                    parameters[_CLIENT_ID[self._settings.exchange]] = order.client_id
                CURRENT.set(handover)
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    answer = await await_foreign(exchange.withdraw(code, str(order.amount), order.address, parameters))
        except TimeoutError as exc:
            if not handover.touched:
                raise VenueUnavailable(f"{where}: no connection in time, nothing was sent") from exc
            raise OutcomeUnknown(f"{where}: no answer in time", request_id=order.client_id) from exc
        except PlatformError:
            raise
        except Exception as exc:
            error = place_error(exc, client_order_id=order.client_id, touched=handover.touched, status=handover.status)
            code, reason = describe(exc)
            if isinstance(error, OrderRejected):
                raise OrderRejected(f"{where}: {code} {reason}", code=code, reason=reason) from exc
            raise error from exc
        finally:
            CURRENT.set(None)
        try:
            ref = str(answer["id"])
        except (KeyError, TypeError) as exc:
            raise OutcomeUnknown(f"{where}: the answer has no id", request_id=order.client_id) from exc
        return VenueWithdrawalReport(
            ref=ref,
            client_id=order.client_id if self.knows_client_ids else "",
            state=VenueWithdrawalState.PENDING,
            amount=order.amount,
            fee=Decimal(0),
            address=order.address,
            tx_hash="",
            time_ms=self._clock.now_ns() // 10**6,
        )

    async def find(self, order: VenueWithdrawal, since_ms: int, unseal: Unseal) -> Sequence[VenueWithdrawalReport]:
        """Give the withdrawals since an instant that bear our id, or (where ids are not kept) that look like ours."""
        where = f"{self.venue}: withdrawals"
        try:
            async with self._opened(unseal) as exchange, asyncio.timeout(self._settings.request_timeout_ms / 1000):
                code = _code(exchange, order.asset)
                rows = await await_foreign(exchange.fetch_withdrawals(code, since_ms, _FOUND_MAX))
                with reading(where):
                    found = [self._report(row) for row in rows]
        except TimeoutError as exc:
            raise VenueUnavailable(f"{where}: no answer in time") from exc
        except PlatformError:
            raise
        except Exception as exc:
            raise query_error(exc, where) from exc
        if self.knows_client_ids:
            return [report for report in found if report.client_id == order.client_id]
        return [
            report
            for report in found
            if report.address.lower() == order.address.lower() and report.amount + report.fee == order.amount
        ]

    def _report(self, row: dict[str, Any]) -> VenueWithdrawalReport:
        info, field = row["info"], _CLIENT_ID.get(self._settings.exchange, "")
        fee = row["fee"] or {}
        return VenueWithdrawalReport(
            ref=str(row["id"]),
            client_id=str(info.get(field) or "") if field else "",
            # A word we do not know is no end: it is asked about again.
            state=_STATES.get(str(row["status"]), VenueWithdrawalState.PENDING),
            amount=to_decimal(row["amount"]),
            fee=to_decimal(fee.get("cost") or "0"),
            address=str(row["address"]),
            tx_hash=str(row["txid"] or ""),
            time_ms=int(row["timestamp"]),
        )

    @asynccontextmanager
    async def _opened(self, unseal: Unseal) -> AsyncIterator[Any]:
        """A client that lives for one request. The key is unsealed last, and goes with the client."""
        make = await asyncio.to_thread(exchange_class, self._settings.exchange)
        session = open_session(self._clock)
        exchange = make(self._config(session))
        try:
            self._point(exchange)
            if self._markets is None:
                async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                    await await_foreign(exchange.load_markets())
                self._markets = exchange.markets, exchange.currencies
            else:
                exchange.set_markets(*self._markets)
            key = await asyncio.to_thread(unseal)
            exchange.apiKey, exchange.secret = key.key.reveal(), key.secret.reveal()
            if key.passphrase is not None:
                exchange.password = key.passphrase.reveal()
            yield exchange
        finally:
            exchange.apiKey = exchange.secret = exchange.password = ""
            await exchange.close()
            await session.close()

    def _config(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        options: dict[str, Any] = {"recvWindow": self._settings.recv_window_ms, "adjustForTimeDifference": False}
        if self._settings.exchange.startswith("binance"):
            options |= {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
        return {
            "session": session,
            "enableRateLimit": False,
            "number": str,
            "timeout": self._settings.request_timeout_ms,
            "options": options | dict(self._settings.options),
        }

    def _point(self, exchange: Any) -> None:
        if self._settings.base_url is not None:
            exchange.urls["api"] = rewrite(exchange.urls["api"], self._settings.base_url)
        elif self._settings.testnet:
            if not exchange.urls.get("test"):
                raise InputError(f"{self.venue}: {self._settings.exchange} has no test environment")
            exchange.set_sandbox_mode(True)
        exchange.has["fetchCurrencies"] = False
        exchange.timeout_on_exit = 0
        answered = exchange.on_rest_response

        def on_rest_response(code: int, *rest: Any) -> Any:
            if handover := CURRENT.get():
                handover.status = code
            return answered(code, *rest)

        exchange.on_rest_response = on_rest_response


def _code(exchange: Any, asset: str) -> str:
    found = exchange.currencies_by_id.get(asset)
    if not found:
        raise InputError(f"the exchange lists no {asset}")
    return str((found[0] if isinstance(found, list) else found)["code"])
