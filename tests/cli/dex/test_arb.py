"""Arbitrage from end to end on a devnet: found, planned, allowed, signed, mined, booked and written down."""

from __future__ import annotations

import asyncio
import csv
import json

import pytest
from typer.testing import CliRunner

from chain.codec import function
from chain.devnet import DEPLOYER as TRADER
from chain.devnet import TEST_ADDRESSES
from chain.network import identify
from cli.dex.arb.deploy import ensure_deployed
from cli.dex.arb.log import FILE
from cli.dex.arb.place import DEPLOYMENT, execution_of, open_place, roles_of
from cli.dex.arb.runner import ArbRun, RunOptions
from cli.dex.command import app
from cli.dex.desk import open_desk
from cli.dex.options import DeskPlace
from dex.arbitrage.deployment import check_executor
from dex.arbitrage.journal import Ended, OpportunityLog, summarise
from domain import InputError, Refused
from runtime import SystemClock
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil
ACCOUNT = TEST_ADDRESSES[5]
PAUSE = function("pause()")
V2_SWAP = function(
    "swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline)"
)
SET_BENEFICIARY = function("setBeneficiary(address beneficiary)")


@pytest.fixture
async def pushed(devnet, chain_client):
    """Somebody has just bought a lot of WETH on one pool."""
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    pool, usdc = devnet.world.pool("v2", "WETH", "USDC"), devnet.world.tokens["USDC"].address
    await trader.swap(pool, usdc, 150_000 * 10**6)
    return trader


async def prepared(client):
    where = await open_place(client, await identify(client), ACCOUNT)
    return where, where.default_executor


def options(where, **changed):
    return RunOptions(**{"executor": where.default_executor, "start": where.start_tokens(())} | changed)


async def run_until(desk, where, journal, *, outcomes, **changed):
    """Run until so many cycles have ended."""
    stop, ended = asyncio.Event(), []

    def told(entry):
        if isinstance(entry, Ended):
            ended.append(entry)
            if len(ended) >= outcomes:
                stop.set()

    run = ArbRun(desk, where, options(where, **changed), SystemClock().now_ns, journal, "test", told=told)
    async with asyncio.timeout(60):
        await run.run(stop)
    return run


async def test_a_run_earns_to_the_unit_what_it_predicted_and_the_books_see_it(devnet, chain_client, pushed, tmp_path):
    where, executor = await prepared(chain_client)
    place = DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)
    async with open_desk(place, execution_of(executor)) as desk:
        assert (await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment)).status == "mined"
        assert await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment) is None
        await check_executor(desk.client, executor, ACCOUNT, where.deployment)
        before = await desk.balances()
        journal = OpportunityLog(tmp_path / FILE)
        run = await run_until(desk, where, journal, outcomes=2)
        rows = journal.rows()
        assert [row.found.id for row in rows] == run.ids
        assert {row.status for row in rows} == {"mined"}
        assert all(row.realised == row.predicted > 10**14 for row in rows)
        # Profits are in the account, gas is paid from it, and the ledger says so to the unit.
        weth = where.discovery.wrapped.id
        after = await desk.balances()
        assert after[weth] - before[weth] == sum(row.realised for row in rows)
        assert await desk.differences() == {}
        total = summarise(rows)
        assert (total.net_wei, total.reverted_share, total.realised_share) == (
            total.realised_wei - total.gas_wei, 0.0, 1.0,
        )  # fmt: skip
        assert total.net_wei > 0
        # Their pools are in line now: nothing of that size is left.
        left = run.searcher.scanner.update(list(run.searcher.pools))
        assert all(found.profit < rows[0].realised // 10 for found in left)


async def test_an_executor_that_policy_does_not_list_is_refused(devnet, chain_client, pushed, tmp_path):
    where, _ = await prepared(chain_client)
    place = DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)
    async with open_desk(place, DEPLOYMENT) as desk:
        await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment)
        nonce = await desk.client.nonce(ACCOUNT)
        with pytest.raises(Refused) as refused:
            await run_until(desk, where, OpportunityLog(tmp_path / FILE), outcomes=1)
        assert refused.value.rule == "recipient"
        assert await desk.client.nonce(ACCOUNT) == nonce
    assert {row.status for row in OpportunityLog(tmp_path / FILE).rows()} == {"refused"}


async def test_what_shall_go_privately_is_refused_where_there_is_no_private_way(devnet, chain_client, pushed, tmp_path):
    where, executor = await prepared(chain_client)
    place = DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)
    async with open_desk(place, execution_of(executor)) as desk:
        await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment)
        nonce = await desk.client.nonce(ACCOUNT)
        with pytest.raises(Refused, match="private"):
            await run_until(desk, where, OpportunityLog(tmp_path / FILE), outcomes=1, broadcast="private")
        assert await desk.client.nonce(ACCOUNT, "pending") == nonce


