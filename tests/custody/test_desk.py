"""Plans through the door on a real chain: swaps, refusals, replacements, and books that equal the chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from compliance import DenyListScreener
from custody import Step
from domain import Address, ChainId, InputError, IntentId
from tests.custody.desk import (
    VAULT,
    TestDesk,
    approvals,
    assets,
    build_desk,
    nonce_and_transactions,
    policy_settings,
    swap,
)

pytestmark = pytest.mark.anvil
HAPPY = [
    Step.CREATED,
    Step.SCREENED,
    Step.APPROVED,
    Step.RESERVED,
    Step.SIGNED,
    Step.SENT,
    Step.MINED,
    Step.CONFIRMED,
]


@pytest.fixture
async def funded(devnet: Devnet) -> Devnet:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    return devnet


async def test_swaps_on_v2_and_v3_are_mined_settled_and_booked_to_the_unit(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, database_url: str
) -> None:
    world = funded.world
    desk = build_desk(world, chain_client, tmp_path, database_url=database_url)
    await desk.open_ledger()
    await desk.start()
    for plan in [
        *approvals(world),
        swap(world, "v3"),
        swap(world, "v2", kind="v2", fee=3000, sell="USDC", amount=10**9),
    ]:
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await desk.custody.stop()

    v3, v2 = desk.outcome("v3"), desk.outcome("v2")
    assert (v3.status, v3.amount_in) == ("mined", str(10**17))
    assert (v2.status, v2.amount_in) == ("mined", str(10**9))
    assert int(v3.amount_out) > 0
    assert int(v3.gas_cost_wei) > 0
    receipt = await chain_client.receipt(v3.tx_hash)
    assert receipt is not None
    assert receipt.block_number == v3.block_number

    assert await desk.differences() == {}
    assert desk.ledger.verify().is_sound
    profit = desk.ledger.profit("arb")
    tokens = assets(world)
    assert profit[tokens["WETH"].id] == int(v2.amount_out) - 10**17
    assert profit[tokens["USDC"].id] == int(v3.amount_out) - 10**9
    assert [step for step, _ in desk.custody.history("v3")] == HAPPY
    nonce, by_nonce = await nonce_and_transactions(chain_client, VAULT)
    assert sorted(by_nonce) == list(range(nonce))


async def test_the_same_intent_again_changes_nothing_and_another_plan_under_its_id_is_refused(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    plan = swap(funded.world, "once")
    for _ in range(3):
        await desk.custody.submit(plan)
    with pytest.raises(InputError):
        await desk.custody.submit(swap(funded.world, "once", amount=10**16))
    assert await desk.custody.drain(60)
    await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    assert desk.outcome("once").status == "mined"
    assert await chain_client.nonce(VAULT) == 5


async def test_plans_for_another_account_or_chain_are_input_errors(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = build_desk(funded.world, chain_client, tmp_path)
    plan = swap(funded.world, "x")
    for wrong in (
        replace(plan, sender=Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")),
        replace(plan, chain_id=ChainId(1)),
        replace(plan, purpose="donate"),
        replace(plan, intent_id=IntentId("")),
    ):
        with pytest.raises(InputError):
            await desk.custody.submit(wrong)


async def test_a_swap_that_would_revert_is_refused_and_nothing_is_signed(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    signed = desk.signer.asked
    await desk.custody.submit(swap(funded.world, "greedy", min_out=10**30))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    outcome = desk.outcome("greedy")
    assert outcome.status == "refused"
    assert outcome.reason.startswith("simulation: ")
    assert desk.signer.asked == signed
    assert await chain_client.nonce(VAULT) == 4
    assert await desk.differences() == {}


async def test_a_denied_contract_is_refused_before_policy_and_nothing_is_signed(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    desk = await running_desk(funded, chain_client, tmp_path)
    await desk.custody.stop()
    (tmp_path / "deny.txt").write_text(f"{swap(funded.world, 'x').to} exploited\n")
    screened = build_desk(funded.world, chain_client, tmp_path, screener=DenyListScreener(tmp_path / "deny.txt"))
    await screened.start()
    await screened.custody.submit(swap(funded.world, "denied"))
    assert await screened.custody.drain(60)
    await screened.custody.stop()
    assert screened.outcome("denied").reason.startswith("deny-list: ")
    assert screened.signer.asked == 0


async def test_the_daily_limit_survives_a_restart_and_the_signer_keeps_its_own(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    weth = assets(funded.world)["WETH"].id
    wide = policy_settings(funded.world)
    limits = wide.assets[weth].model_copy(update={"per_day_raw": 25 * 10**16})
    tight = wide.model_copy(update={"assets": {**wide.assets, weth: limits}})
    desk = await running_desk(funded, chain_client, tmp_path, settings=tight)
    await desk.custody.submit(swap(funded.world, "first"))
    assert await desk.custody.drain(60)
    await desk.custody.stop()

    again = build_desk(funded.world, chain_client, tmp_path, settings=tight)
    await again.start()
    for intent_id in ("second", "third"):
        await again.custody.submit(swap(funded.world, intent_id))
        assert await again.custody.drain(60)  # Given together, either could be judged first.
    await again.custody.stop()
    assert again.outcome("second").status == "mined"
    assert again.outcome("third").reason.startswith("velocity: ")

    # A custody that has lost its limits meets the signer's.
    lax = build_desk(funded.world, chain_client, tmp_path, settings=wide, signer_settings=tight)
    await lax.start()
    await lax.custody.submit(swap(funded.world, "fourth"))
    assert await lax.custody.drain(60)
    await lax.custody.stop()
    assert lax.outcome("fourth").reason.startswith("velocity: ")
    assert await chain_client.nonce(VAULT) == 4 + 2
    assert await lax.differences() == {}


async def running_desk(funded: Devnet, client: ChainClient, folder: Path, **changes: object) -> TestDesk:
    """A started desk whose approvals are mined."""
    desk = build_desk(funded.world, client, folder, **changes)  # type: ignore[arg-type]
    await desk.open_ledger()
    await desk.start()
    for plan in approvals(funded.world):
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    return desk
