"""The sandbox as a server: one port for REST, streams and the WebSocket API, and the tasks that keep it moving."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from cex.sandbox import wsapi
from cex.sandbox.admin import Admin
from cex.sandbox.capital import Capital
from cex.sandbox.config import UNIT, FlowConfig, SandboxConfig
from cex.sandbox.connections import Connection
from cex.sandbox.countdowns import Countdowns
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults
from cex.sandbox.fees import FeeSchedule
from cex.sandbox.flow import FlowSimulator
from cex.sandbox.forward import Forward
from cex.sandbox.frames import requests
from cex.sandbox.journal import Commits, Gate, OpenGate, Recorder, Store, open_store, resume
from cex.sandbox.marketws import StreamSession
from cex.sandbox.orders import ExchangeEvent, Order, OrderReported
from cex.sandbox.queries import PublicQueries
from cex.sandbox.ratelimits import RateLimits
from cex.sandbox.replay import Replay
from cex.sandbox.rest import Rest
from cex.sandbox.signing import KeyRing
from cex.sandbox.streams import Hub, MarketData
from cex.sandbox.timeunits import in_microseconds
from cex.sandbox.trading import Trading
from cex.sandbox.userdata import UserData
from cex.sandbox.wire import units
from cex.sandbox.wsapi import Form, WsApiSession
from domain import InputError, VenueUnavailable

log = structlog.get_logger(__name__)

_PUBLISH_S: Final = 0.1
_REPLAY_S: Final = 0.02
_REPLAY_MESSAGES: Final = 20
"""Applied at a time: about two milliseconds' work."""
_SHUTDOWN_S: Final = 0.5
_HEARTBEAT_S: Final = 60.0
"""A client that answers no ping for half of it is gone."""


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SandboxServer:
    """Everything of one sandbox exchange, put together."""

    def __init__(
        self, config: SandboxConfig, clock_ms: Callable[[], int] = wall_clock_ms, store: Store | None = None
    ) -> None:
        self.config = config
        self._faults = faults = Faults()
        self.exchange = Exchange(
            config.symbols,
            config.accounts,
            (lambda: clock_ms() + faults.skew_ms) if config.faults else clock_ms,
            reference_prices=_reference_prices(config),
            maker_fee_bps=config.maker_fee_bps,
            taker_fee_bps=config.taker_fee_bps,
            fees=FeeSchedule(config.fee_tiers, _unit_values(config)) if config.fee_tiers else None,
            limits=config.limits,
        )
        capital = Capital(self.exchange, faults)
        if store is not None:
            resume(self.exchange, capital, store.load())
        keys = KeyRing()
        clients = self.exchange.clients()
        for spec in config.accounts:
            keys.add(spec, clients[spec.name])
        self._limits = limits = RateLimits(config.limits)
        self._hub = Hub(frozenset(self.exchange.markets))
        self._user_data = UserData(self._faults)
        self._market_data = MarketData(self.exchange, self._hub, self._faults)
        queries, trading = PublicQueries(self.exchange, limits), Trading(self.exchange, limits)
        doors = (self.exchange, keys, limits, queries, trading, self._user_data, self._faults)
        self._countdowns = Countdowns(self.exchange, trading)
        self._rest = Rest(*doors, capital, self._countdowns)
        self._ws_api = wsapi.build(*doors)
        self._connections: dict[Connection, None] = {}
        self._admin = Admin(
            self.exchange, faults, self._connections.keys(), capital, self._user_data, config.admin_token
        )
        self._replay = Replay(self.exchange, *config.replays) if config.replays else None
        replayed = {replay.symbol for replay in config.replays}
        symbols = [name for name in self.exchange.markets if name not in replayed]
        self._forward = Forward(self.exchange, config.forward, symbols) if config.forward and symbols else None
        self._flow: FlowSimulator | None = None
        if config.flow and self._forward is None:
            # After a restart the market goes on from where it was, with other draws.
            flow = replace(config.flow, start_prices=_present_prices(config.flow, self.exchange))
            seed = config.seed + self.exchange.counters()["last_order_id"]
            self._flow = FlowSimulator(self.exchange, flow, seed, symbols)
        self._recorder: Recorder | None = None
        self._gate: Gate = OpenGate()
        self._commits: Commits | None = None
        if store is not None:
            self._recorder = Recorder(self.exchange, capital)
            store.replace(self._recorder.everything())
            self._gate = self._commits = Commits(self._recorder, store)
            capital.changed = self._recorder.on_transfer
        self.exchange.emit = self._on_event

    async def run(self, stop: asyncio.Event, ready: Callable[[int], None] | None) -> None:
        """Serve until `stop` is set.

        Raises:
            VenueUnavailable: The port cannot be bound.
        """
        tls = self.config.tls.context() if self.config.tls else None
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        site = web.TCPSite(runner, self.config.host, self.config.port, ssl_context=tls)
        try:
            try:
                await site.start()
            except OSError as exc:
                where = f"{self.config.host}:{self.config.port}"
                raise VenueUnavailable(f"sandbox cannot listen on {where}: {exc.strerror}") from exc
            port = int(runner.addresses[0][1])
            log.info("sandbox.listening", host=self.config.host, port=port)
            if ready is not None:
                ready(port)
            try:
                await self._keep_moving(stop)
            except ExceptionGroup as group:
                # Whoever broke first says what is wrong; a person reads one line.
                raise group.exceptions[0] from group
        finally:
            await asyncio.gather(*(connection.close() for connection in list(self._connections)))
            await runner.cleanup()
            if self._commits is not None:
                await self._commits.close()

    # --- doors

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=self.config.limits.body_bytes_max, middlewares=[self._after_commit])
        for prefix in ("", "/stream"):
            app.router.add_get(f"{prefix}/ws", self._bare_stream)
            app.router.add_get(f"{prefix}/ws/{{names:.*}}", self._bare_stream)
        app.router.add_get("/stream", self._combined_stream)
        app.router.add_get("/ws-api/v3", self._serve_ws_api)
        app.router.add_get("/_sandbox/health", self._admin.health)
        if self.config.faults:
            app.router.add_route("*", "/_sandbox/faults", self._admin.guarded(self._admin.faults))
            app.router.add_post("/_sandbox/deposits", self._admin.guarded(self._admin.deposit))
        app.router.add_route("*", "/{path:.*}", self._rest.handle)
        return app

    @web.middleware
    async def _after_commit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        # What is answered must be true after a restart. WebSockets, which are over here, wait message by message.
        await self._gate.passed(self._gate.mark())
        return response

    async def _bare_stream(self, request: web.Request) -> web.StreamResponse:
        # ccxt numbers its connections: `/stream/ws/0`.
        names = [name for name in request.match_info.get("names", "").split("/") if name and not name.isdigit()]
        return await self._serve_streams(request, names, wrapped=False)

    async def _combined_stream(self, request: web.Request) -> web.StreamResponse:
        # Candles of a time zone have a plus in their name, which a query reads as a space.
        names = [name for name in request.query.get("streams", "").replace(" ", "+").split("/") if name]
        return await self._serve_streams(request, names, wrapped=True)

    async def _serve_streams(self, request: web.Request, names: list[str], *, wrapped: bool) -> web.StreamResponse:
        async with self._connect(request) as (socket, connection):
            session = StreamSession(
                connection,
                self._hub,
                self._user_data,
                self.exchange,
                wrapped=wrapped,
                limits=self.config.limits,
            )
            try:
                session.open(names)
                async for frame in requests(socket):
                    session.receive(frame)
            finally:
                session.close()
        return socket

    async def _serve_ws_api(self, request: web.Request) -> web.StreamResponse:
        try:
            form = Form.read(request.query)
        except ApiError as exc:
            return web.json_response(exc.view(), status=exc.http_status)
        async with self._connect(request) as (socket, connection):
            session = WsApiSession(self._ws_api, connection, form)
            try:
                async for frame in requests(socket):
                    await session.receive(frame)
            finally:
                session.close()
        return socket

    @contextlib.asynccontextmanager
    async def _connect(self, request: web.Request) -> AsyncIterator[tuple[web.WebSocketResponse, Connection]]:
        limits = self.config.limits
        if len(self._connections) >= limits.connections_max:
            raise web.HTTPServiceUnavailable(text="too many connections")
        socket = web.WebSocketResponse(compress=False, max_msg_size=limits.frame_bytes_max, heartbeat=_HEARTBEAT_S)
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="expected a WebSocket upgrade")
        try:
            is_in_microseconds = in_microseconds(request.query.get("timeUnit"))
        except ApiError as exc:
            raise web.HTTPBadRequest(text=json.dumps(exc.view()), content_type="application/json") from exc
        await socket.prepare(request)
        connection = Connection(socket, request, limits, self._gate, is_in_microseconds=is_in_microseconds)
        self._connections[connection] = None
        writer = asyncio.create_task(connection.run(), name="sandbox.connection")
        try:
            yield socket, connection
        finally:
            del self._connections[connection]
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    # --- what keeps it moving

    def _on_event(self, event: ExchangeEvent) -> None:
        if self._recorder is not None:
            self._recorder.on_event(event)
        self._limits.on_event(event)
        self._user_data.on_event(event)
        self._market_data.on_event(event)
        if self.config.faults and isinstance(event, OrderReported) and event.execution == "NEW":
            # After the command that is running now: events must not call back.
            asyncio.get_running_loop().call_soon(self._maybe_reject, event.order)

    def _maybe_reject(self, order: Order) -> None:
        if order.status.is_open and self._faults.take("reject_after_ack"):
            self.exchange.reject(order)

    async def _keep_moving(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._publish(), name="sandbox.publish")]
            if self._flow is not None:
                background.append(tasks.create_task(self._run_flow(self._flow), name="sandbox.flow"))
            if self._forward is not None:
                background.append(tasks.create_task(self._forward.run(), name="sandbox.forward"))
            if self._replay is not None:
                background.append(tasks.create_task(self._run_replay(self._replay), name="sandbox.replay"))
            if self._commits is not None:
                tasks.create_task(self._commits.run(), name="sandbox.journal")
            await stop.wait()
            for task in background:
                task.cancel()
            if self._commits is not None:
                self._commits.end()

    async def _publish(self) -> None:
        loop, beat = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            beat += 1
            due = max(due + _PUBLISH_S, loop.time())
            await asyncio.sleep(due - loop.time())
            self.exchange.expire_due()
            self._countdowns.strike()
            self._market_data.every_100_ms()
            if beat % 10 == 0:
                self._market_data.every_second()

    async def _run_flow(self, flow: FlowSimulator) -> None:
        loop, step_s = asyncio.get_running_loop(), self.config.flow.step_ms / 1000 if self.config.flow else 1.0
        due = loop.time()
        while True:
            due = max(due + step_s, loop.time())
            await asyncio.sleep(due - loop.time())
            flow.step()

    async def _run_replay(self, replay: Replay) -> None:
        then, count = time.monotonic_ns(), _REPLAY_MESSAGES
        while not replay.is_over:
            # Time that is behind is caught up with, but not in one go: clients are served between two portions.
            is_behind = count == _REPLAY_MESSAGES
            await asyncio.sleep(0 if is_behind else _REPLAY_S)
            now = time.monotonic_ns()
            count = replay.advance(now - then, _REPLAY_MESSAGES)
            then = now
        log.info("sandbox.replay_over")


