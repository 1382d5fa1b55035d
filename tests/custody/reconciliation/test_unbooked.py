"""The desk's own transactions, mined and not booked yet: every unit and its gas is understood."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from custody import DeskOptions, Step
from custody.audit import AuditLog
from custody.reconciliation import ChainPlaces, ChainReconciler, Reconciliation, Report, unbooked_transactions
from domain import ChainId
from tests.custody.desk import VAULT, TestDesk, approvals, assets, build_desk, swap

pytestmark = pytest.mark.anvil


async def reconcile(desk: TestDesk, client: ChainClient, *, with_source: bool = True) -> Report:
    tokens = {asset.id: desk.world.tokens[symbol].address for symbol, asset in assets(desk.world).items()}
    source = unbooked_transactions(ChainId(desk.world.chain_id), tokens)
    chain = ChainReconciler(
        client, desk.database, ChainPlaces((VAULT,), tokens, {}), unbooked=(source,) if with_source else ()
    )
    audit = AuditLog(desk.database, time.time_ns)
    return await Reconciliation(desk.database, audit, time.time_ns, chains=(chain,)).reconcile()


async def test_a_swap_that_is_final_and_waits_to_be_booked_is_explained_to_the_unit(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path, database_url: str
) -> None:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    options = DeskOptions(poll_s=0.005, confirmations=10_000)
    desk = build_desk(devnet.world, chain_client, tmp_path, database_url=database_url, options=options)
    await desk.open_ledger()
    await desk.start()
    plans = [*approvals(devnet.world), swap(devnet.world, "s1")]
    for plan in plans:
        await desk.custody.submit(plan)
    async with asyncio.timeout(60):
        while any(Step.MINED not in [step for step, _ in desk.custody.history(plan.intent_id)] for plan in plans):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await chain_client.rpc.request("anvil_mine", hex(70))
    report = await reconcile(desk, chain_client)
    assert report.is_clean
    explained = {item.asset: len(item.explanations) for item in report.comparisons if item.explanations}
    tokens = assets(devnet.world)
    native = f"eip155:{devnet.world.chain_id}/slip44:60"
    assert explained == {native: len(plans), tokens["WETH"].id: 1, tokens["USDC"].id: 1}
    assert len((await reconcile(desk, chain_client, with_source=False)).mismatches) == 3
    await desk.custody.stop()
