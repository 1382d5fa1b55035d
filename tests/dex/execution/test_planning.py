"""Planned calldata does on the genuine routers what the plan promises, and nothing when its bounds do not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain import ChainClient, Receipt
from chain.devnet import TEST_ADDRESSES, Devnet
from dex import (
    PoolSpec,
    Routers,
    devnet_pools,
    devnet_routers,
    min_out_down,
    plan_approval,
    plan_swap,
    read_pools,
    read_tokens,
)
from domain import InputError
from domain.plans import TransactionPlan

SENDER = TEST_ADDRESSES[2]
UNIT = {"WETH": 10**18, "USDC": 10**6, "WBTC": 10**8, "DAI": 10**18, "USDT": 10**6}


async def _execute(client: ChainClient, plan: TransactionPlan) -> Receipt:
    request = {
        "from": plan.sender,
        "to": plan.to,
        "value": hex(plan.value_wei),
        "data": "0x" + plan.data.hex(),
        "gas": hex(plan.gas_limit),
    }
    return await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)


async def _quote(client: ChainClient, spec: PoolSpec, token_in: str, amount: int) -> int:
    head = await client.head()
    (snapshot,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
    replica = spec.replica()
    replica.apply(snapshot)
    return replica.quote_exact_in_down(token_in, amount)


def _approval(spec: PoolSpec, routers: Routers, token_in: str, amount: int) -> TransactionPlan:
    return plan_approval(
        intent_id="a1",
        strategy="test",
        chain_id=spec.chain_id,
        token=spec.token0 if token_in == spec.token0.id else spec.token1,
        token_address=spec.address_of(token_in),
        sender=SENDER,
        spender=routers.for_pool(spec),
        amount=amount,
    )


@pytest.mark.anvil
@pytest.mark.parametrize("router", ["router02", "first"])
async def test_a_planned_swap_yields_exactly_the_quote_on_every_pool(
    devnet: Devnet, chain_client: ChainClient, router: str
) -> None:
    routers = devnet_routers(devnet.world)
    if router == "first":
        routers = replace(routers, v3=None)
    for spec in (s for s in devnet_pools(devnet.world).values() if s.kind in ("v2", "v3")):
        for source, target in ((spec.token0, spec.token1), (spec.token1, spec.token0)):
            amount = 3 * UNIT[source.symbol] // 2
            await devnet.fund(SENDER, 0, {source.symbol: amount})
            quoted = await _quote(chain_client, spec, source.id, amount)
            plan = plan_swap(
                intent_id="s1",
                strategy="test",
                pool=spec,
                routers=routers,
                sender=SENDER,
                token_in=source.id,
                amount_in=amount,
                min_out=quoted,
                deadline_s=(await chain_client.head()).time_s + 60,
            )
            assert (await _execute(chain_client, _approval(spec, routers, source.id, amount))).succeeded
            address = spec.address_of(target.id)
            before = await chain_client.token_balance(address, SENDER)
            receipt = await _execute(chain_client, plan)
            assert receipt.succeeded
            assert receipt.gas_used < plan.gas_limit
            assert await chain_client.token_balance(address, SENDER) - before == quoted
            assert plan.spends[0].raw == amount
            assert plan.receives_min[0].raw == quoted
            assert plan.recipient == SENDER


@pytest.mark.anvil
@pytest.mark.parametrize("kind", ["v2", "v3", "v3 first"])
@pytest.mark.parametrize("broken", ["deadline", "bound"])
async def test_a_swap_past_its_deadline_or_below_its_bound_reverts(
    devnet: Devnet, chain_client: ChainClient, kind: str, broken: str
) -> None:
    pool = devnet.world.pool(kind[:2], "WETH", "USDC", 3000)
    spec = next(spec for spec in devnet_pools(devnet.world).values() if spec.address == pool.address)
    routers = devnet_routers(devnet.world)
    if kind == "v3 first":
        routers = replace(routers, v3=None)
    usdc, amount = next(t for t in (spec.token0, spec.token1) if t.symbol == "USDC"), 10**9
    await devnet.fund(SENDER, 0, {"USDC": amount})
    await _execute(chain_client, _approval(spec, routers, usdc.id, amount))
    quoted = await _quote(chain_client, spec, usdc.id, amount)
    now = (await chain_client.head()).time_s
    plan = plan_swap(
        intent_id="s2",
        strategy="test",
        pool=spec,
        routers=routers,
        sender=SENDER,
        token_in=usdc.id,
        amount_in=amount,
        min_out=quoted + (1 if broken == "bound" else 0),
        deadline_s=now - 1 if broken == "deadline" else now + 600,
    )
    receipt = await _execute(chain_client, plan)
    assert not receipt.succeeded
    assert await chain_client.token_balance(spec.address_of(usdc.id), SENDER) == amount


@pytest.mark.anvil
async def test_the_token_lens_reads_genuine_tokens_and_marks_what_is_none(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    await devnet.fund(SENDER, 0, {"USDC": 123})
    world = devnet.world
    found = await read_tokens(
        chain_client, [world.tokens["USDC"].address, world.tokens["WETH"].address, SENDER], SENDER
    )
    assert [(t.is_readable, t.symbol, t.decimals) for t in found[:2]] == [(True, "USDC", 6), (True, "WETH", 18)]
    assert found[0].balance == 123
    assert not found[2].is_readable


def test_plans_without_bounds_are_refused(v3_spec: PoolSpec) -> None:
    routers = Routers(v3=v3_spec.address)
    for amount_in, min_out, deadline_s in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)):
        with pytest.raises(InputError):
            plan_swap(
                intent_id="s",
                strategy="t",
                pool=v3_spec,
                routers=routers,
                sender=SENDER,
                token_in=v3_spec.token0.id,
                amount_in=amount_in,
                min_out=min_out,
                deadline_s=deadline_s,
            )
    with pytest.raises(InputError, match="no v3 router"):
        Routers().for_pool(v3_spec)
    with pytest.raises(InputError, match="exact amount"):
        _approval(v3_spec, routers, v3_spec.token0.id, 2**256 - 1)


def test_slippage_rounds_down_and_never_to_nothing() -> None:
    assert min_out_down(10_001, 50) == 9_950
    assert min_out_down(1, 9_999) == 1
    assert min_out_down(10**30 + 1, 0) == 10**30 + 1
    for wrong in ((0, 1), (5, -1), (5, 10_000)):
        with pytest.raises(InputError):
            min_out_down(*wrong)
