"""Pools that need no chain."""

from __future__ import annotations

import pytest

from dex import PoolSpec, pool_spec


@pytest.fixture
def v3_spec() -> PoolSpec:
    return pool_spec(
        kind="v3",
        chain_id=1337,
        address="0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
        token_a=("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "WETH", 18),
        token_b=("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", 6),
        fee_pips=500,
    )
