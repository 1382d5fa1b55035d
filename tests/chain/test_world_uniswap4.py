"""V4, Permit2 and the UniversalRouter stand on the devnet as on mainnet: they trade, and their answers agree."""

from __future__ import annotations

import pytest

from chain import ChainClient, Receipt
from chain.abi import Dynamic, address_word, bytes_array, bytes_words, compose, int_word, selector, uint_at, uint_word
from chain.devnet import NATIVE_COIN, TEST_ADDRESSES, Devnet, PoolEntry
from chain.devnet.uniswap4 import HOOK_FEE
from chain.keccak import keccak256

pytestmark = pytest.mark.anvil

TRADER = TEST_ADDRESSES[4]
_V4_SWAP = 0x10
_SWAP_EXACT_IN_SINGLE, _SETTLE_ALL, _TAKE_ALL = 0x06, 0x0C, 0x0F


def _key(pool: PoolEntry) -> bytes:
    return (
        address_word(pool.token0)
        + address_word(pool.token1)
        + uint_word(pool.fee)
        + int_word(pool.tick_spacing)
        + address_word(pool.hooks)
    )


async def _quote(client: ChainClient, devnet: Devnet, pool: PoolEntry, amount: int) -> int:
    """What the genuine V4Quoter gives for token 0."""
    method = selector("quoteExactInputSingle(((address,address,uint24,int24,address),bool,uint128,bytes))")
    inner = compose(_key(pool) + uint_word(1) + uint_word(amount), Dynamic(bytes_words(b"")))
    return uint_at(await client.call(devnet.world.contracts["V4Quoter"], method + compose(Dynamic(inner))), 0)


async def _send(client: ChainClient, to: str, data: bytes, value_wei: int = 0) -> Receipt:
    request = {"from": TRADER, "to": to, "data": "0x" + data.hex(), "value": hex(value_wei), "gas": hex(2_000_000)}
    receipt = await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)
    assert receipt.succeeded
    return receipt


async def _swap(client: ChainClient, devnet: Devnet, pool: PoolEntry, amount: int, min_out: int) -> int:
    """Sell token 0 through the UniversalRouter; give what arrived."""
    before = await client.token_balance(pool.token1, TRADER)
    swap = compose(_key(pool) + uint_word(1) + uint_word(amount) + uint_word(min_out), Dynamic(bytes_words(b"")))
    actions = bytes((_SWAP_EXACT_IN_SINGLE, _SETTLE_ALL, _TAKE_ALL))
    parts = (
        compose(Dynamic(swap)),
        address_word(pool.token0) + uint_word(amount),
        address_word(pool.token1) + uint_word(min_out),
    )
    command = compose(Dynamic(bytes_words(actions)), bytes_array(parts))
    call = compose(Dynamic(bytes_words(bytes((_V4_SWAP,)))), bytes_array([command]), uint_word(2**40))
    await _send(
        client,
        devnet.world.contracts["UniversalRouter"],
        selector("execute(bytes,bytes[],uint256)") + call,
        amount if pool.token0 == NATIVE_COIN else 0,
    )
    return await client.token_balance(pool.token1, TRADER) - before


async def test_a_swap_through_the_router_yields_what_the_quoter_says(devnet: Devnet, chain_client: ChainClient) -> None:
    for pool in (p for p in devnet.world.pools if p.kind == "v4" and p.token0 == NATIVE_COIN):
        for amount in (10**15, 30 * 10**18):
            quoted = await _quote(chain_client, devnet, pool, amount)
            assert quoted > 0
            assert await _swap(chain_client, devnet, pool, amount, quoted) == quoted


async def test_a_token_reaches_a_v4_pool_through_permit2(devnet: Devnet, chain_client: ChainClient) -> None:
    pool, contracts, amount = devnet.world.pool("v4", "WBTC", "USDC", 3000), devnet.world.contracts, 10**7
    await devnet.fund(TRADER, 0, {"WBTC": amount})
    approve = selector("approve(address,uint256)") + address_word(contracts["Permit2"]) + uint_word(amount)
    await _send(chain_client, pool.token0, approve)
    permit = address_word(pool.token0) + address_word(contracts["UniversalRouter"]) + uint_word(amount)
    await _send(
        chain_client,
        contracts["Permit2"],
        selector("approve(address,address,uint160,uint48)") + permit + uint_word(2**40),
    )
    quoted = await _quote(chain_client, devnet, pool, amount)
    assert await _swap(chain_client, devnet, pool, amount, quoted) == quoted
    assert 5_900 * 10**6 < quoted < 6_000 * 10**6  # A tenth of a coin at 60,000 $, less 0.3 % and impact.


async def test_permit2_signs_for_this_chain_and_this_address(devnet: Devnet, chain_client: ChainClient) -> None:
    permit2 = devnet.world.contracts["Permit2"]
    kind = b"EIP712Domain(string name,uint256 chainId,address verifyingContract)"
    parts = (keccak256(kind), keccak256(b"Permit2"), uint_word(1337), address_word(permit2))
    assert await chain_client.call(permit2, selector("DOMAIN_SEPARATOR()")) == keccak256(b"".join(parts))


async def test_the_hooked_pool_asks_the_fee_its_hook_sets(devnet: Devnet, chain_client: ChainClient) -> None:
    (hooked,) = (p for p in devnet.world.pools if p.hooks != NATIVE_COIN)
    plain = devnet.world.pool("v4", "ETH", "USDC", 3000)
    dynamic, static = [await _quote(chain_client, devnet, pool, 10**18) for pool in (hooked, plain)]
    # Same liquidity at the same price: what differs is 0.30 % against the hook's 0.25 %.
    assert dynamic * (10**6 - 3000) == pytest.approx(static * (10**6 - HOOK_FEE), rel=1e-6)
    hook = hooked.hooks
    await _send(chain_client, hook, selector("setFee(uint24)") + uint_word(3000))
    assert await _quote(chain_client, devnet, hooked, 10**18) == static


async def test_a_v4_pools_id_is_the_hash_of_its_key(devnet: Devnet) -> None:
    pools = [pool for pool in devnet.world.pools if pool.kind == "v4"]
    assert len({pool.pool_id for pool in pools}) == len(pools) == 5
    for pool in pools:
        assert pool.pool_id == "0x" + keccak256(_key(pool)).hex()
