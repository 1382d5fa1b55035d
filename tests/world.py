"""One devnet for the whole test session, rolled back after every test that uses it.

Switched on by `pytest_plugins = ["tests.world"]` in tests/conftest.py. `devnet` and `chain_client` may be used by any
package's tests; chain ids other than 1337 need a devnet of their own (`Devnet.start`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from chain.devnet.node import anvil_path, node_modules
from domain.errors import InputError


async def roll_back(client: ChainClient, snapshot: object) -> None:
    """Make the chain what it was.

    A block is mined before: anvil takes what it has mined out of its pool a moment after the block can be seen, by
    sender and nonce, so the same transaction sent again after a roll-back sometimes went with it, and was never mined.
    """
    mines = await client.rpc.request("anvil_getAutomine")
    if not mines:
        await client.rpc.request("evm_setAutomine", True)
    await client.rpc.request("evm_mine")
    assert await client.rpc.request("evm_revert", snapshot)
    assert mines, "the test has left a node that does not mine by itself"


@pytest.fixture(scope="session")
def devnet_for_session() -> Iterator[Devnet]:
    try:
        anvil_path()
        node_modules()
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    devnet = asyncio.run(Devnet.start(DevnetConfig()))
    yield devnet
    asyncio.run(devnet.stop())


@pytest.fixture
async def devnet(devnet_for_session: Devnet) -> AsyncIterator[Devnet]:
    """The session's devnet in its first state, whatever the tests before have done."""
    async with devnet_for_session.client() as client:
        snapshot = await client.rpc.request("evm_snapshot")
        yield devnet_for_session
        await roll_back(client, snapshot)


@pytest.fixture
async def chain_client(devnet: Devnet) -> AsyncIterator[ChainClient]:
    async with devnet.client() as client:
        yield client
