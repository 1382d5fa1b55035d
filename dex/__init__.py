"""Decentralised exchanges: local pool replicas with exact quotes, unsigned swap plans, arbitrage sizes.

Quotes never touch the network. A replica that may be wrong refuses to quote. Plans are unsigned: custody decides.
"""

from dex.arbitrage import (
    ArbitrageSize,
    BookTerms,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)
from dex.follower import PoolFollower
from dex.lens import TokenState, read_pools, read_tokens
from dex.planning import Routers, devnet_routers, min_out_down, plan_approval, plan_swap
from dex.pools import PoolSpec, devnet_pools, pool_spec
from dex.replica import Piece, PoolReplica
from dex.v2 import V2Pool
from dex.v3 import V3Pool

__all__ = [
    "ArbitrageSize",
    "BookTerms",
    "Piece",
    "PoolFollower",
    "PoolReplica",
    "PoolSpec",
    "Routers",
    "TokenState",
    "V2Pool",
    "V3Pool",
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
