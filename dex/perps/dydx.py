"""dYdX v4 through ccxt: orders with a number and an end of their own, outcomes that are asked about, exact amounts.

ccxt encodes, signs and carries. What it would do beside that is taken out: it names a router of its own, who may earn a
share, in every order, and takes ten to the power of zero or less for ten, so orders are written here.
Transactions are sent by GET, which aiohttp sends again by itself when a connection breaks; here it does not.

A node takes orders and an indexer tells of them, later. Only when the indexer's own height has passed an order's last
block is "no such order" final. Whoever calls has recorded the order and its end before it is sent.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from dex.perps.hyperliquid import PerpPosition, PerpReport
from domain.errors import InputError, OrderRejected, OutcomeUnknown, VenueUnavailable
from domain.orders import OrderState, Side
from runtime import Secret

T = TypeVar("T")

SHORT_BLOCK_WINDOW: Final = 20
"""The chain takes no short-term order that ends later than so many blocks on."""
SHORT_TERM, LONG_TERM = 0, 64
CANCELED_ALREADY: Final = "clob:9"
"""Code: the node has this cancellation, or one that holds as long."""
PAGE: Final = 100
_QUOTE_RESOLUTION: Final = -6
_STATES: Final = {
    "OPEN": OrderState.ACCEPTED,
    "BEST_EFFORT_OPENED": OrderState.ACCEPTED,
    "BEST_EFFORT_CANCELED": OrderState.ACCEPTED,  # One node's view; it can still trade until its last block.
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
}
_TIME_IN_FORCE: Final = {"Gtc": 0, "Ioc": 1, "Alo": 2}
_PLAIN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DydxOrder:
    """A limit order, in coins and dollars."""

    number: int
    """Chosen and recorded before it is sent, one order for ever, below 2**32: the chain would take a second order of
    this number for a replacement of the first."""
    market: str
    """As the venue names it: `ETH-USD`."""
    side: Side
    size: Decimal
    price: Decimal
    end: int
    """A short-term order's last block, at most 20 on; a long-term one's last second (UTC)."""
    is_long_term: bool = False
    """Kept by the chain itself instead of the memory of its nodes; slower, and each takes a nonce."""
    time_in_force: Literal["Gtc", "Ioc", "Alo"] = "Gtc"
    """`Alo` (add liquidity only) is refused where it would trade at once; `Ioc` is short-term."""
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class DydxFill:
    """One trade of the account, once for each `trade_id`. The fee is in USDC, negative for a rebate."""

    trade_id: str
    market: str
    side: Side
    size: Decimal
    price: Decimal
    fee: Decimal
    time_ms: int
    order_id: str
    """The indexer's, as `Dydx.order_id` gives it."""


