"""What the routes work with, put together by whoever starts the server (`cli/api.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from api.alerts.services import Alerts
from api.alerts.settings import AlertSettings
from api.auth.account_signatures import ChainReader
from api.auth.services import Auth
from api.auth.settings import ApiSettings
from api.backtests.desk import BacktestDesk
from api.backtests.settings import BacktestSettings
from api.core.effects import Effects
from api.core.errors import NotFound
from api.core.keys import ServerKey
from api.core.pages import Cursors
from api.engine_door import EngineDoor
from api.health.board import Board, Component
from api.health.checks import basic_components
from api.mirror import Mirror
from api.portfolios import Directory
from api.streams.hub import Hub
from api.swaps.desk import SwapBook
from api.swaps.door import DexDoor
from api.swaps.quotes import Quotes
from api.swaps.settings import SwapSettings
from api.webhooks import Webhooks
from custody import Ledger
from custody.counter import Counter
from custody.withdrawals.assets import AssetNames
from domain import VenueUnavailable
from runtime import Clock
from runtime.batches import Batches
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    """One process's. Everything that a route does goes through one of these."""

    clock: Clock
    database: Database
    """The books and the API's own tables."""
    key: ServerKey
    engine: EngineDoor
    batches: Batches
    effects: Effects
    cursors: Cursors
    auth: Auth
    directory: Directory
    hub: Hub
    mirror: Mirror
    webhooks: Webhooks
    dex: DexDoor
    quotes: Quotes
    backtests: BacktestDesk
    alerts: Alerts
    swaps: SwapBook
    health: Board
    books: Ledger | None = None
    counter: Counter | None = None
    """Of an installation with custody."""

    @classmethod
    def over(
        cls,
        *,
        clock: Clock,
        database: Database,
        key: ServerKey,
        engine: EngineDoor,
        dex: DexDoor,
        settings: ApiSettings,
        root: Path,
        backtests: BacktestSettings | None = None,
        backtest_slots: int = 1,
        alerts: AlertSettings | None = None,
        swaps: SwapSettings | None = None,
        books: Ledger | None = None,
        chains: Mapping[int, ChainReader] | None = None,
        counter: Counter | None = None,
        components: Sequence[Component] | None = None,
    ) -> Services:
        """Make what follows from the rest.

        `root` is the data directory; `backtest_slots` says how many backtests the worker runs at a time.
        """
        batches, hub = Batches(database), Hub(clock.now_ns)
        directory, cursors = Directory(database, clock.now_ns), Cursors(key)
        effects, tests = Effects(batches, clock.now_ns), backtests or BacktestSettings()
        quotes = Quotes(cursors, clock.now_ns)
        return cls(
            clock=clock,
            database=database,
            key=key,
            engine=engine,
            batches=batches,
            effects=effects,
            cursors=cursors,
            auth=Auth.over(clock=clock, database=database, key=key, batches=batches, settings=settings, chains=chains),
            directory=directory,
            hub=hub,
            mirror=Mirror(engine.control, hub, directory),
            webhooks=Webhooks(key, clock.now_ns, settings.webhook_networks),
            dex=dex,
            quotes=quotes,
            backtests=BacktestDesk(database, effects, clock.now_ns, tests, root / tests.recordings, backtest_slots),
            alerts=Alerts(database, key, clock.now_ns, alerts or AlertSettings()),
            swaps=SwapBook(database, effects, quotes, clock.now_ns, swaps or SwapSettings()),
            books=books,
            counter=counter,
            health=Board(components or basic_components(database, engine.ask, clock.now_ns), clock.now_ns),
        )

    @property
    def ledger(self) -> Ledger:
        """The books.

        Raises:
            VenueUnavailable: There are none yet.
        """
        if self.books is None:
            raise VenueUnavailable("this installation has no books yet")
        return self.books

    @property
    def custody(self) -> Counter:
        """The counter of the installation's custody.

        Raises:
            NotFound: Code `no_custody`: it has none.
        """
        if self.counter is None:
            raise NotFound(
                "this installation has no custody",
                code="no_custody",
                hint="[chain], [custody] and mode = 'live' in capstan.toml",
            )
        return self.counter

    @property
    def assets(self) -> AssetNames:
        """The assets of the installation's custody; without one none is known."""
        return AssetNames((), {}) if self.counter is None else self.counter.assets


def services_of(connection: HTTPConnection) -> Services:
    """Of the application that answers."""
    found: Services = connection.app.state.services
    return found


async def _services(connection: HTTPConnection) -> Services:
    # A coroutine: FastAPI would call a plain function in a thread, at each request.
    return services_of(connection)


Use = Annotated[Services, Depends(_services)]
"""A route's parameter: `services: Use`."""
