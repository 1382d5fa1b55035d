"""A plan marked private reaches no public endpoint: sent, sent again, replaced, after SIGKILL, or with no way left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from chain.paths import Ways
from custody import DeskOptions, State
from custody.transactions.plans import check_plan, decode_plan, encode_plan
from domain import ChainId, InputError
from domain.plans import TransactionPlan
from runtime.processes import free_port
from tests.chain.paths.lab import open_lab
from tests.chain.proxy import Mode, Proxy
from tests.custody.desk import VAULT, TestDesk, approvals, build_desk, nonce_and_transactions, swap
from tests.custody.victim import Orders, run_victim

pytestmark = pytest.mark.anvil
QUICK = DeskOptions(poll_s=0.005, rebroadcast_s=0.02, stuck_s=0.05, bumps_max=2)


@dataclass
class Town:
    """A devnet behind two doors: one that everybody watches, one that nobody does."""

    devnet: Devnet
    public: Proxy
    private: Proxy
    client: ChainClient
    ways: Ways
    folder: Path

    def desk(self, *, options: DeskOptions = QUICK, private: Ways | str | None = "ours") -> TestDesk:
        way = self.ways if private == "ours" else private
        return build_desk(self.devnet.world, self.client, self.folder, options=options, private=way)

    def plan(self, intent_id: str, **changes: object) -> TransactionPlan:
        return replace(swap(self.devnet.world, intent_id), **{"broadcast": "private", **changes})  # type: ignore[arg-type]

    async def approve(self) -> None:
        """Give the allowances, in public."""
        desk = self.desk()
        await desk.open_ledger()
        await desk.start()
        for plan in approvals(self.devnet.world):
            await desk.custody.submit(plan)
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        self.public.raws.clear()
        assert self.private.raws == []


@pytest.fixture
async def town(devnet: Devnet, tmp_path: Path) -> AsyncIterator[Town]:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    url, chain_id = devnet.world.rpc_url, devnet.world.chain_id
    async with (
        Proxy(url).serving() as public,
        Proxy(url).serving() as private,
        ChainClient([public.url], chain_id) as client,
        Ways(client, endpoints=[private.url]) as ways,
    ):
        made = Town(devnet, public, private, client, ways, tmp_path)
        await made.approve()
        yield made


@asynccontextmanager
async def _no_mining(client: ChainClient) -> AsyncIterator[None]:
    await client.rpc.request("evm_setAutomine", False)
    try:
        yield
    finally:
        await client.rpc.request("evm_setAutomine", True)


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another process or server
            await asyncio.sleep(0.005)


async def test_private_plans_go_by_the_private_door_and_public_ones_by_the_public(town: Town) -> None:
    desk = town.desk(options=replace(QUICK, stuck_s=60))  # A replacement would be a second transaction.
    await desk.start()
    await desk.custody.submit(town.plan("hidden"))
    assert await desk.custody.drain(60)
    assert desk.outcome("hidden").status == "mined"
    assert town.public.raws == []
    assert len(set(town.private.raws)) == 1
    await desk.custody.submit(swap(town.devnet.world, "seen"))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert len(set(town.public.raws)) == len(set(town.private.raws)) == 1
    assert await desk.differences() == {}


async def test_what_is_sent_again_and_replaced_stays_private(town: Town) -> None:
    desk = town.desk()
    async with _no_mining(town.client):
        await desk.start()
        await desk.custody.submit(town.plan("slow"))
        await _until(lambda: len(set(town.private.raws)) == 3 and len(town.private.raws) > 4)
        assert town.public.raws == []
        await town.client.rpc.request("evm_mine")
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert desk.outcome("slow").status == "mined"
    assert town.public.raws == []


async def test_a_private_door_that_is_shut_is_waited_for(town: Town) -> None:
    desk = town.desk()
    town.private.mode = Mode.DROP
    await desk.start()
    await desk.custody.submit(town.plan("patient"))
    await _until(lambda: len(town.private.calls) > 2)
    assert town.public.raws == []
    town.private.mode = Mode.PASS
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert desk.outcome("patient").status == "mined"
    assert town.public.raws == []


@pytest.mark.parametrize(
    "edge", ["reserve.after", "sign.after", "store.after", "send.before", "send.after", "sent.after"]
)
async def test_a_process_killed_at_any_edge_sends_privately_when_it_comes_back(town: Town, edge: str) -> None:
    orders = Orders(
        world=town.devnet.world.to_json(),
        folder=town.folder,
        edge=edge,
        count=1,
        intents=("hidden",),
        public_url=town.public.url,
        private_url=town.private.url,
    )
    code, _ = await run_victim(orders)
    assert code == -9
    assert town.public.raws == []
    code, told = await run_victim(replace(orders, edge="none"))
    assert (code, told[-2:]) == (0, ["hidden mined", "done"])
    assert town.public.raws == []
    assert len(set(town.private.raws)) == 1
    _, by_nonce = await nonce_and_transactions(town.client, VAULT)
    assert all(len(hashes) == 1 for hashes in by_nonce.values())


async def test_with_no_private_door_nothing_is_signed(town: Town) -> None:
    desk = town.desk(private=None)
    await desk.start()
    await desk.custody.submit(town.plan("nowhere"))
    await desk.custody.submit(town.plan("no-bundle", broadcast="bundle", max_block=10**6))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    told = {desk.outcome(name).status for name in ("nowhere", "no-bundle")}
    assert told == {"refused"}
    assert "nothing is configured" in desk.outcome("nowhere").reason
    assert desk.signer.asked == 0
    assert town.public.raws == town.private.raws == []


async def test_a_door_taken_away_after_signing_leaves_it_waiting_and_never_public(town: Town) -> None:
    # Nobody listens there: so it surely reached nobody, and stays signed.
    async with Ways(town.client, endpoints=[f"http://127.0.0.1:{free_port()}"]) as shut:
        desk = town.desk(private=shut)
        await desk.start()
        await desk.custody.submit(town.plan("stranded"))
        await _until(lambda: [intent.state for intent in desk.custody._outbox.working()] == [State.SIGNED])
        await desk.custody.stop()
    again = town.desk(private=None)
    await again.start()
    assert not await again.custody.drain(0.3)
    assert [intent.state for intent in again.custody._outbox.working()] == [State.SIGNED]
    await again.custody.stop()
    assert town.public.raws == []
    last = town.desk()
    await last.start()
    assert await last.custody.drain(60)
    await last.custody.stop()
    assert last.outcome("stranded").status == "mined"
    assert town.public.raws == []


async def test_after_its_last_block_the_nonce_is_used_up_in_public_by_nothing(town: Town) -> None:
    town.private.mode = Mode.SWALLOW
    desk = town.desk()
    head = (await town.client.head()).number
    await desk.start()
    await desk.custody.submit(town.plan("late", max_block=int(head) + 3))
    await _until(lambda: town.private.raws)
    hidden = set(town.private.raws)
    assert town.public.raws == []
    await town.client.rpc.request("anvil_mine", hex(4))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert desk.outcome("late").status == "failed"
    assert desk.outcome("late").reason.startswith("cancelled")
    assert not hidden & set(town.public.raws)
    assert len(set(town.public.raws)) == 1
    # The cancellation carries nothing of the plan.
    data = swap(town.devnet.world, "late").data.hex()
    assert data not in town.public.raws[0]


async def test_a_last_block_that_has_passed_is_refused_before_signing(town: Town) -> None:
    desk = town.desk()
    await desk.start()
    await desk.custody.submit(town.plan("past", max_block=1))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert desk.outcome("past").status == "refused"
    assert desk.signer.asked == 0


async def test_bundles_and_relayed_transactions_are_mined_by_the_relay_alone(town: Town) -> None:
    async with (
        open_lab(town.devnet) as lab,
        Ways(town.client, relays=[lab.rpc()], bundle_relays=[lab.rpc()]) as ways,
    ):
        desk = town.desk(private=ways)
        await desk.start()
        head = int((await town.client.head()).number)
        await desk.custody.submit(town.plan("bundled", broadcast="bundle", max_block=head + 50))
        await desk.custody.submit(town.plan("relayed", max_block=head + 50))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert {desk.outcome(name).status for name in ("bundled", "relayed")} == {"mined"}
        assert {"eth_sendBundle", "eth_sendPrivateTransaction"} <= set(lab.server.requests)
    assert town.public.raws == []
    assert await desk.differences() == {}


def test_how_a_plan_is_sent_is_recorded_and_plans_from_before_read_as_public() -> None:
    plan = _plan()
    assert "broadcast" not in encode_plan(plan)
    assert decode_plan(encode_plan(plan)) == plan
    hidden = replace(plan, broadcast="bundle", max_block=77)
    assert decode_plan(encode_plan(hidden)) == hidden
    check_plan(hidden, chain_id=plan.chain_id, sender=plan.sender)
    for wrong in (
        replace(plan, broadcast="loud"),  # type: ignore[arg-type]
        replace(plan, max_block=-1),
        replace(plan, broadcast="bundle"),
    ):
        with pytest.raises(InputError):
            check_plan(wrong, chain_id=plan.chain_id, sender=plan.sender)


def _plan() -> TransactionPlan:
    from domain import IntentId
    from domain.ids import StrategyId

    return TransactionPlan(
        IntentId("a"), StrategyId("s"), "swap", ChainId(1337), VAULT, VAULT, 0, b"\x01\x02\x03\x04", 21_000, 0
    )
