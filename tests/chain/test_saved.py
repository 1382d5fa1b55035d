"""A devnet that was dumped goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet, DevnetConfig, SavedDevnet
from chain.devnet.noise import NoiseTrader
from chain.network import NetworkKind, identify
from domain import InputError

pytestmark = pytest.mark.anvil


async def test_a_loaded_devnet_is_the_dumped_one(devnet: Devnet, chain_client: ChainClient, tmp_path: Path) -> None:
    noise = NoiseTrader(chain_client, devnet.world, seed=2)
    await noise.prepare()
    for _ in range(5):
        await noise.step()
    await devnet.fund(TEST_ADDRESSES[6], 5, {"DAI": 77})
    head = await chain_client.head()
    path = tmp_path / "deep" / "state.json"
    (await devnet.dump()).write(path)
    saved = SavedDevnet.read(path)
    async with await Devnet.start(DevnetConfig(), saved) as again, again.client() as client:
        assert again.world.pools == devnet.world.pools
        assert again.world.rpc_url != devnet.world.rpc_url
        assert (await client.head()).hash == head.hash
        assert (await client.block(head.number - 3)).hash == (await chain_client.block(head.number - 3)).hash
        assert await identify(client) is NetworkKind.DEVNET
        dai = again.world.tokens["DAI"].address
        assert await client.token_balance(dai, TEST_ADDRESSES[6]) == 77
        # It goes on: the deployer may spend, the noise trades.
        await again.fund(TEST_ADDRESSES[6], 0, {"DAI": 1, "WETH": 3})
        assert await client.token_balance(dai, TEST_ADDRESSES[6]) == 78
        _, tx_hash = await NoiseTrader(client, again.world, seed=3).step()
        assert (await client.wait_receipt(tx_hash)).succeeded


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "no dump"), ("{}", "no dump"), ('{"world": 3, "state": "0x"}', "no dump"), (None, "cannot read")],
)
def test_what_is_no_dump_is_refused(content: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=why):
        SavedDevnet.read(path)


async def test_a_dump_of_another_chain_or_format_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    saved = SavedDevnet(devnet.world, "0x")
    with pytest.raises(InputError, match="chain 1337"):
        await Devnet.start(DevnetConfig(chain_id=1), saved)
    SavedDevnet(devnet.world, "0x", format="capstan-devnet-9").write(tmp_path / "new.json")
    with pytest.raises(InputError, match="capstan-devnet-9"):
        SavedDevnet.read(tmp_path / "new.json")
