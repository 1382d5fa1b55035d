"""One account's connection to a venue that speaks the Binance protocol: HTTP, keys, limits and time, without ccxt.

Whatever asks twice for the same goes through `query` (or `ask`, which also reads the answer); an order is sent once,
by `fetch` or by `cex.binance.request_socket`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from cex.binance.endpoints import Endpoints
from cex.binance.errors import UNTIMELY, Refusal, query_error
from cex.binance.messages import ExchangeInfo, Fault, TimeAnswer
from cex.binance.reading import market
from cex.binance.signing import Signer
from cex.connection import Connection
from cex.errors import reading
from cex.limiter import Budget, Lane, Limiter, buckets_of
from cex.markets import Market, bare_name
from cex.settings import VenueSettings
from domain import InputError, InvariantError, PlatformError, VenueUnavailable
from runtime import Clock

T = TypeVar("T")

INFO_WEIGHT = 20


class BinanceConnection(Connection):
    """`open` once, `close` once."""

    def __init__(
        self, settings: VenueSettings, clock: Clock, base_dir: Path | None, state_dir: Path | None = None
    ) -> None:
        super().__init__(settings, clock, base_dir, state_dir)
        self.endpoints = Endpoints.of(settings)
        self.ahead_ms = 0
        """How far our clock is ahead of the venue's."""
        self.markets: list[Market] = []
        """The followed ones, with the usual fees."""
        self._signer: Signer | None = None

    async def open(self) -> None:
        """Read the keys, the followed markets, the limits and the time.

        Raises:
            InputError: Unknown symbol, unreadable secret.
            VenueUnavailable: It does not answer in time.
        """
        settings = self.settings
        if settings.api_key is not None and settings.secret is not None:
            self._signer = Signer(self._reveal(settings.api_key).reveal(), self._reveal(settings.secret))
        self._open_session()
        self.limiter = Limiter(Budget(self._buckets()), self.clock)
        self._take_info(await self._info())
        await self.synchronise_clock()

    @property
    def signer(self) -> Signer:
        if self._signer is None:
            raise InvariantError(f"venue {self.settings.id} signs without a key")
        return self._signer

    @property
    def has_countdown(self) -> bool:
        """Only servers of one's own have it, our sandbox for one."""
        return self.settings.base_url is not None

    @property
    def orders_by_websocket(self) -> bool:
        return self.settings.orders == "auto"

    def timestamp_ms(self) -> int:
        """The venue's time now."""
        return self.clock.now_ns() // 1_000_000 - self.ahead_ms

    async def fetch(self, verb: str, path: str, query: str = "", *, keyed: bool = False) -> bytes:
        """Send one request as it is and give the body of its answer.

        Raises:
            Refusal: The answer is no result.
        """
        url = URL(f"{self.endpoints.rest}/{path}{'?' if query else ''}{query}", encoded=True)
        headers = {"X-MBX-APIKEY": self.signer.api_key} if keyed else {}
        # A redirected order would be a second one, and its signature somebody else's.
        async with self.session.request(verb, url, headers=headers, allow_redirects=False) as response:
            self.limiter.observe(response.status, response.headers)
            body = await response.read()
            if response.status != 200:
                raise refusal(response.status, body)
            return body

    async def ask(
        self,
        what: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        type: type[T],
        verb: str = "GET",
        signed: bool = False,
        lane: Lane = Lane.QUERY,
        weight: int = 1,
        starting: bool = False,
    ) -> T:
        """Ask something that may be asked again, and read the answer; raises as `query`."""
        body = await self.query(
            what,
            lambda: self.fetch(verb, path, self._query(params or {}, signed), keyed=signed),
            lane=lane,
            weight=weight,
            starting=starting,
        )
        return decoded(f"{self.settings.id}: {what}", body, type)

    def is_untimely(self, exc: BaseException) -> bool:
        return isinstance(exc, Refusal) and exc.code == UNTIMELY

    async def server_time_ms(self) -> int:
        return (await self.ask("time", "time", type=TimeAnswer, starting=True)).server_time

    def set_clock_ahead(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms

    def forget_request(self, request_id: str) -> None:
        """Nothing is kept."""

    # --- parts

    @property
    def _foreign(self) -> tuple[type[Exception], ...]:
        return Refusal, aiohttp.ClientError, OSError

    async def _answer(self, _where: str, call: Callable[[], Awaitable[T]]) -> T:
        return await call()

    def _query_error(self, exc: Exception, where: str, *, starting: bool) -> PlatformError:
        return query_error(exc, where, starting=starting)

    def _query(self, params: Mapping[str, str | int], signed: bool) -> str:
        if not signed:
            return urlencode(params)
        return self.signer.query(
            {**params, "recvWindow": self.settings.recv_window_ms, "timestamp": self.timestamp_ms()}
        )

    async def _info(self) -> ExchangeInfo:
        """Ask about the followed symbols only: the whole list is megabytes. It is read where one of them is missing."""
        symbols = [bare_name(symbol) for symbol in self.settings.instruments]
        named = {"symbols": json.dumps(sorted(set(symbols)), separators=(",", ":"), ensure_ascii=False)}
        try:
            return await self.ask(
                "markets", "exchangeInfo", named, type=ExchangeInfo, weight=INFO_WEIGHT, starting=True
            )
        except InputError:
            return await self.ask("markets", "exchangeInfo", type=ExchangeInfo, weight=INFO_WEIGHT, starting=True)

    def _take_info(self, info: ExchangeInfo) -> None:
        settings = self.settings
        listed = {listing.symbol: listing for listing in info.symbols}
        by_name = {bare_name(name): listing for name, listing in listed.items()}
        for symbol in settings.instruments:
            listing = listed.get(symbol) or by_name.get(bare_name(symbol))
            if listing is None:
                raise InputError(
                    f"{settings.id}: {settings.exchange} lists no spot market {symbol}",
                    hint=f"it lists {len(listed)} others, such as {', '.join(sorted(listed)[:5])}",
                )
            self.markets.append(market(settings, symbol, listing))
        with reading(f"{settings.id}: limits"):
            if not settings.rate_limits and (buckets := buckets_of(info.rate_limits)):
                self.limiter = Limiter(Budget(buckets), self.clock)


def refusal(status: int, body: bytes) -> Refusal:
    """Read the body of an answer that is no result."""
    try:
        fault = msgspec.json.decode(body, type=Fault)
    except msgspec.MsgspecError:
        return Refusal(status, None, body[:200].decode(errors="replace"))
    return Refusal(status, fault.code, fault.msg, fault.data)


def decoded(where: str, body: bytes | msgspec.Raw, type: type[T]) -> T:
    """Read an answer.

    Raises:
        VenueUnavailable: It is not what the venue documents.
    """
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise VenueUnavailable(f"{where}: unreadable answer ({exc})") from exc
