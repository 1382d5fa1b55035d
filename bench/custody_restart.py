"""Restart to steady state with 1,000 transactions in flight: a quarter of them were mined while nobody looked.

Steady means: everything that was mined is booked and told, everything that the pool forgot is sent again, and a look at
the chain finds nothing more to change. Measured from opening the database to there, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rows import Row

if TYPE_CHECKING:
    from custody import Custody

_IN_FLIGHT = 1_000
_MINED = 250
_TARGET_S = 2.0
_POSTGRES = "CAPSTAN_TEST_POSTGRES_URL"


def run() -> list[Row]:
    """Measure; takes some minutes, because all have to be sent first."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows.append(_row("SQLite", asyncio.run(_measure(f"sqlite:///{folder}/books.db", Path(folder)))))
    if server := os.environ.get(_POSTGRES):
        with tempfile.TemporaryDirectory() as folder, _database(server) as url:
            rows.append(_row("PostgreSQL", asyncio.run(_measure(url, Path(folder)))))
    return rows


def _row(where: str, seconds: float) -> Row:
    return Row(
        topic="custody",
        name=f"restart with {_IN_FLIGHT:,} in flight, {where}",
        value=round(seconds, 3),
        unit="s",
        peer=f"{_TARGET_S:g} s",
        ratio=round(_TARGET_S / seconds, 2),
        target=1.0,
        ok=seconds <= _TARGET_S,
    )


async def _measure(url: str, folder: Path) -> float:
    from chain.devnet import TEST_MNEMONIC, Devnet, DevnetConfig
    from custody import AssetLimits, Custody, DeskOptions, Ledger, Policy, PolicySettings, open_books
    from domain import Amount, ChainId, IntentId, StrategyId, native_asset
    from domain.plans import TransactionPlan
    from runtime import Secret, configure_logging
    from runtime.database import Database
    from wallets import HdWallet, Network

    configure_logging(level="CRITICAL")

    class NoScreening:
        async def screen(self, addresses: object) -> None:
            return None

    async with await Devnet.start(DevnetConfig()) as devnet, devnet.client() as client:
        signer = HdWallet(Secret(TEST_MNEMONIC)).signer(5)
        chain_id, recipient = ChainId(client.chain_id), devnet.world.test_accounts[7]
        coin = native_asset(chain_id)
        settings = PolicySettings(
            chain_id=chain_id,
            assets={coin.id: AssetLimits(per_transaction_raw=10**18, per_day_raw=10**24)},
            recipients=(recipient,),
        )

        def open_desk() -> tuple[Custody, Database]:
            database = open_books(Database(url))
            options = DeskOptions(fees_per_hour_wei_max=10**24, stuck_s=3600, lanes=16, rebroadcast_s=3600)
            custody = Custody(
                database=database,
                ledger=Ledger(database, time.time_ns),
                policy=Policy(settings),
                screener=NoScreening(),
                signer=signer,
                chain=client,
                network=Network.DEVNET,
                options=options,
            )
            return custody, database

        await client.rpc.request("evm_setAutomine", False)
        # As much as a block holds; what does not fit stays in the pool.
        await client.rpc.request("evm_setBlockGasLimit", hex(_MINED * 21_000 + 20_000))
        custody, database = open_desk()
        await custody.start(lambda _settled: None)
        for number in range(_IN_FLIGHT):
            await custody.submit(
                TransactionPlan(
                    intent_id=IntentId(f"t{number}"),
                    strategy=StrategyId("bench"),
                    purpose="transfer",
                    chain_id=chain_id,
                    sender=signer.address,
                    to=recipient,
                    value_wei=1,
                    data=b"",
                    gas_limit=21_000,
                    deadline_s=0,
                    spends=(Amount(coin, 1),),
                    recipient=recipient,
                )
            )
        await _until_all_are_out(custody)
        await custody.stop()
        database.dispose()
        await client.rpc.request("evm_mine")

        told: list[str] = []
        began = time.perf_counter()
        custody, database = open_desk()
        await custody.start(lambda settled: told.append(settled.intent_id))
        if not await custody.wait_steady(60):
            raise RuntimeError("the desk did not come to rest")
        seconds = time.perf_counter() - began
        left = len(await custody.in_flight())
        if len(told) < _MINED or left + len(told) != _IN_FLIGHT:
            raise RuntimeError(f"{len(told)} told and {left} in flight, of {_IN_FLIGHT}")
        await custody.stop()
        database.dispose()
        return seconds


async def _until_all_are_out(custody: Custody) -> None:
    while True:
        names = await custody.in_flight()
        if all(str(custody.state(name)) == "broadcast" for name in reversed(names)):
            return
        await asyncio.sleep(1)


@contextmanager
def _database(server: str) -> Iterator[str]:
    import sqlalchemy as sa

    name = f"capstan_bench_{uuid.uuid4().hex[:8]}"
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
