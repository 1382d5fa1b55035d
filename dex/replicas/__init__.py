"""Local copies of pools, kept by events: read as a snapshot (`lens`), followed log by log (`follower`), and quoting as
the contracts do, to the last unit.
"""

from dex.replicas.balancer import BalancerStablePool, BalancerWeightedPool
from dex.replicas.base import Piece, PoolReplica
from dex.replicas.curve import CurveStablePool
from dex.replicas.v2 import V2Pool
from dex.replicas.v3 import V3Pool
from dex.replicas.v4 import V4Pool

__all__ = [
    "BalancerStablePool",
    "BalancerWeightedPool",
    "CurveStablePool",
    "Piece",
    "PoolReplica",
    "V2Pool",
    "V3Pool",
    "V4Pool",
]
