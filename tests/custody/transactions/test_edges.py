"""Killed on both sides of the edges beyond a plain transaction's: cancelling, undoing, finality, holds, gaps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from custody import DeskOptions, State
from custody.transactions.records import Wish
from domain import InputError
from tests.custody.desk import VAULT, TestDesk, build_desk, swap
from tests.custody.reindex import check_against_chain
from tests.custody.test_desk import running_desk
from tests.custody.test_faults import until
from tests.custody.victim import Orders, run_victim

pytestmark = pytest.mark.anvil


@pytest.fixture
async def slow() -> AsyncIterator[Devnet]:
    """A devnet of its own."""
    try:
        devnet = await Devnet.start(DevnetConfig())
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with devnet:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        yield devnet


Scene = Callable[[TestDesk, Devnet, ChainClient], Awaitable[None]]
"""Brings things to where the edge is next; the desk is running, and is stopped afterwards."""


async def one_out(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await client.rpc.request("evm_setAutomine", False)
    await desk.custody.submit(swap(devnet.world, "it"))
    await until(lambda: desk.custody.state("it") is State.BROADCAST)


async def to_cancel(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await one_out(desk, devnet, client)
    await desk.custody.stop()
    desk.custody._outbox.wish("it", Wish.CANCEL)


async def to_speed_up(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await one_out(desk, devnet, client)
    await desk.custody.stop()
    desk.custody._outbox.wish("it", Wish.SPEED_UP)


async def to_undo(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await desk.custody.submit(swap(devnet.world, "it"))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    await client.rpc.request("anvil_reorg", 1, [])


async def to_finalize(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await desk.custody.submit(swap(devnet.world, "it"))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    await client.rpc.request("anvil_mine", hex(70))


async def to_close_a_gap(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await client.rpc.request("evm_setAutomine", False)
    foreign = {"from": VAULT, "to": VAULT, "value": "0x0", "nonce": "0x4", "gas": "0x5208"}
    await client.rpc.request("eth_sendTransaction", foreign)
    await desk.custody.submit(swap(devnet.world, "it"))
    await until(lambda: desk.custody.state("it") is State.BROADCAST)
    await desk.custody.stop()
    await client.rpc.request("anvil_dropAllTransactions")


async def to_decline(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await desk.custody.stop()
    desk.custody._outbox.record(swap(devnet.world, "it", min_out=10**30))


async def to_end_unsigned(desk: TestDesk, devnet: Devnet, client: ChainClient) -> None:
    await desk.custody.stop()
    desk.custody._outbox.record(swap(devnet.world, "it"))
    desk.custody._outbox.wish("it", Wish.CANCEL)


SCENES: dict[str, tuple[Scene, str]] = {
    "replace": (to_cancel, "cancelled: "),
    "store": (to_cancel, "cancelled: "),
    "undo": (to_undo, ""),
    "finalize": (to_finalize, ""),
    "gap": (to_close_a_gap, ""),
    "decline": (to_decline, "simulation: "),
    "cancel": (to_end_unsigned, "cancelled: "),
}
ALL = [(edge, side, scene, reason) for edge, (scene, reason) in SCENES.items() for side in ("before", "after")]
ALL += [("replace", "after", to_speed_up, ""), ("tell", "after", to_decline, "simulation: ")]


@pytest.mark.parametrize(("edge", "side", "scene", "reason"), ALL, ids=[f"{e}.{s}-{c.__name__}" for e, s, c, _ in ALL])
async def test_killed_there_and_started_again_it_ends_as_it_should(
    slow: Devnet, tmp_path: Path, edge: str, side: str, scene: Scene, reason: str
) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await scene(desk, slow, client)
        desk.database.dispose()
        orders = Orders(slow.world.to_json(), tmp_path, f"{edge}.{side}", 1, (), options=QUICK)
        code, _ = await run_victim(orders)
        assert code == -9, "it was to die there"
        code, told = await run_victim(replace(orders, edge="none", mines=True))
        assert (code, told[-1]) == (0, "done")
        after = build_desk(slow.world, client, tmp_path)
        outcome = next(o for o in await after.custody.settlements() if o.intent_id == "it")
        assert outcome.reason.startswith(reason)
        unhappy = "failed" if outcome.tx_hash else "refused"
        assert outcome.status == (unhappy if reason else "mined")
        assert f"it {outcome.status}" in told
        index = await check_against_chain(client, after.database, VAULT)
        swaps = [h for hashes in index.nonces.values() for h in hashes if len(index.of(h)) > 1]
        assert len(swaps) == (0 if reason else 1), "executed once, or not at all"
        assert after.ledger.verify().is_sound


QUICK = DeskOptions(poll_s=0.005, settled_poll_s=0.01, rebroadcast_s=0.1, gap_s=0.05)
