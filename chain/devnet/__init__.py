"""A local chain for development and tests: anvil with tokens and the genuine DeFi contracts on it.

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
from chain.devnet.deployer import DEPLOYER
from chain.devnet.devnet import Devnet, DevnetConfig
from chain.devnet.market import Market, V2Seed, V3Seed, V4Seed
from chain.devnet.noise import NoiseFlow, NoiseTrade, NoiseTrader
from chain.devnet.saved import SavedDevnet
from chain.devnet.world import CANONICAL, NATIVE_COIN, DevnetWorld, PoolEntry, TokenEntry

__all__ = [
    "CANONICAL",
    "DEPLOYER",
    "DEVNET_GENESIS_HASH",
    "NATIVE_COIN",
    "TEST_ADDRESSES",
    "TEST_MNEMONIC",
    "TEST_PATH",
    "Devnet",
    "DevnetConfig",
    "DevnetWorld",
    "Market",
    "NoiseFlow",
    "NoiseTrade",
    "NoiseTrader",
    "PoolEntry",
    "SavedDevnet",
    "TokenEntry",
    "V2Seed",
    "V3Seed",
    "V4Seed",
    "is_test_address",
]
