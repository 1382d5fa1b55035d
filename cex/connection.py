"""The ccxt client of one account: made, pointed, limited, synchronised, and its exceptions kept inside.

ccxt is imported here and nowhere else, on first use: it takes most of a second. Its own throttle is off (it makes a
WebSocket order wait a quarter of a second); `cex.limiter` does that work.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import structlog

from cex import hyperliquid
from cex.client_ids import ClientIds
from cex.errors import await_foreign, is_kind, query_error, reading
from cex.expiry import deadline, least_ms
from cex.handover import CURRENT, http_tracing, watch_sender
from cex.limiter import Bucket, Budget, Lane, Limiter, buckets_of, default_buckets
from cex.marks import remove_marks, without_marks
from cex.numbers import plain
from cex.settings import VenueSettings
from cex.skew import SAMPLES, Sample, Skew
from cex.urls import rewrite
from cex.venues import profile_of
from domain import InputError, PlatformError, VenueUnavailable
from runtime import Clock, Secret
from runtime.secrets import resolve_secret

log = structlog.get_logger(__name__)
T = TypeVar("T")

# Not binance.us: ccxt would send its WebSocket orders to binance.com.
BINANCE_PROTOCOL = frozenset({"binance"})
_PAGES = frozenset({"api_management", "doc", "fees", "logo", "referral"})
CLOCK_EVERY_S = 60.0
"""The venue is asked for its time this often, besides after each refused timestamp."""
CLOCK_LOOK_S = 1.0
CLOCK_JUMP_NS = 100_000_000
"""Our own clock is looked at this often, and was set when it moved so far against the one that only measures."""


class Connection:
    """Owns the ccxt client and its HTTP session. `open` once, `close` once."""

    def __init__(
        self, settings: VenueSettings, clock: Clock, base_dir: Path | None, state_dir: Path | None = None
    ) -> None:
        """`state_dir` is where ids are kept that the venue cannot take as they are."""
        self.settings = settings
        self.clock = clock
        self.profile = profile_of(settings.exchange)
        self.ids = ClientIds(self.profile.client_order_id, _ids_table(settings, state_dir))
        self.speaks_binance = settings.exchange in BINANCE_PROTOCOL
        self.timeout_s = settings.request_timeout_ms / 1000
        self.exchange: Any = None
        self.session: aiohttp.ClientSession
        self.limiter = Limiter(Budget([]), clock)
        self.skew = Skew()
        self.on_socket_lost: Callable[[str], None] = lambda _url: None
        """Called when one of ccxt's own WebSockets is gone, before ccxt reconnects it silently."""
        self.late_ns = max(self.profile.late_s * 1_000, least_ms(self.profile.expiry)) * 1_000_000
        """How long an order may still arrive after its window, where the venue bounds it less."""
        self._base_dir = base_dir
        self._is_open = False
        self._naming = asyncio.Lock()
        self._measuring = asyncio.Lock()
        self._measured = 0

    @property
    def has_keys(self) -> bool:
        return self.settings.api_key is not None

    async def open(self) -> None:
        """Make the client and load its markets.

        Raises:
            InputError: Unknown exchange, no testnet, unreadable secret.
            VenueUnavailable: It does not answer in time.
        """
        await self._make_client()
        self.limiter = Limiter(Budget(self._buckets()), self.clock)
        await self.query("markets", self.exchange.load_markets, weight=20, starting=True)
        if self.speaks_binance:
            # One symbol only: the whole list is megabytes, and is loaded already.
            with reading(f"{self.settings.id}: limits"):
                symbol = next(iter(self.exchange.markets.values()))["id"]
                info = await self.query(
                    "limits",
                    lambda: self.exchange.public_get_exchangeinfo({"symbol": symbol}),
                    weight=20,
                    starting=True,
                )
                if not self.settings.rate_limits and (buckets := buckets_of(info.get("rateLimits", ()))):
                    self.limiter = Limiter(Budget(buckets), self.clock)
        await self.synchronise_clock()

    async def open_beside(self, other: Connection) -> None:
        """Make one more client of an exchange that `other` has loaded: markets and limits are shared with it."""
        await self._make_client()
        self.exchange.set_markets_from_exchange(other.exchange)
        self.exchange.options["timeDifference"] = other.exchange.options.get("timeDifference", 0)
        self.limiter = other.limiter

    async def _make_client(self) -> None:
        make = await asyncio.to_thread(exchange_class, self.settings.exchange)
        self._open_session()
        self.exchange = make(self._config())
        self._spread_keys()
        self._point()
        self._hook()

    def _open_session(self) -> None:
        self.session = open_session(self.clock)
        self._is_open = True

    @property
    def has_countdown(self) -> bool:
        """Whether there is a call for a countdown that cancels everything."""
        return bool(self.exchange.has.get("cancelAllOrdersAfter"))

    @property
    def orders_by_websocket(self) -> bool:
        return bool(self.profile.websocket_orders and self.exchange.has.get("createOrderWs"))

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            if self.exchange is not None:
                await self.exchange.close()
            await self.session.close()

    async def query(
        self,
        what: str,
        call: Callable[[], Awaitable[T]],
        *,
        lane: Lane = Lane.QUERY,
        weight: int = 1,
        starting: bool = False,
        is_again: bool = False,
    ) -> T:
        """Do something that may be done again, within the limits and the time allowed.

        A refused timestamp is answered by measuring the clocks and trying once more: cancels must not wait for that.

        Raises:
            UnknownOrder: The venue does not know the order in question.
            VenueUnavailable: No answer, or the venue could not; trying again is safe.
            InputError: Only when `starting`: the venue refuses the key or the request's form.
        """
        await self.limiter.enter(lane, weight=weight)
        where = f"{self.settings.id}: {what}"
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._answer(where, call)
        except TimeoutError as exc:
            raise VenueUnavailable(f"{where}: no answer within {self.timeout_s:g} s") from exc
        except self._foreign as exc:
            if starting or is_again or not self.is_untimely(exc):
                raise self._query_error(exc, where, starting=starting) from exc
        await self.resynchronise_clock()
        return await self.query(what, call, lane=lane, weight=weight, is_again=True)

    def is_untimely(self, exc: BaseException) -> bool:
        """Whether the venue refused a timestamp."""
        return is_kind(exc, "InvalidNonce")

    async def theirs(self, client_order_id: str) -> str | int:
        """Give an order id of ours as the venue takes it, kept where it cannot be read back.

        Raises:
            InputError: Not an id of ours.
            VenueUnavailable: It could not be kept.
        """
        if not self.ids.is_kept(client_order_id):
            return self.ids.theirs(client_order_id)
        try:
            async with self._naming:
                return await asyncio.to_thread(self.ids.theirs, client_order_id)
        except OSError as exc:
            raise VenueUnavailable(f"order {client_order_id}: its id could not be kept ({exc})") from exc

    def ours(self, row: Mapping[str, Any]) -> str:
        """Read our id of an order as ccxt gives it; empty where it has none."""
        told = row.get("clientOrderId")
        if told is None and (name := self.profile.client_order_id.read):
            told = (row.get("info") or {}).get(name)
        return self.ids.ours(told)

    async def synchronise_clock(self) -> None:
        """Measure anew how far our clock is ahead of the venue's."""
        self.skew.restart()
        for _ in range(SAMPLES):
            sample = await self._clock_sample()
            if sample is None:
                return
            self.skew.add(sample)
        ahead_ms = round(self.skew.ahead_ms)
        self.set_clock_ahead(ahead_ms)
        log.info("clock.synchronised", venue=self.settings.id, ahead_ms=ahead_ms)

    async def _clock_sample(self) -> Sample | None:
        sent_ns = self.clock.now_ns()
        theirs = await self.server_time_ms()
        return None if theirs is None else Sample(sent_ns, theirs, self.clock.now_ns())

    async def server_time_ms(self) -> int | None:
        """Ask for the venue's time; None where it does not tell."""
        if not self.exchange.has.get("fetchTime"):
            return None
        theirs = await self.query("time", self.exchange.fetch_time, starting=True)
        with reading(f"{self.settings.id}: time"):
            return int(theirs)

    def set_clock_ahead(self, ahead_ms: int) -> None:
        """Have requests stamped with the venue's time."""
        self.exchange.options["timeDifference"] = ahead_ms

    async def resynchronise_clock(self) -> None:
        """Measure again after the venue refused a timestamp; a failure is logged, the next refusal tries again.

        Whoever asks while it is being measured waits for that measurement.
        """
        asked = self._measured
        async with self._measuring:
            if self._measured != asked:
                return
            try:
                await self.synchronise_clock()
            except PlatformError as exc:
                log.warning("clock.unsynchronised", venue=self.settings.id, error=str(exc))
            self._measured += 1

    async def keep_time(self) -> None:
        """Follow the venue's clock, a sample at a time, until cancelled; measure anew when one of the clocks jumped."""
        jumped_ns, sampled_ns = self._wall_less_monotonic(), self.clock.monotonic_ns()
        while True:
            await asyncio.sleep(CLOCK_LOOK_S)
            # Somebody set our own clock: nothing that we stamp is right until it is measured again.
            if abs(self._wall_less_monotonic() - jumped_ns) > CLOCK_JUMP_NS:
                jumped_ns = self._wall_less_monotonic()
                log.warning("clock.jumped", venue=self.settings.id)
                await self.resynchronise_clock()
            elif self.clock.monotonic_ns() - sampled_ns >= CLOCK_EVERY_S * 1e9:
                sampled_ns, jumped_ns = self.clock.monotonic_ns(), self._wall_less_monotonic()
                await self.follow_clock()

    async def follow_clock(self) -> None:
        """Take one more sample into the estimate, or measure anew when it contradicts what is known."""
        try:
            sample = await self._clock_sample()
        except PlatformError as exc:
            log.warning("clock.unsynchronised", venue=self.settings.id, error=str(exc))
            return
        if sample is None:
            return
        if self.skew.contradicts(sample):
            log.warning("clock.jumped", venue=self.settings.id, by_ms=round(sample.ahead_ms - self.skew.ahead_ms))
            await self.resynchronise_clock()
            return
        self.skew.add(sample)
        self.set_clock_ahead(round(self.skew.ahead_ms))

    def _wall_less_monotonic(self) -> int:
        return self.clock.now_ns() - self.clock.monotonic_ns()

    async def warm_up(self) -> None:
        """Open the socket that orders go through, so that the first one does not wait for a handshake."""
        if self.speaks_binance and self.orders_by_websocket:
            client = self.exchange.client(str(self.exchange.urls["api"]["ws"]["ws-api"]["spot"]))
            await self.query("order socket", lambda: client.connect(self.session), starting=True)

    def venue_ms(self) -> int:
        """The venue's time by our clock."""
        return self.clock.now_ns() // 1_000_000 - int(self.exchange.options.get("timeDifference") or 0)

    def expiry(self) -> dict[str, str]:
        """Give the parameters that end an order before it arrives too late, where they are parameters."""
        if self.profile.expiry == "deadline":
            return {"deadline": deadline(self.venue_ms(), self.settings.recv_window_ms)}
        return {}

    def forget_request(self, request_id: str) -> None:
        """Drop ccxt's record of a WebSocket request, which it keeps for ever."""
        if request_id:
            for client in (self.exchange.clients or {}).values():
                client.subscriptions.pop(request_id, None)

    # --- the ways of whatever speaks to the venue, here ccxt's

    @property
    def _foreign(self) -> tuple[type[Exception], ...]:
        """What a call may raise of its own."""
        import ccxt

        return ccxt.BaseError, aiohttp.ClientError, OSError

    async def _answer(self, where: str, call: Callable[[], Awaitable[T]]) -> T:
        # ccxt itself stumbles over answers that are not what the venue documents.
        with reading(where):
            return await await_foreign(call())

    def _query_error(self, exc: Exception, where: str, *, starting: bool) -> PlatformError:
        return query_error(exc, where, starting=starting)

    def _config(self) -> dict[str, Any]:
        settings = self.settings
        options: dict[str, Any] = {
            "adjustForTimeDifference": False,
            "recvWindow": settings.recv_window_ms,
            "ws": {"options": {"compress": 0}} if settings.is_loopback else {},
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        }
        config: dict[str, Any] = {
            "session": self.session,
            "enableRateLimit": False,
            "number": str,
            "timeout": settings.request_timeout_ms,
            "options": options | self.profile.options | dict(settings.options),
        }
        for name, reference in (
            ("apiKey", settings.api_key),
            ("secret", settings.secret),
            ("password", settings.passphrase),
        ):
            if reference is not None:
                config[name] = self._reveal(reference).reveal()
        return config

    def _spread_keys(self) -> None:
        """Put the keys where this exchange's client looks for them."""
        exchange, wanted = self.exchange, self.exchange.requiredCredentials
        if wanted.get("privateKey") and not wanted.get("secret"):
            exchange.privateKey = exchange.secret
            exchange.secret = ""
        if wanted.get("walletAddress") or (wanted.get("privateKey") and not wanted.get("apiKey")):
            exchange.walletAddress, exchange.apiKey = exchange.apiKey, ""
        if self.settings.account is not None:
            for name in ("uid", "login", "accountId"):
                if wanted.get(name):
                    setattr(exchange, name, self.settings.account)

    def _buckets(self) -> list[Bucket]:
        """The limits of the settings, else of the profile, else what ccxt would leave between requests."""
        limits = self.settings.rate_limits or self.profile.rates
        if limits:
            return [Bucket(limit.kind, limit.limit, limit.window_s * 1_000_000_000) for limit in limits]
        return default_buckets(float(self.exchange.rateLimit or 50))

    def _reveal(self, reference: str) -> Secret:
        return resolve_secret(reference, base_dir=self._base_dir, allow_literal=self.settings.is_loopback)

    def _point(self) -> None:
        settings, exchange = self.settings, self.exchange
        if settings.base_url is not None:
            # Some venues keep what they call beside `api`; the rest are pages for people.
            exchange.urls |= {
                name: rewrite(urls, settings.base_url) for name, urls in exchange.urls.items() if name not in _PAGES
            }
        elif settings.testnet:
            if not exchange.urls.get("test"):
                raise InputError(
                    f"{settings.id}: {settings.exchange} has no test environment",
                    hint="set testnet = false to trade for real, or base_url to use a server of your own",
                )
            exchange.set_sandbox_mode(True)
        # Currencies come from an endpoint that trade-only keys may not use, and nothing here needs them.
        exchange.has["fetchCurrencies"] = False

    def _hook(self) -> None:
        exchange = self.exchange
        remove_marks(exchange)
        if exchange.id == "hyperliquid":
            hyperliquid.mend(exchange, self.venue_ms, self.settings.recv_window_ms)
        if hasattr(exchange, "pow"):
            exchange.pow = _power
        # A wait of a quarter of a second for sessions that ccxt made itself; this one is ours.
        exchange.timeout_on_exit = 0
        # Its debug lines hold headers and signed URLs.
        logging.getLogger("ccxt").setLevel(logging.WARNING)
        exchange.logger.setLevel(logging.WARNING)
        answered, client_of = exchange.on_rest_response, exchange.client
        closed, failed = exchange.on_close, exchange.on_error

        def on_rest_response(code: int, reason: Any, url: str, method: str, headers: Any, *rest: Any) -> Any:
            self.limiter.observe(code, headers)
            if handover := CURRENT.get():
                handover.status = code
            return answered(code, reason, url, method, headers, *rest)

        def client(url: str) -> Any:
            known = url in (exchange.clients or {})
            made = client_of(url)
            if not known:
                watch_sender(made, self.clock)
                send = made.send
                made.send = lambda message: send(without_marks(message))
            return made

        def on_close(client: Any, error: Any) -> None:
            closed(client, error)
            self.on_socket_lost(client.url)

        def on_error(client: Any, error: Any) -> None:
            failed(client, error)
            self.on_socket_lost(client.url)

        exchange.on_rest_response = on_rest_response
        exchange.client = client
        exchange.on_close = on_close
        exchange.on_error = on_error


