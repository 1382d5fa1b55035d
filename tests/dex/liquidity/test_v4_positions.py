"""V4 positions on the genuine contracts, of tokens and of the coin itself (paid wrapped), exact to the unit."""

from __future__ import annotations

import random

import pytest

from chain import ChainClient
from chain.abi import Dynamic, address_word, bytes_array, bytes_words, compose, selector, uint_word
from chain.devnet import DEPLOYER, Devnet
from dex import PoolSpec
from dex.liquidity import Range, plan_add, plan_burn, plan_collect, plan_mint, plan_remove
from dex.liquidity.allowances import plan_leftovers, read_allowed
from dex.liquidity.v4 import pool_key
from tests.dex.liquidity.provider import OWNER, RICH, Provider

pytestmark = pytest.mark.anvil
COIN = "0x" + "00" * 20


@pytest.fixture
async def provider(devnet: Devnet, chain_client: ChainClient) -> Provider:
    await devnet.fund(OWNER, 0, RICH)
    await devnet.fund(DEPLOYER, 10**24, {"WETH": 10**24, "USDC": 10**18, "WBTC": 10**15})
    return Provider(devnet, chain_client)


async def span_of(provider: Provider, spec: PoolSpec, below: int, above: int) -> Range:
    at, spacing = (await provider.reader.pool(spec)).tick // spec.tick_spacing, spec.tick_spacing
    return Range((at + below) * spacing, (at + above) * spacing, spacing)


async def swap(provider: Provider, spec: PoolSpec, *, is_zero_in: bool, amount: int) -> None:
    """Through the UniversalRouter, by the deployer."""
    world, client = provider.devnet.world.contracts, provider.client
    ends = (spec.token0_address, spec.token1_address)
    source, target = ends if is_zero_in else ends[::-1]
    if source != COIN:
        for to, data in (
            (source, selector("approve(address,uint256)") + address_word(world["Permit2"]) + uint_word(2**255)),
            (
                world["Permit2"],
                selector("approve(address,address,uint160,uint48)")
                + address_word(source)
                + address_word(world["UniversalRouter"])
                + uint_word(2**159)
                + uint_word(2**47),
            ),
        ):
            await deployer(client, to, data)
    single = pool_key(spec) + uint_word(is_zero_in) + uint_word(amount)
    exact_in = compose(Dynamic(compose(single, uint_word(0), Dynamic(bytes_words(b"")))))
    settle_all = address_word(source) + uint_word(2**200)
    take_all = address_word(target) + uint_word(0)
    actions = Dynamic(bytes_words(bytes((0x06, 0x0C, 0x0F))))
    v4_swap = compose(actions, bytes_array([exact_in, settle_all, take_all]))
    data = selector("execute(bytes,bytes[],uint256)") + compose(
        Dynamic(bytes_words(b"\x10")), bytes_array([v4_swap]), uint_word(2**40)
    )
    await deployer(client, world["UniversalRouter"], data, amount if source == COIN else 0)


async def deployer(client: ChainClient, to: str, data: bytes, value: int = 0) -> None:
    request = {"from": DEPLOYER, "to": to, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(5_000_000)}
    tx_hash = await client.rpc.request("eth_sendTransaction", request)
    assert (await client.wait_receipt(tx_hash, poll_s=0.002)).succeeded


