"""The running sandbox with a journal: killed without warning it comes back with everything anyone was told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cex.sandbox import TEST_ACCOUNT, AccountSpec, SandboxConfig
from cex.sandbox.journal import Commits, open_store
from cex.sandbox.journal.records import unpack
from cex.sandbox.journal.store import MERGE_BYTES, URGENT_BYTES
from cex.sandbox.server import SandboxServer
from domain import VenueUnavailable
from tests.cex.sandbox.conftest import BOB, Sandbox, Start
from tests.cex.sandbox.journal.test_resume import Venue

ROOT = Path(__file__).resolve().parents[4]
ACCOUNTS_FILE = """
[[accounts]]
name = "test"
api_key = "sandbox-test-key"
secret = "sandbox-test-secret"
balances = { ETH = "2000", USDC = "10000000" }
[[accounts]]
name = "bob"
api_key = "bob-key"
secret = "bob-secret"
balances = { ETH = "100", USDC = "1000000" }
"""
WATCHED = (TEST_ACCOUNT, BOB)


@contextlib.asynccontextmanager
async def process(folder: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Sandbox]]:
    """The command with a journal in a folder, killed at the end unless it is over."""
    (folder / "accounts.toml").write_text(ACCOUNTS_FILE)
    command = (sys.executable, "-c", "from cli.sandbox import app; app()", "serve", "--port", "0", "--json")
    where = ("--symbols", "ETHUSDC", "--accounts", str(folder / "accounts.toml"), "--journal", str(folder / "journal"))
    child = await asyncio.create_subprocess_exec(*command, *where, *options, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert child.stdout is not None
        async for line in child.stdout:
            if line.startswith(b"{") and b"url" in line:
                async with aiohttp.ClientSession() as http:
                    yield child, Sandbox(json.loads(line)["port"], SandboxConfig(), http)
                break
        else:
            pytest.fail("the sandbox did not start")
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def total(sandbox: Sandbox) -> dict[str, Decimal]:
    """Coins by asset over the watched accounts."""
    sums: dict[str, Decimal] = {}
    for spec in WATCHED:
        _, account = await sandbox.call("GET", "/api/v3/account", spec)
        for row in account["balances"]:
            sums[row["asset"]] = sums.get(row["asset"], Decimal(0)) + Decimal(row["free"]) + Decimal(row["locked"])
    return sums


async def fees(sandbox: Sandbox) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for spec in WATCHED:
        _, trades = await sandbox.call("GET", "/api/v3/myTrades", spec, symbol="ETHUSDC", limit=1000)
        for row in trades:
            sums[row["commissionAsset"]] = sums.get(row["commissionAsset"], Decimal(0)) + Decimal(row["commission"])
    return sums


class Trader:
    """Sends random orders and cancels of one account, and remembers what was acknowledged."""

    def __init__(self, sandbox: Sandbox, spec: AccountSpec, number: int) -> None:
        self._sandbox, self._spec, self._chance, self._number = sandbox, spec, random.Random(number), number
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.canceled: set[str] = set()
        self.is_busy = asyncio.Event()

    async def run(self) -> None:
        """Trade until the exchange is gone."""
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            for count in range(10_000):
                client_id = f"k-{self._number}-{count}"
                side, price = self._chance.choice(("BUY", "SELL")), 3000 + self._chance.randint(-4, 4)
                terms = {"side": side, "price": price, "quantity": f"0.{self._chance.randint(1, 99):02d}"}
                order = await self._sandbox.order(self._spec, **terms, newClientOrderId=client_id)
                self.acknowledged[client_id] = order
                if len(self.acknowledged) == 35:
                    self.is_busy.set()
                if order["status"] == "NEW" and self._chance.random() < 0.3:
                    status, _ = await self._sandbox.call(
                        "DELETE", "/api/v3/order", self._spec, symbol="ETHUSDC", origClientOrderId=client_id
                    )
                    if status == 200:
                        self.canceled.add(client_id)


@pytest.mark.parametrize("flow", ["none", "hawkes"])
async def test_after_sigkill_in_the_middle_of_trading_all_that_was_acknowledged_is_there(
    tmp_path: Path, flow: str
) -> None:
    async with process(tmp_path, "--flow", flow) as (child, sandbox):
        start = await total(sandbox)
        # Below what the others ask for: whatever they do, something rests.
        await sandbox.order(BOB, side="BUY", price="2900", quantity="1", newClientOrderId="k-1-rests")
        traders = [Trader(sandbox, WATCHED[number % 2], number) for number in range(6)]
        runs = [asyncio.create_task(trader.run()) for trader in traders]
        async with asyncio.timeout(60):
            for trader in traders:
                await trader.is_busy.wait()
        child.send_signal(signal.SIGKILL)
        await child.wait()
        await asyncio.gather(*runs)
    acknowledged = {client_id: order for trader in traders for client_id, order in trader.acknowledged.items()}
    canceled = set().union(*(trader.canceled for trader in traders))
    async with process(tmp_path, "--flow", flow) as (child, sandbox):
        found: dict[str, dict[str, Any]] = {}
        for spec in WATCHED:
            _, rows = await sandbox.call("GET", "/api/v3/allOrders", spec, symbol="ETHUSDC", limit=1000)
            found |= {row["clientOrderId"]: row for row in rows}
        assert acknowledged.keys() <= found.keys()
        for client_id, order in acknowledged.items():
            row = found[client_id]
            assert row["orderId"] == order["orderId"]
            assert Decimal(row["executedQty"]) >= Decimal(order["executedQty"])
        assert all(found[client_id]["status"] == "CANCELED" for client_id in canceled)
        known = {}
        for spec in WATCHED:
            _, rows = await sandbox.call("GET", "/api/v3/myTrades", spec, symbol="ETHUSDC", limit=1000)
            known |= {(row["id"], row["orderId"]): row for row in rows}
        for order in acknowledged.values():
            for fill in order["fills"]:
                assert known[fill["tradeId"], order["orderId"]]["commission"] == fill["commission"]
        if flow == "none":
            # Nobody else traded: what the two are missing is what they paid.
            paid, now = await fees(sandbox), await total(sandbox)
            assert {asset: raw - now[asset] for asset, raw in start.items() if raw != now[asset]} == paid
            await still_trades(sandbox, found)
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0


async def still_trades(sandbox: Sandbox, before: dict[str, dict[str, Any]]) -> None:
    """What rested still rests, at its place, and can be taken and cancelled; ids count on."""
    resting = [row for row in before.values() if row["status"] in ("NEW", "PARTIALLY_FILLED")]
    bids = sorted((row for row in resting if row["side"] == "BUY"), key=lambda r: (-Decimal(r["price"]), r["orderId"]))
    best = bids[0]
    left = Decimal(best["origQty"]) - Decimal(best["executedQty"])
    _, book = await sandbox.call("GET", "/api/v3/depth", symbol="ETHUSDC")
    assert Decimal(book["bids"][0][0]) == Decimal(best["price"])
    order = await sandbox.order(
        WATCHED[0], side="SELL", price=best["price"], quantity=str(left), selfTradePreventionMode="NONE"
    )
    assert order["status"] == "FILLED"
    assert order["orderId"] > max(row["orderId"] for row in before.values())
    owner = TEST_ACCOUNT if int(best["clientOrderId"].split("-")[1]) % 2 == 0 else BOB
    _, filled = await sandbox.call("GET", "/api/v3/order", owner, symbol="ETHUSDC", orderId=best["orderId"])
    assert filled["status"] == "FILLED"
    for spec in WATCHED:
        await sandbox.call("DELETE", "/api/v3/openOrders", spec, symbol="ETHUSDC")
        _, account = await sandbox.call("GET", "/api/v3/account", spec)
        assert all(Decimal(row["locked"]) == 0 for row in account["balances"])


async def test_an_orderly_restart_resumes_too(start: Start, tmp_path: Path) -> None:
    config = SandboxConfig(accounts=WATCHED, flow=None, journal=str(tmp_path), faults=True)
    first = SandboxServer(config, store=open_store(str(tmp_path)))
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(first.run(stop, ready.set_result))
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(await ready, config, http)
        order = await sandbox.order(BOB, side="BUY", price="2990", quantity="1")
        deposit = {"account": "bob", "coin": "ETH", "amount": "2.5", "tx_id": "0x1"}
        async with http.post(f"{sandbox.url}/_sandbox/deposits", json=deposit) as response:
            assert response.status == 200
    stop.set()
    await task
    again = await start(config)
    _, rows = await again.call("GET", "/api/v3/openOrders", BOB)
    assert [row["orderId"] for row in rows] == [order["orderId"]]
    # The same deposit again is known, and is not credited twice.
    async with again.http.post(f"{again.url}/_sandbox/deposits", json=deposit) as response:
        assert response.status == 200
    _, account = await again.call("GET", "/api/v3/account", BOB)
    assert {row["asset"]: row["free"] for row in account["balances"]}["ETH"] == "102.50000000"


async def test_a_client_named_like_the_flow_is_not_given_its_coins(start: Start, tmp_path: Path) -> None:
    namesake = AccountSpec("maker:ETHUSDC", "their-key", "their-secret", None, {"ETH": "1"})
    config = SandboxConfig(accounts=(namesake,), journal=str(tmp_path), faults=True)
    store = open_store(str(tmp_path))
    SandboxServer(config, store=store)
    store.close()
    again = await start(config)
    _, account = await again.call("GET", "/api/v3/account", namesake)
    assert [(row["asset"], row["free"]) for row in account["balances"]] == [("ETH", "1.00000000")]
    deposit = {"account": "fees", "coin": "ETH", "amount": "2.5", "tx_id": "0x1"}
    async with again.http.post(f"{again.url}/_sandbox/deposits", json=deposit) as response:
        assert (response.status, (await response.json())["code"]) == (400, -1130)


class SlowDisk:
    """A store whose disk is ready when the test says so."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.asked = threading.Event()
        self.groups: list[Any] = []
        self.fails = False
        self.group_bytes = 0
        self.merges = 0

    def load(self) -> dict[str, bytes]:
        return {}

    def replace(self, entries: Any) -> None:
        list(entries)

    def append(self, group: bytes) -> None:
        self.asked.set()
        self.ready.wait(30)
        if self.fails:
            raise VenueUnavailable("journal: no space left on device")
        self.groups.append(unpack(group))

    def merge_step(self) -> None:
        self.merges += 1
        self.group_bytes = 0

    def close(self) -> None:
        return


