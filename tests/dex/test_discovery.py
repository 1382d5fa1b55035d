"""Discovery against the devnet: what the factories know is found, whatever it is asked by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from chain.networks import network, networks
from dex import devnet_pools
from dex.discovery import devnet_deployment, discover, network_deployment
from dex.routing.loading import load_market
from domain.errors import InputError
from domain.ids import Address

pytestmark = pytest.mark.anvil


async def test_every_pool_of_the_devnet_is_found_from_the_node_alone(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    assert {spec.id: spec for spec in found.pools} == devnet_pools(devnet.world)
    assert {spec.kind for spec in found.pools} == {"v2", "v3", "v4", "balancer-stable", "balancer-weighted"}


async def test_tokens_answer_to_symbol_and_address_in_any_case(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    usdc = devnet.world.tokens["USDC"].address
    assert found.token("usdc") == found.token(usdc) == found.token(usdc.lower())
    assert found.token("eth").id == "eip155:1337/slip44:60"
    assert found.wrapped == found.token("WETH")
    with pytest.raises(InputError, match="no token 'NOPE'"):
        found.token("NOPE")


async def test_what_is_no_token_is_refused_by_name(devnet: Devnet, chain_client: ChainClient):
    stranger = devnet.world.contracts["UniswapV3Factory"]
    with pytest.raises(InputError, match=f"{stranger} is no ERC-20 token"):
        await discover(chain_client, devnet_deployment(devnet.world.chain_id), [stranger])


async def test_a_market_is_of_the_newest_block_and_has_every_pool(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    market = await load_market(chain_client, found, kinds=None)
    head = await chain_client.head()
    assert (market.block_number, market.block_hash) == (head.number, head.hash)
    assert {edge.pool.id for edge in market.edges} == {spec.id for spec in found.pools if not spec.is_by_call}
    assert market.left_out == {}
    reached = await load_market(chain_client, found)
    assert {edge.pool.kind for edge in reached.edges} == {"v2", "v3", "v4"}


async def test_a_node_that_declines_to_search_still_gives_what_has_a_usual_key(
    devnet: Devnet,
    chain_client: ChainClient,
):
    whole = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    without_events = replace(devnet_deployment(devnet.world.chain_id), events_from=None)
    found = await discover(chain_client, without_events)
    announced = {spec.id for spec in whole.pools if spec.is_by_call or spec.kind.startswith("balancer")}
    assert announced
    assert {spec.id for spec in found.pools} == {spec.id for spec in whole.pools} - announced


async def test_a_chain_without_the_contracts_has_no_pools(devnet: Devnet, chain_client: ChainClient):
    nobody = Address("0x00000000000000000000000000000000000000AA")
    elsewhere = replace(
        devnet_deployment(devnet.world.chain_id),
        v2_factory=nobody,
        v3_factory=nobody,
        pool_manager=nobody,
        vault=nobody,
    )
    assert (await discover(chain_client, elsewhere)).pools == ()


@pytest.mark.parametrize("name", [known.name for known in networks()])
def test_every_network_says_where_its_exchanges_stand(name: str):
    deployment = network_deployment(network(name))
    assert deployment.wrapped in deployment.tokens.values()
    assert deployment.v3_factory is not None