class Dydx:
    """One subaccount. `async with` opens and closes it.

    Args:
        account: The address on the chain, `dydx1…`.
        key: A secp256k1 private key, hex: the account's own.
        node_rpc, node_rest, indexer: Where the node's two interfaces and the indexer (with its `/v4`) are.
        chain_id: `dydx-mainnet-1`; signatures for another are void.
        now_ms: UTC; nonces of long-term orders come from it.
        subaccount: By number.
    """

    def __init__(
        self,
        account: str,
        key: Secret,
        *,
        node_rpc: str,
        node_rest: str,
        indexer: str,
        chain_id: str,
        now_ms: Callable[[], int],
        subaccount: int = 0,
    ) -> None:
        if not account.startswith("dydx1"):
            raise InputError(f"{account!r} is no address on dYdX's chain; one begins with dydx1")
        self.account, self.subaccount = account, subaccount
        self._key, self._chain_id, self._now_ms = key, chain_id, now_ms
        self._urls = {
            "nodeRpc": node_rpc.rstrip("/"),
            "nodeRest": node_rest.rstrip("/"),
            "indexer": indexer.rstrip("/"),
        }
        self._client: Any = None
        self._signing: dict[str, Any] = {}
        self._last_nonce = 0
        self._sent: set[int] = set()

    async def __aenter__(self) -> Self:
        import coincurve

        client_class = await asyncio.to_thread(_ccxt_class)
        self._client = client_class({"walletAddress": self.account, "enableRateLimit": False})
        self._client.urls["api"] = self._urls
        try:
            self._client.open()
            self._client.session._retry_connection = False  # A GET that was cut is not sent again.
            await self._read(self._client.load_markets)
            request = {"dydxAddress": self.account}
            found = await self._read(lambda: self._client.nodeRestGetCosmosAuthV1beta1AccountInfoDydxAddress(request))
            own = coincurve.PrivateKey(bytes.fromhex(self._key.reveal().removeprefix("0x"))).public_key.format()
            # The key that signs is ours, not what a node says: a new account's is not known to it yet.
            public = {"key": self._client.binary_to_base64(own)}
            self._signing = {"account_number": found["info"]["account_number"], "pub_key": public}
        except (KeyError, TypeError) as exc:
            await self._client.close()
            raise VenueUnavailable(f"dYdX at {self._urls['nodeRest']}: the account cannot be read: {exc}") from exc
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def last_block(self) -> int:
        """Give the last block a short-term order made now may have, for `DydxOrder.end`."""
        return int(await self._read(self._client.fetch_latest_block_height)) + SHORT_BLOCK_WINDOW

    def order_id(self, order: DydxOrder) -> str:
        """Give the indexer's id of an order; it follows from the order's own."""
        pair = int(self._market(order.market)["clobPairId"])
        flags = LONG_TERM if order.is_long_term else SHORT_TERM
        return str(self._client.create_order_id_from_parts(self.account, self.subaccount, order.number, flags, pair))

    async def place(self, order: DydxOrder) -> PerpReport:
        """Send an order, once. What it traded at once is told by `ask`.

        Raises:
            InputError: A market that is not traded, a price or size off the venue's steps, or a number used before.
                Nothing was sent.
            OrderRejected: The node said no: nothing rests.
            VenueUnavailable: Nothing was accepted.
            OutcomeUnknown: It may have been: ask.
        """
        message = {"order": self._written(order)}
        if order.number in self._sent:
            raise InputError(f"order {order.number} was sent before; the chain would replace it")
        self._sent.add(order.number)
        try:
            await self._broadcast("MsgPlaceOrder", message, order)
        except VenueUnavailable:
            self._sent.discard(order.number)
            raise
        return PerpReport(str(order.number), OrderState.ACCEPTED, Decimal(0))

    async def cancel(self, order: DydxOrder) -> None:
        """Take an order back by its own id. The cancellation holds until the order's end, whatever arrives later.

        Raises:
            VenueUnavailable: Not known to have been taken back; asking again is safe.
        """
        try:
            await self._broadcast("MsgCancelOrder", {"orderId": self._id(order), **_end(order)}, order)
        except OutcomeUnknown as exc:
            raise VenueUnavailable(str(exc)) from exc
        except OrderRejected as exc:
            if exc.code == CANCELED_ALREADY:
                return
            # It may have ended before: then there is nothing to take back.
            if (await self.ask(order)).state not in (OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED):
                raise VenueUnavailable(str(exc)) from exc

    async def ask(self, order: DydxOrder) -> PerpReport:
        """Say what became of an order.

        `UNKNOWN`: the indexer has none of this id, and may still be told of it. Once the indexer has passed the
        order's end, having none is final: `REJECTED`.
        """
        name = str(order.number)
        # The height first: what the indexer knew by then is in the second answer.
        is_over = await self._is_over(order)
        request = {"orderId": self.order_id(order)}
        row = await self._read(lambda: self._client.indexerGetOrdersOrderId(request), unknown={})
        if not row:
            return PerpReport(name, OrderState.REJECTED if is_over else OrderState.UNKNOWN, Decimal(0))
        try:
            told, filled = row["status"], _exact(row["totalFilled"])
        except (KeyError, TypeError) as exc:
            raise VenueUnavailable(f"order {name}: the status cannot be read: {exc}") from exc
        state = _STATES.get(told, OrderState.UNKNOWN)
        if told == "BEST_EFFORT_CANCELED" and is_over:
            state = OrderState.CANCELED
        if state is OrderState.ACCEPTED and filled:
            state = OrderState.PARTIALLY_FILLED
        return PerpReport(name, state, filled, "" if told in ("OPEN", "FILLED", "CANCELED") else told)

    async def fills(self, since_ms: int) -> list[DydxFill]:
        """Give the account's trades since a moment, oldest first, each once."""
        found: dict[str, DydxFill] = {}
        page = 1
        while True:
            request = {**self._ours(), "limit": PAGE, "page": page}
            rows = (await self._read(lambda request=request: self._client.indexerGetFills(request)))["fills"]  # type: ignore[misc]
            for row in rows:
                fill = DydxFill(
                    row["id"],
                    row["market"],
                    Side.BUY if row["side"] == "BUY" else Side.SELL,
                    _exact(row["size"]),
                    _exact(row["price"]),
                    _exact(row["fee"]),
                    _milliseconds(row["createdAt"]),
                    row.get("orderId") or "",
                )
                found.setdefault(fill.trade_id, fill)
            # Newest first: what trades while we read moves rows to later pages, never past us.
            if len(rows) < PAGE or _milliseconds(rows[-1]["createdAt"]) < since_ms:
                break
            page += 1
        kept = (fill for fill in found.values() if fill.time_ms >= since_ms)
        return sorted(kept, key=lambda fill: (fill.time_ms, fill.trade_id))

    async def positions(self) -> list[PerpPosition]:
        """Give the open positions."""
        request = {**self._ours(), "status": "OPEN"}
        answer = await self._read(lambda: self._client.indexerGetPerpetualPositions(request))
        return [
            PerpPosition(row["market"], _exact(row["size"]), _exact(row["entryPrice"])) for row in answer["positions"]
        ]

    # --- within

    def _ours(self) -> dict[str, Any]:
        return {"address": self.account, "subaccountNumber": self.subaccount}

    def _market(self, name: str) -> dict[str, Any]:
        market: dict[str, Any] | None = self._client.markets_by_id.get(name, [{}])[0].get("info")
        if market is None:
            raise InputError(f"dYdX trades no {name!r}; it trades {', '.join(sorted(self._client.markets_by_id)[:10])}")
        return market

    def _id(self, order: DydxOrder) -> dict[str, Any]:
        return {
            "subaccountId": {"owner": self.account, "number": self.subaccount},
            "clientId": order.number,
            "orderFlags": LONG_TERM if order.is_long_term else SHORT_TERM,
            "clobPairId": int(self._market(order.market)["clobPairId"]),
        }

    def _written(self, order: DydxOrder) -> dict[str, Any]:
        """Write an order as the chain does: integers, in steps of the market; what does not fit is refused."""
        market = self._market(order.market)
        if not 0 <= order.number < 2**32:
            raise InputError(f"order {order.number}: numbers go from 0 to 2**32 - 1")
        if order.is_long_term and order.time_in_force == "Ioc":
            raise InputError(f"order {order.number}: the chain takes immediate orders as short-term ones only")
        if not (order.size.is_finite() and order.price.is_finite() and order.size > 0 and order.price > 0):
            raise InputError(f"order {order.number}: size and price must be positive")
        resolution = int(market["atomicResolution"])
        exponent = resolution - int(market["quantumConversionExponent"]) - _QUOTE_RESOLUTION
        amounts = []
        for name, value, scale, step in (
            ("size", order.size, -resolution, int(market["stepBaseQuantums"])),
            ("price", order.price, exponent, int(market["subticksPerTick"])),
        ):
            with localcontext(prec=60):
                units = value.scaleb(scale)
                if units % step or units >= 2**64:
                    unit = Decimal(step).scaleb(-scale)
                    raise InputError(
                        f"order {order.number}: {name} {value} is no multiple of {order.market}'s {unit:f}"
                    )
            amounts.append(int(units))
        return {
            "orderId": self._id(order),
            "side": 1 if order.side is Side.BUY else 2,
            "quantums": amounts[0],
            "subticks": amounts[1],
            "timeInForce": _TIME_IN_FORCE[order.time_in_force],
            "reduceOnly": order.reduce_only,
            **_end(order),
        }

    async def _broadcast(self, kind: str, message: dict[str, Any], order: DydxOrder) -> None:
        """Sign a message and send it once."""
        import ccxt

        name = str(order.number)
        # Nonces are times, each once: two transactions of one millisecond take different ones.
        nonce = self._last_nonce = max(self._now_ms(), self._last_nonce + 1)
        payload = {"typeUrl": f"/dydxprotocol.clob.{kind}", "value": message}
        key = self._key.reveal().removeprefix("0x")
        self._client.nonce_to_sign = nonce
        signed = self._client.sign_dydx_tx(key, payload, "", self._chain_id, self._signing, None)
        try:
            answer = await self._client.nodeRpcGetBroadcastTxSync({"tx": signed})
            code = answer["result"]["code"]
        except (ccxt.DDoSProtection, ccxt.RateLimitExceeded) as exc:  # Throttled: the node did not look at it.
            raise VenueUnavailable(f"order {name}: {_words(exc)}") from exc
        except ccxt.NetworkError as exc:
            raise OutcomeUnknown(f"order {name}: {_words(exc)}", request_id=name) from exc
        except ccxt.BaseError as exc:
            code, reason = _refusal(exc)
            raise OrderRejected(f"order {name}: {reason}", code=code, reason=reason) from exc
        except (KeyError, TypeError) as exc:
            raise OutcomeUnknown(f"order {name}: no answer in the answer: {exc}", request_id=name) from exc
        if code != 0:
            raise OutcomeUnknown(f"order {name}: {str(code)[:100]} is no code", request_id=name)

    async def _is_over(self, order: DydxOrder) -> bool:
        seen = await self._read(self._client.indexerGetHeight)
        if order.is_long_term:
            return _milliseconds(seen["time"]) > order.end * 1_000
        return int(seen["height"]) > order.end

    async def _read(self, call: Callable[[], Awaitable[T]], *, unknown: Any = None) -> T | Any:
        import ccxt

        try:
            return await call()
        except ccxt.OrderNotFound as exc:
            if unknown is None:
                raise VenueUnavailable(f"dYdX: {_words(exc)}") from exc
            return unknown
        except ccxt.BaseError as exc:
            raise VenueUnavailable(f"dYdX: {_words(exc)}") from exc


