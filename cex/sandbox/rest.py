"""The REST door, `/api/v3` and what there is of `/sapi`: reads requests, admits them, and answers."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import structlog
from aiohttp import web

from cex.sandbox import errors
from cex.sandbox.accountqueries import AccountQueries
from cex.sandbox.accounts import Account
from cex.sandbox.capital import Capital
from cex.sandbox.countdowns import Countdowns
from cex.sandbox.endpoints import Endpoint, Endpoints, api_endpoints
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
from cex.sandbox.wallet import wallet_endpoints
from cex.sandbox.weights import weigh

log = structlog.get_logger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_PARAMETERS_MAX: Final = 100


class _Cut(Exception):
    """The connection is to be cut instead of an answer."""


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
        self._snapshots: dict[str, bytes] = {}
        """The books last answered by query, kept while stale ones are to be given."""
        records = AccountQueries(exchange, limits)
        self._endpoints = (
            api_endpoints(queries, trading, records)
            | self._listen_key_endpoints()
            | wallet_endpoints(exchange, capital)
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
            result, status = endpoint.answer(account, params), 200
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
            account = self._keys.authenticate(api_key, payload, signature, endpoint.right)
            check_time(params, self._exchange.clock_ms())
        elif endpoint.keyed is not None:
            account = self._keys.account(api_key, endpoint.right)
        return account, params

    async def _strike_answer(self, request: web.Request, endpoint: Endpoint) -> None:
        """Let faults spoil the answer to what was done."""
        kind = _kind(request.method, endpoint)
        if kind is not None and await self._faults.after(kind):
            raise _Cut
        if endpoint.is_withdrawal and self._faults.take("drop_withdrawal_ack"):
            raise _Cut

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

    def _listen_key_endpoints(self) -> Endpoints:
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


def _kind(method: str, endpoint: Endpoint) -> Kind | None:
    """Say what a request is to the faults; None when it needs no signature."""
    if endpoint.signed is None or endpoint.is_withdrawal:
        return None
    return Kind.of(places=endpoint.is_order, cancels=method == "DELETE", asks=method == "GET")


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