async def serve(config: SandboxConfig, *, stop: asyncio.Event, ready: Callable[[int], None] | None = None) -> None:
    """Run a sandbox exchange until `stop` is set; `ready` is told the port once it accepts connections.

    Raises:
        InputError: The configuration cannot be used.
        VenueUnavailable: The port cannot be bound, or the journal cannot be opened or written.
    """
    store = open_store(config.journal, sync=config.journal_sync) if config.journal is not None else None
    try:
        server = SandboxServer(config, store=store)
    except BaseException:
        if store is not None:
            store.close()
        raise
    await server.run(stop, ready)


def _unit_values(config: SandboxConfig) -> Mapping[str, str]:
    """What one of each asset is worth in the unit that volumes are counted in."""
    return (config.flow or FlowConfig()).start_prices


def _reference_prices(config: SandboxConfig) -> dict[str, int]:
    """Prices in ticks that filters refer to before anything traded."""
    prices: dict[str, int] = {}
    values = (config.flow or FlowConfig()).start_prices
    for spec in config.symbols:
        if spec.base not in values or spec.quote not in values:
            raise InputError(f"{spec.name} has no start price")
        ratio = Fraction(values[spec.base]) / Fraction(values[spec.quote])
        prices[spec.name] = max(1, int(ratio * UNIT / spec.tick_raw))
    return prices


def _present_prices(flow: FlowConfig, exchange: Exchange) -> dict[str, str]:
    """Start prices of the flow, as the last trades against the common unit correct them."""
    prices = dict(flow.start_prices)
    for market in exchange.markets.values():
        spec = market.spec
        if market.last_trade_id and prices[spec.quote] == "1" and prices[spec.base] != "1":
            prices[spec.base] = units(market.last_price * spec.tick_raw)
    return prices
