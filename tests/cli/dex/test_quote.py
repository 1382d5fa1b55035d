"""`capstan dex quote` and `route` as somebody types them, against a devnet."""

from __future__ import annotations

import json

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from tests.cli.test_commands import assert_is_error, capstan
from tests.dex.trader import Trader

WETH_USDC = ("--token-in", "WETH", "--token-out", "USDC")


@pytest.mark.anvil
async def test_a_quote_is_machine_readable_and_adds_up(devnet: Devnet, chain_client: ChainClient):
    done = capstan("dex", "quote", "--rpc-url", devnet.world.rpc_url, *WETH_USDC, "--amount-in", 10**20, "--json")
    assert done.returncode == 0, done.stderr
    quote = json.loads(done.stdout)
    assert quote["amount_in"] == 10**20 == sum(path["amount_in"] for path in quote["route"])
    assert quote["amount_out"] == sum(path["amount_out"] for path in quote["route"])
    assert abs(sum(path["share"] for path in quote["route"]) - 1) < 1e-4
    head = await chain_client.head()
    assert (quote["block"], quote["block_hash"]) == (head.number, head.hash)
    assert 2_990 < float(quote["mid_price"]) < 3_010
    assert 5 < quote["impact_bps"] < 100
    # Each path over one pool of its own: the chain's own quoters must say the same, to the unit.
    trader = Trader(devnet, chain_client)
    pools = {pool.address: pool for pool in devnet.world.pools if pool.kind in ("v2", "v3")}
    weth, checked, seen = devnet.world.tokens["WETH"].address, 0, set()
    for path in quote["route"]:
        hop = path["hops"][0]
        pool = pools.get(hop["address"])
        if pool and pool.address not in seen and hop["token_in"]["address"] == weth:
            assert await trader.chain_quotes_in(pool, [(weth, hop["amount_in"])]) == [hop["amount_out"]]
            checked += 1
        seen |= {each["address"] for each in path["hops"]}
    assert checked >= 2


@pytest.mark.anvil
def test_an_exact_output_is_quoted_and_shown_as_a_flow(devnet: Devnet):
    done = capstan("dex", "route", "--rpc-url", devnet.world.rpc_url, *WETH_USDC, "--amount-out", 123_456_789)
    assert done.returncode == 0, done.stderr
    assert "123.456789 USDC" in done.stdout
    assert "─▶ USDC" in done.stdout
    assert " at most" in done.stdout


@pytest.mark.anvil
def test_what_cannot_be_quoted_is_one_line_with_a_hint(devnet: Devnet):
    at = ("dex", "quote", "--rpc-url", devnet.world.rpc_url)
    assert_is_error(capstan(*at, "--token-in", "WETH", "--token-out", "NOPE", "--amount-in", 1), "no token 'NOPE'")
    assert_is_error(capstan(*at, *WETH_USDC, "--amount-in", 10**40), "no route from WETH to USDC")
    assert_is_error(capstan(*at, "--token-in", "WETH", "--token-out", "ETH", "--amount-in", 1), "are the same")


def test_amounts_are_read_before_anything_is_asked():
    nowhere = ("dex", "quote", "--rpc-url", "http://127.0.0.1:9", *WETH_USDC)
    assert_is_error(capstan(*nowhere, "--amount-in", "1.5"), "positive whole number, found '1.5'")
    assert_is_error(capstan(*nowhere), "either --amount-in or --amount-out")
    assert_is_error(capstan(*nowhere, "--amount-in", 1, "--amount-out", 1), "either --amount-in or --amount-out")
    assert_is_error(capstan(*nowhere, "--amount-in", 1), "no node answers")
