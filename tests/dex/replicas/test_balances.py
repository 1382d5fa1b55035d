"""Stable and weighted pools quote and change as the contracts have it: Balancer's genuine ones, Curve's on a double."""

from __future__ import annotations

import random

import pytest

from chain import ChainClient
from chain.abi import selector, uint_word
from chain.devnet import Devnet
from dex import PoolFollower, PoolReplica, PoolSpec, devnet_pools, read_pools
from dex.replicas.balancer import BalancerWeightedPool
from dex.replicas.balances import BalancePool
from dex.replicas.stable_math import balancer_invariant_up
from domain import InputError, InvariantError, Refused
from domain.events import Event, PoolInvalidated, PoolSnapshotted, PoolSynced
from tests.dex.trader import Trader
from tests.dex.trader_balances import BalanceHand, create_stable, create_weighted, deploy_curve

pytestmark = pytest.mark.anvil

KINDS = ["balancer-stable", "balancer-weighted", "curve-stable"]


@pytest.fixture
async def hand(devnet: Devnet, chain_client: ChainClient) -> BalanceHand:
    await Trader(devnet, chain_client).prepare()
    return BalanceHand(chain_client)


async def _spec(devnet: Devnet, hand: BalanceHand, kind: str) -> PoolSpec:
    if kind == "curve-stable":
        return await deploy_curve(
            devnet, hand.client, ("DAI", "USDC", "USDT"), amplification=200, fee=4_000_000, offpeg=50_000_000_000
        )
    spec = next(spec for spec in devnet_pools(devnet.world).values() if spec.kind == kind)
    await hand.approve(spec)
    return spec


