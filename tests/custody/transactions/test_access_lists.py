"""A transaction declares the storage it touches where that is cheaper, and its signer, policy and books agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain import ChainClient, NodeRefused
from chain.devnet import Devnet
from chain.fees import AccessList, access_finder
from domain import Address
from tests.custody.desk import VAULT, approvals, build_desk, swap

pytestmark = pytest.mark.anvil


async def _refuses(_sender: Address, _to: Address, _data: bytes, _value_wei: int) -> AccessList:
    raise NodeRefused("no such method", code=-32601)


async def test_a_list_that_pays_is_declared_signed_and_booked(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
    desk = build_desk(devnet.world, chain_client, tmp_path, access=access_finder(chain_client))
    await desk.open_ledger()
    await desk.start()
    for plan in approvals(devnet.world):
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await desk.custody.submit(swap(devnet.world, "listed", kind="v2", fee=3000, sell="USDC", amount=10**9))
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    settled = desk.outcome("listed")
    assert settled.status == "mined"
    mined = await chain_client.rpc.request("eth_getTransactionByHash", settled.tx_hash)
    assert mined["accessList"]
    assert await desk.differences() == {}


async def test_a_node_that_makes_no_lists_stops_nothing(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    await devnet.fund(VAULT, tokens={"WETH": 10**18})
    desk = build_desk(devnet.world, chain_client, tmp_path, access=_refuses)
    await desk.start()
    for plan in approvals(devnet.world)[:1]:
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    (settled,) = desk.settled
    assert settled.status == "mined"
    mined = await chain_client.rpc.request("eth_getTransactionByHash", settled.tx_hash)
    assert not mined.get("accessList")
