"""How others reach a running engine: its operator's commands, clients' orders and its feed, on one control socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api.candles.store import CandleWriter
from api.history.writer import HistoryWriter
from cli.engine_changing import Changing
from cli.engine_followers import Followers
from cli.engine_operator import Operator
from cli.engine_status import StatusBoard
from domain import events as e
from engine.feed import Feed
from engine.ports import Bookkeeper, ExchangeVenue
from engine.requests import Requests
from engine.runner import LiveRunner
from runtime.control import serve_control
from runtime.database import Database


class Doors:
    """Of one engine. `on_step` is told of every step."""

    def __init__(
        self,
        runner: LiveRunner,
        board: StatusBoard,
        venues: Mapping[str, ExchangeVenue],
        changing: Changing,
        database: Database,
        now_ns: Callable[[], int],
    ) -> None:
        self._board = board
        self._requests = Requests(runner.kernel, runner.emit)
        self._feed = Feed(runner.kernel)
        self._followers = Followers(self._feed)
        self._history = HistoryWriter(database, runner.kernel, self._feed)
        self._candles = CandleWriter(database, runner.kernel.markets.instruments, now_ns)
        more = {**changing.commands(), "standing": self._standing}
        self._operator = Operator(runner, board, venues, changing.reloader, self._requests, more)

    def on_step(self, event: e.Event, commands: list[e.Command]) -> None:
        self._board.count(event, commands)
        self._requests.on_step(event, commands)
        self._feed.on_step(event, commands)
        self._history.on_step(event, commands)
        self._candles.on_step(event)

    def keeping_history(self, bookkeeper: Bookkeeper) -> Bookkeeper:
        """The bookkeeper to give the engine, so that its trades are in the tables too."""
        return self._history.wrap(bookkeeper)

    async def _standing(self, _request: dict[str, Any]) -> dict[str, Any]:
        return self._feed.standing()

    @asynccontextmanager
    async def open(self, control: Path) -> AsyncIterator[None]:
        """Serve for as long as the block runs."""
        streams = {"follow": self._followers.follow}
        async with serve_control(control, self._operator.handle, streams=streams):
            parts = [
                asyncio.create_task(self._followers.run(), name="engine.followers"),
                asyncio.create_task(self._history.run(), name="engine.history"),
                asyncio.create_task(self._candles.run(), name="engine.candles"),
            ]
            try:
                yield
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.wait(parts)
                await self._history.flush()
                await self._candles.flush()