def _ccxt_class() -> Any:
    import ccxt.async_support

    class Exact(ccxt.async_support.dydx):  # type: ignore[misc]
        """Signs with the nonce it is given, and tells an order that is not known from a server that is not there."""

        nonce_to_sign = 0

        def sign_dydx_tx(self, *arguments: Any) -> str:
            self.milliseconds = lambda: self.nonce_to_sign
            try:
                return str(super().sign_dydx_tx(*arguments))
            finally:
                del self.milliseconds

        def handle_errors(self, code: int, reason: str, url: str, method: str, *rest: Any) -> Any:
            if code == 404 and "/orders/" in url and "Unable to find order" in str(rest[1]):
                raise ccxt.OrderNotFound(str(rest[1]))
            return super().handle_errors(code, reason, url, method, *rest)

    return Exact


def _end(order: DydxOrder) -> dict[str, int]:
    return {"goodTilBlockTime": order.end} if order.is_long_term else {"goodTilBlock": order.end}


def _words(exc: Exception, limit: int = 300) -> str:
    # Without the address: a transaction in hex stands in it.
    return re.sub(r"^GET \S+\s*", "", str(exc).removeprefix("dydx "))[:limit] or type(exc).__name__


def _refusal(exc: Exception) -> tuple[str, str]:
    """Give a node's code with the module it is of (their numbers overlap), and its words."""
    words = _words(exc, 4_000)
    try:
        result = json.loads(words)["result"]
        return f"{result['codespace']}:{result['code']}", str(result["log"])[:300]
    except (ValueError, KeyError, TypeError):
        return type(exc).__name__, words[:300]


def _exact(text: str) -> Decimal:
    if not _PLAIN.fullmatch(text):
        raise VenueUnavailable(f"not a plain number: {text!r}")
    return Decimal(text)


def _milliseconds(text: str) -> int:
    """Read the indexer's times, `2026-11-26T05:06:00.000Z`."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000 + moment.microsecond // 1_000
