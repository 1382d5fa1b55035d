"""Outcomes are booked when deep enough, undone when the chain takes them back, told again when they differ, and final
in the end; after any reorganisation the books are what a from-scratch index of the chain gives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from custody import DeskOptions, State, Step
from domain import InputError
from domain.events import SwapSettled
from tests.custody.desk import VAULT, TestDesk, approvals, build_desk, swap
from tests.custody.mining import Miner, mined_by_hand
from tests.custody.reindex import check_against_chain
from tests.custody.test_faults import until

pytestmark = pytest.mark.anvil
FINAL_DEPTH = 64


@pytest.fixture
async def old(request: pytest.FixtureRequest) -> AsyncIterator[Devnet]:
    """A devnet of its own whose funding lies deeper than any reorganisation here reaches."""
    try:
        devnet = await Devnet.start(DevnetConfig())
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with devnet:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        async with devnet.client() as client:
            await client.rpc.request("anvil_mine", hex(FINAL_DEPTH + 6))
        yield devnet


async def started(
    devnet: Devnet, client: ChainClient, folder: Path, *, database_url: str = "", **changes: object
) -> TestDesk:
    options = DeskOptions(poll_s=0.005, settled_poll_s=0.005, rebroadcast_s=0.1, gap_s=0.05, **changes)  # type: ignore[arg-type]
    desk = build_desk(devnet.world, client, folder, options=options, database_url=database_url)
    await desk.open_ledger()
    await desk.start()
    return desk


async def with_approvals(desk: TestDesk, devnet: Devnet, client: ChainClient) -> int:
    """Approvals mined and buried; gives the head."""
    for plan in approvals(devnet.world):
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await client.rpc.request("anvil_mine", hex(FINAL_DEPTH + 2))
    await until(lambda: all(desk.custody.state(str(p.intent_id)) is State.FINAL for p in approvals(devnet.world)))
    return int((await client.head()).number)


async def test_what_is_safe_becomes_final_when_the_finalized_block_covers_it(old: Devnet, tmp_path: Path) -> None:
    async with old.client() as client:
        desk = await started(old, client, tmp_path)
        await with_approvals(desk, old, client)
        await desk.custody.submit(swap(old.world, "deep"))
        assert await desk.custody.drain(60)
        assert desk.custody.state("deep") is State.SAFE
        block = desk.outcome("deep").block_number
        finalized = await client.block("finalized")
        await client.rpc.request("anvil_mine", hex(block - int(finalized.number) - 1))
        assert int((await client.block("finalized")).number) == block - 1
        await asyncio.sleep(0.05)
        assert desk.custody.state("deep") is State.SAFE
        await client.rpc.request("anvil_mine", "0x1")
        await until(lambda: desk.custody.state("deep") is State.FINAL)
        await desk.custody.stop()
        assert desk.custody.history("deep")[-1] == (Step.FINALIZED, State.FINAL)
        assert await desk.differences() == {}


async def test_a_reverted_swap_is_booked_with_its_gas_and_ends_as_failed(
    old: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with old.client() as client:

        async def estimate(sender: str, to: str, data: bytes, _value_wei: int = 0) -> int:
            # anvil estimates on what waits to be mined, too: whichever came second would wait for the first.
            request = {"from": sender, "to": to, "data": "0x" + data.hex()}
            return int(await client.rpc.request("eth_estimateGas", request, "latest"), 16)

        monkeypatch.setattr(client, "gas_estimate", estimate)
        desk = await started(old, client, tmp_path)
        await with_approvals(desk, old, client)
        await client.rpc.request("evm_setAutomine", False)
        first, second = (swap(old.world, name, amount=60 * 10**18) for name in ("rich", "poor"))
        # Both pass simulation on the present state, one of them has nothing left to sell when its turn comes.
        await desk.custody.submit(first)
        await desk.custody.submit(second)
        await until(lambda: all(desk.custody.state(name) is State.BROADCAST for name in ("rich", "poor")))
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        assert sorted(desk.outcome(name).status for name in ("rich", "poor")) == ["failed", "mined"]
        await client.rpc.request("anvil_mine", hex(FINAL_DEPTH + 2))
        ends = {State.FINAL, State.FAILED}
        await until(lambda: {desk.custody.state(name) for name in ("rich", "poor")} == ends)
        await desk.custody.stop()
        assert await desk.differences() == {}


async def test_a_reorganisation_after_safe_books_contra_entries_and_the_same_bytes_land_again(
    old: Devnet, tmp_path: Path, database_url: str
) -> None:
    async with old.client() as client:
        desk = await started(old, client, tmp_path, database_url=database_url)
        await with_approvals(desk, old, client)
        await desk.custody.submit(swap(old.world, "shaken"))
        assert await desk.custody.drain(60)
        first = desk.outcome("shaken")
        corrections: list[tuple[SwapSettled, SwapSettled]] = []
        desk.custody._on_corrected = lambda before, after: corrections.append((before, after))
        await client.rpc.request("anvil_reorg", 1, [])
        await until(lambda: Step.REORGED in [step for step, _ in desk.custody.history("shaken")])
        assert await desk.custody.drain(60)
        steps = [step for step, _ in desk.custody.history("shaken")]
        assert steps.count(Step.SIGNED) == 1
        assert steps.count(Step.CONFIRMED) == 2
        assert steps.index(Step.CONFIRMED) < steps.index(Step.REORGED)
        after = (await desk.custody.settlements())[-1]
        assert after.tx_hash == first.tx_hash
        assert [s.intent_id for s in desk.settled].count("shaken") == 1, "told once, corrected if at all"
        same = (after.amount_out, after.gas_cost_wei) == (first.amount_out, first.gas_cost_wei)
        assert len(corrections) == (0 if same else 1)
        await desk.custody.stop()
        keys = entry_keys(desk)
        assert {"swap/shaken", "contra/swap/shaken", "swap/shaken#2"} <= keys
        await check_against_chain(client, desk.database, VAULT)
        assert await desk.differences() == {}
        assert desk.ledger.verify().is_sound


async def test_an_outcome_that_comes_out_differently_is_corrected_told_and_audited(old: Devnet, tmp_path: Path) -> None:
    async with old.client() as client:
        desk = await started(old, client, tmp_path)
        await with_approvals(desk, old, client)
        deadline = int((await client.head()).time_s) + 500
        await desk.custody.submit(swap(old.world, "late", deadline_s=deadline))
        assert await desk.custody.drain(60)
        assert desk.outcome("late").status == "mined"
        corrections: list[tuple[SwapSettled, SwapSettled]] = []
        desk.custody._on_corrected = lambda before, after: corrections.append((before, after))
        await client.rpc.request("evm_setAutomine", False)
        await client.rpc.request("anvil_reorg", 1, [])
        await until(lambda: desk.custody.state("late") is State.BROADCAST)
        # By the time it is mined again its deadline has passed: it reverts now.
        await client.rpc.request("evm_setNextBlockTimestamp", deadline + 1)
        await until(lambda: pool_holds(client, 1))
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert [(b.status, a.status) for b, a in corrections] == [("mined", "failed")]
        assert (await desk.custody.settlements())[-1].status == "failed"
        assert {"swap/late", "contra/swap/late", "gas/late#2"} <= entry_keys(desk)
        assert "swap/late#2" not in entry_keys(desk)
        await check_against_chain(client, desk.database, VAULT)
        assert await desk.differences() == {}


@pytest.mark.parametrize("seed", range(2))
async def test_random_reorganisations_to_depth_64_leave_the_books_equal_to_a_new_index(
    old: Devnet, tmp_path: Path, database_url: str, seed: int
) -> None:
    chance = random.Random(seed)
    async with old.client() as client, mined_by_hand(client) as miner:
        confirmations = chance.choice((1, 2, 5))
        desk = await started(old, client, tmp_path, database_url=database_url, confirmations=confirmations)
        began = await with_approvals_mining(desk, old, client, miner)
        depths = []
        for number in range(6):
            for name in range(chance.randint(1, 3)):
                amount = chance.randint(10**15, 10**17)
                await desk.custody.submit(swap(old.world, f"r{number}-{name}", amount=amount))
            for _ in range(chance.randint(0, 12)):
                await miner.mine(chance.randint(1, 4))
                await asyncio.sleep(chance.random() * 0.02)
            room = min(FINAL_DEPTH, int((await client.head()).number) - began)
            depths.append(chance.randint(1, room))
            await miner.reorganise(depths[-1])
            await asyncio.sleep(chance.random() * 0.05)
        await settle_down(desk, client, miner)
        await desk.custody.stop()
        print(f"seed {seed}: reorganised {depths}")
        index = await check_against_chain(client, desk.database, VAULT)
        assert await desk.differences() == {}
        assert desk.ledger.verify().is_sound
        outcomes = await desk.custody.settlements()
        mined = {outcome.tx_hash for outcome in outcomes if outcome.tx_hash}
        assert {hashes[0] for hashes in index.nonces.values()} <= mined
        assert all(outcome.status == "mined" for outcome in outcomes)


async def with_approvals_mining(desk: TestDesk, devnet: Devnet, client: ChainClient, miner: Miner) -> int:
    """As `with_approvals`, for desks that want several confirmations."""
    for plan in approvals(devnet.world):
        await desk.custody.submit(plan)
    await settle_down(desk, client, miner)
    return await with_approvals(desk, devnet, client)


async def settle_down(desk: TestDesk, client: ChainClient, miner: Miner) -> None:
    """Mine until everything has an outcome that stands."""
    async with asyncio.timeout(60):
        while not await desk.custody.drain(0.05) or not await is_steady(desk, client):
            await miner.mine()


async def is_steady(desk: TestDesk, client: ChainClient) -> bool:
    """Whether everything has an outcome, and every outcome's block is still on the chain."""
    for outcome in await desk.custody.settlements():
        receipt = await client.receipt(outcome.tx_hash) if outcome.tx_hash else None
        if outcome.tx_hash and (receipt is None or receipt.block_number != outcome.block_number):
            return False
    return not await desk.custody.in_flight()  # what was undone meanwhile has no outcome to look at


async def pool_holds(client: ChainClient, count: int) -> bool:
    status = await client.rpc.request("txpool_status")
    return int(status["pending"], 16) >= count


def entry_keys(desk: TestDesk) -> set[str]:
    """Every entry's key."""
    from sqlalchemy import text

    with desk.database.snapshot() as session:
        return set(session.execute(text("SELECT key FROM ledger_entries")).scalars())