def _power(base: str, exponent: str) -> str:
    """Raise, exactly. ccxt's own (dYdX, Lighter) takes a power of zero or less for the base: sizes come out tenfold."""
    return plain(Decimal(base) ** int(exponent))


def _ids_table(settings: VenueSettings, state_dir: Path | None) -> Path | None:
    return state_dir / f"{settings.id}.order-ids" if state_dir is not None else None


def exchange_class(name: str) -> Any:
    """Find an exchange in ccxt; its streaming class where there is one."""
    import ccxt.async_support
    import ccxt.pro

    if name not in ccxt.async_support.exchanges:
        raise InputError(f"ccxt knows no exchange {name!r}", hint="`capstan venues list` lists them")
    return getattr(ccxt.pro if name in ccxt.pro.exchanges else ccxt.async_support, name)


def open_session(clock: Clock) -> aiohttp.ClientSession:
    """Make an HTTP session that tells the current handover what it wrote, and sends nothing twice."""
    import certifi

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=ssl.create_default_context(cafile=certifi.where()), limit=100, keepalive_timeout=60
        ),
        trace_configs=[http_tracing(clock)],
    )
    # What was cut may have arrived, also a GET (dYdX broadcasts so, Deribit withdraws so): aiohttp must not send it
    # again by itself.
    session._retry_connection = False
    return session
