"""Arbitrage: against an exchange's book (`book`), and around cycles of pools."""

from dex.arbitrage.book import (
    ArbitrageSize,
    BookTerms,
    optimal_buy_on_book_sell_on_pool,
    optimal_buy_on_pool_sell_on_book,
)

__all__ = ["ArbitrageSize", "BookTerms", "optimal_buy_on_book_sell_on_pool", "optimal_buy_on_pool_sell_on_book"]
