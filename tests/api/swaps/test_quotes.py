"""Quotes over HTTP: exact, with their way, sealed for whoever asked; and what the process behind them says no to."""

from __future__ import annotations

import json

import pytest

from api.core.errors import NotFound
from api.portfolios.directory import create
from cli.dex.live_market import LiveMarket
from cli.dex.service import DexService
from domain import Refused
from runtime import ManualClock
from runtime.control import serve_control
from tests.api.callers import Caller
from tests.api.lab import ANYBODY, Client, OpenGate, api_services, application
from tests.dex.trader import Trader

WETH_USDC = {"token_in": "WETH", "token_out": "USDC"}


@pytest.fixture
async def quoting(devnet, tmp_path):
    """The process of `capstan dex serve`, within this one."""
    market = LiveMarket([devnet.world.rpc_url], devnet.world.chain_id, ManualClock(1).now_ns)
    async with serve_control(tmp_path / "dex.sock", DexService(market).handle):
        yield market
    await market.close()


def anybody(services):
    """A client of the house who may do anything."""
    with services.database.transaction() as session:
        create(session, ANYBODY.organisation, "main", 1, has_rest=True)
    return Client(application(services, OpenGate()))


async def ask(client, **body):
    status, _, content = await client.post("/v1/quotes", body)
    return status, json.loads(content)


@pytest.mark.anvil
async def test_a_quote_is_what_the_chain_itself_says_and_its_paths_add_up(devnet, chain_client, quoting, tmp_path):
    with api_services(tmp_path) as services:
        client = anybody(services)
        status, quote = await ask(client, **WETH_USDC, amount_in=str(10**20))
        assert status == 200, quote
        head = await chain_client.head()
        assert (quote["block"], quote["block_hash"], quote["chain_id"]) == (head.number, head.hash, 1337)
        for side in ("amount_in", "amount_out"):
            assert int(quote[side]) == sum(int(path[side]) for path in quote["route"])
        assert 2_990 < float(quote["mid_price"]) < 3_010
        assert 5 < float(quote["impact_bps"]) < 100
        assert quote["token_out"] == {"symbol": "USDC", "address": quote["token_out"]["address"], "decimals": 6}

        trader = Trader(devnet, chain_client)
        status, small = await ask(client, **WETH_USDC, amount_in=str(10**18), max_hops=1, through="swap-router-02")
        (path,) = small["route"]
        (hop,) = path["hops"]
        pool = next(pool for pool in devnet.world.pools if pool.address == hop["address"])
        assert await trader.chain_quotes_in(pool, [(hop["token_in"]["address"], 10**18)]) == [int(hop["amount_out"])]

        status, exact = await ask(client, **WETH_USDC, amount_out="1000000000")
        assert (status, exact["is_exact_out"], exact["amount_out"]) == (200, True, "1000000000")
        assert int(exact["amount_in"]) > 0


@pytest.mark.anvil
async def test_pools_are_read_once_a_block_and_again_when_there_is_another(devnet, chain_client, quoting, tmp_path):
    first = await quoting.at_head(("WETH", "USDC"))
    assert await quoting.at_head(("USDC", "WETH")) is first
    await chain_client.rpc.request("evm_mine")
    second = await quoting.at_head(("WETH", "USDC"))
    assert second.market.block_number == first.market.block_number + 1
    assert second.discovery is first.discovery
    everything = await quoting.at_head(("WETH", "USDC"), all_pools=True)
    assert {pool.kind for pool in everything.discovery.pools} >= {edge.pool.kind for edge in second.market.edges}


@pytest.mark.anvil
async def test_what_cannot_be_quoted_is_a_problem_that_says_why(quoting, tmp_path):
    with api_services(tmp_path) as services:
        client = anybody(services)
        status, said = await ask(client, token_in="WETH", token_out="NOPE", amount_in="1")
        assert (status, said["code"]) == (422, "invalid_request")
        assert "no token 'NOPE'" in said["detail"]
        status, said = await ask(client, **WETH_USDC, amount_in=str(10**40))
        assert (status, said["code"], said["rule"]) == (403, "refused", "pool_depth")
        status, said = await ask(client, **WETH_USDC)
        assert (status, said["detail"]) == (422, "give either amount_in or amount_out")
        for amount in ("0", "1.5", "-1", "1e18", "1" * 79):
            assert (await ask(client, **WETH_USDC, amount_in=amount))[0] == 422


async def test_without_a_chain_nothing_is_quoted_and_no_path_is_told(tmp_path):
    with api_services(tmp_path) as services:
        client = anybody(services)
        status, said = await ask(client, **WETH_USDC, amount_in="1")
        assert (status, said["detail"]) == (503, "nothing quotes on a chain here")
        assert str(tmp_path) not in json.dumps(said)


FACTS = {
    "chain_id": 1, "block": 7, "block_hash": "0x07", "amount_in": "5", "amount_out": "9", "is_exact_out": False,
    "mid_price": "2", "impact_bps": "1.0000", "gas_units": 1, "gas_cost": "1", "by_call": [], "route": [],
    "token_in": {"symbol": "A", "address": "0x" + "a" * 40, "decimals": 18},
    "token_out": {"symbol": "B", "address": "0x" + "b" * 40, "decimals": 6},
}  # fmt: skip


async def test_a_quote_is_its_organisations_alone_whole_and_for_two_minutes(tmp_path):
    async def answer(request):
        return FACTS

    with api_services(tmp_path) as services:
        client = Client(application(services))
        owner = Caller.owner(client, services)
        other = Caller.owner(client, services, slug="other")
        async with serve_control(tmp_path / "dex.sock", answer):
            status, quote = await owner.ask("POST", "/v1/quotes", {"token_in": "A", "token_out": "B", "amount_in": "5"})
        assert status == 200, quote
        opened = services.quotes.open(owner.organisation, quote["id"])
        assert (opened.amount_in, opened.amount_out, opened.token_out) == ("5", "9", "0x" + "b" * 40)
        for organisation, text in (
            (other.organisation, quote["id"]),
            (owner.organisation, quote["id"][:-2] + "AA"),
            (owner.organisation, "qt_"),
            (owner.organisation, quote["id"].removeprefix("qt_")),
        ):
            with pytest.raises(NotFound):
                services.quotes.open(organisation, text)
        services.quotes.check(opened)
        services.clock.advance(seconds=121)
        with pytest.raises(Refused, match="over"):
            services.quotes.check(services.quotes.open(owner.organisation, quote["id"]))
