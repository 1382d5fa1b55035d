"""The WebSocket API door, `/ws-api/v3`: requests with ids, answers with statuses, sessions and user data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode

from cex.sandbox import errors, weights
from cex.sandbox.accountqueries import AccountQueries
from cex.sandbox.accounts import Account
from cex.sandbox.connections import Connection
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults, Kind
from cex.sandbox.frames import BadFrame, Request
from cex.sandbox.params import Params
from cex.sandbox.queries import PublicQueries
from cex.sandbox.ratelimits import RateLimits
from cex.sandbox.signing import Ed25519Verifier, KeyRing, check_time, ws_payload
from cex.sandbox.timeunits import scaled
from cex.sandbox.trading import Trading
from cex.sandbox.userdata import UserData
from cex.sandbox.weights import Weight, weigh

log = structlog.get_logger(__name__)

_PLACES_ORDERS: Final = frozenset(
    {
        "order.place",
        "order.cancelReplace",
        "orderList.place",
        "orderList.place.oco",
        "orderList.place.oto",
        "orderList.place.otoco",
    }
)
_CANCELS: Final = frozenset({"order.cancel", "orderList.cancel", "openOrders.cancelAll"})


@dataclass(frozen=True, slots=True)
class WsApi:
    """What every WebSocket API session shares: methods and their weights."""

    exchange: Exchange
    keys: KeyRing
    limits: RateLimits
    user_data: UserData
    faults: Faults
    public: dict[str, tuple[Weight, Callable[[Params], Any]]]
    signed: dict[str, tuple[Weight, Callable[[Account, Params], Any]]]


def build(
    exchange: Exchange,
    keys: KeyRing,
    limits: RateLimits,
    queries: PublicQueries,
    trading: Trading,
    user_data: UserData,
    faults: Faults,
) -> WsApi:
    """Put the tables of methods together."""
    records = AccountQueries(exchange, limits)
    return WsApi(
        exchange,
        keys,
        limits,
        user_data,
        faults,
        public={
            "ping": (1, queries.ping),
            "time": (1, queries.time),
            "exchangeInfo": (20, queries.exchange_info),
            "depth": (weights.depth, queries.depth),
            "trades.recent": (25, queries.trades),
            "trades.historical": (25, queries.historical_trades),
            "trades.aggregate": (4, queries.aggregate_trades),
            "klines": (2, queries.klines),
            "uiKlines": (2, queries.klines),
            "avgPrice": (2, queries.average_price),
            "ticker.24hr": (weights.day_ticker, queries.day),
            "ticker.tradingDay": (weights.window_ticker, queries.trading_day),
            "ticker": (weights.window_ticker, queries.rolling),
            "executionRules": (weights.execution_rules, queries.execution_rules),
            "referencePrice": (2, queries.reference_price),
            "referencePrice.calculation": (2, queries.reference_price),
            "blockTrades.historical": (25, queries.block_trades),
            "ticker.price": (weights.simple_ticker, queries.price),
            "ticker.book": (weights.simple_ticker, queries.book_ticker),
        },
        signed={
            "order.place": (1, trading.place),
            "order.test": (weights.test_order, trading.test),
            "order.status": (4, trading.order),
            "order.cancel": (1, trading.cancel),
            "order.cancelReplace": (1, trading.cancel_replace),
            "order.amend.keepPriority": (4, trading.amend),
            "orderList.place": (1, trading.place_legacy_oco),
            "orderList.place.oco": (1, trading.place_oco),
            "orderList.place.oto": (1, trading.place_oto),
            "orderList.place.otoco": (1, trading.place_otoco),
            "orderList.status": (4, trading.order_list),
            "orderList.cancel": (1, trading.cancel_list),
            "openOrderLists.status": (6, trading.open_lists),
            "allOrderLists": (20, trading.all_lists),
            "order.amendments": (4, records.amendments),
            "myFilters": (40, records.filters),
            "myAllocations": (20, records.allocations),
            "openOrders.status": (weights.open_orders, trading.open_orders),
            "openOrders.cancelAll": (1, trading.cancel_all),
            "allOrders": (20, trading.all_orders),
            "account.status": (20, trading.account),
            "account.commission": (20, trading.commission),
            "account.rateLimits.orders": (40, trading.order_rate_limits),
            "myTrades": (weights.own_trades, trading.trades),
            "myPreventedMatches": (weights.prevented_matches, trading.prevented_matches),
        },
    )


@dataclass(frozen=True, slots=True)
class Form:
    """How a connection wants its answers."""

    with_rate_limits: bool = True

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Form:
        """Read the URL a client connects to.

        Raises:
            ApiError: It wants a form that is not spoken here.
        """
        if query.get("responseFormat", "json").lower() != "json":
            raise errors.sbe_refused(f"{query.get('sbeSchemaId', '')}:{query.get('sbeSchemaVersion', '')}")
        return cls(query.get("returnRateLimits", "true").lower() != "false")


class WsApiSession:
    """One connection: who is logged on, and its requests in order."""

    def __init__(self, shared: WsApi, connection: Connection, form: Form | None = None) -> None:
        self._shared = shared
        self._connection = connection
        self._form = form or Form()
        self._connected_ms = shared.exchange.clock_ms()
        self._logged_on: tuple[Account, str, int] | None = None
        self._placed_by: str | None = None
        """Whose order count the answer at hand tells."""

    async def receive(self, request: Request | BadFrame) -> None:
        """Answer one request."""
        if isinstance(request, BadFrame):
            self._answer(None, 400, {"error": {"code": -1135, "msg": request.message}})
            return
        self._placed_by = None
        faults, kind = self._shared.faults, self._kind(request.method)
        try:
            if kind is not None and await faults.before(kind):
                self._connection.abort()
                return
            result = self._handle(request)
            if kind is not None and await faults.after(kind):
                self._connection.abort()
                return
        except ApiError as exc:
            error = exc.view()
            if exc.retry_after_s is not None:
                now = self._shared.exchange.clock_ms()
                error["data"] = {"serverTime": now, "retryAfter": now + exc.retry_after_s * 1000}
            self._answer(request, exc.http_status, {"error": error})
            if exc.http_status == HTTPStatus.IM_A_TEAPOT:  # Whoever is banned is disconnected, too.
                self._connection.close_soon(WSCloseCode.POLICY_VIOLATION)
        except Exception:
            # As in rest.py: our bug ends the request, not the server.
            log.exception("sandbox.internal_error", method=request.method)
            self._answer(request, 500, {"error": errors.internal_error().view()})
        else:
            self._answer(request, 200, {"result": result})

    def close(self) -> None:
        self._shared.user_data.forget(self._connection)

    def _handle(self, request: Request) -> Any:
        shared, now = self._shared, self._shared.exchange.clock_ms()
        values = _texts(request.params)
        params = Params(values)
        method = _unversioned(request.method)
        if method in shared.public:
            weight, answer = shared.public[method]
            shared.limits.use_weight(self._connection.address, weigh(weight, params), now)
            return answer(params)
        if method in shared.signed:
            weight, act = shared.signed[method]
            shared.limits.use_weight(self._connection.address, weigh(weight, params), now)
            account = self._authenticate(values, now)
            if method in _PLACES_ORDERS:
                self._placed_by = account.name
            return act(account, params)
        shared.limits.use_weight(self._connection.address, 2, now)
        return self._session_method(method, values, now)

    def _session_method(self, method: str, values: dict[str, str], now: int) -> Any:
        if method.startswith("session."):
            return self._session(method, values, now)
        user_data, params = self._shared.user_data, Params(values)
        result: Any = {}
        match method:
            case "userDataStream.subscribe.signature":
                account = self._authenticate(values, now, signature_required=True)
                result = {"subscriptionId": user_data.subscribe(self._connection, account)}
            case "userDataStream.subscribe":
                if self._logged_on is None:
                    raise errors.unknown_api_key()
                result = {"subscriptionId": user_data.subscribe(self._connection, self._logged_on[0])}
            case "userDataStream.unsubscribe":
                if not user_data.unsubscribe(self._connection, params.integer("subscriptionId"), now):
                    raise ApiError(-1130, "Subscription not found.")
            case "userDataStream.start":
                account = self._shared.keys.account(values.get("apiKey"))
                result = {"listenKey": user_data.open_listen_key(account, now)}
            case "userDataStream.ping":
                user_data.keep_listen_key(params.required("listenKey"), now)
            case "userDataStream.stop":
                user_data.close_listen_key(params.required("listenKey"), now)
            case _:
                raise _unknown_method(method)
        return result

    def _session(self, method: str, values: dict[str, str], now: int) -> Any:
        match method:
            case "session.logon":
                account = self._authenticate(values, now, signature_required=True)
                kind = self._shared.keys.kind(values["apiKey"])
                if kind != Ed25519Verifier.kind:
                    raise errors.logon_needs_ed25519(kind)
                self._logged_on = account, values["apiKey"], now
            case "session.logout":
                self._logged_on = None
                self._shared.user_data.unsubscribe(self._connection, None, now)
            case "session.subscriptions":
                ids = self._shared.user_data.subscriptions(self._connection)
                return [{"subscriptionId": id_} for id_ in ids]
            case "session.status":
                pass
            case _:
                raise _unknown_method(method)
        return self._session_view(now)

    def _authenticate(self, values: dict[str, str], now: int, *, signature_required: bool = False) -> Account:
        """Find the account: by signature, or from the session when a request brings neither key nor signature."""
        if self._logged_on is not None and "signature" not in values and not signature_required:
            check_time(Params(values), now)
            return self._logged_on[0]
        account = self._shared.keys.authenticate(values.get("apiKey"), ws_payload(values), values.get("signature"))
        check_time(Params(values), now)
        return account

    def _session_view(self, now: int) -> dict[str, Any]:
        _account, api_key, since = self._logged_on or (None, None, None)
        return {
            "apiKey": api_key,
            "authorizedSince": since,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._form.with_rate_limits,
            "serverTime": now,
            "userDataStream": bool(self._shared.user_data.subscriptions(self._connection)),
        }

    def _kind(self, method: str) -> Kind | None:
        """Say what a request is to the faults; None when it needs no signature."""
        method = _unversioned(method)
        if method not in self._shared.signed:
            return None
        places, cancels = method in _PLACES_ORDERS, method in _CANCELS
        return Kind.of(places=places, cancels=cancels, asks=not places and not cancels)

    def _answer(self, request: Request | None, status: int, body: dict[str, Any]) -> None:
        answer = {"id": request.id if request else None, "status": status, **body}
        if self._connection.is_in_microseconds:
            answer = scaled(answer)
        if self._wants_rate_limits(request):
            limits, now = self._shared.limits, self._shared.exchange.clock_ms()
            orders = limits.order_view(self._placed_by, now) if self._placed_by else []
            answer["rateLimits"] = orders + limits.weight_view(self._connection.address, now)
        self._connection.send(answer)

    def _wants_rate_limits(self, request: Request | None) -> bool:
        wanted = request.params.get("returnRateLimits") if request and isinstance(request.params, dict) else None
        return wanted if isinstance(wanted, bool) else self._form.with_rate_limits


def _unversioned(method: str) -> str:
    """`v3/order.place` is `order.place`."""
    return method.removeprefix("v3/")


def _unknown_method(method: str) -> ApiError:
    return ApiError(-1135, f"Invalid method: {method[:60]}")


def _texts(params: Any) -> dict[str, str]:
    """Give parameters as texts; numbers come as texts already."""
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise ApiError(-1135, "Invalid request: params must be an object")
    texts = {}
    for name, value in params.items():
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            texts[name] = "[" + ",".join(f'"{item}"' for item in value) + "]"
        else:
            raise errors.illegal_characters(name, "text, number or boolean")
    return texts
