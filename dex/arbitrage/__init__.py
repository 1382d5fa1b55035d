"""Arbitrage: against an exchange's book (`book`), and around cycles of pools (`cycles`, `index`)."""

from dex.arbitrage.book import (
    ArbitrageSize,
    BookTerms,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)
from dex.arbitrage.curves import curve_of
from dex.arbitrage.cycles import Cycle, CycleOptimum, Leg, solve_cycle
from dex.arbitrage.index import CycleIndex, CycleScanner, disjoint, same_coin

__all__ = [
    "ArbitrageSize",
    "BookTerms",
    "Cycle",
    "CycleIndex",
    "CycleOptimum",
    "CycleScanner",
    "Leg",
    "curve_of",
    "disjoint",
    "optimal_buy_on_book_sell_on_pool",
    "optimal_buy_on_pool_sell_on_book",
    "same_coin",
    "solve_cycle",
]