async def read_one(client: ChainClient, spec: PoolSpec) -> PoolSnapshotted:
    head = await client.head()
    (snapshot,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
    return snapshot


async def _replica(client: ChainClient, spec: PoolSpec) -> PoolReplica:
    replica = spec.replica()
    replica.apply(await read_one(client, spec))
    assert replica.is_valid, replica.invalid_reason
    return replica


def _requests(spec: PoolSpec, chance: random.Random, count: int, digits: float) -> list[tuple[str, str, int]]:
    requests = []
    for _ in range(count):
        (token_in, source), (_, target) = chance.sample(spec.tokens, 2)
        requests.append((source, target, max(1, int(10 ** chance.uniform(0, token_in.decimals + digits)))))
    return requests


def _ids(spec: PoolSpec, source: str, target: str) -> tuple[str, str]:
    by_address = {address: asset.id for asset, address in spec.tokens}
    return by_address[source], by_address[target]


async def compare(
    hand: BalanceHand, spec: PoolSpec, replica: PoolReplica, chance: random.Random, count: int, digits: float
) -> int:
    """Compare random quotes with the chain's, both sides; return how many were within the pool's means."""
    requests = _requests(spec, chance, count, digits)
    compared = 0
    for (source, target, amount), theirs in zip(
        requests, await hand.quotes(spec, requests, is_exact_in=True), strict=True
    ):
        token_in, token_out = _ids(spec, source, target)
        try:
            ours = replica.quote_exact_in_down(token_in, amount, token_out)
        except Refused as exc:
            if exc.rule != "pool_depth":
                raise
            ours = -1
        # For less than one unit out the contracts may revert instead of giving nothing.
        assert ours == theirs or (ours, theirs) == (0, -1), (spec.kind, source, target, amount)
        compared += theirs > 0
    if spec.kind == "curve-stable":
        _check_least_inputs(spec, replica, requests)
        return compared
    for (source, target, amount), theirs in zip(
        requests, await hand.quotes(spec, requests, is_exact_in=False), strict=True
    ):
        token_in, token_out = _ids(spec, source, target)
        try:
            ours = replica.quote_exact_out_up(token_out, amount, token_in)
        except Refused as exc:
            if exc.rule != "pool_depth":
                raise
            ours = -1
        assert ours == theirs, (spec.kind, source, target, amount)
        compared += theirs > 0
    return compared


def _check_least_inputs(spec: PoolSpec, replica: PoolReplica, requests: list[tuple[str, str, int]]) -> None:
    """Curve has no exact output: what it costs is the least input that yields it."""
    for source, target, amount in requests:
        token_in, token_out = _ids(spec, source, target)
        try:
            cost = replica.quote_exact_out_up(token_out, amount, token_in)
        except Refused:
            continue
        assert replica.quote_exact_in_down(token_in, cost, token_out) >= amount
        if cost > 1:
            assert replica.quote_exact_in_down(token_in, cost - 1, token_out) < amount


@pytest.mark.parametrize("kind", KINDS)
async def test_quotes_equal_the_contracts_and_executed_swaps(devnet: Devnet, hand: BalanceHand, kind: str) -> None:
    chance = random.Random(kind)
    spec = await _spec(devnet, hand, kind)
    digits = 2.5 if kind == "balancer-weighted" else 6.2
    for _ in range(5):
        replica = await _replica(hand.client, spec)
        assert await compare(hand, spec, replica, chance, 25, digits) > 12
        ((source, target, amount),) = _requests(spec, chance, 1, digits - 1)
        token_in, token_out = _ids(spec, source, target)
        # A tenth off the pool's balance each time: it drifts away from where it was made.
        assert isinstance(replica, BalancePool)
        amount = max(amount, replica.balances[replica.tokens.index(token_in)] // 10)
        quoted = replica.quote_exact_in_down(token_in, amount, token_out)
        foreseen = replica.after_exact_in(token_in, amount, token_out)
        assert await hand.swap(spec, source, target, amount) == quoted
        assert foreseen.difference(await read_one(hand.client, spec)) == ""
        if kind != "curve-stable":
            cost = foreseen.quote_exact_out_up(token_in, amount // 3, token_out)
            then = foreseen.after_exact_out(token_in, amount // 3, token_out)
            assert await hand.swap(spec, target, source, amount // 3, is_exact_in=False) == cost
            assert then.difference(await read_one(hand.client, spec)) == ""


@pytest.mark.parametrize(
    ("amplification", "symbols", "amounts"),
    [
        (1, ("DAI", "WETH"), (3 * 10**20, 10**20)),
        (50, ("USDC", "WBTC"), (7 * 10**9, 9 * 10**10)),
        (5000, ("DAI", "USDC", "USDT"), (10**24, 3 * 10**10, 10**12)),
    ],
)
async def test_stable_pools_of_other_terms_quote_as_the_contract(
    devnet: Devnet, hand: BalanceHand, amplification: int, symbols: tuple[str, ...], amounts: tuple[int, ...]
) -> None:
    spec = await create_stable(devnet, hand, symbols, amounts, amplification=amplification)
    replica = await _replica(hand.client, spec)
    digits = 1.5 if amplification == 1 else 2.5
    assert await compare(hand, spec, replica, random.Random(amplification), 40, digits) > 20


@pytest.mark.parametrize("generation", ["20220908-weighted-pool-v2", "20230206-weighted-pool-v3"])
@pytest.mark.parametrize("weights", [{"DAI": 80, "WETH": 20}, {"DAI": 50, "USDC": 25, "WETH": 25}])
async def test_later_weighted_pools_multiply_where_the_power_is_one_two_or_four(
    devnet: Devnet, hand: BalanceHand, generation: str, weights: dict[str, int]
) -> None:
    spec = await create_weighted(devnet, hand, generation, weights, 1_000_000)
    replica = await _replica(hand.client, spec)
    assert isinstance(replica, BalancerWeightedPool)
    assert replica.has_exact_powers
    assert await compare(hand, spec, replica, random.Random(3), 40, 4.5) > 30


async def test_an_invariant_that_goes_round_in_circles_is_refused_as_by_the_contract(
    devnet: Devnet, hand: BalanceHand
) -> None:
    circling = (153_329_857_196_732_153_720, 19_661_575_929_127_152_541_279)
    with pytest.raises(OverflowError, match="does not settle"):
        balancer_invariant_up(6_000, circling)
    settled = (circling[0], circling[1] + 10**19)
    assert balancer_invariant_up(6_000, settled) > 0
    assert await create_stable(devnet, hand, ("DAI", "WETH"), settled, amplification=6)
    with pytest.raises(AssertionError):  # The first join computes the invariant, and reverts.
        await create_stable(devnet, hand, ("DAI", "WETH"), circling, amplification=6)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_margin_is_what_a_little_more_brings(devnet: Devnet, hand: BalanceHand, kind: str) -> None:
    spec = await _spec(devnet, hand, kind)
    replica = await _replica(hand.client, spec)
    assert isinstance(replica, BalancePool)
    for token_in in replica.tokens:
        for token_out in replica.tokens:
            if token_in == token_out:
                continue
            held = replica.balances[replica.tokens.index(token_in)]
            small = held // 10**5
            at_rest = replica.marginal_price(token_in, token_out)
            assert at_rest == pytest.approx(replica.quote_exact_in_down(token_in, small, token_out) / small, rel=1e-4)
            mid = float(replica.mid_price_raw(token_in, token_out))
            assert at_rest == pytest.approx(mid * replica.gamma, rel=1e-9)
            deep = held // 5
            more = replica.quote_exact_in_down(token_in, deep + small, token_out)
            slope = (more - replica.quote_exact_in_down(token_in, deep, token_out)) / small
            # Curve's fee itself grows with the size, which the margin leaves out.
            assert replica.marginal_price(token_in, token_out, deep) == pytest.approx(slope, rel=2e-3)
    assert replica.marginal_price(replica.token0, replica.token1, 10**60) == 0.0
    assert not replica.has_pieces
    with pytest.raises(InputError, match="no constant-product pieces"):
        next(replica.pieces(replica.token0, replica.token1))
    if len(replica.tokens) > 2:
        with pytest.raises(InputError, match="name both"):
            replica.quote_exact_in_down(replica.token0, 1)
        with pytest.raises(InputError, match="name both"):
            spec.other(replica.token0)
    with pytest.raises(Refused, match="exceeds its liquidity"):
        replica.quote_exact_out_up(replica.token0, replica.balances[0], replica.token1)
    with pytest.raises(InvariantError):
        replica.apply(PoolSynced(time_ns=0, pool=spec.id, block_number=2**31, reserve0="1", reserve1="1"))


@pytest.mark.parametrize("kind", KINDS)
async def test_logs_are_followed_and_taken_back(devnet: Devnet, hand: BalanceHand, kind: str) -> None:
    chance = random.Random(9)
    spec = await _spec(devnet, hand, kind)
    told: list[Event] = []
    follower = PoolFollower(hand.client, [spec], lambda: 0, poll_s=3600, audit_every_blocks=1000)
    await follower.start(told.append)
    replica = follower.replicas[spec.id]
    assert isinstance(replica, BalancePool)

    async def follow() -> None:
        await follower._handle(await follower._heads.advance())
        assert replica.is_valid, replica.invalid_reason
        assert replica.difference(await read_one(hand.client, spec)) == ""

    async def act() -> None:
        (_, source), (_, target) = chance.sample(spec.tokens, 2)
        token_in, _ = _ids(spec, source, target)
        await hand.swap(
            spec, source, target, replica.balances[replica.tokens.index(token_in)] // chance.randint(5, 900)
        )

    try:
        for _ in range(8):
            await act()
            await follow()
        assert len([e for e in told if isinstance(e, PoolSnapshotted)]) == 1
        for depth in (1, 3, 2):
            await hand.client.rpc.request("anvil_rollback", depth)
            await act()
            await follow()
        assert follower.logs_undone == 6
        assert not [e for e in told if isinstance(e, PoolInvalidated)]
        await hand.join(spec, [balance // chance.randint(50, 900) for balance in replica.balances])
        await follow()
        await hand.leave(spec, 7)
        await act()
        await follow()
    finally:
        await follower.stop()
    # Curve's deposits do not tell what stays of their fees: those are read anew.
    assert bool([e for e in told if isinstance(e, PoolInvalidated)]) == (kind == "curve-stable")


async def test_a_curve_pool_whose_amplification_moves_refuses_and_a_new_fee_is_read(
    devnet: Devnet, hand: BalanceHand
) -> None:
    spec = await _spec(devnet, hand, "curve-stable")
    follower = PoolFollower(hand.client, [spec], lambda: 0, poll_s=3600)
    await follower.start(lambda event: None)
    replica = follower.replicas[spec.id]
    try:
        await hand.send(spec.address, selector("set_new_fee(uint256,uint256)") + uint_word(10**6) + uint_word(10**10))
        await follower._handle(await follower._heads.advance())
        assert replica.is_valid
        assert await compare(hand, spec, replica, random.Random(2), 10, 5) > 5
        until = (await hand.client.head()).time_s + 10**6
        await hand.send(spec.address, selector("ramp_A(uint256,uint256)") + uint_word(400) + uint_word(until))
        await follower._handle(await follower._heads.advance())
        with pytest.raises(Refused, match="amplification is moving") as refused:
            replica.quote_exact_in_down(replica.token0, 10**6, replica.token1)
        assert refused.value.rule == "stale_replica"
    finally:
        await follower.stop()


async def test_what_is_configured_wrong_is_named(devnet: Devnet, hand: BalanceHand) -> None:
    stable, weighted = (
        next(spec for spec in devnet_pools(devnet.world).values() if spec.kind == kind) for kind in KINDS[:2]
    )
    object.__setattr__(weighted, "kind", "balancer-stable")
    with pytest.raises(InputError, match="is of kind balancer-weighted"):
        await read_one(hand.client, weighted)
    object.__setattr__(stable, "pool_id", weighted.pool_id)
    with pytest.raises(InputError, match="configured is"):
        await read_one(hand.client, stable)
