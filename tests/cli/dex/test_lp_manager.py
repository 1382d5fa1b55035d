"""`capstan dex lp move` on the devnet: a manager contract moved through custody, within its loss bound."""

from __future__ import annotations

import asyncio

import pytest

from chain import ChainClient
from chain.abi import address_word, int_at, selector, uint_word
from chain.devnet import TEST_ADDRESSES, Devnet
from dex.contracts import contract_code
from tests.cli.dex.test_lp import invoke, run
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil
OWNER, OPERATOR = TEST_ADDRESSES[4], TEST_ADDRESSES[5]


async def send(client: ChainClient, sender: str, to: str | None, data: bytes):
    request = {"from": sender, "data": "0x" + data.hex(), "gas": hex(8_000_000), **({"to": to} if to else {})}
    receipt = await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)
    assert receipt.succeeded
    return receipt


async def test_a_manager_moves_its_liquidity_through_custody(devnet: Devnet, chain_client: ChainClient, tmp_path):
    trader, world = Trader(devnet, chain_client), devnet.world
    await trader.prepare()
    pool = world.pool("v3", "WETH", "USDC", 500)
    twap = contract_code("TwapReference") + address_word(pool.address) + uint_word(60) + uint_word(0)
    reference = (await send(chain_client, OWNER, None, twap)).created
    built_with = b"".join(
        [
            *map(address_word, (OWNER, OPERATOR, OWNER, reference)),
            *map(uint_word, (100, 50, 120)),
            address_word(world.contracts["NonfungiblePositionManager"]),
            address_word(pool.address),
        ]
    )
    manager = (await send(chain_client, OWNER, None, contract_code("V3LpManager") + built_with)).created
    await devnet.fund(manager, 0, {"WETH": 10**20, "USDC": 10**11})
    # A pool remembers one price until somebody pays for more.
    await send(
        chain_client, OWNER, pool.address, selector("increaseObservationCardinalityNext(uint16)") + uint_word(50)
    )
    await trader.swap(pool, pool.token1, 10**15)
    await chain_client.rpc.request("evm_increaseTime", 120)
    await chain_client.rpc.request("evm_mine")

    at = ("--rpc-url", world.rpc_url)
    kept = (*at, "--data", tmp_path, "--send", "--yes", "--json", "--fee-bps", 5)
    shown = await run("move", manager, *at, "--json")
    assert (shown["liquidity"], shown["may_move"], shown["sent"]) == ("0", True, False)
    moved = await run("move", manager, *kept, "--width-percent", 5)
    assert int(moved["liquidity"]) > 0
    assert moved["range"] == shown["wanted"]
    assert moved["ledger_differences"] == 0
    # At most its bound, at the reference's price; here the swap of what did not fit.
    assert int(moved["value_before"]) * 9_950 <= int(moved["value"]) * 10_000
    assert moved["spent_bps_of_day"].endswith("of 120")

    # The price moves, and the reference follows within its window; the liquidity follows too.
    await trader.swap(pool, pool.token1, 2 * 10**20)
    await chain_client.rpc.request("evm_increaseTime", 120)
    await chain_client.rpc.request("evm_mine")
    again = await run("move", manager, *kept, "--policy", "volatility", "--volatility-day", 0.02)
    tick = int_at(await chain_client.call(pool.address, selector("slot0()")), 1)
    assert again["range"][0] <= tick < again["range"][1]

    # A pool that stands away from the reference: custody's simulation says so, and nothing is sent.
    await trader.swap(pool, pool.token1, 10**21)
    nonce = await chain_client.nonce(OPERATOR)
    code, _, error = await asyncio.to_thread(invoke, "move", manager, *kept)
    assert code == 1
    assert "would revert" in error
    assert await chain_client.nonce(OPERATOR) == nonce
    # Somebody who is no operator is told before anything is signed.
    code, _, error = await asyncio.to_thread(invoke, "move", manager, *at, "--account", 6)
    assert code == 1
    assert "no operator" in error
