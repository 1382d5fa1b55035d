"""Between approval and swap the world may change: then nothing is swapped, and nothing stays allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.devnet import TEST_ADDRESSES
from cli.dex.desk import open_desk
from cli.dex.options import DeskPlace
from cli.dex.swap_log import SwapLog
from cli.dex.swapping import carry_out, contracts_on, prepare
from dex.execution.planning import plan_approval
from dex.execution.preflight import read_account
from dex.execution.slippage import SlippagePolicy
from domain import Refused
from tests.dex.execution.routes import Asker

pytestmark = pytest.mark.anvil
TRADER = TEST_ADDRESSES[5]
ETHER = 10**18


@pytest.fixture
async def desk(devnet, tmp_path):
    await devnet.fund(TRADER, 0, {"WETH": 10 * ETHER})
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as opened:
        yield opened


async def prepared(desk, devnet, policy, *, amount=ETHER, steps="WETH v3:USDC/WETH:500 USDC"):
    ask = Asker(desk.client, devnet.world)
    quote = await ask.quote("WETH", "USDC", await ask.path(amount, steps))
    contracts = await contracts_on(desk.client, desk.network)
    return await prepare(desk.client, quote, policy, contracts, desk.account)


async def allowance(desk, swap):
    return (await read_account(desk.client, desk.account, swap.token, swap.way)).allowance


async def test_a_quote_that_got_worse_than_was_shown_is_not_taken(desk, devnet):
    policy = SlippagePolicy(tolerance_bps=10, lifetime_s=1_500)
    swap = await prepared(desk, devnet, policy)
    assert swap.must_approve

    async def worse(_through):
        path = swap.quote.paths[0]
        less = replace(path, hops=(replace(path.hops[0], amount_out=path.amount_out * 99 // 100),))
        head = await desk.client.head()
        return replace(swap.quote, paths=(less,), amount_out=less.amount_out, block_number=head.number)

    with pytest.raises(Refused) as refused:
        await carry_out(desk, swap, policy, worse)
    assert refused.value.rule == "pool-moved"
    assert await allowance(desk, swap) == 0
    assert SwapLog(desk.root).read(lambda _: None) == []
    assert await desk.differences() == {}


async def test_a_slightly_worse_quote_keeps_the_bound_that_was_shown(desk, devnet):
    policy = SlippagePolicy(lifetime_s=1_500)
    swap = await prepared(desk, devnet, policy)

    async def slightly_worse(_through):
        path = swap.quote.paths[0]
        less = replace(path, hops=(replace(path.hops[0], amount_out=path.amount_out - 1_000),))
        head = await desk.client.head()
        return replace(swap.quote, paths=(less,), amount_out=less.amount_out, block_number=head.number)

    done = await carry_out(desk, swap, policy, slightly_worse)
    assert done.status == "mined"
    assert done.expected.amount_out_min == str(swap.bounds.amount_out_min)
    assert int(done.amount_out) == swap.quote.amount_out
    assert done.difference_bps > 0


async def test_what_goes_wrong_takes_the_allowance_back_and_a_small_one_is_replaced(desk, devnet):
    policy = SlippagePolicy(lifetime_s=1_500)
    first = await prepared(desk, devnet, policy, amount=ETHER)

    async def refuse(_through):
        raise Refused("the node went away", rule="quote-age")

    with pytest.raises(Refused, match="the node went away"):
        await carry_out(desk, first, policy, refuse)
    assert await allowance(desk, first) == 0

    async def again(_through):
        ask = Asker(desk.client, devnet.world)
        return replace(
            await ask.quote("WETH", "USDC", await ask.path(ETHER, "WETH v3:USDC/WETH:500 USDC")), id="second"
        )

    small = plan_approval(
        intent_id="small",
        strategy="dex",
        chain_id=desk.chain_id,
        token=first.quote.token_in,
        token_address=first.token,
        sender=desk.account,
        spender=first.way.spender,
        amount=5,
    )
    await desk.execute(small)
    swap = await prepared(desk, devnet, policy)
    assert swap.resets_allowance
    assert swap.steps()[0] == "take the allowance of 5 raw WETH back"
    swap = replace(swap, quote=replace(swap.quote, id="second"))
    done = await carry_out(desk, swap, policy, again)
    (logged,) = SwapLog(desk.root).read(lambda _: None)
    assert (logged.status, logged.expected) == ("open", done.expected)  # As after a crash before the outcome.
    # A line that a crash cut is left out, what stands before it stays.
    with SwapLog(desk.root).path.open("ab") as file:
        file.write(b'{"intent_id":"swap-')
    assert len(SwapLog(desk.root).read(lambda _: None)) == 1
