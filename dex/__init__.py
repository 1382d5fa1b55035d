"""Decentralised exchanges: local pool replicas with exact quotes, unsigned swap plans, arbitrage sizes.

Quotes never touch the network. A replica that may be wrong refuses to quote. Plans are unsigned: custody decides.
"""

from dex.arbitrage.book import (
    ArbitrageSize,
    BookTerms,
    LegCosts,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)
from dex.execution.planning import Routers, devnet_routers, plan_approval, plan_swap
from dex.execution.slippage import min_out_down
from dex.pools import PoolSpec, devnet_pools, pool_spec
from dex.replicas.base import Piece, PoolReplica
from dex.replicas.follower import PoolFollower
from dex.replicas.lens import TokenState, read_pools, read_tokens
from dex.replicas.v2 import V2Pool
from dex.replicas.v3 import V3Pool
from dex.replicas.v4 import V4Pool

__all__ = [
    "ArbitrageSize",
    "BookTerms",
    "LegCosts",
    "Piece",
    "PoolFollower",
    "PoolReplica",
    "PoolSpec",
    "Routers",
    "TokenState",
    "V2Pool",
    "V3Pool",
    "V4Pool",
    "devnet_pools",
    "devnet_routers",
    "min_out_down",
    "optimal_buy_on_book_sell_on_pool",
    "optimal_buy_on_pool_sell_on_book",
    "plan_approval",
    "plan_swap",
    "pool_spec",
    "read_pools",
    "read_tokens",
]
