"""What pays after its costs is found, through pools of its own, and weighed across tokens."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from dex import PoolReplica, PoolSpec
from dex.arbitrage.executor import Funding, Loan, Step, StepKind, encode_execute, steps_of
from dex.arbitrage.funding import FlashPool, Lenders, cheapest_loan
from dex.arbitrage.index import CycleIndex, CycleScanner
from dex.arbitrage.searcher import Costs, Searcher, gas_of
from dex.pools import ZERO_ADDRESS
from domain import Address, ChainId, InputError, native_asset, token_asset
from domain.events import PoolSynced
from domain.ids import PoolId
from tests.dex.arbitrage.markets import v2_pool

CHAIN = ChainId(1337)
WETH, USDC, WBTC, DAI = (Address("0x" + f"{n:040x}") for n in (11, 12, 13, 14))
WETH_ASSET, USDC_ASSET = token_asset(CHAIN, WETH, "WETH", 18), token_asset(CHAIN, USDC, "USDC", 6)
WBTC_ASSET = token_asset(CHAIN, WBTC, "WBTC", 8)
COIN = native_asset(CHAIN)
GWEI = 10**9


def spec(name: str, kind: str = "v2", token0=WETH_ASSET, token1=USDC_ASSET, **more) -> PoolSpec:  # type: ignore[no-untyped-def]
    addresses = {WETH_ASSET: WETH, USDC_ASSET: USDC, WBTC_ASSET: WBTC, COIN: ZERO_ADDRESS}
    at = Address("0x" + f"{abs(hash(name)) % 10**8:040x}")
    return PoolSpec(PoolId(name), kind, at, CHAIN, token0, token1, addresses[token0], addresses[token1], 3000, **more)


def searcher(start: list[str] | None = None) -> tuple[Searcher, dict[str, PoolReplica]]:
    """Two WETH pools 4 % apart, and two WBTC pools 5 % apart."""
    replicas: dict[str, PoolReplica] = {
        "a": v2_pool("a", WETH_ASSET.id, USDC_ASSET.id, 10**21, 3_120_000 * 10**6),
        "b": v2_pool("b", WETH_ASSET.id, USDC_ASSET.id, 10**21, 3_000_000 * 10**6),
        "c": v2_pool("c", WBTC_ASSET.id, USDC_ASSET.id, 10**11, 60_000_000 * 10**6),
        "d": v2_pool("d", WBTC_ASSET.id, USDC_ASSET.id, 10**11, 63_000_000 * 10**6),
    }
    specs = [spec("a"), spec("b"), spec("c", token0=WBTC_ASSET), spec("d", token0=WBTC_ASSET)]
    return Searcher(specs, replicas, WETH_ASSET, WETH, start or [WETH_ASSET.id, USDC_ASSET.id]), replicas


def test_cycles_of_different_tokens_are_weighed_in_the_coin() -> None:
    found, _ = searcher()
    first, second = found.find(Costs(10 * GWEI))
    # The WBTC pools are farther apart and 20 times as deep in dollars; their cycle begins with USDC.
    assert ({*first.pools}, {*second.pools}) == ({"c", "d"}, {"a", "b"})
    assert (first.token, second.token) == (USDC_ASSET, WETH_ASSET)
    assert float(first.token_wei) == pytest.approx(1e18 / 3_060 / 1e6, rel=0.01)
    assert first.net * first.token_wei > second.net
    assert second.gas_cost == second.gas_units * 10 * GWEI
    assert first.gas_cost == pytest.approx(first.gas_units * 10 * GWEI / first.token_wei, abs=1)


def test_what_gas_or_the_margin_eats_is_not_given() -> None:
    found, _ = searcher([WETH_ASSET.id])
    (one,) = found.find(Costs(GWEI))
    assert found.find(Costs(GWEI, margin_wei=one.net - 1))
    assert not found.find(Costs(GWEI, margin_wei=one.net))
    dear = one.profit // one.gas_units + 1
    assert not found.find(Costs(dear))
    assert found.all(Costs(dear))


def test_pools_that_are_busy_are_left_alone() -> None:
    found, _ = searcher()
    assert [one.pools for one in found.find(Costs(GWEI), busy={"a"})] == [{"c", "d"}]
    assert not found.find(Costs(GWEI), busy={"a", "d"})


def test_what_was_found_gone_is_given_again_only_when_it_changed() -> None:
    found, replicas = searcher([WETH_ASSET.id])
    (one,) = found.find(Costs(GWEI))
    found.forget(one.optimum)
    assert not found.find(Costs(GWEI))
    event = PoolSynced(time_ns=0, pool="a", block_number=6, reserve0=str(10**21), reserve1=str(3_119_000 * 10**6))
    replicas["a"].apply(event)
    found.note("a")
    assert [other.pools for other in found.find(Costs(GWEI))] == [one.pools]


def test_the_state_behind_a_waiting_swap_is_searched_and_not_taken_over() -> None:
    found, replicas = searcher([WETH_ASSET.id])
    (now,) = found.find(Costs(GWEI))
    behind = replicas["a"].after_exact_in(WETH_ASSET.id, 30 * 10**18)
    ahead = found.behind({"a": behind}, Costs(GWEI))
    # Selling WETH there closes most of the gap between the two pools.
    assert all(one.profit < now.profit // 2 for one in ahead)
    farther = replicas["a"].after_exact_in(USDC_ASSET.id, 100_000 * 10**6)
    (more,) = found.behind({"a": farther}, Costs(GWEI))
    assert more.profit > now.profit
    assert found.find(Costs(GWEI)) == [now]


def test_a_change_is_taken_over_when_it_was_told() -> None:
    found, replicas = searcher([WETH_ASSET.id])
    (before,) = found.find(Costs(GWEI))
    event = PoolSynced(time_ns=0, pool="a", block_number=6, reserve0=str(10**21), reserve1=str(3_300_000 * 10**6))
    replicas["a"].apply(event)
    found.note("a")
    (after,) = found.find(Costs(GWEI))
    assert after.profit > before.profit


def test_steps_wrap_and_unwrap_where_pools_differ() -> None:
    specs = {"v4": spec("v4", "v4", COIN, USDC_ASSET, tick_spacing=60), "v2": spec("v2")}
    tokens = {name: tuple(asset.id for asset, _ in pool.tokens) for name, pool in specs.items()}
    index = CycleIndex(tokens, [WETH_ASSET.id], same={COIN.id: WETH_ASSET.id})
    replicas: dict[str, PoolReplica] = {
        "v4": v2_pool("v4", COIN.id, USDC_ASSET.id, 10**21, 3_120_000 * 10**6),
        "v2": v2_pool("v2", WETH_ASSET.id, USDC_ASSET.id, 10**21, 3_000_000 * 10**6),
    }
    (optimum,) = CycleScanner(index, replicas).update()
    steps = steps_of(optimum, specs, WETH)
    assert [(step.kind, step.token_in, step.token_out) for step in steps] == [
        (StepKind.WRAP, WETH, ZERO_ADDRESS),
        (StepKind.V4, ZERO_ADDRESS, USDC),
        (StepKind.V2, USDC, WETH),
    ]
    assert encode_execute(steps, Loan(Funding.OWN), amount=1, min_profit=1, deadline_s=1, block_max=1)


def test_a_pool_that_the_contract_cannot_use_is_named() -> None:
    specs = {"a": spec("a", "solidly"), "b": spec("b")}
    found, _ = searcher([WETH_ASSET.id])
    (optimum,) = [one.optimum for one in found.find(Costs(GWEI))]
    with pytest.raises(InputError, match="no step for pools of kind solidly"):
        steps_of(optimum, specs, WETH)


V2_STEPS = (Step(StepKind.V2, WETH, USDC, fee_pips=3000), Step(StepKind.V2, USDC, WETH, fee_pips=3000))
V4_STEPS = (Step(StepKind.V4, WETH, USDC, fee_pips=3000), Step(StepKind.V2, USDC, WETH, fee_pips=3000))
RICH = Lenders(
    executor_holds=10**18,
    manager_holds=10**18,
    balancer_holds=10**18,
    aave_holds=10**18,
    aave_fee_bps=5,
    flash_pools=(FlashPool("x", DAI, 100, 10**18), FlashPool("a", USDC, 100, 10**18)),
)


def without(**fields: int | tuple[FlashPool, ...]) -> Lenders:
    return replace(RICH, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "lenders", "expected"),
    [
        (V2_STEPS, RICH, Funding.OWN),
        (V2_STEPS, without(executor_holds=0), Funding.FLASH_SWAP),
        (V4_STEPS, without(executor_holds=0), Funding.UNLOCK_V4),
        (V4_STEPS, without(executor_holds=0, manager_holds=0), Funding.BALANCER),
        (V4_STEPS, without(executor_holds=0, manager_holds=0, balancer_holds=0), Funding.FLASH_V3),
        (
            V4_STEPS,
            without(executor_holds=0, manager_holds=0, balancer_holds=0, flash_pools=()),
            Funding.AAVE,
        ),
    ],
)
def test_the_cheapest_that_has_enough_pays(steps: tuple[Step, ...], lenders: Lenders, expected: Funding) -> None:
    loan = cheapest_loan(steps, ["a", "b"], 10**18, lenders, Fraction(GWEI))
    assert loan is not None
    assert loan.funding is expected
    # A lender's fee is known to the unit: Aave's five points, a V3 pool's hundredth of a percent.
    assert loan.fee == {Funding.AAVE: 5 * 10**14, Funding.FLASH_V3: 10**14}.get(expected, 0)
    assert gas_of(steps, loan) > 150_000


def test_a_pool_in_the_cycle_cannot_lend_and_nobody_lends_more_than_he_has() -> None:
    nobody = Lenders(flash_pools=(FlashPool("a", USDC, 100, 10**18), FlashPool("x", DAI, 100, 10**17)))
    assert cheapest_loan(V4_STEPS, ["a", "b"], 10**18, nobody, Fraction(GWEI)) is None


def test_random_markets_give_only_what_pays() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        found, replicas = searcher()
        for name in replicas:
            token = chance.choice(replicas[name].tokens)
            amount = chance.randint(10**6, 10**12) if token == USDC_ASSET.id else chance.randint(10**8, 10**9)
            replicas[name] = replicas[name].after_exact_in(token, amount)
        taken: set[str] = set()
        for one in found.find(Costs(20 * GWEI)):
            assert one.net > 0
            assert not one.pools & taken
            taken |= one.pools
