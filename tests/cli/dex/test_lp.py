"""`capstan dex lp` as somebody types it, against a devnet: through custody, books equal to the chain."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet
from cli.dex.desk import open_desk
from cli.dex.lp.carry import carry_out, new_intent
from cli.dex.lp.place import devnet_allowances, places_of
from cli.dex.options import DeskPlace
from cli.main import main
from dex.liquidity import Order, plan_add, plan_burn, plan_collect, plan_mint, plan_remove
from dex.liquidity.policies import around
from domain import Refused
from tests.cli.test_commands import capstan
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil
DESK = TEST_ADDRESSES[5]
RICH = {"WETH": 10**21, "USDC": 10**13, "WBTC": 10**11}


@pytest.fixture
async def trader(devnet: Devnet, chain_client: ChainClient) -> Trader:
    await devnet.fund(DESK, 0, RICH)
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    return trader


async def test_a_position_from_the_command_line(devnet: Devnet, trader: Trader, tmp_path):
    at = ("--rpc-url", devnet.world.rpc_url)
    kept = (*at, "--data", tmp_path, "--send", "--yes", "--json")
    amounts = ("--amount0", 10**11, "--amount1", 10**20)
    shown = await run("mint", *at, "--pool", "v3:WETH/USDC/500", "--width-percent", 5, *amounts, "--json")
    assert shown["sent"] is False
    assert await run("list", *at, "--json") == []

    made = await run("mint", *kept, "--pool", "v3:WETH/USDC/500", "--width-percent", 5, *amounts)
    assert made["moved"] == [f"-{raw}" for raw in made["expected"]] == [f"-{raw}" for raw in shown["expected"]]
    assert made["ledger_differences"] == 0
    (held,) = await run("list", *at, "--json")
    assert (held["id"], held["in_range"], held["liquidity"]) == (made["position"], True, made["liquidity"])
    pool = devnet.world.pool("v3", "WETH", "USDC", 500)
    await trader.swap(pool, pool.token0, 10**12)
    table = capstan("dex", "lp", "list", *at)
    assert held["id"] in table.stdout
    assert "in range" in table.stdout
    removed = await run("remove", held["id"], *kept, "--percent", 40)
    assert removed["ledger_differences"] == 0
    ended = await run("burn", held["id"], *kept)
    assert ended["moved"] == ended["expected"]
    assert await run("list", *at, "--json") == []


@pytest.mark.parametrize("name", ["v3:WETH/USDC/500", "v4:ETH/USDC/500"])
async def test_a_whole_life_leaves_ledger_and_chain_equal(devnet: Devnet, trader: Trader, tmp_path, name):
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path), devnet_allowances()) as desk:
        places = await places_of(desk.client, desk.network, desk.account)

        def order(tolerance_bps=50, deadline_s=2**33):
            return Order(
                intent_id=new_intent("test"),
                strategy="liquidity",
                sender=desk.account,
                contracts=places.contracts,
                deadline_s=deadline_s,
                tolerance_bps=tolerance_bps,
            )

        async def held():
            return (await places.reader.of_owner(desk.account))[0]

        head_s = (await desk.client.head()).time_s + 600
        spec = await places.pools.find(name)
        now = await places.reader.pool(spec)
        span = around(now.tick, spec.tick_spacing, 4)
        total = [0, 0]
        given = (10**20, 10**11) if name.startswith("v4") else (10**11, 10**20)
        steps = [
            lambda _held: plan_mint(order(deadline_s=head_s), now, span, given),
            lambda held: plan_add(order(deadline_s=head_s), held, (given[0] // 3, given[1] // 3)),
            lambda held: plan_remove(order(deadline_s=head_s), held, held.liquidity // 2),
            lambda held: plan_collect(order(deadline_s=head_s), held),
        ]
        for number, plan in enumerate(steps):
            done = await carry_out(desk, plan(await held() if number else None))
            total = [sum(pair) for pair in zip(total, done.moved, strict=True)]
            assert await desk.differences() == {}
            if spec.kind == "v3" and number < 3:
                pool = devnet.world.pool("v3", "WETH", "USDC", 500)
                await trader.swap(pool, pool.token1, 10**19)
        # What is in the position stands in its account, as it was paid in.
        booked = desk.ledger.balances("liquidity")["liquidity/liquidity"]
        assets = done.planned.assets
        assert booked == {asset.id: -raw for asset, raw in zip(assets, total, strict=True)}
        # Too late: allowances are given, the plan is refused before it is sent, and the allowances are taken back.
        late = plan_mint(order(deadline_s=head_s - 10_000), await places.reader.pool(spec), span, given)
        before = await desk.client.nonce(desk.account)
        with pytest.raises(Refused, match="has passed"):
            await carry_out(desk, late)
        assert await desk.client.nonce(desk.account) >= before + 2
        (mine,) = await places.reader.of_owner(desk.account)
        end = await carry_out(desk, plan_burn(order(deadline_s=head_s), mine))
        assert end.moved == end.planned.expected
        assert await desk.differences() == {}
        allowed = devnet_allowances().spenders
        for token in done.planned.tokens:
            for spender in (*allowed, places.contracts.permit2):
                assert await allowance(desk.client, token, spender) == 0


@pytest.mark.parametrize("name", ["v3:WETH/USDC/500", "v4:ETH/USDC/3000"])
async def test_a_position_is_moved_to_where_the_price_went_and_reported(devnet, trader, tmp_path, name):
    at = ("--rpc-url", devnet.world.rpc_url)
    kept = (*at, "--data", tmp_path, "--send", "--yes", "--json")
    amounts = (
        ("--amount0", 10**11, "--amount1", 10**20) if name[1] == "3" else ("--amount0", 10**20, "--amount1", 10**11)
    )
    made = await run("mint", *kept, "--pool", name, "--width-percent", 1, *amounts)
    stays = await run("rebalance", made["position"], *kept, "--width-percent", 1, "--only-if-needed")
    assert (stays["needed"], stays["sent"]) == (False, False)
    if name[1] == "3":
        pool = devnet.world.pool("v3", "WETH", "USDC", 500)
        await trader.swap(pool, pool.token1, 10**21)
        (held,) = await run("list", *at, "--json")
        assert not held["in_range"]
        report = await run("report", made["position"], *at, "--json", "--image", tmp_path / "lp.png")
        assert (tmp_path / "lp.png").read_bytes().startswith(b"\x89PNG")
        assert (report["transactions"], report["prices_seen"]) == (1, 2)
        assert int(report["impermanent_loss"]) > 0
        assert int(report["fees_value"]) > 0
        assert int(report["against_holding"]) == int(report["fees_value"]) - int(report["impermanent_loss"])
        _, shown, _ = await asyncio.to_thread(invoke, "report", made["position"], *at)
        assert "against trading along" in shown
    moved = await run("rebalance", made["position"], *kept, "--policy", "volatility", "--volatility-day", 0.03)
    assert moved["ledger_differences"] == 0
    (held,) = await run("list", *at, "--json")
    assert (held["id"], held["in_range"]) == (moved["became"], True)
    # What the swap leaves over is small.
    share = [int(raw) / max(1, int(part)) for raw, part in zip(moved["left_over"], moved["provided"], strict=True)]
    assert all(each < 0.02 for each in share), moved
    assert all(int(raw) >= 0 for raw in moved["left_over"])


async def allowance(client, token, spender):
    from chain.abi import address_word, selector, uint_at

    data = selector("allowance(address,address)") + address_word(DESK) + address_word(spender)
    return uint_at(await client.call(token, data), 0)


def test_what_cannot_be_done_is_one_line_with_a_hint(devnet: Devnet):
    at = ("--rpc-url", devnet.world.rpc_url)
    mint = ("mint", *at, "--pool", "v3:WETH/USDC/500")
    for arguments, words in (
        (("add", "v3:9999", *at, "--amount0", 1, "--amount1", 1), "no position v3:9999"),
        (("burn", "17", *at), "named like v3:17"),
        ((*mint, "--amount0", 1, "--amount1", 1), "--width-percent"),
        ((*mint, "--amount0", "1.5", "--amount1", 1, "--width-percent", 5), "smallest units"),
        ((*mint, "--lower", 5, "--upper", 20, "--amount0", 1), "spacing of 10"),
        (("mint", *at, "--pool", "v3:WETH/NOPE/500", "--width-percent", 5), "no token 'NOPE'"),
        (("mint", *at, "--pool", "v3:WETH/USDC/123", "--width-percent", 5), "no pool v3:WETH/USDC/123"),
        (("mint", *at, "--pool", "hello", "--width-percent", 5), "names no pool"),
        (("rebalance", "v3:1", *at, "--policy", "lucky"), "no range policy 'lucky'"),
        (("report", "v3:1", *at, "--from-block", 150), "history of v3:1"),
        (("list",), "either --config or --rpc-url"),
    ):
        code, out, error = invoke(*arguments)
        assert (code, out) == (1, ""), arguments
        assert error.startswith("error: "), error
        assert words in error
        assert error.count("\n") == 2, error
        assert "\n  hint: " in error


async def run(verb, *arguments):
    code, out, error = await asyncio.to_thread(invoke, verb, *arguments)
    assert code == 0, error
    return json.loads(out.splitlines()[-1])  # In this process logs go there too.


def invoke(*arguments):
    """The command line in this process: what it left with, printed and complained of."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error), pytest.raises(SystemExit) as left:
        main(["dex", "lp", *map(str, arguments)])
    return left.value.code, out.getvalue(), error.getvalue()
