"""Puts together what the API works with, of an installation's data directory."""

from __future__ import annotations

import asyncio

from api.core.keys import ServerKey
from api.engine_door import EngineDoor
from api.services import Services
from api.swaps.door import DexDoor
from api.tables import open_tables
from chain import ChainClient
from cli.backtest_jobs import backtest_slots
from cli.data_dir import DataDir
from cli.probing import components_of
from cli.settings import ChainSettings, Settings, load_settings
from cli.wiring import open_ledger
from custody import Ledger
from custody.counter import Counter
from domain import ChainId
from runtime import SystemClock
from runtime.database import Database


def open_services(data: DataDir) -> Services:
    """Open the database, the server's key and the door to the engine.

    Raises:
        InputError: Settings or key file that cannot be used.
        VenueUnavailable: The database does not answer.
    """
    settings = load_settings(data.settings)
    chain = settings.chain
    database, ledger = open_ledger(settings, data)
    open_tables(database)
    clock = SystemClock()
    return Services.over(
        clock=clock,
        database=database,
        key=ServerKey.at(data.api_key),
        engine=EngineDoor(data.control),
        dex=DexDoor(data.dex_control),
        settings=settings.api,
        root=data.root,
        backtests=settings.backtests,
        backtest_slots=backtest_slots(settings),
        alerts=settings.alerts,
        swaps=settings.swaps,
        books=ledger,
        components=components_of(settings, data, database, clock.now_ns),
        counter=_counter(settings, data, (database, ledger)),
        chains={} if chain is None else {chain.chain_id: _LazyChain(chain)},
    )


def _counter(settings: Settings, data: DataDir, books: tuple[Database, Ledger]) -> Counter | None:
    """Custody's counter, where there is custody of real funds."""
    if settings.custody is None or settings.chain is None or settings.mode != "live":
        return None
    from cli.withdrawals_desk import open_counter

    return open_counter(settings, data, books=books, state="api-policy.json")


class _LazyChain:
    """The installation's chain, connected when the first contract account signs in: the API starts without it."""

    def __init__(self, settings: ChainSettings) -> None:
        self._client = ChainClient(list(settings.endpoints), ChainId(settings.chain_id))
        self._turn = asyncio.Lock()
        self._is_open = False

    async def code(self, address: str) -> bytes:
        return await (await self._open()).code(address)

    async def call(self, to: str | None, data: bytes) -> bytes:
        return await (await self._open()).call(to, data)

    async def _open(self) -> ChainClient:
        async with self._turn:
            if not self._is_open:
                await self._client.connect()
                self._is_open = True
        return self._client
