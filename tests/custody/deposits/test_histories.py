"""Any history of payments, reorganisations, kills and restarts ends in the books of a reader who saw only the end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlmodel import col, select

from chain import ChainClient
from chain.devnet import Devnet
from custody import Ledger
from custody.deposits.scanner import DepositScanner
from custody.deposits.settings import DepositSettings
from custody.deposits.states import DepositState
from custody.deposits.store import Deposit
from custody.deposits.tables import DepositAddressRow
from runtime.database import Database
from runtime.processes import die_with_parent
from tests.custody.deposits.lab import PAYERS, Lab
from tests.custody.desk import NoScreening
from tests.databases import books_at

pytestmark = pytest.mark.anvil
EDGES = ("apply.before", "apply.after", "decide.before", "decide.after", "finalize.before", "finalize.after",
         "rewind.before", "rewind.after")  # fmt: skip
DEPTH_MAX = 63
"""Anvil's finalized block is 64 behind."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.custody.deposits.lab"])


class Killed(BaseException):
    """The process ended here, as far as the scanner is concerned."""


@dataclass
class History:
    """Payments and forks by a seeded hand."""

    lab: Lab
    chance: random.Random
    users: list[str]
    relay: str
    marks: list[tuple[str, int, int]] = field(default_factory=list)
    """Snapshot, block number, and how many payments had been made."""
    paid: list[tuple[str, str]] = field(default_factory=list)
    """Payer and raw transaction, in order, of the present branch."""

    async def step(self) -> None:
        choice = self.chance.random()
        if choice < 0.55:
            await self.pay()
        elif choice < 0.75:
            await self.lab.mine(self.chance.choice((1, 1, 2, 5, 20)))
        elif choice < 0.87:
            await self.mark()
        elif self.marks:
            await self.fork()

    async def pay(self) -> None:
        address = self.lab.forwarder(self.chance.choice(self.users))
        payer, raw = self.chance.choice(PAYERS), self.chance.randint(1_000, 10**9)
        kind = self.chance.random()
        if kind < 0.5:
            tx_hash = await self.lab.pay(address, "USDC", raw, payer=payer)
        elif kind < 0.75:
            tx_hash = await self.lab.pay(address, "ETH", raw, payer=payer)
        else:
            data = bytes(12) + bytes.fromhex(address[2:])
            tx_hash = await self.lab.transaction(payer, self.relay, data=data, value_wei=raw)
        self.paid.append((payer, await self.lab.raw(tx_hash)))

    async def mark(self) -> None:
        number = int((await self.lab.client.head()).number)
        self.marks.append((await self.lab.mark(), number, len(self.paid)))

    async def fork(self) -> None:
        """Go back to a mark and on from there: of each payer's payments since, the first few are mined again."""
        head = int((await self.lab.client.head()).number)
        near = [at for at, (_, number, _) in enumerate(self.marks) if head - number <= DEPTH_MAX]
        if not near:
            return
        at = self.chance.choice(near)
        mark, number, count = self.marks[at]
        lost, self.paid, self.marks = self.paid[count:], self.paid[:count], self.marks[:at]
        kept = []
        for payer in PAYERS:
            mine = [row for row in lost if row[0] == payer]
            kept += mine[: self.chance.randint(0, len(mine))]
        # Longer or shorter than what it replaces.
        blocks = max(1, head - number + self.chance.randint(-3, 3))
        await self.lab.fork(mark, blocks, *(raw for _, raw in kept))
        self.paid += kept


async def check(history: History) -> None:
    """The books are what the chain says, told by its balances now and at the depth that counts."""
    lab = history.lab
    await lab.check()
    head = int((await lab.client.head()).number)
    deep = head - lab.settings.confirmations + 1
    for user in history.users:
        for symbol in ("USDC", "ETH"):
            held = await lab.chain_balance(lab.forwarder(user), symbol)
            confirmed = await lab.chain_balance(lab.forwarder(user), symbol, deep)
            assert lab.owed(user, "available", symbol) == confirmed, (user, symbol)
            assert lab.owed(user, "pending", symbol) == held - confirmed, (user, symbol)
    assert lab.ledger.balances("suspense") == {}


