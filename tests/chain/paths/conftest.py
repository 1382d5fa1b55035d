"""One devnet with a first-come-first-served pool for the package, rolled back after every test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from chain.devnet import Devnet, DevnetConfig
from chain.devnet.node import anvil_path, node_modules
from domain.errors import InputError
from tests.chain.paths.lab import Lab, open_lab
from tests.world import roll_back


@pytest.fixture(scope="package")
def fifo_devnet() -> Iterator[Devnet]:
    try:
        anvil_path()
        node_modules()
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    devnet = asyncio.run(Devnet.start(DevnetConfig(order="fifo")))
    yield devnet
    asyncio.run(devnet.stop())


@pytest.fixture
async def lab(fifo_devnet: Devnet) -> AsyncIterator[Lab]:
    async with open_lab(fifo_devnet) as lab:
        snapshot = await lab.client.rpc.request("evm_snapshot")
        yield lab
        await roll_back(lab.client, snapshot)
