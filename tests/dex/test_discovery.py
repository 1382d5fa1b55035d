"""Discovery against the devnet: what the factories know is found, whatever it is asked by."""

from __future__ import annotations

import pytest

from chain import ChainClient
from chain.devnet import Devnet
from dex import devnet_pools
from dex.discovery import devnet_deployment, discover
from dex.routing.loading import load_market
from domain.errors import InputError

pytestmark = pytest.mark.anvil


async def test_every_uniswap_pool_of_the_devnet_is_found_from_the_node_alone(devnet: Devnet, chain_client: ChainClient):
    found = await discover(chain_client, devnet_deployment(devnet.world.chain_id))
    expected = {s.id: s for s in devnet_pools(devnet.world).values() if s.kind in ("v2", "v3")}
    assert {spec.id: spec for spec in found.pools if spec.kind in ("v2", "v3")} == expected


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
    market = await load_market(chain_client, found)
    head = await chain_client.head()
    assert (market.block_number, market.block_hash) == (head.number, head.hash)
    assert {edge.pool.id for edge in market.edges} == {spec.id for spec in found.pools}
    assert market.left_out == {}
