"""Killed at every edge, cut off from the node, reorganised, outbid: nothing is sent twice and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from custody import DeskOptions, State, Step
from domain import InputError, OutcomeUnknown, VenueUnavailable
from runtime import ManualClock
from tests.custody.desk import VAULT, TestDesk, approvals, build_desk, nonce_and_transactions, swap
from tests.custody.faulty_node import FaultyNode
from tests.custody.test_desk import HAPPY, running_desk
from tests.custody.victim import Orders, run_victim

pytestmark = pytest.mark.anvil

STEPS = ("record", "screen", "approve", "reserve", "sign", "store", "send", "sent", "mined", "settle")
EDGES = [f"{step}.{side}" for step in STEPS for side in ("before", "after")]


@pytest.fixture
async def funded(devnet: Devnet) -> Devnet:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    return devnet


async def check_books(desk: TestDesk, client: ChainClient, intents: int) -> None:
    """What must hold after any fault: each intent once on the chain, no nonce left out, books equal to the chain."""
    assert await desk.custody.in_flight() == []
    outcomes = await desk.custody.settlements()
    assert len(outcomes) == len({outcome.intent_id for outcome in outcomes}) == intents
    nonce, by_nonce = await nonce_and_transactions(client, VAULT)
    assert sorted(by_nonce) == list(range(nonce))
    assert all(len(hashes) == 1 for hashes in by_nonce.values())
    on_chain = {hashes[0] for hashes in by_nonce.values()}
    assert on_chain == {outcome.tx_hash for outcome in outcomes if outcome.status != "refused"}
    assert await desk.differences() == {}
    assert desk.ledger.verify().is_sound


@pytest.mark.parametrize("edge", EDGES)
async def test_a_desk_killed_at_any_edge_finishes_exactly_once_after_restart(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, edge: str
) -> None:
    await prepare(funded, chain_client, tmp_path)
    # One look finds and books everything that was mined since the last: without `first_alone` a slow machine comes to
    # `mined` and `settle` only once.
    orders = Orders(funded.world.to_json(), tmp_path, edge, 2, ("a", "b", "bad", "c"), first_alone=True)
    code, _ = await run_victim(orders)
    assert code == -9, "it was to die there"
    code, told = await run_victim(replace(orders, edge="none"))
    assert code == 0
    # Told again or for the first time: nobody is left without an answer.
    assert {"a mined", "b mined", "c mined", "bad refused", "done"} <= set(told)
    assert len(told) == len(set(told))
    await check_books(build_desk(funded.world, chain_client, tmp_path), chain_client, 4 + 4)


@pytest.mark.parametrize("seed", range(2))
async def test_a_desk_killed_again_and_again_at_random_loses_nothing(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, seed: int
) -> None:
    await prepare(funded, chain_client, tmp_path)
    intents = tuple(f"i{n}" for n in range(6))
    orders = Orders(funded.world.to_json(), tmp_path, "none", 1, intents)
    kills = 0
    for attempt in range(8):
        code, _ = await run_victim(replace(orders, edge=f"random:{seed}/{attempt}"))
        kills += code == -9
    print(f"seed {seed}: {kills} kills")
    assert kills
    code, told = await run_victim(orders)
    assert code == 0
    assert {f"{intent} mined" for intent in intents} <= set(told)
    await check_books(build_desk(funded.world, chain_client, tmp_path), chain_client, 4 + 6)


async def prepare(funded: Devnet, client: ChainClient, folder: Path) -> None:
    """Books opened and approvals mined, by a desk that is gone again."""
    desk = await running_desk(funded, client, folder)
    await desk.custody.stop()
    desk.database.dispose()


@pytest.mark.parametrize("seed", range(3))
async def test_lost_and_doubled_answers_of_the_node_lose_and_double_nothing(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, seed: int
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    await desk.custody.stop()
    async with (
        FaultyNode(funded.world.rpc_url, seed=seed) as node,
        ChainClient([node.url], funded.world.chain_id, request_timeout_s=2) as client,
    ):
        node.probability = 0.3
        options = DeskOptions(poll_s=0.005, rebroadcast_s=0.05)
        desk = build_desk(funded.world, client, tmp_path, options=options)
        await desk.start()
        for n in range(8):
            await desk.custody.submit(swap(funded.world, f"i{n}"))
            if n % 2:
                assert await desk.custody.drain(60)
        await desk.custody.stop()
        print(f"seed {seed}: {node.faults}")
        assert sum(node.faults.values()) > 5
    await check_books(build_desk(funded.world, chain_client, tmp_path), chain_client, 4 + 8)
    assert all(outcome.status == "mined" for outcome in desk.settled)


async def test_an_unreachable_node_delays_and_loses_nothing(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    await desk.custody.stop()
    async with (
        FaultyNode(funded.world.rpc_url, seed=1) as node,
        ChainClient([node.url], funded.world.chain_id) as client,
    ):
        desk = build_desk(funded.world, client, tmp_path)
        await desk.start()
        node.is_down = True
        await desk.custody.submit(swap(funded.world, "patient"))
        assert not await desk.custody.drain(0.3)
        node.is_down = False
        assert await desk.custody.drain(60)
        await desk.custody.stop()
    assert desk.outcome("patient").status == "mined"
    await check_books(build_desk(funded.world, chain_client, tmp_path), chain_client, 5)


@pytest.fixture
async def slow() -> AsyncIterator[Devnet]:
    """A devnet of its own that mines only when told to."""
    try:
        devnet = await Devnet.start(DevnetConfig())
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with devnet:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        yield devnet


async def until(condition: object, *, timeout_s: float = 60) -> None:
    """Wait until a condition (an async or plain callable) holds."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()  # type: ignore[operator]
            if await result if asyncio.iscoroutine(result) else result:
                return
            await asyncio.sleep(0.01)