async def test_an_executor_that_is_paused_or_pays_somebody_else_is_not_used(devnet, chain_client, tmp_path):
    where, executor = await prepared(chain_client)
    with pytest.raises(InputError, match="no contract"):
        await check_executor(chain_client, executor, ACCOUNT, where.deployment)
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path), DEPLOYMENT) as desk:
        await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment)
    with pytest.raises(Refused, match="no operator"):
        await check_executor(chain_client, executor, TEST_ADDRESSES[6], where.deployment)
    weth = devnet.world.tokens["WETH"].address
    with pytest.raises(InputError, match="another contract"):
        await check_executor(chain_client, weth, ACCOUNT, where.deployment)

    async def owner_does(data):
        request = {"from": ACCOUNT, "to": executor, "data": "0x" + data.hex()}
        await chain_client.wait_receipt(await chain_client.rpc.request("eth_sendTransaction", request), poll_s=0.002)

    await owner_does(SET_BENEFICIARY.encode(TEST_ADDRESSES[6]))
    with pytest.raises(Refused, match="whose books are not kept here"):
        await check_executor(chain_client, executor, ACCOUNT, where.deployment)
    await owner_does(PAUSE.encode())
    with pytest.raises(Refused, match="paused"):
        await check_executor(chain_client, executor, ACCOUNT, where.deployment)


def test_the_commands_speak_to_people_and_machines(devnet, pushed, tmp_path):
    def invoke(*words):
        result = CliRunner().invoke(app, ["arb", *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def answer(*words):
        return json.loads(invoke(*words, "--json").splitlines()[-1])

    at = ("--rpc-url", devnet.world.rpc_url)
    found = answer("scan", *at)
    assert found["profitable"] >= len(found["opportunities"]) > 2
    best = found["opportunities"][0]
    assert int(best["profit"]) - int(best["gas_cost"]) == int(best["net"]) > 0
    assert best["amounts"][0] == best["amount_in"]
    assert "earn something" in invoke("scan", *at)
    data = ("--data", str(tmp_path))
    dry = answer("run", *at, *data, "--dry-run", "--seconds", "0.1")
    assert dry["found"] == dry["open"] > 0
    assert dry["mined"] == 0
    deployed = answer("deploy", *at, *data, "--yes")
    assert (deployed["status"], deployed["owner"]) == ("deployed", ACCOUNT)
    again = answer("deploy", *at, *data, "--yes")
    assert (again["status"], again["executor"]) == ("stands already", deployed["executor"])
    report = tmp_path / "report.html"
    logged = answer("log", *data, "--report", str(report))
    assert logged["totals"]["found"] == len(logged["opportunities"]) == dry["found"]
    assert "data:image/png;base64" in report.read_text()
    lines = list(csv.DictReader(invoke("log", *data, "--csv").splitlines()))
    assert [line["id"] for line in lines] == [row["id"] for row in logged["opportunities"]]


async def test_a_waiting_swap_is_followed_within_its_block(devnet, chain_client, tmp_path):
    """What it leaves is predicted to the unit before it is mined, and custody signs although it does not pay yet."""
    where, executor = await prepared(chain_client)
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    place = DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)
    async with open_desk(place, execution_of(executor)) as desk:
        await ensure_deployed(desk, roles_of(ACCOUNT), where.deployment)
        await chain_client.rpc.request("evm_setAutomine", False)
        try:
            journal, found = OpportunityLog(tmp_path / FILE), asyncio.Event()
            follows = options(where, follows_waiting=True)
            stop = asyncio.Event()

            def told(entry):
                (stop if isinstance(entry, Ended) else found).set()

            ws_url = "ws" + devnet.world.rpc_url.removeprefix("http")
            run = ArbRun(desk, where, follows, SystemClock().now_ns, journal, "test", ws_url=ws_url, told=told)
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(run.run(stop))
                await run.is_following.wait()
                target = await waiting_swap(trader)
                await found.wait()
                while len(await pool_hashes(chain_client)) < 2:  # Until custody has sent ours.
                    await asyncio.wait({running}, timeout=0.02)
                while not running.done():  # What it finds in the block afterwards wants blocks, too.
                    await chain_client.rpc.request("evm_mine")
                    await asyncio.wait({running}, timeout=0.1)
        finally:
            await chain_client.rpc.request("evm_setAutomine", True)
        row = journal.rows()[0]
        assert (row.status, row.found.behind, row.realised) == ("mined", target, row.predicted)
        block = await chain_client.block(row.ended.block_number)
        assert list(block.transactions) == [target, row.ended.tx_hash]
        assert await desk.differences() == {}


async def waiting_swap(trader):
    """Somebody who pays more than we do buys a lot of WETH on V2, and waits."""
    world = trader.devnet.world
    path = [world.tokens["USDC"].address, world.tokens["WETH"].address]
    data = V2_SWAP.encode(200_000 * 10**6, 0, path, TRADER, 2**40)
    request = {
        "from": TRADER,
        "to": world.contracts["UniswapV2Router02"],
        "data": "0x" + data.hex(),
        "gas": hex(400_000),
        "maxFeePerGas": hex(10**11),
        "maxPriorityFeePerGas": hex(3 * 10**9),
    }
    return await trader.client.rpc.request("eth_sendTransaction", request)


async def pool_hashes(client):
    content = await client.rpc.request("txpool_content")
    return [tx["hash"] for of in content["pending"].values() for tx in of.values()]
