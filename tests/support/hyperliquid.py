"""A Hyperliquid on loopback, from its public documentation: what it verifies, it verifies for itself.

Signatures are recovered with eth_account over a hash made with msgspec's MessagePack, not with the code under test.
Nonces follow the venue's rule: of each signer the hundred highest are kept, a new one is none of them, above their
smallest, and within two days before and one day after now. An action that has expired is refused. Orders match by price
and time; ids, trades and positions are exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

DAY_MS = 86_400_000
NONCES_KEPT = 100
_ZERO = "0x" + "00" * 20


@dataclass
class Resting:
    oid: int
    account: str
    coin: str
    is_buy: bool
    price: Decimal
    size: Decimal
    left: Decimal
    cloid: str
    status: str = "open"
    time_ms: int = 0


@dataclass
class HyperliquidServer:
    """State and handlers; `app()` serves it. Accounts are known by `agents`: signer to account, lower case."""

    now_ms: Callable[[], int]
    is_testnet: bool = True
    agents: dict[str, str] = field(default_factory=dict)
    coins: dict[str, int] = field(default_factory=lambda: {"BTC": 5, "ETH": 4})
    """Decimals of sizes, by coin; the order is the asset's number."""
    orders: dict[int, Resting] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    nonces: dict[str, set[int]] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    """Types of every signed action that came, in order, whatever became of it."""
    drop_answers: int = 0
    """So many of the next actions are carried out without an answer."""
    lose_requests: int = 0
    """So many of the next actions are lost before they are looked at."""
    throttle: int = 0
    cancel_at_ms: int | None = None
    """When everything would be cancelled, as asked for last. Nobody here does it."""

    def __post_init__(self) -> None:
        self._oids, self._tids = itertools.count(1_000), itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.post("/info", self._handled(self._info)), web.post("/exchange", self._exchange)])
        return app

    def _handled(self, handler: Callable[[dict[str, Any]], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(handler(await request.json()))

        return answer

    # --- reading

    def _info(self, request: dict[str, Any]) -> Any:
        account = str(request.get("user", "")).lower()
        match request["type"]:
            case "metaAndAssetCtxs":
                context = {"funding": "0.0000125", "markPx": "3000", "midPx": "3000", "oraclePx": "3000"}
                universe = [{"name": c, "szDecimals": d, "maxLeverage": 50} for c, d in self.coins.items()]
                return [{"universe": universe}, [context | {"openInterest": "1", "prevDayPx": "3000"}] * len(universe)]
            case "spotMeta":
                return {"tokens": [{"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0}], "universe": []}
            case "orderStatus":
                found = next((o for o in self.orders.values() if request["oid"] in (o.cloid, o.oid)), None)
                if found is None or found.account != account:
                    return {"status": "unknownOid"}
                return {
                    "status": "order",
                    "order": {
                        "order": {
                            "coin": found.coin,
                            "side": "B" if found.is_buy else "A",
                            "limitPx": f"{found.price:f}",
                            "sz": f"{found.left:f}",
                            "origSz": f"{found.size:f}",
                            "oid": found.oid,
                            "cloid": found.cloid,
                            "timestamp": found.time_ms,
                        },
                        "status": found.status,
                        "statusTimestamp": found.time_ms,
                    },
                }
            case "userFillsByTime":
                mine = [f for f in self.fills if f["account"] == account and f["time"] >= request["startTime"]]
                # The venue's pages overlap; a client that counts rows counts twice.
                return [{k: v for k, v in fill.items() if k != "account"} for fill in (*mine, *mine[-1:])]
            case "clearinghouseState":
                rows = [
                    {"type": "oneWay", "position": {"coin": coin, "szi": f"{size:f}", "entryPx": f"{entry:f}"}}
                    for (who, coin), (size, entry) in self.positions.items()
                    if who == account and size
                ]
                return {"assetPositions": rows, "marginSummary": {"accountValue": "0"}}
            case other:
                raise web.HTTPUnprocessableEntity(text=f"unknown type {other}")

    # --- acting

    async def _exchange(self, http: web.Request) -> web.StreamResponse:
        if self.throttle:
            self.throttle -= 1
            raise web.HTTPTooManyRequests
        if self.lose_requests:
            self.lose_requests -= 1
            return self._cut(http)
        request = await http.json()
        self.actions.append(request["action"]["type"])
        try:
            answer = self._act(request)
        except ValueError as exc:
            answer = {"status": "err", "response": str(exc)}
        if self.drop_answers:
            self.drop_answers -= 1
            return self._cut(http)
        return web.json_response(answer)

    def _cut(self, http: web.Request) -> web.StreamResponse:
        assert http.transport is not None
        http.transport.abort()
        return web.Response()

    def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        action, nonce, expires = request["action"], request["nonce"], request.get("expiresAfter")
        signer = self._signer(action, nonce, expires, request["signature"])
        account = self.agents.get(signer)
        if account is None:
            raise ValueError(f"User or API Wallet {signer} does not exist.")
        self._check_nonce(signer, nonce)
        if expires is not None and expires < self.now_ms():
            raise ValueError("Action expired.")
        match action["type"]:
            case "order":
                assert action["grouping"] == "na"
                statuses = [self._order(account, order) for order in action["orders"]]
            case "cancelByCloid":
                statuses = [self._cancel(account, cancel["cloid"]) for cancel in action["cancels"]]
            case "cancel":
                names = [self.orders[c["o"]].cloid if c["o"] in self.orders else "" for c in action["cancels"]]
                statuses = [self._cancel(account, name) for name in names]
            case "scheduleCancel":
                self.cancel_at_ms = action.get("time")
                if self.cancel_at_ms is not None and self.cancel_at_ms < self.now_ms() + 5_000:
                    raise ValueError("Scheduled cancel time must be at least 5 seconds in the future")
                return {"status": "ok", "response": {"type": "default"}}
            case other:
                raise ValueError(f"{other} is not allowed to an API wallet")
        return {"status": "ok", "response": {"type": action["type"], "data": {"statuses": statuses}}}

    def _signer(self, action: Any, nonce: int, expires: int | None, signature: dict[str, Any]) -> str:
        content = msgspec.msgpack.encode(action) + nonce.to_bytes(8, "big") + b"\x00"
        if expires is not None:
            content += b"\x00" + expires.to_bytes(8, "big")
        typed = {
            "domain": {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": _ZERO},
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
            },
            "primaryType": "Agent",
            "message": {"source": "b" if self.is_testnet else "a", "connectionId": keccak(content)},
        }
        vrs = (signature["v"], int(signature["r"], 16), int(signature["s"], 16))
        return str(Account.recover_message(encode_typed_data(full_message=typed), vrs=vrs)).lower()

    def _check_nonce(self, signer: str, nonce: int) -> None:
        kept, now = self.nonces.setdefault(signer, set()), self.now_ms()
        is_used = nonce in kept or (len(kept) >= NONCES_KEPT and nonce < min(kept))
        if is_used or not now - 2 * DAY_MS < nonce < now + DAY_MS:
            raise ValueError(f"Invalid nonce: {nonce}")
        kept.add(nonce)
        if len(kept) > NONCES_KEPT:
            kept.remove(min(kept))

    def _order(self, account: str, request: dict[str, Any]) -> dict[str, Any]:
        refusal = self._refusal(account, request)
        return self._match(account, request) if refusal is None else {"error": refusal}

    def _refusal(self, account: str, request: dict[str, Any]) -> str | None:
        """Why an order is not taken, as the venue words it."""
        coin, decimals = list(self.coins.items())[request["a"]]
        price, size = Decimal(request["p"]), Decimal(request["s"])
        places = -int(size.normalize().as_tuple().exponent)
        price_places = -int(price.normalize().as_tuple().exponent)
        digits = len(price.normalize().as_tuple().digits)
        held = self.positions.get((account, coin), (Decimal(0), Decimal(0)))[0]
        known = {order.cloid for order in self.orders.values() if order.account == account}
        reasons = (
            (places > decimals, "Order has invalid size."),
            (price_places > 6 - decimals or (digits > 5 and price_places > 0), "Price must be divisible by tick size."),
            (price * size < 10 and not request["r"], "Order must have minimum value of $10"),
            (request["c"] in known, "Duplicate cloid."),
            (
                request["r"] and (held >= 0 if request["b"] else held <= 0),
                "Reduce only order would increase position.",
            ),
        )
        return next((words for applies, words in reasons if applies), None)

    def _match(self, account: str, request: dict[str, Any]) -> dict[str, Any]:
        coin = list(self.coins)[request["a"]]
        price, size = Decimal(request["p"]), Decimal(request["s"])
        tif, cloid = request["t"]["limit"]["tif"], request["c"]
        order = Resting(next(self._oids), account, coin, request["b"], price, size, size, cloid, time_ms=self.now_ms())
        against = self._against(order)
        if tif == "Alo" and against:
            return {"error": "Post only order would have immediately matched, bbo was 0. asset=0"}
        if tif == "Ioc" and not against:
            return {"error": "Order could not immediately match against any resting orders. asset=0"}
        self.orders[order.oid] = order
        paid = Decimal(0)
        for other in against:
            traded = min(order.left, other.left)
            if not traded:
                break
            paid += traded * other.price
            for side, is_taker in ((order, True), (other, False)):
                self._trade(side, traded, other.price, is_taker=is_taker)
        if order.left and tif == "Ioc":
            order.status = "canceled"
        if order.left == order.size:
            return {"resting": {"oid": order.oid, "cloid": cloid}}
        filled = order.size - order.left
        return {"filled": {"totalSz": f"{filled:f}", "avgPx": f"{paid / filled:f}", "oid": order.oid}}

    def _against(self, order: Resting) -> list[Resting]:
        found = [
            other
            for other in self.orders.values()
            if (other.coin, other.status) == (order.coin, "open")
            and other.is_buy != order.is_buy
            and (other.price <= order.price if order.is_buy else other.price >= order.price)
        ]
        return sorted(found, key=lambda other: (other.price if order.is_buy else -other.price, other.oid))

    def _trade(self, order: Resting, size: Decimal, price: Decimal, *, is_taker: bool) -> None:
        order.left -= size
        if not order.left:
            order.status = "filled"
        signed = size if order.is_buy else -size
        held, entry = self.positions.get((order.account, order.coin), (Decimal(0), Decimal(0)))
        after = held + signed
        if held * signed >= 0:
            entry = (entry * abs(held) + price * size) / abs(after)
        elif held * after < 0:
            entry = price
        self.positions[(order.account, order.coin)] = (after, entry)
        fee = price * size * (Decimal("0.00045") if is_taker else Decimal("0.00015"))
        self.fills.append(
            {
                "account": order.account,
                "coin": order.coin,
                "px": f"{price:f}",
                "sz": f"{size:f}",
                "side": "B" if order.is_buy else "A",
                "time": self.now_ms(),
                "oid": order.oid,
                "tid": next(self._tids),
                "cloid": order.cloid,
                "fee": f"{fee:f}",
                "feeToken": "USDC",
                "crossed": is_taker,
            }
        )

    def _cancel(self, account: str, cloid: str) -> Any:
        for order in self.orders.values():
            if (order.account, order.cloid, order.status) == (account, cloid, "open"):
                order.status = "canceled"
                return "success"
        return {"error": "Order was never placed, already canceled, or filled. asset=0"}
