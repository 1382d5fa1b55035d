"""Hyperliquid through ccxt: orders with an id and an end of their own, outcomes that are asked about, exact amounts.

ccxt signs, encodes and carries; what it would do beside that is taken out. Left alone it approves a fee for a builder
and names a referrer, two signatures nobody asked for, as early as when it loads the markets, and puts the builder into
every order. Here an action is signed alone, and an order carries the time until which the venue may take it.

The key is an API wallet's ("agent"): it may trade and cannot withdraw. Whoever calls has recorded `client_id` before.
An order whose answer is lost may exist: `ask` says what became of it; once it has expired, "no such order" is final.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from chain import parse_address
from domain.errors import InputError, OrderRejected, OutcomeUnknown, VenueUnavailable
from domain.orders import OrderState, Side
from runtime import Secret

T = TypeVar("T")

EXPIRES_AFTER_MS: Final = 5_000
_STATES: Final = {
    "open": OrderState.ACCEPTED,
    "triggered": OrderState.ACCEPTED,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "rejected": OrderState.REJECTED,
}
"""By the venue's word; it also says why, in words that end with the state: `marginCanceled`, `tickRejected`."""
_PLAIN: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpOrder:
    """An order of contracts of a coin, in coins and dollars."""

    client_id: str
    """Chosen and recorded before it is sent; one order for ever."""
    coin: str
    """As the venue names it: `ETH`."""
    side: Side
    size: Decimal
    price: Decimal
    time_in_force: Literal["Gtc", "Ioc", "Alo"] = "Gtc"
    """`Alo` (add liquidity only) is refused where it would trade at once."""
    reduce_only: bool = False

    @property
    def cloid(self) -> str:
        """The venue's form of the id: 128 bits."""
        return "0x" + hashlib.sha256(self.client_id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PerpReport:
    """What the venue says of an order."""

    client_id: str
    state: OrderState
    filled: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PerpFill:
    """One trade of the account, once for each `trade_id`. The fee is in USDC, negative for a rebate."""

    trade_id: int
    coin: str
    side: Side
    size: Decimal
    price: Decimal
    fee: Decimal
    time_ms: int
    cloid: str


@dataclass(frozen=True, slots=True)
class PerpPosition:
    coin: str
    size: Decimal
    """Negative when short."""
    entry_price: Decimal


class Hyperliquid:
    """One account. `async with` opens and closes it.

    Args:
        account: Whose orders and positions they are.
        agent_key: The API wallet's private key, hex.
        base_url: `https://api.hyperliquid.xyz`, the testnet's, or a server on this machine.
        is_testnet: Signatures for one network are void on the other.
        now_ms: UTC; nonces and expiries come from it.
    """

    def __init__(
        self, account: str, agent_key: Secret, base_url: str, *, is_testnet: bool, now_ms: Callable[[], int]
    ) -> None:
        self.account = parse_address(account)
        self._key = agent_key
        self._url = base_url.rstrip("/")
        self._is_testnet = is_testnet
        self._now_ms = now_ms
        self._client: Any = None
        self._last_nonce = 0
        self._expiries: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        client_class = await asyncio.to_thread(_ccxt_class)
        self._client = client_class(
            {
                "walletAddress": self.account,
                "privateKey": self._key.reveal(),
                "enableRateLimit": False,
                # A testnet's signatures, and perpetuals only.
                "options": {"sandboxMode": self._is_testnet, "fetchMarkets": {"types": ["swap"]}},
            }
        )
        self._client.urls["api"] = {"public": self._url, "private": self._url}
        try:
            await self._read(self._client.load_markets)
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def place(self, order: PerpOrder) -> PerpReport:
        """Send an order, once.

        Raises:
            InputError: A coin that is not traded, or a price or size off the venue's steps. Nothing was sent.
            OrderRejected: The venue said no: nothing rests.
            VenueUnavailable: Nothing was accepted.
            OutcomeUnknown: It may have been: ask.
        """
        request = self._checked(order)
        expires = self._now_ms() + EXPIRES_AFTER_MS
        self._expiries[order.client_id] = expires
        action = {"type": "order", "orders": [request], "grouping": "na"}
        (status,) = await self._act(action, order.client_id, expires=expires)
        if isinstance(status, dict) and "resting" in status:
            return PerpReport(order.client_id, OrderState.ACCEPTED, Decimal(0))
        if isinstance(status, dict) and "filled" in status:
            filled = _exact(status["filled"]["totalSz"])
            # What an immediate order did not get has ended with it; others rest with the remainder.
            if filled == order.size:
                return PerpReport(order.client_id, OrderState.FILLED, filled)
            ended = OrderState.CANCELED if order.time_in_force == "Ioc" else OrderState.PARTIALLY_FILLED
            return PerpReport(order.client_id, ended, filled)
        raise OutcomeUnknown(f"order {order.client_id}: {str(status)[:100]} is no answer", request_id=order.client_id)

    async def cancel(self, order: PerpOrder) -> None:
        """Take an order back by its own id; one that has ended already is left as it is.

        Raises:
            VenueUnavailable: Not known to have been taken back; asking again is safe.
        """
        asset = int(self._market(order.coin)["baseId"])
        action = {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": order.cloid}]}
        try:
            await self._act(action, order.client_id)
        except OutcomeUnknown as exc:
            raise VenueUnavailable(str(exc)) from exc
        except OrderRejected as exc:
            if "never placed, already canceled, or filled" not in exc.reason:
                raise VenueUnavailable(str(exc)) from exc

    async def ask(self, order: PerpOrder, *, expires_ms: int | None = None) -> PerpReport:
        """Say what became of an order.

        `UNKNOWN`: the venue has none of this id, and may still be given it. After the order's expiry, by our clock and
        a second, having none is final: `REJECTED`.

        Args:
            order: As it was sent.
            expires_ms: When it expires, if another process sent it and recorded that.
        """
        answer = await self._info({"type": "orderStatus", "user": self.account, "oid": order.cloid})
        if answer.get("status") == "unknownOid":
            expires = expires_ms or self._expiries.get(order.client_id)
            is_over = expires is not None and self._now_ms() > expires + 1_000
            return PerpReport(order.client_id, OrderState.REJECTED if is_over else OrderState.UNKNOWN, Decimal(0))
        try:
            told, found = answer["order"]["status"], answer["order"]["order"]
            filled = _exact(found["origSz"]) - _exact(found["sz"])
        except (KeyError, TypeError) as exc:
            raise VenueUnavailable(f"order {order.client_id}: the status cannot be read: {exc}") from exc
        state = _STATES.get(told) or next((s for word, s in _STATES.items() if told.lower().endswith(word)), None)
        if state is None:
            return PerpReport(order.client_id, OrderState.UNKNOWN, filled, told)
        if state is OrderState.ACCEPTED and filled:
            state = OrderState.PARTIALLY_FILLED
        if state is OrderState.FILLED:
            filled = _exact(found["origSz"])
        return PerpReport(order.client_id, state, filled, "" if told in _STATES else told)

    async def fills(self, since_ms: int) -> list[PerpFill]:
        """Give the account's trades since a moment, oldest first, each once."""
        request = {"type": "userFillsByTime", "user": self.account, "startTime": since_ms}
        found: dict[int, PerpFill] = {}
        for row in await self._info(request):
            fill = PerpFill(
                int(row["tid"]),
                row["coin"],
                _side(row["side"]),
                _exact(row["sz"]),
                _exact(row["px"]),
                Decimal(row["fee"]),
                int(row["time"]),
                str(row.get("cloid") or ""),
            )
            found.setdefault(fill.trade_id, fill)
        return sorted(found.values(), key=lambda fill: (fill.time_ms, fill.trade_id))

    async def positions(self) -> list[PerpPosition]:
        """Give the open positions."""
        answer = await self._info({"type": "clearinghouseState", "user": self.account})
        rows = (entry["position"] for entry in answer["assetPositions"])
        return [PerpPosition(row["coin"], Decimal(row["szi"]), Decimal(row["entryPx"])) for row in rows]

    # --- within

    def _market(self, coin: str) -> dict[str, Any]:
        market: dict[str, Any] | None = next((m for m in self._client.markets.values() if m["baseName"] == coin), None)
        if market is None:
            known = ", ".join(sorted(str(m["baseName"]) for m in self._client.markets.values())[:10])
            raise InputError(f"Hyperliquid trades no {coin!r}; it trades {known}")
        return market

    def _checked(self, order: PerpOrder) -> dict[str, Any]:
        """Write an order as the venue does; ccxt would round what does not fit, here it is refused."""
        symbol = self._market(order.coin)["symbol"]
        if not (order.size.is_finite() and order.price.is_finite() and order.size > 0 and order.price > 0):
            raise InputError(f"order {order.client_id}: size and price must be positive")
        parameters = {
            "clientOrderId": order.cloid,
            "timeInForce": order.time_in_force,
            "reduceOnly": order.reduce_only,
        }
        import ccxt

        side = "buy" if order.side is Side.BUY else "sell"
        try:
            request: dict[str, Any] = self._client.create_order_request(
                symbol, "limit", side, f"{order.size:f}", f"{order.price:f}", parameters
            )
        except ccxt.BaseError as exc:
            raise InputError(f"order {order.client_id}: {exc}") from exc
        for name, written, wanted in (("size", request["s"], order.size), ("price", request["p"], order.price)):
            if Decimal(written) != wanted:
                raise InputError(
                    f"order {order.client_id}: the nearest {name} to {wanted} on {order.coin} is {written}"
                )
        return request

    async def _act(self, action: dict[str, Any], client_id: str, *, expires: int | None = None) -> list[Any]:
        """Sign an action and send it once; gives the statuses."""
        import ccxt

        # Nonces are times, each once: two orders of one millisecond take different ones.
        nonce = self._last_nonce = max(self._now_ms(), self._last_nonce + 1)
        request = {
            "action": action,
            "nonce": nonce,
            "signature": self._client.sign_l1_action(action, nonce, None, expires),
        }
        if expires is not None:
            request["expiresAfter"] = expires
        try:
            answer = await self._client.private_post_exchange(request)
            return list(answer["response"]["data"]["statuses"])
        except (ccxt.DDoSProtection, ccxt.RateLimitExceeded) as exc:  # Throttled: the venue did not look at it.
            raise VenueUnavailable(f"order {client_id}: {_words(exc)}") from exc
        except ccxt.NetworkError as exc:
            raise OutcomeUnknown(f"order {client_id}: {_words(exc)}", request_id=client_id) from exc
        except ccxt.BaseError as exc:
            code, reason = type(exc).__name__, _words(exc)
            raise OrderRejected(f"order {client_id}: {reason}", code=code, reason=reason) from exc
        except (KeyError, TypeError) as exc:
            raise OutcomeUnknown(f"order {client_id}: no answer in the answer: {exc}", request_id=client_id) from exc

    async def _info(self, request: dict[str, Any]) -> Any:
        return await self._read(lambda: self._client.public_post_info(request), unknown={"status": "unknownOid"})

    async def _read(self, call: Callable[[], Awaitable[T]], *, unknown: Any = None) -> T | Any:
        import ccxt

        try:
            return await call()
        except ccxt.OrderNotFound:
            return unknown
        except ccxt.BaseError as exc:
            raise VenueUnavailable(f"Hyperliquid at {self._url}: {_words(exc)}") from exc


def _ccxt_class() -> Any:
    import ccxt.async_support

    class Quiet(ccxt.async_support.hyperliquid):  # type: ignore[misc]
        """Does what it is asked. `fetch_currencies`, and so `load_markets`, would sign for a builder and a referrer."""

        async def initialize_client(self) -> bool:
            return True

    return Quiet


def _words(exc: Exception) -> str:
    return str(exc).removeprefix("hyperliquid ")[:300] or type(exc).__name__


def _exact(text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise VenueUnavailable(f"not a plain number: {text!r}")
    return Decimal(text)


def _side(letter: str) -> Side:
    return Side.BUY if letter == "B" else Side.SELL
