"""The REST door: `/api/v3` and the few `/sapi` answers that clients ask for at start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import web

from cex.sandbox import errors, weights, wire
from cex.sandbox.accountqueries import AccountQueries
from cex.sandbox.accounts import Account
from cex.sandbox.capital import Capital, network_view
from cex.sandbox.countdowns import Countdowns
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults, Kind
from cex.sandbox.params import Params
from cex.sandbox.queries import PublicQueries
from cex.sandbox.ratelimits import RateLimits
from cex.sandbox.signing import KeyRing, check_time, rest_payload
from cex.sandbox.timeunits import in_microseconds, scaled
from cex.sandbox.trading import Trading
from cex.sandbox.userdata import UserData
from cex.sandbox.weights import Weight, weigh

log = structlog.get_logger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_PARAMETERS_MAX: Final = 100

PublicAction = Callable[[Params], Any]
SignedAction = Callable[[Account, Params], Any]


class _Cut(Exception):
    """The connection is to be cut instead of an answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers one method of one path: `public`, `keyed` (API key only) or `signed`."""

    weight: Weight
    public: PublicAction | None = None
    keyed: SignedAction | None = None
    signed: SignedAction | None = None
    is_order: bool = False
    """Places orders: the acknowledgement is what faults are about."""
    is_withdrawal: bool = False
    """Wants a key that may withdraw, and its acknowledgement may get lost."""
    is_snapshot: bool = False
    """Answers with a book, which faults may spoil."""
    may_withdraw: bool = False
    """May be called with a key that may withdraw; such keys are for little else."""


class Rest:
    """Answers HTTP requests. Whatever a request holds, the answer is JSON with a code."""

    def __init__(
        self,
        exchange: Exchange,
        keys: KeyRing,
        limits: RateLimits,
        queries: PublicQueries,
        trading: Trading,
        user_data: UserData,
        faults: Faults,
        capital: Capital,
        countdowns: Countdowns,
    ) -> None:
        self._exchange = exchange
        self._keys = keys
        self._limits = limits
        self._user_data = user_data
        self._faults = faults
        self._capital = capital
        self._snapshots: dict[str, bytes] = {}
        """The books last answered by query, kept while stale ones are to be given."""
        records = AccountQueries(exchange, limits)
        self._endpoints = (
            _api_endpoints(queries, trading, records) | self._listen_key_endpoints() | self._sapi_endpoints()
        )
        self._endpoints["POST", "/api/v3/countdownCancelAll"] = Endpoint(10, signed=countdowns.begin)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        now = self._exchange.clock_ms()
        address = request.remote or ""
        account: Account | None = None
        try:
            endpoint = self._endpoints.get((request.method, request.path))
            if endpoint is None:
                raise self._no_endpoint(request)
            # A request weighs one by coming; the rest is known when its parameters are.
            self._limits.use_weight(address, 1, now)
            is_in_microseconds = _representation(request)
            account, params = await self._admit(request, endpoint)
            result, status = _run(endpoint, account, params), 200
            if is_in_microseconds:
                result = scaled(result)
            await self._strike_answer(request, endpoint)
            if endpoint.is_snapshot:
                return await self._send_snapshot(request, _encode(result))
        except _Cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except ApiError as exc:
            result, status = exc.view(), exc.http_status
            retry_after = exc.retry_after_s
        except Exception:
            # The last line of defence of a server that must stay up: our bug, told as such and logged whole.
            log.exception("sandbox.internal_error", path=request.path)
            result, status, retry_after = errors.internal_error().view(), 500, None
        else:
            retry_after = None
        placed_by = account.name if account is not None and endpoint is not None and endpoint.is_order else None
        headers = self._limits.headers(address, placed_by, now)
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return web.Response(body=_encode(result), status=status, headers=headers, content_type="application/json")

    async def _admit(self, request: web.Request, endpoint: Endpoint) -> tuple[Account | None, Params]:
        """Read a request, and find whose it is and that he may.

        Raises:
            ApiError: It cannot be read, or he may not.
        """
        query = request.raw_path.partition("?")[2]
        body = await _body(request)
        params = _params(query, body)
        heavier = weigh(endpoint.weight, params) - 1
        if heavier:
            self._limits.use_weight(request.remote or "", heavier, self._exchange.clock_ms(), requests=0)
        kind, api_key = _kind(request.method, endpoint), request.headers.get("X-MBX-APIKEY")
        if kind is not None and await self._faults.before(kind):
            raise _Cut
        account = None
        if endpoint.signed is not None:
            payload, signature = rest_payload(query, body)
            account = self._keys.authenticate(api_key, payload, signature)
            check_time(params, self._exchange.clock_ms())
        elif endpoint.keyed is not None:
            account = self._keys.account(api_key)
        self._check_right(endpoint, api_key)
        return account, params

    async def _strike_answer(self, request: web.Request, endpoint: Endpoint) -> None:
        """Let faults spoil the answer to what was done."""
        kind = _kind(request.method, endpoint)
        if kind is not None and await self._faults.after(kind):
            raise _Cut
        if endpoint.is_withdrawal and self._faults.take("drop_withdrawal_ack"):
            raise _Cut

    def _check_right(self, endpoint: Endpoint, api_key: str | None) -> None:
        """Keep trading keys from withdrawals, and keys for withdrawals from all else.

        Raises:
            ApiError: -2015.
        """
        may_withdraw = self._keys.may_withdraw(api_key)
        if endpoint.is_withdrawal and not may_withdraw:
            raise errors.unknown_api_key()
        if endpoint.signed and may_withdraw and not (endpoint.is_withdrawal or endpoint.may_withdraw):
            raise errors.unknown_api_key()

    async def _send_snapshot(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer with a snapshot of a book, unless faults give an older one, or half of it."""
        former = self._snapshots.get(request.query_string)
        if former is not None and self._faults.take("stale_snapshot"):
            body = former
        elif self._faults.is_armed("stale_snapshot"):
            self._snapshots[request.query_string] = body
        headers = self._limits.headers(request.remote or "", None, self._exchange.clock_ms())
        if not self._faults.take("partial_snapshot"):
            return web.Response(body=body, headers=headers, content_type="application/json")
        response = web.StreamResponse(headers=headers | {"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()  # After what was written.
        return response

    def _no_endpoint(self, request: web.Request) -> ApiError:
        if any(path == request.path for _, path in self._endpoints):
            return ApiError(-1000, f"Request method '{request.method}' not supported", http_status=405)
        return ApiError(-1000, f"No such endpoint: {request.path}", http_status=404)

    def _listen_key_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        def start(account: Account, _params: Params) -> Any:
            return {"listenKey": self._user_data.open_listen_key(account, self._exchange.clock_ms())}

        def keep(_account: Account, params: Params) -> Any:
            self._user_data.keep_listen_key(params.required("listenKey"), self._exchange.clock_ms())
            return {}

        def close(_account: Account, params: Params) -> Any:
            self._user_data.close_listen_key(params.required("listenKey"), self._exchange.clock_ms())
            return {}

        path = "/api/v3/userDataStream"
        return {
            ("POST", path): Endpoint(2, keyed=start),
            ("PUT", path): Endpoint(2, keyed=keep),
            ("DELETE", path): Endpoint(2, keyed=close),
        }

    def _sapi_endpoints(self) -> dict[tuple[str, str], Endpoint]:
        def coins(account: Account, _params: Params) -> Any:
            assets = sorted({a for m in self._exchange.markets.values() for a in (m.spec.base, m.spec.quote)})
            return [_coin_view(asset, account) for asset in assets]

        capital = self._capital

        def trade_fees(account: Account, params: Params) -> Any:
            symbol = params.text("symbol")
            names = [self._exchange.market(symbol).spec.name] if symbol else list(self._exchange.markets)
            maker, taker = (wire.fee_rate(pips) for pips in self._exchange.fee_pips(account))
            return [{"symbol": name, "makerCommission": maker, "takerCommission": taker} for name in names]

        def restrictions(_account: Account, _params: Params) -> Any:
            return {"ipRestrict": False, "enableReading": True, "enableSpotAndMarginTrading": True} | {
                "enableWithdrawals": False,
                "enableInternalTransfer": False,
                "enableMargin": False,
                "enableFutures": False,
            }

        nothing = Endpoint(1, keyed=lambda _account, _params: [])
        return {
            ("GET", "/sapi/v1/capital/config/getall"): Endpoint(10, signed=coins, may_withdraw=True),
            ("POST", "/sapi/v1/capital/withdraw/apply"): Endpoint(10, signed=capital.apply, is_withdrawal=True),
            ("GET", "/sapi/v1/capital/withdraw/history"): Endpoint(2, signed=capital.history, may_withdraw=True),
            ("GET", "/sapi/v1/capital/deposit/address"): Endpoint(
                10, signed=capital.deposit_address, may_withdraw=True
            ),
            ("GET", "/sapi/v1/capital/deposit/hisrec"): Endpoint(1, signed=capital.deposits, may_withdraw=True),
            ("GET", "/sapi/v1/asset/tradeFee"): Endpoint(1, signed=trade_fees),
            ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint(1, signed=restrictions),
            ("GET", "/sapi/v1/margin/allPairs"): nothing,
            ("GET", "/sapi/v1/margin/isolated/allPairs"): nothing,
        }


def _api_endpoints(
    queries: PublicQueries, trading: Trading, records: AccountQueries
) -> dict[tuple[str, str], Endpoint]:
    # Weights as documented for the real venue.
    endpoints = {
        ("GET", "ping"): Endpoint(1, public=queries.ping),
        ("GET", "time"): Endpoint(1, public=queries.time),
        ("GET", "exchangeInfo"): Endpoint(20, public=queries.exchange_info),
        ("GET", "depth"): Endpoint(weights.depth, public=queries.depth, is_snapshot=True),
        ("GET", "trades"): Endpoint(25, public=queries.trades),
        ("GET", "historicalTrades"): Endpoint(25, public=queries.historical_trades),
        ("GET", "aggTrades"): Endpoint(4, public=queries.aggregate_trades),
        ("GET", "klines"): Endpoint(2, public=queries.klines),
        ("GET", "uiKlines"): Endpoint(2, public=queries.klines),
        ("GET", "avgPrice"): Endpoint(2, public=queries.average_price),
        ("GET", "ticker/24hr"): Endpoint(weights.day_ticker, public=queries.day),
        ("GET", "ticker/tradingDay"): Endpoint(weights.window_ticker, public=queries.trading_day),
        ("GET", "ticker"): Endpoint(weights.window_ticker, public=queries.rolling),
        ("GET", "executionRules"): Endpoint(weights.execution_rules, public=queries.execution_rules),
        ("GET", "referencePrice"): Endpoint(2, public=queries.reference_price),
        ("GET", "referencePrice/calculation"): Endpoint(2, public=queries.reference_price),
        ("GET", "historicalBlockTrades"): Endpoint(25, public=queries.block_trades),
        ("GET", "ticker/price"): Endpoint(weights.simple_ticker, public=queries.price),
        ("GET", "ticker/bookTicker"): Endpoint(weights.simple_ticker, public=queries.book_ticker),
        ("POST", "order"): Endpoint(1, signed=trading.place, is_order=True),
        ("POST", "order/test"): Endpoint(weights.test_order, signed=trading.test),
        ("GET", "order"): Endpoint(4, signed=trading.order),
        ("DELETE", "order"): Endpoint(1, signed=trading.cancel),
        ("POST", "order/cancelReplace"): Endpoint(1, signed=trading.cancel_replace, is_order=True),
        ("POST", "order/oco"): Endpoint(1, signed=trading.place_legacy_oco, is_order=True),
        ("POST", "orderList/oco"): Endpoint(1, signed=trading.place_oco, is_order=True),
        ("POST", "orderList/oto"): Endpoint(1, signed=trading.place_oto, is_order=True),
        ("POST", "orderList/otoco"): Endpoint(1, signed=trading.place_otoco, is_order=True),
        ("GET", "orderList"): Endpoint(4, signed=trading.order_list),
        ("DELETE", "orderList"): Endpoint(1, signed=trading.cancel_list),
        ("GET", "openOrderList"): Endpoint(6, signed=trading.open_lists),
        ("GET", "allOrderList"): Endpoint(20, signed=trading.all_lists),
        ("PUT", "order/amend/keepPriority"): Endpoint(4, signed=trading.amend),
        ("GET", "order/amendments"): Endpoint(4, signed=records.amendments),
        ("GET", "myFilters"): Endpoint(40, signed=records.filters),
        ("GET", "myAllocations"): Endpoint(20, signed=records.allocations),
        ("GET", "openOrders"): Endpoint(weights.open_orders, signed=trading.open_orders),
        ("DELETE", "openOrders"): Endpoint(1, signed=trading.cancel_all),
        ("GET", "allOrders"): Endpoint(20, signed=trading.all_orders),
        ("GET", "account"): Endpoint(20, signed=trading.account),
        ("GET", "account/commission"): Endpoint(20, signed=trading.commission),
        ("GET", "myTrades"): Endpoint(weights.own_trades, signed=trading.trades),
        ("GET", "myPreventedMatches"): Endpoint(weights.prevented_matches, signed=trading.prevented_matches),
        ("GET", "rateLimit/order"): Endpoint(40, signed=trading.order_rate_limits),
    }
    return {(method, f"/api/v3/{path}"): endpoint for (method, path), endpoint in endpoints.items()}


def _kind(method: str, endpoint: Endpoint) -> Kind | None:
    """Say what a request is to the faults; None when it needs no signature."""
    if endpoint.signed is None or endpoint.is_withdrawal:
        return None
    return Kind.of(places=endpoint.is_order, cancels=method == "DELETE", asks=method == "GET")


def _run(endpoint: Endpoint, account: Account | None, params: Params) -> Any:
    if endpoint.public is not None:
        return endpoint.public(params)
    action = endpoint.signed or endpoint.keyed
    if action is None or account is None:
        raise errors.internal_error()
    return action(account, params)


def _representation(request: web.Request) -> bool:
    """Whether times are wanted in microseconds.

    Raises:
        ApiError: The answer is wanted in a form that is not spoken here.
    """
    sbe = request.headers.get("X-MBX-SBE")
    if sbe is not None or request.headers.get("Accept", "").strip() == "application/sbe":
        raise errors.sbe_refused(sbe or "")
    return in_microseconds(request.headers.get("X-MBX-TIME-UNIT"))


async def _body(request: web.Request) -> str:
    try:
        return (await request.read()).decode()
    except web.HTTPRequestEntityTooLarge as exc:
        raise ApiError(-1100, "Request body too large.", http_status=413) from exc
    except UnicodeDecodeError as exc:
        raise errors.illegal_characters("body", "UTF-8") from exc


def _params(query: str, body: str) -> Params:
    """Read both parts as form data; where both name a parameter, the query's value counts."""
    merged: dict[str, str] = {}
    for part in (body, query):
        try:
            pairs = parse_qsl(part, keep_blank_values=True, strict_parsing=bool(part), max_num_fields=_PARAMETERS_MAX)
        except ValueError as exc:
            raise ApiError(-1101, "Malformed or too many parameters sent for this endpoint.") from exc
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise errors.too_many_parameters()
        merged.update(pairs)
    return Params(merged)


def _coin_view(asset: str, account: Account) -> dict[str, Any]:
    balance = account.balance(asset)
    may_withdraw = account.spec.withdraw_api_key is not None
    return {
        "coin": asset,
        "depositAllEnable": True,
        "withdrawAllEnable": may_withdraw,
        "name": asset,
        "free": wire.units(balance.free),
        "locked": wire.units(balance.locked),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [network_view(may_withdraw=may_withdraw)],
    }