async def running(disk: SlowDisk, stop: asyncio.Event) -> tuple[asyncio.Task[None], int]:
    server = SandboxServer(SandboxConfig(accounts=WATCHED, flow=None), store=disk)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.run(stop, ready.set_result))
    return task, await ready


async def test_nothing_is_told_before_it_is_on_the_disk() -> None:
    disk, stop = SlowDisk(), asyncio.Event()
    task, port = await running(disk, stop)
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(port, SandboxConfig(), http)
        async with http.ws_connect(f"{sandbox.ws_url}/ws/ethusdc@bookTicker") as stream:
            book, answer = (
                asyncio.create_task(stream.receive()),
                asyncio.create_task(sandbox.order(BOB, side="BUY", price="2990", quantity="1")),
            )
            # A request that changes nothing tells of the order all the same, so it waits with it.
            await asyncio.to_thread(disk.asked.wait, 30)
            depth = asyncio.create_task(sandbox.call("GET", "/api/v3/depth", symbol="ETHUSDC"))
            ping = asyncio.create_task(http.get(f"{sandbox.url}/nothing/here"))
            # A greeting tells nothing, and comes and goes while the others wait.
            await (await http.ws_connect(f"{sandbox.ws_url}/ws/btcusdt@trade")).close()
            assert not any(waiting.done() for waiting in (book, answer, depth, ping))
            disk.ready.set()
            assert (await answer)["status"] == "NEW"
            assert json.loads((await book).data)["b"] == "2990.00000000"
            assert (await depth)[1]["bids"] == [["2990.00000000", "1.00000000"]]
            assert any(key.startswith("order/") for key, _ in disk.groups[0])
            (await ping).close()
    stop.set()
    await task


