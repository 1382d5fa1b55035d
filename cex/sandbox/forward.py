"""Background liquidity from another Binance-protocol venue, live: its depth and its trades, symbol by symbol.

One connection carries all symbols. A book begins with a snapshot that bridges the diffs around it; a gap in the diffs
begins it anew. While the venue is out of sight its liquidity is withdrawn: nobody trades against prices that nobody
stands for any more. Nothing is ever sent to the venue but questions.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from cex.sandbox.config import UNIT_DECIMALS, ForwardConfig
from cex.sandbox.exchange import Exchange
from cex.sandbox.mirror import Mirror
from domain import InputError, parse_units

log = structlog.get_logger(__name__)

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_HEARTBEAT_S: Final = 10.0
_BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SNAPSHOT_LEVELS: Final = 1000
_FRAME_BYTES_MAX: Final = 4 * 1024 * 1024


class Forward:
    """Follows a venue for as long as it runs. See the module."""

    def __init__(self, exchange: Exchange, config: ForwardConfig, symbols: list[str]) -> None:
        self._exchange = exchange
        self._config = config
        self._mirrors = {name: Mirror(exchange, name, "forward") for name in symbols}
        self._failures = 0
        self._has_followed = False

    async def run(self) -> None:
        """Follow until cancelled; lost connections are made anew.

        Raises:
            InputError: The venue does not have a symbol, or on a grid that does not fit ours.
        """
        while True:
            try:
                async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
                    await self._follow(http)
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, KeyError) as exc:
                log.warning("sandbox.forward_lost", url=self._config.url, error=f"{type(exc).__name__}: {exc}")
            except InputError as exc:
                # At the start it is the configuration; later the venue has changed, and clients are trading here.
                if not self._has_followed:
                    raise
                log.warning("sandbox.forward_refused", url=self._config.url, error=str(exc))
            finally:
                for mirror in self._mirrors.values():
                    mirror.withdraw()
            await asyncio.sleep(_BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)])
            self._failures += 1

    async def _follow(self, http: aiohttp.ClientSession) -> None:
        await self._check_symbols(http)
        names = [f"{name.lower()}@{stream}" for name in self._mirrors for stream in ("depth@100ms", "trade")]
        url = f"{self._config.streams}/stream?streams={'/'.join(names)}"
        async with http.ws_connect(url, heartbeat=_HEARTBEAT_S, max_msg_size=_FRAME_BYTES_MAX) as socket:
            # Bounded by the number of symbols: one that waits for its snapshot asks for no second one.
            unread: asyncio.Queue[str] = asyncio.Queue()
            for name in self._mirrors:
                unread.put_nowait(name)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(socket, unread), name="sandbox.forward_stream")
                    tasks.create_task(self._snapshots(http, unread), name="sandbox.forward_snapshots")
            except ExceptionGroup as group:
                raise group.exceptions[0] from group

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, unread: asyncio.Queue[str]) -> None:
        async for frame in socket:
            if frame.type is aiohttp.WSMsgType.TEXT:
                message = _decode(frame.data)
                symbol = message["data"].get("s", "")
                if symbol in self._mirrors and not self._mirrors[symbol].apply(message):
                    self._begin_anew(symbol, unread)
        raise aiohttp.ClientConnectionError("the stream ended")

    def _begin_anew(self, name: str, unread: asyncio.Queue[str]) -> None:
        log.warning("sandbox.forward_gap", symbol=name)
        self._mirrors[name].withdraw()
        unread.put_nowait(name)

    async def _snapshots(self, http: aiohttp.ClientSession, unread: asyncio.Queue[str]) -> None:
        while True:
            name = await unread.get()
            snapshot = await self._ask(http, f"depth?symbol={name}&limit={_SNAPSHOT_LEVELS}")
            if self._mirrors[name].apply(snapshot):
                self._failures, self._has_followed = 0, True
            else:
                self._begin_anew(name, unread)
                await asyncio.sleep(_BACKOFF_S[1])

    async def _check_symbols(self, http: aiohttp.ClientSession) -> None:
        found = {row["symbol"]: row for row in (await self._ask(http, "exchangeInfo"))["symbols"]}
        for name in self._mirrors:
            spec = self._exchange.markets[name].spec
            if name not in found:
                raise InputError(f"{self._config.url} has no symbol {name}", hint="name what it has with --symbols")
            filters = {row["filterType"]: row for row in found[name]["filters"]}
            if parse_units(filters["PRICE_FILTER"]["tickSize"], UNIT_DECIMALS) % spec.tick_raw:
                raise InputError(f"{self._config.url} has {name} on a tick that is no multiple of {spec.tick_size}")

    async def _ask(self, http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
        async with http.get(f"{self._config.url}/api/v3/{path}") as response:
            response.raise_for_status()
            return _decode(await response.read())
