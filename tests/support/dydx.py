"""A dYdX v4 chain and its indexer on loopback, from the public protocol: what it verifies, it verifies for itself.

Transactions are read from protobuf's bytes by hand, and signatures are verified with coincurve over a SignDoc that is
made here. Short-term orders (flags 0) end within twenty blocks and their sequence is not looked at; long-term ones take
a sequence or a time as a nonce, each once. The indexer sees the chain up to a height of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import coincurve
from aiohttp import web

SHORT_BLOCK_WINDOW = 20
TIME_WINDOW_S = 95 * 86_400
TIME_NONCE_FROM = 1 << 40
TIME_NONCES_KEPT = 20
TIME_NONCE_TOLERANCE_MS = 30_000
NAMESPACE = uuid.UUID("0f9da948-a6fb-4c45-9edc-4685c3f3317d")
HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2


class Refused(Exception):
    def __init__(self, code: int, log: str, codespace: str = "clob") -> None:
        super().__init__(log)
        self.code, self.codespace = code, codespace


def fields(data: bytes) -> dict[int, list[Any]]:
    """Read a protobuf message: integers (varint, fixed) and byte strings by field number."""
    found: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        match tag & 7:
            case 0:
                value: Any = varint()
            case 2:
                size = varint()
                value, at = data[at : at + size], at + size
            case 5:
                value, at = int.from_bytes(data[at : at + 4], "little"), at + 4
            case other:
                raise Refused(2, f"tx parse error: wire type {other}", "sdk")
        if at > len(data):
            raise Refused(2, "tx parse error: unexpected end", "sdk")
        found.setdefault(tag >> 3, []).append(value)
    return found


def one(message: dict[int, list[Any]], number: int, default: Any = 0) -> Any:
    return message.get(number, [default])[-1]


def length_delimited(number: int, content: bytes) -> bytes:
    return varint_bytes(number << 3 | 2) + varint_bytes(len(content)) + content if content else b""


def varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@dataclass
class Account:
    number: int
    public_key: bytes
    sequence: int = 0
    time_nonces: set[int] = field(default_factory=set)


@dataclass
class Market:
    ticker: str
    pair: int
    resolution: int
    step: int
    subticks_per_tick: int

    @property
    def subtick_exponent(self) -> int:
        return self.resolution + 9 + 6

    def size(self, quantums: int) -> Decimal:
        return Decimal(quantums).scaleb(self.resolution)

    def price(self, subticks: int) -> Decimal:
        return Decimal(subticks).scaleb(-self.subtick_exponent)


Key = tuple[str, int, int, int, int]
"""Owner, subaccount, client id, flags, pair: an order's identity on the chain."""


@dataclass
class Placed:
    key: Key
    is_buy: bool
    quantums: int
    subticks: int
    end: int
    tif: int
    arrived: int
    filled: int = 0
    status: str = "OPEN"
    router: str = ""

    @property
    def indexer_id(self) -> str:
        owner, subaccount, client_id, flags, pair = self.key
        subaccount_id = uuid.uuid5(NAMESPACE, f"{owner}-{subaccount}")
        return str(uuid.uuid5(NAMESPACE, f"{subaccount_id}-{client_id}-{pair}-{flags}"))