async def test_a_reorganised_swap_is_sent_again_with_the_same_bytes_and_booked_once(
    slow: Devnet, tmp_path: Path
) -> None:
    async with slow.client() as client:
        options = DeskOptions(poll_s=0.005, confirmations=3)
        desk = build_desk(slow.world, client, tmp_path)
        await desk.open_ledger()
        await desk.start()
        for plan in approvals(slow.world):
            await desk.custody.submit(plan)
        assert await desk.custody.drain(60)
        await desk.custody.stop()

        deep = build_desk(slow.world, client, tmp_path, options=options)
        await deep.start()
        await deep.custody.submit(swap(slow.world, "shaken"))
        await until(lambda: deep.custody.history("shaken")[-1][1] is State.MINED)
        before = (await client.head()).number
        # The block that held it is replaced by an empty one; anvil does not put its transactions back.
        await client.rpc.request("anvil_reorg", 1, [])
        await until(lambda: Step.REORGED in [step for step, _ in deep.custody.history("shaken")])
        assert not [s for s in deep.settled if s.intent_id == "shaken"]
        await until(lambda: deep.custody.history("shaken")[-1][1] is State.MINED)
        await client.rpc.request("anvil_mine", "0x3")
        assert await deep.custody.drain(60)
        await deep.custody.stop()
        steps = [step for step, _ in deep.custody.history("shaken")]
        assert steps.count(Step.SIGNED) == 1
        assert steps.count(Step.CONFIRMED) == 1
        assert steps.count(Step.MINED) == 2
        assert deep.outcome("shaken").block_number >= before
        await check_books(build_desk(slow.world, client, tmp_path), client, 5)


