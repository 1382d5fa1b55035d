"""What a position brought: against holding and against trading along, in exact integers, and from a real chain."""

from __future__ import annotations

import random
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import ChainClient
from chain.devnet import DEPLOYER, Devnet
from dex.liquidity import Range, amounts_down, plan_add, plan_collect, plan_mint, plan_remove, tick_at
from dex.liquidity.accounting import Flow, Move, rebalancing_loss_up, standing
from dex.liquidity.history import read_flows, read_path
from dex.replicas.tick_math import sqrt_price_at
from tests.dex.liquidity.provider import OWNER, RICH, Provider
from tests.dex.liquidity.test_v4_positions import swap
from tests.dex.trader import Trader

SPAN = Range(-1000, 1000)
L = 10**24


def value(tick, amounts):
    price = sqrt_price_at(tick)
    return amounts[1] + amounts[0] * price**2 // 2**192


def flow(order, liquidity, principal):
    return Flow(order, "0x", (order, 0), liquidity, principal, (0, 0))


def test_without_fees_a_price_that_moved_lost_against_holding():
    start = amounts_down(sqrt_price_at(0), 0, SPAN, L)
    flows = [flow(1, L, (-start[0], -start[1]))]
    for tick in (-2000, -500, 500, 2000):
        price = sqrt_price_at(tick)
        holds = amounts_down(price, tick, SPAN, L)
        path = [Move((1, -1), sqrt_price_at(0)), Move((2, 0), price)]
        found = standing(SPAN, flows, path, sqrt_price_x96=price, holds=holds, fees_due=(0, 0))
        held = value(tick, start)
        assert abs(found.impermanent_loss - (held - value(tick, holds))) <= 2
        assert found.impermanent_loss > 0
        assert found.against_holding == -found.impermanent_loss
        # In one jump, trading along is holding.
        assert abs(-found.against_trading_along - found.impermanent_loss) <= 3


def test_back_at_the_start_holding_lost_nothing_and_trading_along_would_have_won():
    start = amounts_down(sqrt_price_at(0), 0, SPAN, L)
    path = [Move((n, 0), sqrt_price_at(tick)) for n, tick in enumerate((0, 300, 0, -300, 0))]
    flows = [Flow(0, "0x", (0, -1), L, (-start[0], -start[1]), (0, 0))]
    found = standing(SPAN, flows, path, sqrt_price_x96=sqrt_price_at(0), holds=start, fees_due=(7, 9))
    assert found.impermanent_loss == 0
    assert found.fees_value == found.against_holding == 16
    # Each leg loses about L * (ds)^2 / s: four legs of 150 basis points in square-root price.
    leg = L * (sqrt_price_at(300) - 2**96) ** 2 // 2**192
    assert 3.9 * leg < -found.against_trading_along < 4.1 * leg


@given(st.lists(st.integers(-3_000, 3_000), min_size=2, max_size=12), st.integers(10**6, 10**26))
def test_trading_along_is_never_worse(ticks, liquidity):
    path = [Move((n, 0), sqrt_price_at(tick)) for n, tick in enumerate(ticks)]
    loss = rebalancing_loss_up(SPAN, [Flow(0, "0x", (0, -1), liquidity, (0, 0), (0, 0))], path)
    # Down to the units that rounding takes at each step.
    assert loss >= -2 * len(ticks)
    halved = [step for before, after in pairwise(path) for step in middle(before, after)]
    finer = [*halved, path[-1]]
    assert rebalancing_loss_up(SPAN, [Flow(0, "0x", (0, -1), liquidity, (0, 0), (0, 0))], finer) <= loss + 4 * len(
        ticks
    )


def middle(before, after):
    """The step halved: who looks twice as often loses half as much."""
    at = tick_at((before.sqrt_price_x96 + after.sqrt_price_x96) // 2)
    return [before, Move(before.order, sqrt_price_at(at))]


def test_liquidity_counts_from_when_it_was_there():
    path = [Move((n, 0), sqrt_price_at(tick)) for n, tick in enumerate((0, 500, 0, 500))]
    late = [Flow(2, "0x", (2, 5), L, (0, 0), (0, 0))]
    whole = [Flow(0, "0x", (0, -1), L, (0, 0), (0, 0))]
    assert 0 < rebalancing_loss_up(SPAN, late, path) < rebalancing_loss_up(SPAN, whole, path)
    ended = [*whole, Flow(0, "0x", (0, 1), -L, (0, 0), (0, 0))]
    assert rebalancing_loss_up(SPAN, ended, path) == 0


@pytest.mark.anvil
@pytest.mark.parametrize("kind", ["v3", "v4"])
async def test_the_account_of_a_real_position_adds_up(devnet: Devnet, chain_client: ChainClient, kind: str):
    await devnet.fund(OWNER, 0, RICH)
    await devnet.fund(DEPLOYER, 10**24, {"WETH": 10**24, "USDC": 10**18})
    provider, trader = Provider(devnet, chain_client), Trader(devnet, chain_client)
    await trader.prepare()
    spec = provider.spec("v3", "WETH", "USDC", 500) if kind == "v3" else provider.v4_spec(is_of_coin=True)
    pool = devnet.world.pool("v3", "WETH", "USDC", 500)
    rng, trades = random.Random(1), count()

    async def trade():
        is_first = next(trades) % 2 == 0
        if kind == "v3":
            token, most = ((pool.token0, 10**12), (pool.token1, 3 * 10**20))[is_first]
            await trader.swap(pool, token, rng.randrange(most // 10, most))
        else:
            most = 3 * 10**20 if is_first else 10**12
            await swap(provider, spec, is_zero_in=is_first, amount=rng.randrange(most // 10, most))

    now, spacing = await provider.reader.pool(spec), await provider.reader.spacing(spec)
    span = Range((now.tick // spacing - 20) * spacing, (now.tick // spacing + 20) * spacing, spacing)
    given_ = (10**11, 10**20) if kind == "v3" else (10**20, 10**11)
    moved = [await provider.carry_out(plan_mint(provider.order(), now, span, given_))]
    for step in ("add", "remove", "collect"):
        await trade()
        await trade()
        (position,) = await provider.reader.of_owner(OWNER)
        if step == "add":
            planned = plan_add(provider.order(), position, (given_[0] // 5, given_[1] // 5))
        elif step == "remove":
            planned = plan_remove(provider.order(), position, position.liquidity // 3)
        else:
            planned = plan_collect(provider.order(), position)
        moved.append(await provider.carry_out(planned))
    await trade()
    (position,) = await provider.reader.of_owner(OWNER)
    flows = await read_flows(chain_client, provider.contracts, position)
    assert [flow.gained for flow in flows] == moved
    assert sum(flow.liquidity_delta for flow in flows) == position.liquidity
    path = await read_path(chain_client, provider.contracts, position, first=flows[0])
    assert len(path) == 8
    assert path[-1].sqrt_price_x96 == position.pool.sqrt_price_x96
    found = standing(
        span,
        flows,
        path,
        sqrt_price_x96=position.pool.sqrt_price_x96,
        holds=position.amounts,
        fees_due=position.fees,
    )
    total = tuple(sum(pair[k] for pair in moved) + position.amounts[k] + position.fees[k] for k in (0, 1))
    price = position.pool.sqrt_price_x96
    assert abs(found.against_holding - (total[1] + total[0] * price**2 // 2**192)) <= 2
    assert all(found.fees)
    assert found.against_trading_along < 0
    assert found.fees_value > 0
