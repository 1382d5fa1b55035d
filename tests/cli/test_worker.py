"""`capstan worker` in processes of its own, on both brokers, killed in the middle of a sweep."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlmodel import col, select

from chain import ChainClient
from chain.devnet import TEST_MNEMONIC, Devnet
from custody import Policy, PolicyGuard
from custody.audit import AuditLog
from custody.deposits.tables import DepositRow, SweepRow
from custody.freeze import Freezes
from runtime import Secret
from runtime.database import Database
from runtime.processes import die_with_parent
from tests.cli.test_commands import ROOT, assert_is_error, capstan
from tests.custody.deposits.lab import PAYERS, SWEEPING, VAULT, Lab
from wallets import HdWallet, SignerService, SigningJournal

pytestmark = pytest.mark.anvil
REDIS_URL = "CAPSTAN_TEST_REDIS_URL"


@dataclass
class Installation:
    """A data directory with a signer beside it, and workers to be started and killed."""

    folder: Path
    lab: Lab
    broker: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self) -> None:
        settings, usdc = self.lab.settings, self.lab.asset("USDC")
        limits = '{ per_transaction_raw = "1000000000000000000000000", per_day_raw = "10000000000000000000000000" }'
        eth = self.lab.asset("ETH")
        self.folder.joinpath("capstan.toml").write_text(
            f"""mode = "live"
[[venues]]
id = "none"
exchange = "binance"
instruments = ["BTCUSDT"]
[chain]
chain_id = 1337
endpoints = ["{self.lab.devnet.world.rpc_url}"]
address_book = "devnet.json"
[tasks]
broker = "{self.broker}"
namespace = "t-{uuid.uuid4().hex[:12]}"
deposits_s = 0.2
sweeps_s = 0.3
reconcile_s = 1.0
checkpoint_s = 1.0
[custody]
account = "{SWEEPING}"
[custody.audit]
key = "file:audit.key"
every_s = 1
[custody.policy]
chain_id = 1337
recipients = ["{VAULT}", "{self.lab.contracts.sweeper}"]
gas_limit_max = 2000000
assets."{usdc}" = {limits}
assets."{eth}" = {limits}
[[custody.policy.contracts]]
address = "{self.lab.contracts.sweeper}"
methods = ["sweep"]
[custody.deposits]
chain_id = 1337
confirmations = 3
start_block = {settings.start_block}
factory = "{settings.factory}"
sweeper = "{settings.sweeper}"
vault = "{VAULT}"
sweeping_account = "{SWEEPING}"
[custody.deposits.assets]
"{usdc}" = {{ minimum_raw = 100 }}
"{eth}" = {{ minimum_raw = 1000 }}
"""
        )
        (self.folder / "deny-list.txt").write_text("")
        (self.folder / "devnet.json").write_bytes(self.lab.devnet.world.to_json())
        (self.folder / "audit.key").write_text("11" * 32)
        (self.folder / "audit.key").chmod(0o600)

    def start(self) -> subprocess.Popen[bytes]:
        log = (self.folder / "worker.log").open("ab")
        worker = subprocess.Popen(
            [sys.executable, "-m", "cli", "worker", "--data-dir", str(self.folder), "--beat"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
        )
        log.close()
        self.workers.append(worker)
        return worker

    @staticmethod
    def kill(worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL, the worker's children and all: nobody cleans up."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def rows(self) -> tuple[list[str], list[str]]:
        """States of deposits and of sweeps."""
        with self.lab.database.snapshot() as session:
            deposits = [str(state) for state in session.exec(select(DepositRow.state).order_by(col(DepositRow.id)))]
            return deposits, [str(state) for state in session.exec(select(SweepRow.state))]

    async def until(self, condition: Callable[[list[str], list[str]], bool], *, mine: bool = False) -> None:
        """Wait for rows in the database, at most a minute; `mine` lets blocks come meanwhile."""
        async with asyncio.timeout(60):
            while not condition(*await asyncio.to_thread(self.rows)):
                assert all(worker.poll() in (None, -9) for worker in self.workers), self.log()
                if mine:
                    await self.lab.mine(1)
                await asyncio.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()[-4000:]


@pytest.fixture(params=["embedded", "redis"])
async def installation(
    request: pytest.FixtureRequest, devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> AsyncIterator[Installation]:
    broker = "" if request.param == "embedded" else os.environ.get(REDIS_URL, "")
    if request.param == "redis" and not broker:
        pytest.skip(f"no Redis server: run `scripts/services start` and set {REDIS_URL}")
    lab = await Lab.open(devnet, chain_client, f"sqlite:///{tmp_path / 'capstan.db'}", gas_tank=None)
    found = Installation(tmp_path, lab, broker)
    found.write()
    stop = asyncio.Event()
    guard = PolicyGuard(Policy(lab.policy()))
    with SigningJournal(tmp_path / "signer-journal.db", now_ns=lab.now_ns) as journal:
        service = SignerService([HdWallet(Secret(TEST_MNEMONIC)).signer(7)], guard=guard, journal=journal)
        serving = asyncio.create_task(service.serve(tmp_path / "signer.sock", stop))
        try:
            yield found
        finally:
            for worker in found.workers:
                if worker.poll() is None:
                    found.kill(worker)
            stop.set()
            await serving
            lab.database.dispose()


WITHOUT_BROKER = pytest.mark.parametrize("installation", ["embedded"], indirect=True)
"""What is done by hand, or before a worker begins, asks no broker: one is as good as the other."""


@pytest.mark.timeout(180)
async def test_deposits_are_found_and_swept_by_a_worker_that_is_killed_all_along(installation: Installation) -> None:
    lab = installation.lab
    for n in range(4):
        await lab.pay(lab.addresses.assign(f"u{n}").address, "USDC", 1_000_000 + n)
    worker = installation.start()
    await installation.until(lambda deposits, _: len(deposits) == 4)
    installation.kill(worker)
    await lab.mine(70)
    worker = installation.start()
    # The moment a sweep is recorded: it is on its way through screening, policy, signer and node.
    await installation.until(lambda deposits, sweeps: "sent" in sweeps)
    installation.kill(worker)
    worker = installation.start()
    await installation.until(lambda deposits, sweeps: lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) > 0)
    installation.kill(worker)
    worker = installation.start()
    # Deposits become final one by one, so a later sweep may not even be recorded when the earlier ones are done.
    swept = sum(1_000_000 + n for n in range(4))

    def is_over(deposits: list[str], sweeps: list[str]) -> bool:
        booked = lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC"))
        return deposits == ["final"] * 4 and set(sweeps) == {"done"} and booked >= swept

    await installation.until(is_over, mine=True)
    installation.kill(worker)

    assert await lab.chain_balance(VAULT, "USDC") == swept
    assert lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) == swept
    assert lab.ledger.balances("inflight") == {}
    lab.scanner._book.refresh()
    await lab.check()
    assert await lab.chain_balance(SWEEPING, "ETH") == lab.ledger.balance(f"chain/1337/{SWEEPING}", lab.asset("ETH"))
    audit = AuditLog(lab.database, lab.now_ns)
    assert Freezes(lab.database, audit, lab.now_ns).standing() == []  # reconciliation ran and found nothing
    done = capstan("audit", "verify", "--data-dir", installation.folder, "--json")
    assert done.returncode == 0, done.stderr


async def test_nothing_of_a_worker_outlives_it(installation: Installation) -> None:
    worker = installation.start()
    children: set[int] = set()
    async with asyncio.timeout(100):
        while len(children) < 2:  # One says what is due, and at least one works.
            await asyncio.sleep(0.05)
            children = {pid for pid, parent in running().items() if parent == worker.pid}
        worker.kill()
        worker.wait()
        while children & running().keys():  # noqa: ASYNC110 - of processes that are not ours there are no events
            await asyncio.sleep(0.05)


def running() -> dict[int, int]:
    """Every process that lives, with its parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text().partition(" (")
            state, parent = rest.rpartition(") ")[2].split()[:2]
            if state != "Z":
                found[int(pid)] = int(parent)
    return found


