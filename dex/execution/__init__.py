"""Unsigned transactions, their bounds inside the calldata. Custody decides on them."""

from dex.execution.planning import Routers, devnet_routers, min_out_down, plan_approval, plan_swap

__all__ = ["Routers", "devnet_routers", "min_out_down", "plan_approval", "plan_swap"]
