"""Unsigned transactions, their bounds inside the calldata. Custody decides on them."""

from dex.execution.planning import Routers, devnet_routers, plan_approval, plan_swap
from dex.execution.slippage import min_out_down

__all__ = ["Routers", "devnet_routers", "min_out_down", "plan_approval", "plan_swap"]
