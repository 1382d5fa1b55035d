"""The devnet is complete, canonical, deterministic, and gone when told."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from pathlib import Path

import pytest

from chain import ChainClient
from chain.abi import address_at, address_word, selector, uint_at, uint_word
from chain.devnet import CANONICAL, DEVNET_GENESIS_HASH, TEST_ADDRESSES, Devnet, DevnetConfig, DevnetWorld
from chain.devnet.accounts import GENESIS_TIME_S
from chain.devnet.node import AnvilNode
from chain.network import NetworkKind, ensure_keys_fit, identify
from domain import InputError, Refused
from runtime.processes import free_port

pytestmark = pytest.mark.anvil


async def test_pools_stand_at_their_mainnet_addresses(devnet: Devnet) -> None:
    # CREATE2 of the genuine factories: these are the pools etherscan shows.
    assert devnet.world.pool("v2", "WETH", "USDC").address == "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc"
    assert devnet.world.pool("v3", "WETH", "USDC", 500).address == "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"
    assert devnet.world.pool("v3", "USDC", "WBTC", 3000).address == "0x99ac8cA7087fA4A2A1FB6357269965A2014ABc35"


async def test_every_contract_has_code_and_routers_know_their_factory(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    for name, address in CANONICAL.items():
        assert len(await chain_client.code(address)) > 400, name
    for router in ("SwapRouter", "SwapRouter02", "QuoterV2", "NonfungiblePositionManager"):
        factory = address_at(await chain_client.call(CANONICAL[router], selector("factory()")), 0)
        assert factory == CANONICAL["UniswapV3Factory"]


async def test_fifty_thousand_dollars_move_the_narrow_pool_by_about_ten_basis_points(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    usdc, weth = (devnet.world.tokens[s].address for s in ("USDC", "WETH"))
    quote = selector("quoteExactInputSingle((address,address,uint256,uint24,uint160))")
    arguments = address_word(usdc) + address_word(weth) + uint_word(50_000 * 10**6) + uint_word(500) + uint_word(0)
    after = uint_at(await chain_client.call(devnet.world.contracts["QuoterV2"], quote + arguments), 1)
    pool = devnet.world.pool("v3", "WETH", "USDC", 500).address
    before = uint_at(await chain_client.call(pool, selector("slot0()")), 0)
    moved_bps = abs(after**2 - before**2) * 10_000 / before**2
    assert 7 < moved_bps < 13


async def test_two_devnets_are_the_same_to_the_last_hash() -> None:
    heads = []
    for chain_id in (1337, 1):
        async with await Devnet.start(DevnetConfig(chain_id=chain_id)) as devnet, devnet.client() as client:
            heads.append((await client.head(), devnet.world.contracts, devnet.world.pools, devnet.world.genesis_hash))
            assert await identify(client) is NetworkKind.DEVNET
    assert heads[0][1:] == heads[1][1:]
    assert heads[0][3] == DEVNET_GENESIS_HASH
    async with await Devnet.start(DevnetConfig()) as again, again.client() as client:
        assert (await client.head()).hash == heads[0][0].hash


async def test_an_ordinary_anvil_is_not_taken_for_a_devnet() -> None:
    node = AnvilNode("127.0.0.1", free_port(), 1337, genesis_time_s=GENESIS_TIME_S + 1)
    node.launch()
    try:
        await node.wait_until_listening()
        async with ChainClient([node.url], 1337) as client:
            assert await identify(client) is NetworkKind.LIVE
    finally:
        node.stop()


def test_test_keys_are_refused_on_a_live_network_and_only_they_are_taken_on_a_devnet() -> None:
    ensure_keys_fit(NetworkKind.DEVNET, TEST_ADDRESSES)
    ensure_keys_fit(NetworkKind.LIVE, (CANONICAL["USDC"],))
    with pytest.raises(Refused, match="public test account"):
        ensure_keys_fit(NetworkKind.LIVE, TEST_ADDRESSES[:1])
    with pytest.raises(Refused, match="not a test account"):
        ensure_keys_fit(NetworkKind.DEVNET, (CANONICAL["USDC"],))


async def test_funding_adds_coins_and_tokens_exactly(devnet: Devnet, chain_client: ChainClient) -> None:
    account = TEST_ADDRESSES[3]
    before = await chain_client.balance(account)
    await devnet.fund(account, 7, {"WETH": 11, "USDC": 13, "WBTC": 17})
    assert await chain_client.balance(account) == before + 7
    for symbol, expected in (("WETH", 11), ("USDC", 13), ("WBTC", 17)):
        assert await chain_client.token_balance(devnet.world.tokens[symbol].address, account) == expected
    with pytest.raises(InputError, match="DOGE"):
        await devnet.fund(account, 0, {"DOGE": 1})


async def test_interval_mining_makes_blocks_without_transactions() -> None:
    async with await Devnet.start(DevnetConfig(block_time_s=1)) as devnet, devnet.client() as client:
        first = await client.head()
        await devnet.fund(TEST_ADDRESSES[1], 0, {"USDC": 5})
        async with asyncio.timeout(60):
            while (await client.head()).number < first.number + 3:
                pass


async def test_states_on_disk_go_with_the_node_and_with_whoever_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    left, others = tmp_path / f"capstan-anvil-{gone.pid}-x", tmp_path / f"capstan-anvil-{os.getppid()}-x"
    for folder in (left, others):
        folder.mkdir()
        (folder / "state").write_bytes(b"x")
    node = AnvilNode("127.0.0.1", free_port(), 1337)
    node.launch()
    await node.wait_until_listening()
    assert not left.exists()
    assert others.exists()
    assert [path.name for path in tmp_path.glob(f"capstan-anvil-{os.getpid()}-*")]
    node.stop()
    assert [path.name for path in tmp_path.iterdir()] == [others.name]


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
            await Devnet.start(DevnetConfig(port=port))


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"chain_id": 0}, {"chain_id": 31337}, {"block_time_s": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        DevnetConfig(**wrong)  # type: ignore[arg-type]


async def test_the_addresses_file_reads_back_as_written(devnet: Devnet) -> None:
    assert DevnetWorld.from_json(devnet.world.to_json()) == devnet.world