async def test_a_disk_that_fails_stops_the_exchange_and_answers_nobody() -> None:
    disk, stop = SlowDisk(), asyncio.Event()
    disk.fails = True
    disk.ready.set()
    task, port = await running(disk, stop)
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(port, SandboxConfig(), http)
        with pytest.raises(aiohttp.ClientError):
            await sandbox.order(BOB, side="BUY", price="2990", quantity="1")
    with pytest.raises(VenueUnavailable, match="no space left"):
        await task


async def test_after_a_group_that_was_lost_no_other_is_written() -> None:
    venue, disk = Venue(), SlowDisk()
    disk.fails = True
    commits = Commits(venue.recorder, disk)
    task = asyncio.create_task(commits.run())
    venue.step(("LIMIT", 0, 0, -1, 10, "NONE"))
    await asyncio.to_thread(disk.asked.wait, 30)
    venue.step(("LIMIT", 1, 0, -2, 10, "NONE"))
    disk.ready.set()
    with pytest.raises(VenueUnavailable, match="no space left"):
        await task
    disk.fails = False  # There is room again, too late.
    await commits.close()
    assert (disk.groups, commits.durable) == ([], 0)


async def test_commands_share_a_commit_while_the_disk_is_busy() -> None:
    venue, disk = Venue(), SlowDisk()
    commits = Commits(venue.recorder, disk)
    task = asyncio.create_task(commits.run())
    venue.step(("LIMIT", 0, 0, -1, 10, "NONE"))
    first = commits.mark()
    await asyncio.to_thread(disk.asked.wait, 30)
    for _ in range(20):
        venue.step(("LIMIT", 1, 0, -2, 10, "NONE"))
    second = commits.mark()
    assert (first, second, commits.durable) == (1, 2, 0)
    disk.ready.set()
    await commits.passed(second)
    assert len(disk.groups) == 2
    assert sum(key.startswith("order/") for key, _ in disk.groups[1]) == 20
    commits.end()
    await task
    await commits.close()


@pytest.mark.parametrize(("held", "merges"), [(MERGE_BYTES, 0), (MERGE_BYTES + 1, 1), (URGENT_BYTES + 1, 1)])
async def test_the_journal_merges_when_it_has_grown(held: int, merges: int) -> None:
    venue, disk = Venue(), SlowDisk()
    disk.ready.set()
    commits = Commits(venue.recorder, disk)
    disk.group_bytes = held
    task = asyncio.create_task(commits.run())
    venue.step(("LIMIT", 0, 0, -1, 10, "NONE"))
    await commits.passed(commits.mark())
    commits.end()
    await task
    await commits.close()
    assert (len(disk.groups), disk.merges) == (1, merges)
