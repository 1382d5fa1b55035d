"""Decentralised exchanges: local pool replicas with exact quotes, unsigned swap plans, arbitrage sizes.

Quotes never touch the network. A replica that may be wrong refuses to quote. Plans are unsigned: custody decides.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:
    from runtime.fronts import lazily

    _HOMES = {
        "dex.arbitrage.book": (
            "ArbitrageSize BookTerms LegCosts optimal_buy_on_book_sell_on_pool optimal_buy_on_pool_sell_on_book"
        ),
        "dex.execution.planning": "Routers devnet_routers plan_approval plan_swap",
        "dex.execution.slippage": "min_out_down",
        "dex.pools": "PoolSpec devnet_pools pool_spec",
        "dex.replicas.base": "Piece PoolReplica",
        "dex.replicas.follower": "PoolFollower",
        "dex.replicas.lens": "TokenState read_pools read_tokens",
        "dex.replicas.v2": "V2Pool",
        "dex.replicas.v3": "V3Pool",
        "dex.replicas.v4": "V4Pool",
    }
    __getattr__ = lazily(__name__, _HOMES)


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
