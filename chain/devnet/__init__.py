"""A local chain for development and tests: anvil with WETH, USDC, WBTC and genuine Uniswap V2 and V3.

    async with await Devnet.start(DevnetConfig(chain_id=1337)) as devnet:
        devnet.world.pool("v3", "WETH", "USDC", 500)

Everything about keys here is TEST ONLY (`TEST_MNEMONIC`).
"""

from chain.devnet.accounts import (
    DEVNET_GENESIS_HASH,
    TEST_ADDRESSES,
    TEST_MNEMONIC,
    TEST_PATH,
    is_test_address,
)
from chain.devnet.build import DEPLOYER, Market, V3Seed
from chain.devnet.devnet import Devnet, DevnetConfig
from chain.devnet.world import CANONICAL, DevnetWorld, PoolEntry, TokenEntry

__all__ = [
    "CANONICAL",
    "DEPLOYER",
    "DEVNET_GENESIS_HASH",
    "TEST_ADDRESSES",
    "TEST_MNEMONIC",
    "TEST_PATH",
    "Devnet",
    "DevnetConfig",
    "DevnetWorld",
    "Market",
    "PoolEntry",
    "TokenEntry",
    "V3Seed",
    "is_test_address",
]