@WITHOUT_BROKER
async def test_a_task_may_be_done_once_by_hand_and_two_at_a_time_are_one(installation: Installation) -> None:
    lab = installation.lab
    await lab.pay(lab.addresses.assign("alice").address, "USDC", 1_000_000)
    done = capstan("worker", "--data-dir", installation.folder, "--once", "deposits.scan")
    assert done.returncode == 0, done.stderr
    assert installation.rows()[0] == ["pending"]
    with Database(lab.database_url).writer_lock("task/deposits.scan/1337"):
        done = capstan("worker", "--data-dir", installation.folder, "--once", "deposits.scan")
    assert "another process is at it" in done.stderr
    assert_is_error(capstan("worker", "--data-dir", installation.folder, "--once", "nonsense"), "no task nonsense")


@WITHOUT_BROKER
async def test_a_refused_deposit_is_listed_and_cleared_by_hand(installation: Installation) -> None:
    lab, at = installation.lab, ("--data-dir", installation.folder)
    given = json.loads(capstan("custody", "deposits", "address", "--user", "alice", *at, "--json").stdout)
    assert given["address"] == lab.forwarder("alice")
    assert given["network"] == "eip155:1337"
    (installation.folder / "deny-list.txt").write_text(f"{PAYERS[0]} stolen\n")
    await lab.pay(given["address"], "USDC", 1_000_000)
    await lab.mine(70)
    assert capstan("worker", *at, "--once", "deposits.scan").returncode == 0
    [row] = json.loads(capstan("custody", "deposits", "list", "--state", "suspended", *at, "--json").stdout)
    assert (row["user"], row["raw"]) == ("alice", "1000000")
    decision = ("--operator", "olga", "--reason", "case 7 closed")
    assert capstan("custody", "deposits", "clear", row["id"], *decision, *at).returncode == 0
    assert lab.owed("alice", "available", "USDC") == 1_000_000
    assert_is_error(capstan("custody", "deposits", "clear", row["id"], *decision, *at), "no suspended deposit")


@WITHOUT_BROKER
def test_contracts_that_are_not_the_settings_stop_a_worker_before_it_begins(installation: Installation) -> None:
    path = installation.folder / "capstan.toml"
    path.write_text(path.read_text().replace(f'vault = "{VAULT}"', f'vault = "{SWEEPING}"'))
    assert_is_error(capstan("worker", "--data-dir", installation.folder), "the factory's vault should be")