async def test_a_reorganisation_below_what_is_booked_does_not_leave_the_account_stuck(
    slow: Devnet, tmp_path: Path
) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path, options=DeskOptions(poll_s=0.005, rebroadcast_s=0.1))
        await desk.custody.submit(swap(slow.world, "undone"))
        assert await desk.custody.drain(60)
        # One confirmation, and the only block above is replaced: what was booked is gone, its nonce is open again.
        await client.rpc.request("anvil_reorg", 1, [])
        assert await client.receipt(desk.outcome("undone").tx_hash) is None
        await desk.custody.submit(swap(slow.world, "after"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        for intent in ("undone", "after"):
            assert [step for step, _ in desk.custody.history(intent)].count(Step.SIGNED) == 1
            assert [s.status for s in desk.settled if s.intent_id == intent] == ["mined"]
            assert await client.receipt(desk.outcome(intent).tx_hash) is not None
        nonce, by_nonce = await nonce_and_transactions(client, VAULT)
        assert sorted(by_nonce) == list(range(nonce))


async def test_a_stuck_swap_is_replaced_with_higher_fees_and_lands_once(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        clock = ManualClock(10**18)
        desk = await running_desk(slow, client, tmp_path, now_ns=clock.now_ns)
        await client.rpc.request("evm_setAutomine", False)
        await desk.custody.submit(swap(slow.world, "stuck"))
        await until(lambda: desk.custody.history("stuck")[-1][1] is State.BROADCAST)
        clock.advance(seconds=31)
        await until(lambda: [s for s, _ in desk.custody.history("stuck")].count(Step.SENT) == 2)
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        steps = [step for step, _ in desk.custody.history("stuck")]
        assert steps.count(Step.REPLACING) == 1
        assert steps.count(Step.CONFIRMED) == 1
        await check_books(build_desk(slow.world, client, tmp_path), client, 5)


async def test_several_swaps_wait_in_the_pool_under_successive_nonces(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await client.rpc.request("evm_setAutomine", False)
        for n in range(5):
            await desk.custody.submit(swap(slow.world, f"w{n}"))
        await until(lambda: all(desk.custody.history(f"w{n}")[-1][1] is State.BROADCAST for n in range(5)))
        assert await client.nonce(VAULT, "pending") == 4 + 5
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert [s for s, _ in desk.custody.history("w4")] == HAPPY
        await check_books(build_desk(slow.world, client, tmp_path), client, 9)


async def test_a_nonce_used_behind_our_back_fails_the_swap_and_frees_the_others(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        clock = ManualClock(10**18)
        desk = await running_desk(slow, client, tmp_path, now_ns=clock.now_ns)
        await client.rpc.request("evm_setAutomine", False)
        await desk.custody.submit(swap(slow.world, "robbed"))
        await until(lambda: desk.custody.history("robbed")[-1][1] is State.BROADCAST)
        await client.rpc.request("anvil_dropAllTransactions")
        # The vault's owner, from elsewhere: anvil knows the key.
        foreign = {"from": VAULT, "to": VAULT, "value": "0x0", "nonce": "0x4", "gas": "0x5208"}
        await client.rpc.request("eth_sendTransaction", foreign)
        await client.rpc.request("anvil_mine", "0x4")
        await client.rpc.request("evm_setAutomine", True)
        clock.advance(seconds=6)
        await until(lambda: desk.custody.history("robbed")[-1] == (Step.LOST, State.SAFE))
        await desk.custody.submit(swap(slow.world, "after"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert "not ours" in desk.outcome("robbed").reason
        assert desk.outcome("after").status == "mined"


async def test_only_one_process_serves_an_account(funded: Devnet, chain_client: ChainClient, tmp_path: Path) -> None:
    first = await running_desk(funded, chain_client, tmp_path)
    second = build_desk(funded.world, chain_client, tmp_path)
    with pytest.raises(InputError, match="another process"):
        await second.custody.start(lambda _s: None)
    await first.custody.stop()
    await second.custody.start(lambda _s: None)
    await second.custody.stop()


class MoodySigner:
    """A signer whose answers get lost: it has signed, or it was never reached."""

    def __init__(self, inner: object, seed: int) -> None:
        self._inner, self._random = inner, random.Random(seed)
        self.raws: dict[int, set[bytes]] = {}

    @property
    def address(self) -> object:
        return self._inner.address  # type: ignore[attr-defined]

    async def sign_transaction(self, tx: object, *, network: object, evidence: object = None) -> object:
        mood = self._random.random()
        if mood < 0.3:
            raise VenueUnavailable("never reached")
        signed = await self._inner.sign_transaction(tx, network=network, evidence=evidence)  # type: ignore[attr-defined]
        self.raws.setdefault(tx.nonce, set()).add(signed.raw)  # type: ignore[attr-defined]
        if mood < 0.6:
            raise OutcomeUnknown("the answer was lost", request_id="sign")
        return signed


async def test_a_signer_whose_answers_get_lost_is_asked_for_the_same_bytes_again(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    await desk.custody.stop()
    moody = MoodySigner(desk.signer, 7)
    desk = build_desk(funded.world, chain_client, tmp_path, signer=moody)
    await desk.start()
    for n in range(3):
        await desk.custody.submit(swap(funded.world, f"i{n}"))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert all(len(raws) == 1 for raws in moody.raws.values())
    await check_books(build_desk(funded.world, chain_client, tmp_path), chain_client, 7)
