"""The seeded order flow: the same for the same seed, always two-sided, and it moves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cex.sandbox import KNOWN_SYMBOLS, FlowConfig
from cex.sandbox.exchange import Exchange
from cex.sandbox.flow import FlowSimulator
from cex.sandbox.orders import PublicTrade
from domain import InputError


def play(seed: int, steps: int, **config: Any) -> tuple[Exchange, list[PublicTrade], int]:
    """Run a market; also say how few levels its thinnest side ever had."""
    now = 1_700_000_000_000
    prices = {"BTCUSDT": 6_000_000, "ETHUSDT": 300_000, "ETHUSDC": 300_000, "BTCUSDC": 6_000_000, "ETHBTC": 5_000}
    exchange = Exchange(KNOWN_SYMBOLS.values(), [], lambda: now, reference_prices=prices)
    trades: list[PublicTrade] = []
    exchange.emit = lambda event: trades.append(event) if isinstance(event, PublicTrade) else None
    flow = FlowSimulator(exchange, FlowConfig(**config), seed)
    thinnest = 100
    for _ in range(steps):
        now += 50
        flow.step()
        levels = [len(m.engine.levels(side, 100)) for m in exchange.markets.values() for side in (0, 1)]
        thinnest = min(thinnest, *levels)
    return exchange, trades, thinnest


def test_the_same_seed_plays_the_same_market() -> None:
    assert play(7, 100)[1] == play(7, 100)[1]
    assert play(7, 100)[1] != play(8, 100)[1]


def test_every_book_keeps_about_twenty_levels_a_side_while_prices_move() -> None:
    exchange, trades, thinnest = play(3, 1_200)
    assert thinnest >= 18
    for market in exchange.markets.values():
        mine = [trade for trade in trades if trade.symbol is market.spec]
        assert len(mine) > 100, market.spec.name
        assert len({trade.price for trade in mine}) >= 10, market.spec.name


def test_the_pairs_of_an_asset_stay_consistent() -> None:
    exchange, _, _ = play(5, 1_200, volatility=0.001)

    def mid(symbol: str) -> float:
        market = exchange.markets[symbol]
        (bid, _), (ask, _) = (market.engine.best(side) or (0, 0) for side in (0, 1))
        return float(Decimal(bid + ask) / 2 * market.spec.tick_raw / 10**8)

    assert abs(mid("ETHBTC") * mid("BTCUSDC") / mid("ETHUSDC") - 1) < 0.005
    assert abs(mid("ETHUSDT") / mid("ETHUSDC") - 1) < 0.002


def test_flow_creates_no_money() -> None:
    exchange, _, _ = play(2, 400)
    for asset in ("BTC", "ETH", "USDC", "USDT"):
        held = sum(b.free + b.locked for a in exchange.accounts for code, b in a.balances.items() if code == asset)
        assert held % (10**9 * 10**8) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"excitation": 1.0},
        {"volatility": -1.0},
        {"levels": 0},
        {"start_prices": {"ETH": "0"}},
        {"start_prices": {"ETH": "x"}},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        FlowConfig(**wrong)
