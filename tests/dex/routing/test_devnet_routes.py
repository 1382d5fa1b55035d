"""Routes over the devnet's genuine contracts: what is quoted comes out, to the last unit."""

from __future__ import annotations

import pytest

from chain import ChainClient
from chain.abi import address_word, selector, uint_word
from chain.devnet import DEPLOYER, Devnet
from dex.discovery import devnet_deployment, discover
from dex.execution.contracts import router_version, swap_contracts
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through, choose_way, plan_quote
from dex.routing import Market, Quote, Router
from dex.routing.asking import quote_asking
from dex.routing.loading import gas_terms, load_market
from domain.assets import Asset
from tests.dex.trader import Trader

pytestmark = pytest.mark.anvil


async def test_a_pool_with_hooks_is_asked_and_the_quote_says_so(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    market = await load_market(chain_client, found)
    router = Router(market, gas=await gas_terms(chain_client))
    hooked = next(spec for spec in found.pools if spec.is_by_call)
    token_in, token_out = hooked.token0, hooked.token1
    # All others out of the way, it is the only route left.
    alone = Router(_only(market, set()), gas=router.gas)
    amount = 10**18
    quote = await quote_asking(chain_client, found, alone, token_in, token_out, amount)
    assert quote.by_call == (hooked.id,)
    assert quote.paths[0].hops[0].pool == hooked
    assert 0 < quote.impact_bps < 50
    back = await quote_asking(chain_client, found, alone, token_in, token_out, quote.amount_out, is_exact_out=True)
    assert abs(back.amount_in - amount) <= amount // 10**6
    # Beside cheaper ones it is not taken.
    best = await quote_asking(chain_client, found, router, token_in, token_out, amount)
    assert best.amount_out >= quote.amount_out


def _only(market: Market, pools: set[str]) -> Market:
    """The same market with these pools alone."""
    kept = {edge.pool.id: (edge.pool, edge.replica) for edge in market.edges if edge.pool.id in pools}
    return Market(
        kept.values(),
        chain_id=market.chain_id,
        block_number=market.block_number,
        block_hash=market.block_hash,
        native=market.native,
        wrapped=market.wrapped,
    )


class Swapper:
    """Carries quotes out through the routers, from an account that holds everything."""

    def __init__(self, devnet: Devnet, client: ChainClient) -> None:
        self.client, self.world = client, devnet.world
        self.trader = Trader(devnet, client)

    async def prepare(self) -> None:
        await self.trader.prepare()
        version = await router_version(self.client, self.world.contracts["UniversalRouter"])
        self.contracts = swap_contracts(self.world.contracts, version)
        permit2, router = self.world.contracts["Permit2"], self.world.contracts["UniversalRouter"]
        for token in self.world.tokens.values():
            most = uint_word(2**256 - 1)
            await self.trader.send(token.address, selector("approve(address,uint256)") + address_word(permit2) + most)
            words = address_word(token.address) + address_word(router) + uint_word(2**160 - 1) + uint_word(2**48 - 1)
            await self.trader.send(permit2, selector("approve(address,address,uint160,uint48)") + words)

    async def balance(self, asset: Asset) -> int:
        address = asset.id.partition("/erc20:")[2]
        return await self.client.token_balance(address, DEPLOYER) if address else await self.client.balance(DEPLOYER)

    async def swap(self, quote: Quote) -> tuple[int, int, int]:
        """Give what left, what arrived, and the gas used."""
        head = await self.client.head()
        bounds = SlippagePolicy(tolerance_bps=0, impact_bps_max=9_999).bounds(
            quote, head_number=head.number, time_s=head.time_s
        )
        way = choose_way(quote, self.contracts, Through.UNIVERSAL_ROUTER)
        plan = plan_quote(quote, bounds, way, self.contracts, intent_id="t", strategy="t", sender=DEPLOYER)
        before = await self.balance(quote.token_in), await self.balance(quote.token_out)
        request = {"from": DEPLOYER, "to": plan.to, "data": "0x" + plan.data.hex(), "value": hex(plan.value_wei)}
        sent = await self.client.rpc.request("eth_sendTransaction", request | {"gas": hex(12_000_000)})
        receipt = await self.client.wait_receipt(sent, poll_s=0.002)
        assert receipt.succeeded
        after = await self.balance(quote.token_in), await self.balance(quote.token_out)
        paid = receipt.gas_cost_wei
        gas_in, gas_out = (paid if "/slip44:" in token.id else 0 for token in (quote.token_in, quote.token_out))
        return before[0] - after[0] - gas_in, after[1] - before[1] + gas_out, receipt.gas_used


@pytest.mark.parametrize(
    ("pair", "whole"),
    [("WETH/USDC", 400), ("ETH/WBTC", 300), ("USDC/ETH", 2_000_000), ("DAI/WBTC", 900_000), ("USDT/WETH", 50)],
)
async def test_what_is_quoted_comes_out_of_the_routers(
    devnet: Devnet, chain_client: ChainClient, pair: str, whole: int
):
    swapper = Swapper(devnet, chain_client)
    await swapper.prepare()
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    token_in, token_out = (found.token(symbol) for symbol in pair.split("/"))
    await devnet.fund(DEPLOYER, 10**21, {s: whole * 2 * 10**t.decimals for s, t in devnet.world.tokens.items()})
    market = await load_market(chain_client, found)
    quote = Router(market).quote_exact_in(token_in, token_out, whole * token_in.unit)
    paid, got, gas = await swapper.swap(quote)
    assert (paid, got) == (quote.amount_in, quote.amount_out)
    assert 0.7 < quote.gas_units / gas < 1.4
    assert whole < 100 or len(quote.paths) > 2

    again = Router(await load_market(chain_client, found)).quote_exact_out(token_in, token_out, got // 3)
    paid, got, _ = await swapper.swap(again)
    assert paid == again.amount_in
    # Routers pass on all that a V2 pair gives for the rounded-up input: less than one unit of it more.
    units = sum(path.hops[0].pool.kind == "v2" for path in again.paths)
    assert 0 <= got - again.amount_out <= units * (again.amount_out // again.amount_in + 1)
    assert all(len({hop.pool.kind for hop in path.hops}) == 1 for path in again.paths)


async def test_stable_and_weighted_pools_take_part_where_no_router_is_needed(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    everything = await load_market(chain_client, found, kinds=None)
    reached = await load_market(chain_client, found)
    dai, usdt, amount = found.token("DAI"), found.token("USDT"), 500_000 * 10**18
    with_all = Router(everything).quote_exact_in(dai, usdt, amount)
    without = Router(reached).quote_exact_in(dai, usdt, amount)
    assert with_all.amount_out > without.amount_out
    kinds = {hop.pool.kind for path in with_all.paths for hop in path.hops}
    assert "balancer-stable" in kinds
    # Each first hop on a pool nobody used before is what the replica says.
    back = Router(everything).quote_exact_out(dai, usdt, with_all.amount_out)
    assert back.amount_in <= amount * (1 + 1e-4)
    # Nowhere would the last unit have given more: the fitted curve is close to the pool itself.
    wbtc = Router(everything).quote_exact_in(found.token("WBTC"), found.token("WETH"), 20 * 10**8)
    assert "balancer-weighted" in {hop.pool.kind for path in wbtc.paths for hop in path.hops}
    ends = {}
    for path in wbtc.paths:
        (hop,) = path.hops if len(path.hops) == 1 else (None,)
        if hop is not None:
            replica = next(edge.replica for edge in everything.edges if edge.pool == hop.pool)
            ends[hop.pool.kind] = replica.marginal_price(hop.token_in.id, hop.token_out.id, hop.amount_in)
    assert max(ends.values()) / min(ends.values()) < 1.0005
