"""An exchange account as the engine sees it: satisfies `engine.ports.ExchangeVenue` over any venue ccxt knows.

    market data   binance.feed (Rust book) or ccxt_feed ──────────────────────────┐
    user stream   binance.user_stream or ccxt_user_stream ──> reports ──> events ──┴──> emit
    orders        orders ──> binance.orders or ccxt ──> venue ──> answer ──┘  ^
    REST          account <── reconciler (after each reconnect, at intervals) ┘

Fills come from trade reports only, and each once. There is no way to withdraw here, on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from cex.account import Account, TradeCursor
from cex.binance import BinanceAccount, BinanceConnection, BinanceFeed, BinanceOrders, BinanceUserStream
from cex.ccxt_feed import CcxtFeed
from cex.ccxt_user_stream import CcxtUserStream
from cex.connection import BINANCE_PROTOCOL, Connection
from cex.dead_man import DeadMan, countdown_s
from cex.feeds.backfill import TradeGuard, rest_trades
from cex.feeds.checked import CheckedFeed
from cex.feeds.contracts import ContractPoll, fetch_funding
from cex.feeds.data import Datum, Funding, event_of
from cex.feeds.dialects import DIALECTS, dialect_of
from cex.feeds.merged import MergedFeed
from cex.markets import Market, follow, last_prices
from cex.orders import Orders
from cex.positions import Position, fetch_positions
from cex.reconciler import Reconciler
from cex.reports import Reports
from cex.settings import VenueSettings
from cex.venues.matrix import capabilities
from domain import Fill, InputError, Instrument, InvariantError, PlatformError, VenueId, VenueUnavailable
from domain.events import AskOrder, BookInvalidated, CancelOrder, Event, PlaceOrder
from runtime import Clock

log = structlog.get_logger(__name__)

READY_S = 20.0
"""How long the books and the user stream may take to become valid at the start."""


class CcxtVenue:
    """One account at one exchange. `start` once, `stop` once; all on one event loop."""

    def __init__(
        self, settings: VenueSettings, *, clock: Clock, base_dir: Path | None = None, state_dir: Path | None = None
    ) -> None:
        """`base_dir` is the folder that `file:` secrets are relative to.

        `state_dir` is where order ids are kept that the venue cannot take as they are; without it, in memory.
        """
        self._settings = settings
        is_native = settings.exchange in BINANCE_PROTOCOL and settings.feed == "auto"
        self._connection = (BinanceConnection if is_native else Connection)(settings, clock, base_dir, state_dir)
        self.on_data: Callable[[Datum], None] | None = None
        """Told all market data in its normalised form, besides the events."""
        self.on_raw: Callable[[str, bytes, int], None] | None = None
        """Told an instrument's diffs and snapshots in the venue's own words with the time of receipt, where they are
        followed natively. To be set before `follow`, as `on_data`."""
        self._emit: Callable[[Event], None] = lambda _event: None
        self._markets: dict[str, Market] = {}
        self._feeds: list[BinanceFeed | CheckedFeed | CcxtFeed | MergedFeed] = []
        self._siblings: list[Connection] = []
        self._base_dir = base_dir
        self._reports: Reports
        self._account: Account
        self._orders: Orders
        self._reconciler: Reconciler
        self._dead_man: DeadMan | None = None
        self._running: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._is_started = False

    @property
    def id(self) -> VenueId:
        return self._settings.venue_id

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return MappingProxyType({market.id: market.instrument for market in self._markets.values()})

    @property
    def markets(self) -> Mapping[str, Market]:
        """The followed instruments with the names they go by."""
        return MappingProxyType(self._markets)

    @property
    def feeds(self) -> Sequence[BinanceFeed | CheckedFeed | CcxtFeed | MergedFeed]:
        """One per instrument, while it runs."""
        return tuple(self._feeds)

    def health(self) -> Mapping[str, Any]:
        """How it stands with the venue now, for people; the books say the rest."""
        skew = self._connection.skew
        is_open = self._running is not None and self._failure is None
        return {
            "exchange": self._settings.exchange,
            "is_trading": is_open and self._connection.has_keys and self._reconciler.trusted.is_set(),
            "is_paper": False,
            "failure": None if self._failure is None else str(self._failure),
            "clock_ahead_ms": round(skew.ahead_ms, 1) if skew.is_known else None,
        }

    async def connect(self, emit: Callable[[Event], None]) -> None:
        """Load instruments and check the keys, and follow nothing: enough to cancel, ask and list, not to place.

        Raises:
            InputError: Unknown exchange or symbol, refused keys, unreadable secret.
            VenueUnavailable: Not reachable.
        """
        if self._is_started:
            raise InvariantError(f"venue {self.id} was started twice")
        self._refuse_what_cannot_be_traded()
        self._is_started = True
        self._emit = emit
        try:
            await self._connection.open()
            await self._load_markets()
        except BaseException:
            await self.stop()
            raise

    async def start(self, emit: Callable[[Event], None]) -> None:
        """Connect, follow, and return once every book is valid and the account was compared with REST.

        Raises:
            InputError: As `connect`.
            VenueUnavailable: Not reachable, or not ready within `READY_S`.
        """
        await self.connect(emit)
        await self.follow()

    async def follow(self) -> None:
        """Follow what `connect` has loaded, and return once it may be traded on; raises as `start`."""
        try:
            await self._follow()
        except BaseException:
            await self.stop()
            raise
        log.info("venue.started", venue=self.id, instruments=list(self._markets))

    async def stop(self) -> None:
        """Leave: streams closed, nothing cancelled at the venue.

        Where orders rest, a dead-man's switch is left to strike: nobody watches them any more.
        """
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None
        if self._dead_man is not None:
            # Also after a start that failed with the switch armed.
            switch, self._dead_man = self._dead_man, None
            await self._end_dead_man(switch)
        for connection in (*self._siblings, self._connection):
            await connection.close()

    async def place(self, order: PlaceOrder) -> int:
        """Send one order under its client order id; see the port.

        Refused as `VenueUnavailable` while the user stream is down: we would not see what became of it.
        """
        self._require_trust()
        return await self._orders.place(order)

    async def replace(self, cancel: CancelOrder, order: PlaceOrder) -> int:
        """Cancel one order and place another in one step, where the venue can; see `cex.binance.orders`.

        Raises:
            InputError: It cannot, or the orders are of two instruments. Otherwise as `place`.
        """
        self._require_trust()
        if cancel.instrument != order.instrument:
            raise InputError(f"an order of {cancel.instrument} is not replaced by one of {order.instrument}")
        return await self._orders.replace(self._orders.market(order.instrument), cancel.client_order_id, order)

    async def cancel(self, cancel: CancelOrder) -> None:
        self._check()
        self._require_keys()
        await self._orders.cancel(self._orders.market(cancel.instrument), cancel.client_order_id)

    async def cancel_all(self) -> int:
        self._check()
        return await self._orders.cancel_all() if self._connection.has_keys else 0

    async def ask(self, ask: AskOrder) -> None:
        self._check()
        self._require_keys()
        await self._orders.ask(self._orders.market(ask.instrument), ask.client_order_id)

    async def open_orders(self) -> Sequence[str]:
        self._check()
        self._require_keys()
        orders = [order for market in self._markets.values() for order in await self._account.open_orders(market)]
        return [order.client_order_id for order in orders]

    async def fills(self) -> Sequence[Fill]:
        self._check()
        self._require_keys()
        found: list[Fill] = []
        for market in self._markets.values():
            found += await self._account.trades(market, TradeCursor(is_numbered=self._connection.speaks_binance))
        return sorted(found, key=lambda fill: fill.venue_time_ns)

    async def balances(self) -> Mapping[str, int]:
        self._check()
        self._require_keys()
        return await self._account.balances()

    async def positions(self) -> Sequence[Position]:
        """What is held of the followed swaps, from REST; empty without swaps."""
        self._check()
        self._require_keys()
        return await fetch_positions(self._connection, self._markets)

    async def funding(self, instrument: str) -> Funding:
        """The funding rate that a followed swap pays next.

        Raises:
            InputError: Not followed, or not a swap.
        """
        self._check()
        market = self._orders.market(instrument)
        if market.is_spot:
            raise InputError(f"{instrument} is spot, which pays no funding")
        return await fetch_funding(self._connection, market)

    # --- parts

    def _refuse_what_cannot_be_traded(self) -> None:
        """Refuse keys of a venue where an order could be lost; what was found out is in the matrix."""
        known = capabilities().get(self._settings.exchange)
        if self._connection.has_keys and known is not None and not known.trades:
            raise InputError(
                f"{self.id}: no trading on {self._settings.exchange}: {known.why_not}",
                hint="remove api_key and secret to follow its market data only; `capstan venues list` shows others",
            )

    async def _load_markets(self) -> None:
        connection = self._connection
        native = connection if isinstance(connection, BinanceConnection) else None
        markets = native.markets if native else await self._listed()
        self._markets |= {market.id: market for market in markets}
        self._reports = Reports(self._emit, self._trades_missing)
        if native:
            account = self._account = BinanceAccount(native, self._markets, self._reports)
            self._orders = BinanceOrders(native, account, self._markets, self._reports)
        else:
            self._account = Account(connection, self._markets, self._reports)
            self._orders = Orders(connection, self._account, self._markets, self._reports)
        self._reconciler = Reconciler(connection, self._account, self._orders, self._markets, self._reports)
        if connection.has_keys:
            # The first signed question: a wrong key is told here.
            await self._account.balances(starting=True)
            for market in list(self._markets.values()):
                self._markets[market.id] = await self._account.with_fees(market)

    async def _listed(self) -> Sequence[Market]:
        exchange = self._connection.exchange
        prices = await last_prices(self._connection)
        return follow(self._settings, exchange.markets, exchange.precisionMode, prices)

    async def _follow(self) -> None:
        """Start the parts and wait until they are ready."""
        if self._settings.book_level == 3:
            dialect_of(self._settings.exchange, 3)  # Refuses, before anything is opened, what has no single orders.
        connection = self._connection
        connection.on_socket_lost = self._socket_lost
        markets = self._markets.values()
        parts: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if isinstance(connection, BinanceConnection):
            native = [BinanceFeed(connection, market, self._tell) for market in markets]
            for feed, market in zip(native, markets, strict=True):
                feed.on_raw = partial(self.on_raw, market.id) if self.on_raw is not None else None
            self._feeds = list(native)
        else:
            guards = [TradeGuard(m.id, rest_trades(connection, m), self._tell) for m in markets]
            parts += [guard.run for guard in guards]
            self._feeds = [
                await self._foreign_feed(market, guard.take) for market, guard in zip(markets, guards, strict=True)
            ]
        parts += [part.run for part in self._feeds]
        parts.append(connection.keep_time)
        if self.on_data is not None:
            contracts = [market for market in markets if not market.is_spot]
            parts += [ContractPoll(connection, market, self._tell).run for market in contracts]
        if connection.has_keys:
            await self._reconciler.baseline()
            parts += await self._begin_dead_man()
            parts += [*await self._account_parts(), self._reconciler.run]
        self._running = asyncio.create_task(self._run(parts), name=f"cex.{self.id}")
        ready = asyncio.create_task(self._ready(), name=f"cex.{self.id}.ready")
        try:
            await asyncio.wait({ready, self._running}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            self._check()
            if not ready.done():
                raise VenueUnavailable(f"{self.id}: not ready within {READY_S:g} s: no valid book or no user stream")
        finally:
            ready.cancel()

    async def _begin_dead_man(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Arm the venue's switch, where there is one, and give what renews it."""
        connection, wanted = self._connection, self._settings.dead_man_s
        seconds = countdown_s(wanted, connection.profile, is_possible=connection.has_countdown)
        if not seconds:
            return []
        switch = DeadMan(str(self.id), seconds, self._orders.arm_dead_man)
        if not await switch.begin(is_wanted=wanted is not None):
            return []
        self._dead_man = switch
        return [switch.run]

    async def _end_dead_man(self, switch: DeadMan) -> None:
        try:
            async with asyncio.timeout(self._connection.timeout_s):
                if resting := await self.open_orders():
                    log.warning("dead_man.left_armed", venue=self.id, orders=len(resting))
                else:
                    await switch.end()
        except (PlatformError, TimeoutError) as exc:
            log.warning("dead_man.left_armed", venue=self.id, error=str(exc))

    async def _account_parts(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Open the way out for orders, and give what is to run beside the feeds."""
        connection, orders = self._connection, self._orders
        up, down = self._reconciler.stream_up, self._reconciler.stream_down
        if isinstance(connection, BinanceConnection) and isinstance(orders, BinanceOrders):
            native = BinanceUserStream(connection, self._markets, self._reports, on_up=up, on_down=down)
            self._reconciler.on_silence = native.line.doubt
            return [native.run, *await orders.open()]
        await connection.warm_up()
        stream = CcxtUserStream(connection, self._account, self._markets, self._reports, on_up=up, on_down=down)
        return [stream.run]

    async def _foreign_feed(self, market: Market, emit: Callable[[Datum], None]) -> CheckedFeed | CcxtFeed | MergedFeed:
        """Make the feed of an instrument of a venue that does not speak Binance's protocol, or is not to."""
        connection, settings = self._connection, self._settings
        if settings.feed == "auto" and settings.exchange in DIALECTS and market.is_spot:
            return CheckedFeed(connection, market, emit, dialect=dialect_of(settings.exchange, settings.book_level))
        if settings.lines > 1:
            return MergedFeed([connection, *await self._open_siblings()], market, emit)
        return CcxtFeed(connection, market, emit)

    async def _open_siblings(self) -> list[Connection]:
        """Open further clients of the exchange, for market data only and without keys, or give those that are open."""
        if self._siblings:
            return self._siblings
        for number, base_url in enumerate(self._settings.further_lines, 1):
            settings = self._settings.model_copy(
                update={
                    "api_key": None,
                    "secret": None,
                    "passphrase": None,
                    "base_url": base_url or self._settings.base_url,
                }
            )
            sibling = Connection(settings, self._connection.clock, self._base_dir)
            self._siblings.append(sibling)
            await sibling.open_beside(self._connection)
            sibling.on_socket_lost = partial(self._sibling_socket_lost, number)
        return self._siblings

    def _tell(self, datum: Datum) -> None:
        if self.on_data is not None:
            self.on_data(datum)
        if (event := event_of(datum)) is not None:
            self._emit(event)

    async def _ready(self) -> None:
        for feed in self._feeds:
            await feed.valid.wait()
        if self._connection.has_keys:
            await self._reconciler.trusted.wait()

    async def _run(self, parts: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(part())
        except* Exception as group:
            # A part that ends is our bug: nothing that follows may be trusted.
            self._failure = group
            log.critical("venue.failed", venue=self.id, error=repr(group.exceptions[0]))
            for instrument in self._markets:
                self._emit(BookInvalidated(time_ns=0, instrument=instrument, reason="the venue adapter failed"))

    def _check(self) -> None:
        if self._failure is not None:
            raise InvariantError(f"venue {self.id}: the adapter failed: {self._failure!r}")
        if not self._markets:
            raise InvariantError(f"venue {self.id} was not started")

    def _require_keys(self) -> None:
        if not self._connection.has_keys:
            raise InputError(f"venue {self.id} has no API key", hint="api_key and secret in its settings, by reference")

    def _require_trust(self) -> None:
        self._check()
        self._require_keys()
        if not self._reconciler.trusted.is_set():
            raise VenueUnavailable(f"{self.id}: the account is being compared with REST; nothing was sent")

    def _trades_missing(self, client_order_id: str) -> None:
        self._reconciler.trades_missing(client_order_id)

    def _socket_lost(self, url: str) -> None:
        log.info("socket.lost", venue=self.id, url=url.partition("?")[0])
        for feed in self._feeds:
            if isinstance(feed, CcxtFeed | MergedFeed):
                feed.socket_lost()
        if not isinstance(self._connection, BinanceConnection):
            self._reconciler.stream_down("a socket was lost")

    def _sibling_socket_lost(self, number: int, url: str) -> None:
        log.info("socket.lost", venue=self.id, source=number, url=url.partition("?")[0])
        for feed in self._feeds:
            if isinstance(feed, MergedFeed):
                feed.socket_lost(number)
