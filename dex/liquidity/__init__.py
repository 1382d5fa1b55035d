"""Liquidity positions on Uniswap V3 and V4: exact amounts and fees, positions read from a chain, unsigned plans."""

from dex.liquidity.bounds import Intake, intake, price_band, release_min
from dex.liquidity.contracts import PositionContracts
from dex.liquidity.maths import Range, amounts_down, amounts_up, fees_down, growth_inside, liquidity_down, tick_at
from dex.liquidity.planning import (
    Need,
    Order,
    Planned,
    paid_asset,
    plan_add,
    plan_burn,
    plan_collect,
    plan_mint,
    plan_remove,
)
from dex.liquidity.positions import PoolNow, Position, PositionId, find
from dex.liquidity.reading import PositionReader

__all__ = [
    "Intake",
    "Need",
    "Order",
    "Planned",
    "PoolNow",
    "Position",
    "PositionContracts",
    "PositionId",
    "PositionReader",
    "Range",
    "amounts_down",
    "amounts_up",
    "fees_down",
    "find",
    "growth_inside",
    "intake",
    "liquidity_down",
    "paid_asset",
    "plan_add",
    "plan_burn",
    "plan_collect",
    "plan_mint",
    "plan_remove",
    "price_band",
    "release_min",
    "tick_at",
]