@pytest.mark.parametrize("is_of_coin", [False, True], ids=["tokens", "coin"])
async def test_a_positions_life_is_exact_to_the_unit(provider: Provider, is_of_coin: bool):
    spec = provider.v4_spec(is_of_coin=is_of_coin)
    span = await span_of(provider, spec, -12, 20)
    rich = {"WETH": 10**19, "ETH": 10**19, "USDC": 10**11, "WBTC": 10**9}
    given = (rich[spec.token0.symbol], rich[spec.token1.symbol])
    coins = await provider.client.balance(OWNER)
    planned = plan_mint(provider.order(), await provider.reader.pool(spec), span, given)
    assert await provider.carry_out(planned) == tuple(-amount for amount in planned.expected)
    for plan in await plan_leftovers(provider.client, planned.needs, planned.plan):
        assert (await provider.send(plan)).succeeded
    left = await read_allowed(provider.client, planned.needs, OWNER)
    assert not any(allowed.token or allowed.permit2 for allowed in left)

    (position,) = await provider.reader.of_owner(OWNER)
    assert (position.liquidity, position.span, position.fees) == (planned.liquidity, span, (0, 0))
    assert position.pool.spec.pool_id == spec.pool_id
    for is_zero_in, share in ((True, 10), (False, 5), (True, 30)):
        await swap(provider, spec, is_zero_in=is_zero_in, amount=given[0 if is_zero_in else 1] // share)
    (position,) = await provider.reader.of_owner(OWNER)
    assert all(position.fees)

    taken = plan_collect(provider.order(), position)
    assert await provider.carry_out(taken) == position.fees == taken.expected
    for is_zero_in in (True, False):
        await swap(provider, spec, is_zero_in=is_zero_in, amount=given[0 if is_zero_in else 1] // 7)
    (position,) = await provider.reader.of_owner(OWNER)
    more = plan_add(provider.order(), position, (given[0] // 9, given[1] // 9))
    # What is due in fees comes with it.
    due = tuple(fee - amount for fee, amount in zip(position.fees, more.expected, strict=True))
    assert await provider.carry_out(more) == due
    await swap(provider, spec, is_zero_in=True, amount=given[0] // 11)
    (position,) = await provider.reader.of_owner(OWNER)
    assert position.liquidity == planned.liquidity + more.liquidity
    less = plan_remove(provider.order(), position, position.liquidity // 3)
    assert await provider.carry_out(less) == less.expected
    await swap(provider, spec, is_zero_in=False, amount=given[1] // 11)
    (position,) = await provider.reader.of_owner(OWNER)
    assert position.fees[1]
    end = plan_burn(provider.order(), position)
    assert await provider.carry_out(end) == end.expected
    assert await provider.reader.of_owner(OWNER) == []
    # Every coin that left the account paid for gas: nothing came or went unwrapped.
    spent = coins - await provider.client.balance(OWNER)
    assert spent == provider.gas_wei
    manager = provider.contracts.v4
    for token in (spec.token1_address, provider.contracts.wrapped):
        assert await provider.client.token_balance(token, manager) == 0


async def test_random_ranges_take_and_give_what_is_computed(provider: Provider):
    rng = random.Random(4)
    expected = {}
    for _ in range(4):
        spec = provider.v4_spec(is_of_coin=rng.random() < 0.6)
        below = rng.randrange(-40, 40)
        span = await span_of(provider, spec, below, below + rng.randrange(1, 50))
        given = (10 ** rng.randrange(8, 11), 10 ** rng.randrange(8, 11))
        planned = plan_mint(provider.order(), await provider.reader.pool(spec), span, given)
        assert await provider.carry_out(planned) == tuple(-amount for amount in planned.expected)
        expected[max(p.id.number for p in await provider.reader.of_owner(OWNER))] = planned.liquidity
    positions = await provider.reader.of_owner(OWNER)
    assert {position.id.number: position.liquidity for position in positions} == expected
    for position in positions:
        end = plan_burn(provider.order(), position)
        assert await provider.carry_out(end) == end.expected


async def test_a_price_that_moved_too_far_reverts(provider: Provider):
    spec = provider.v4_spec(is_of_coin=True)
    span = await span_of(provider, spec, -12, 20)
    planned = plan_mint(provider.order(tolerance_bps=1), await provider.reader.pool(spec), span, (10**19, 10**12))
    await swap(provider, spec, is_zero_in=True, amount=10**21)
    with pytest.raises(AssertionError):
        await provider.carry_out(planned)
    assert await provider.reader.of_owner(OWNER) == []