@dataclass
class DydxServer:
    """State and handlers; `app()` serves it under `/rpc`, `/rest` and `/indexer`."""

    now_ms: Callable[[], int]
    accounts: dict[str, Account]
    chain_id: str = "dydx-testnet-4"
    height: int = 1_000
    indexer_lag: int = 0
    """So many blocks the indexer is behind: it tells of nothing that came in them."""
    markets: dict[int, Market] = field(
        default_factory=lambda: {
            1: Market("ETH-USD", 1, -9, 1_000_000, 100_000),
            2: Market("PEPE-USD", 2, 1, 1_000_000, 1_000_000),
        }
    )
    orders: dict[Key, Placed] = field(default_factory=dict)
    cancels: dict[Key, int] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of everything that came."""
    transactions: list[str] = field(default_factory=list)
    """Hashes of every transaction that came, whatever became of it."""
    messages: list[str] = field(default_factory=list)
    """Types of the messages in transactions whose signature was good."""
    drop_answers: int = 0
    lose_requests: int = 0
    throttle: int = 0

    def __post_init__(self) -> None:
        self._arrivals = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._record])
        app.add_routes(
            [
                web.get("/rpc/abci_info", self._abci_info),
                web.get("/rpc/broadcast_tx_sync", self._broadcast),
                web.get("/rest/cosmos/auth/v1beta1/account_info/{address}", self._account_info),
                web.get("/indexer/perpetualMarkets", self._markets),
                web.get("/indexer/height", self._height),
                web.get("/indexer/orders/{id}", self._order_of),
                web.get("/indexer/fills", self._fills_of),
                web.get("/indexer/perpetualPositions", self._positions_of),
            ]
        )
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        answer: web.StreamResponse = await handler(request)
        return answer

    def advance(self, blocks: int) -> None:
        """Mine blocks; what has passed its end is taken from the book."""
        self.height += blocks
        for order in self.orders.values():
            limit = self.height if order.key[3] == 0 else self.now_ms() // 1_000
            if order.status == "OPEN" and order.end < limit:
                order.status = "CANCELED"

    # --- reading

    async def _abci_info(self, request: web.Request) -> web.Response:
        info = {"data": "dydxprotocol", "version": "9.1.0", "last_block_height": str(self.height)}
        return web.json_response({"jsonrpc": "2.0", "id": -1, "result": {"response": info}})

    async def _account_info(self, request: web.Request) -> web.Response:
        account = self.accounts.get(request.match_info["address"])
        if account is None:
            return web.json_response({"code": 5, "message": "account not found", "details": []}, status=404)
        info = {"address": request.match_info["address"], "pub_key": None, "account_number": str(account.number)}
        return web.json_response({"info": {**info, "sequence": str(account.sequence)}})

    async def _markets(self, request: web.Request) -> web.Response:
        rows = {
            market.ticker: {
                "clobPairId": str(market.pair),
                "ticker": market.ticker,
                "status": "ACTIVE",
                "oraclePrice": "1",
                "atomicResolution": market.resolution,
                "quantumConversionExponent": -9,
                "tickSize": f"{market.price(market.subticks_per_tick):f}",
                "stepSize": f"{market.size(market.step):f}",
                "stepBaseQuantums": market.step,
                "subticksPerTick": market.subticks_per_tick,
                "marketType": "CROSS",
            }
            for market in self.markets.values()
        }
        return web.json_response({"markets": rows})

    async def _height(self, request: web.Request) -> web.Response:
        return web.json_response({"height": str(self.height - self.indexer_lag), "time": self._time()})

    async def _order_of(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        order = next((o for o in self.orders.values() if o.indexer_id == wanted), None)
        if order is None or self.indexer_lag:
            return web.json_response({"errors": [{"msg": f"Unable to find order id {wanted}"}]}, status=404)
        market = self.markets[order.key[4]]
        return web.json_response(
            {
                "id": wanted,
                "clientId": str(order.key[2]),
                "side": "BUY" if order.is_buy else "SELL",
                "size": f"{market.size(order.quantums):f}",
                "totalFilled": f"{market.size(order.filled):f}",
                "price": f"{market.price(order.subticks):f}",
                "status": order.status,
                "ticker": market.ticker,
            }
        )

    async def _fills_of(self, request: web.Request) -> web.Response:
        limit, page = int(request.query["limit"]), int(request.query["page"])
        mine = [fill for fill in reversed(self.fills) if fill["account"] == request.query["address"]]
        rows = mine[limit * (page - 1) : limit * page]
        return web.json_response({"fills": [{k: v for k, v in row.items() if k != "account"} for row in rows]})

    async def _positions_of(self, request: web.Request) -> web.Response:
        assert request.query["status"] == "OPEN"
        rows = [
            {"market": ticker, "status": "OPEN", "side": "LONG" if size > 0 else "SHORT"}
            | {"size": f"{size:f}", "entryPrice": f"{entry:f}"}
            for (owner, ticker), (size, entry) in self.positions.items()
            if owner == request.query["address"] and size
        ]
        return web.json_response({"positions": rows})

    # --- acting

    async def _broadcast(self, request: web.Request) -> web.StreamResponse:
        raw = bytes.fromhex(request.query["tx"].removeprefix("0x"))
        name = hashlib.sha256(raw).hexdigest().upper()
        self.transactions.append(name)
        if self.throttle:
            self.throttle -= 1
            raise web.HTTPTooManyRequests
        if self.lose_requests:
            self.lose_requests -= 1
            return self._cut(request)
        result = {"code": 0, "data": "", "log": "[]", "codespace": "", "hash": name}
        try:
            if name in self.transactions[:-1]:
                raise Refused(19, "tx already exists in cache", "sdk")
            self._check(raw)
        except Refused as exc:
            result |= {"code": exc.code, "log": str(exc), "codespace": exc.codespace}
        if self.drop_answers:
            self.drop_answers -= 1
            return self._cut(request)
        return web.json_response({"jsonrpc": "2.0", "id": -1, "result": result})

    def _cut(self, http: web.Request) -> web.StreamResponse:
        assert http.transport is not None
        http.transport.abort()
        return web.Response()

    def _check(self, raw: bytes) -> None:
        tx = fields(raw)
        body, auth = fields(one(tx, 1)), fields(one(tx, 2))
        (packed,) = (fields(message) for message in body[1])
        kind, message = one(packed, 1).decode(), fields(one(packed, 2))
        # Both messages hold an order's id: the order as its field, the cancellation as its first.
        content = fields(one(message, 1)) if kind.endswith("MsgPlaceOrder") else message
        identity = fields(one(content, 1))
        subaccount = fields(one(identity, 1))
        key = (
            one(subaccount, 1).decode(),
            one(subaccount, 2),
            one(identity, 2),
            one(identity, 3),
            one(identity, 4),
        )
        self._check_signature(tx, auth, key)
        self.messages.append(kind)
        if key[4] not in self.markets:
            raise Refused(19, "The provided perpetual ID does not have any associated CLOB pairs")
        match kind:
            case "/dydxprotocol.clob.MsgPlaceOrder":
                end = self._end(key, one(content, 5), one(content, 6))
                self._place(
                    Placed(
                        key,
                        one(content, 2) == 1,
                        one(content, 3),
                        one(content, 4),
                        end,
                        one(content, 7),
                        next(self._arrivals),
                        router=one(content, 14, b"").decode(),
                    ),
                    reduce_only=bool(one(content, 8)),
                )
            case "/dydxprotocol.clob.MsgCancelOrder":
                self._cancel(key, self._end(key, one(content, 2), one(content, 3)))
            case other:
                raise Refused(2, f"unable to resolve type URL {other}", "sdk")

    def _check_signature(self, tx: dict[int, list[Any]], auth: dict[int, list[Any]], key: Key) -> None:
        account = self.accounts.get(key[0])
        if account is None:
            raise Refused(9, f"account {key[0]} not found", "sdk")
        (signer,) = (fields(info) for info in auth[1])
        public = one(fields(one(fields(one(signer, 1)), 2)), 1)
        assert fields(one(fields(one(signer, 2)), 1)) == {1: [1]}, "SIGN_MODE_DIRECT"
        if public != account.public_key:
            raise Refused(8, "pubKey does not match signer address", "sdk")
        document = (
            length_delimited(1, one(tx, 1))
            + length_delimited(2, one(tx, 2))
            + length_delimited(3, self.chain_id.encode())
            + (varint_bytes(4 << 3) + varint_bytes(account.number) if account.number else b"")
        )
        (signature,) = tx[3]
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        der = coincurve.ecdsa.cdata_to_der(coincurve.ecdsa.deserialize_compact(signature))
        if not (
            len(signature) == 64 and r and 0 < s <= HALF_ORDER and coincurve.PublicKey(public).verify(der, document)
        ):
            raise Refused(4, "signature verification failed; please verify account number and chain-id", "sdk")
        if key[3]:
            self._check_sequence(account, one(signer, 3))

    def _check_sequence(self, account: Account, sequence: int) -> None:
        if sequence < TIME_NONCE_FROM:
            if sequence != account.sequence:
                raise Refused(32, f"account sequence mismatch, expected {account.sequence}, got {sequence}", "sdk")
            account.sequence += 1
            return
        kept = account.time_nonces
        is_late = sequence in kept or (len(kept) >= TIME_NONCES_KEPT and sequence < min(kept))
        if is_late or abs(sequence - self.now_ms()) > TIME_NONCE_TOLERANCE_MS:
            raise Refused(32, f"timestamp nonce {sequence} not within valid time window", "sdk")
        kept.add(sequence)
        if len(kept) > TIME_NONCES_KEPT:
            kept.remove(min(kept))

    def _end(self, key: Key, block: int, time_s: int) -> int:
        if key[3] == 0:
            if block <= self.height:
                raise Refused(10, "The next block height is greater than the GoodTilBlock of the message")
            if block > self.height + SHORT_BLOCK_WINDOW:
                raise Refused(11, "The GoodTilBlock of the message is further than ShortBlockWindow blocks away")
            return block
        now = self.now_ms() // 1_000
        if time_s <= now:
            raise Refused(3003, "The block time is greater than the GoodTilBlockTime of the message")
        if time_s > now + TIME_WINDOW_S:
            raise Refused(3004, "The GoodTilBlockTime of the message is further than StatefulOrderTimeWindow away")
        return time_s

    def _place(self, order: Placed, *, reduce_only: bool) -> None:
        market, known = self.markets[order.key[4]], self.orders.get(order.key)
        held = self.positions.get((order.key[0], market.ticker), (Decimal(0), Decimal(0)))[0]
        against = self._against(order)
        is_short = order.key[3] == 0
        for applies, code, words in (
            (
                order.quantums == 0 or order.quantums % market.step,
                12,
                "quantums must be a multiple of StepBaseQuantums",
            ),
            (order.subticks == 0 or order.subticks % market.subticks_per_tick, 12, "subticks must be a multiple"),
            (self.cancels.get(order.key, 0) >= order.end and is_short, 9, "A cancel already exists in the memclob"),
            (order.key in self.cancels and not is_short, 3008, "Stateful order was previously cancelled"),
            (known is not None and known.status == "FILLED", 24, "Order is fully filled"),
            (known is not None and known.end >= order.end, 20, "Replacing an existing order failed"),
            (not is_short and order.tif == 1, 3002, "Stateful orders cannot require immediate execution"),
            (reduce_only and order.tif != 1, 9003, "Reduce-only is currently disabled for non-IOC orders"),
            (reduce_only and (held >= 0 if order.is_buy else held <= 0), 2001, "Reduce-only orders cannot increase"),
            (order.tif == 2 and against, 2003, "Post-only order would cross one or more maker orders"),
        ):
            if applies:
                raise Refused(code, words)
        self.orders[order.key] = order
        for other in against:
            traded = min(order.quantums - order.filled, other.quantums - other.filled)
            for side, is_taker in ((order, True), (other, False)):
                if traded:
                    self._trade(side, traded, other.subticks, is_taker=is_taker)
        if order.tif == 1 and order.status == "OPEN":
            order.status = "BEST_EFFORT_CANCELED"

    def _against(self, order: Placed) -> list[Placed]:
        sign = 1 if order.is_buy else -1
        found = [
            other
            for other in self.orders.values()
            if (other.key[4], other.status, other.is_buy) == (order.key[4], "OPEN", not order.is_buy)
            and sign * other.subticks <= sign * order.subticks
        ]
        return sorted(found, key=lambda other: (sign * other.subticks, other.arrived))

    def _trade(self, order: Placed, quantums: int, subticks: int, *, is_taker: bool) -> None:
        market = self.markets[order.key[4]]
        order.filled += quantums
        if order.filled == order.quantums:
            order.status = "FILLED"
        size, price = market.size(quantums), market.price(subticks)
        signed, place = size if order.is_buy else -size, (order.key[0], market.ticker)
        held, entry = self.positions.get(place, (Decimal(0), Decimal(0)))
        after = held + signed
        if held * signed >= 0:
            entry = (entry * abs(held) + price * size) / abs(after)
        elif held * after < 0:
            entry = price
        self.positions[place] = (after, entry)
        fee = size * price * (Decimal("0.0005") if is_taker else Decimal("-0.00011"))
        self.fills.append(
            {
                "account": order.key[0],
                "id": str(uuid.uuid5(NAMESPACE, f"fill-{len(self.fills)}")),
                "market": market.ticker,
                "side": "BUY" if order.is_buy else "SELL",
                "liquidity": "TAKER" if is_taker else "MAKER",
                "size": f"{size:f}",
                "price": f"{price:f}",
                "fee": f"{fee:f}",
                "createdAt": self._time(),
                "orderId": order.indexer_id,
            }
        )

    def _cancel(self, key: Key, end: int) -> None:
        order = self.orders.get(key)
        if key[3] and (order is None or order.status != "OPEN"):
            raise Refused(3006, "Stateful order does not exist")
        if order is not None and end < order.end:
            raise Refused(29, "Invalid stateful order cancellation")
        if self.cancels.get(key, 0) >= end:
            raise Refused(9, "A cancel already exists in the memclob for this order")
        self.cancels[key] = end
        if order is not None and order.status == "OPEN":
            order.status = "CANCELED" if key[3] else "BEST_EFFORT_CANCELED"

    def _time(self) -> str:
        text = datetime.fromtimestamp(self.now_ms() / 1_000, UTC).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")