async def fresh_index(lab: Lab, path: Path) -> list[tuple[object, ...]]:
    """What a reader finds who begins today, knowing only who has which address."""
    database = books_at(path)
    with lab.database.snapshot() as session:
        rows = [row.model_dump() for row in session.exec(select(DepositAddressRow).order_by(col(DepositAddressRow.id)))]
    with database.transaction() as session:
        session.add_all([DepositAddressRow(**row) for row in rows])
    scanner = DepositScanner(
        database=database, ledger=Ledger(database, lab.now_ns), chain=lab.client, settings=lab.settings,
        screener=NoScreening(), now_ns=lab.now_ns,
    )  # fmt: skip
    await scanner.catch_up()
    found = [_row(deposit) for deposit in scanner.store.deposits()]
    database.dispose()
    return sorted(found)


def _row(deposit: Deposit) -> tuple[object, ...]:
    return (deposit.tx_hash, deposit.log_index, deposit.leg, deposit.block_hash, deposit.user, deposit.asset,
            deposit.raw, deposit.state.value)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_books_after_any_history_equal_a_fresh_index(
    seed: int, devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    lab = await Lab.open(devnet, chain_client, f"sqlite:///{tmp_path / 'books.db'}", blocks_per_step=7)
    users = [f"u{n}" for n in range(4)]
    for user in users:
        lab.addresses.assign(user)
    history = History(lab, chance, users, await lab.relay())

    def killer(_edge: str) -> None:
        if chance.random() < 0.15:
            raise Killed

    for _ in range(45):
        await history.step()
        if chance.random() < 0.5:
            lab.checkpoint = killer
            try:
                scanner = lab.another_scanner()  # a restart: it knows nothing
                if chance.random() < 0.5:
                    await scanner.advance()
                else:
                    await scanner.catch_up()
            except Killed:
                pass
        if chance.random() < 0.15:
            lab.checkpoint = lambda _edge: None
            lab.scanner = lab.another_scanner()
            await lab.scanner.catch_up()
            await check(history)
    lab.checkpoint = lambda _edge: None
    lab.scanner = lab.another_scanner()
    await lab.scanner.catch_up()
    await check(history)
    present = sorted(_row(d) for d in lab.store.deposits() if d.state is not DepositState.REORGED)
    assert present == await fresh_index(lab, tmp_path / "fresh.db")
    lab.database.dispose()


# --- SIGKILL


@dataclass(frozen=True)
class Orders:
    """What a scanner in a process of its own does: catch up, and die at an edge."""

    rpc_url: str
    database_url: str
    settings: str
    edge: str


def _victim(orders: Orders) -> None:
    die_with_parent()

    def killer(edge: str) -> None:
        if edge == orders.edge:
            os.kill(os.getpid(), signal.SIGKILL)

    async def scan() -> None:
        database = Database(orders.database_url)
        async with ChainClient([orders.rpc_url], 1337) as client:
            scanner = DepositScanner(
                database=database, ledger=Ledger(database, lambda: 1), chain=client,
                settings=DepositSettings.model_validate_json(orders.settings), screener=NoScreening(),
                checkpoint=killer,
            )  # fmt: skip
            await scanner.catch_up()

    asyncio.run(scan())


@pytest.mark.parametrize("edge", EDGES)
async def test_a_scanner_killed_at_an_edge_goes_on_exactly(
    edge: str, devnet: Devnet, chain_client: ChainClient, database_url: str
) -> None:
    lab = await Lab.open(devnet, chain_client, database_url)
    users = ["alice", "bob"]
    for user in users:
        lab.addresses.assign(user)
    history = History(lab, random.Random(1), users, await lab.relay())
    await lab.pay(lab.forwarder("alice"), "USDC", 5_000_000)
    await lab.mine(70)
    await lab.scanner.catch_up()
    await history.mark()
    await lab.pay(lab.forwarder("bob"), "USDC", 7_000_000)
    await lab.mine(4)
    if edge.startswith("rewind"):
        await lab.scanner.catch_up()
        await lab.fork(history.marks[0][0], 6)
    orders = Orders(devnet.world.rpc_url, database_url, lab.settings.model_dump_json(), edge)
    process = _context.Process(target=_victim, args=(orders,))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    lab.scanner = lab.another_scanner()
    await lab.scanner.catch_up()
    await check(history)
    assert lab.ledger.verify().is_sound
    lab.database.dispose()
