"""One case for every kind of the catalog: settings on a small market on which the kind must trade.

A case runs three times (see `lab.py`): in a backtest, with the backtest's data cut off (prefix replay), and on the
sandbox exchange through the real runner. The settings are the same in all three: one strategy, unchanged. To add one,
append to `CASES`; nothing else is needed. Kinds with pools are in `test_on_devnet.py` besides. What the defaults are:
the sandbox's ETHUSDC at 3,000, a synthetic book for each instrument, limits that leave room, plenty of both assets at
every venue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.backtest.config import BacktestConfig
from tests.engine.strategies.flow import Flow
from tests.support.shipped_models import shipped

ETHUSDC = "sandbox:ETHUSDC"
TERMS: Mapping[str, Any] = {
    "base": "ETH",
    "quote": "USDC",
    "tick_size": "0.01",
    "lot_size": "0.0001",
    "min_notional": "5",
    "maker_fee_bps": "1",
    "taker_fee_bps": "4",
}
ROOM: Mapping[str, Any] = {
    "order_notional_max": 10**6,
    "swap_notional_max": 10**6,
    "position_notional_max": 10**7,
    "exposure_notional_max": 10**8,
    "drawdown_max": 10**7,
    "price_collar_bps": 1_000,
    "open_orders_max": 400,
    "open_orders_per_strategy_max": 200,
    "messages_per_second_max": 10_000,
    "executions_max": 60_000,
    "book_age_ms_max": 10**9,
}


@dataclass(frozen=True)
class Case:
    """One kind, or several at once, on a market."""

    strategies: Sequence[Mapping[str, Any]]
    """As in a file: `kind` and its keys."""
    instruments: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {ETHUSDC: {}})
    """By name; each is laid over `TERMS`. On the sandbox every venue named here is an exchange of its own, which lists
    spot pairs of BTC, ETH, USDT and USDC."""
    data: Sequence[Mapping[str, Any]] | None = None
    """As in a backtest's file; without it, `seconds` of synthetic book for each instrument, each with its own seed."""
    seconds: float = 20.0
    tables: Mapping[str, Any] = field(default_factory=dict)
    """Other tables of the backtest's file (`simulator`, `pools`, `chain`, `capital`, `risk`), over the defaults."""
    fills: int = 1
    """How many fills it must have at least, in the backtest and on the sandbox."""
    flow: Flow | str = field(default_factory=Flow)
    """How the sandbox's market behaves; or a text: why this kind cannot trade there."""
    speed: float = 1.0
    """Seconds of the engine's clock in a second on the sandbox: bars of an hour take a moment at 20,000."""
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or "+".join(dict.fromkeys(str(item["kind"]) for item in self.strategies))

    def config(self) -> BacktestConfig:
        """The whole as a backtest's file says it."""
        instruments = {name: {**TERMS, **terms} for name, terms in self.instruments.items()}
        data = self.data
        if data is None:
            data = [
                {"kind": "synthetic", "instrument": name, "seconds": self.seconds, "seed": 7 + at, "price": "3000",
                 "size": "2"}
                for at, name in enumerate(instruments)
            ]  # fmt: skip
        capital = {}
        for name, terms in instruments.items():
            venue = name.partition(":")[0]
            capital |= {f"{venue}/{terms['base']}": "1000", f"{venue}/{terms['quote']}": "5000000"}
        given = {
            "name": self.label,
            "data": list(data),
            "instruments": instruments,
            "strategies": [dict(item) for item in self.strategies],
            "account": next(iter(instruments.values()))["quote"],
            **self.tables,
            "risk": {**ROOM, **self.tables.get("risk", {})},
            "capital": {**capital, **self.tables.get("capital", {})},
        }
        return BacktestConfig.model_validate(given)


def _execute(name: str, *, fills: int = 3, qty: str = "0.4", **algorithm: Any) -> Case:
    """A parent order of a few seconds by one algorithm."""
    order = {
        "kind": "execute",
        "instrument": ETHUSDC,
        "side": "buy",
        "qty": qty,
        "algorithm": {"name": name, **algorithm},
    }
    return Case(strategies=[order], fills=fills, name=f"execute-{name}", flow=BUSY, speed=5)


BUSY = Flow(arrival_rate=60.0)


def _composite(name: str, *, label: str = "", side: str = "buy", fills: int = 1, **order: Any) -> Case:
    """A composite order whose prices are near enough to be reached."""
    made = {
        "kind": "composite-order",
        "instrument": ETHUSDC,
        "side": side,
        "qty": "0.4",
        "order": {"name": name, **order},
    }
    return Case(strategies=[made], fills=fills, name=f"composite-{label or name}")


PACE: Mapping[str, Any] = {"duration_s": 4, "every_s": 1, "lead_ms": 300, "reprice_ms": 100}
BARS: Mapping[str, Any] = {
    "data": [{"kind": "ohlcv", "instrument": ETHUSDC, "path": "data/bars.csv", "tradable": {}}],
    "flow": Flow(volatility=0.01, arrival_rate=60.0),
    "speed": 50_000,
}
"""240 bars of an hour, made up, that rise and fall for some 40 at a time; on the sandbox made of trades."""
TREND: Mapping[str, Any] = {"instrument": ETHUSDC, "equity": "10000", "shorts": True, "sizing_bars": 5}

CASES: tuple[Case, ...] = (
    # By kind, so that additions seldom meet.
    Case(
        strategies=[
            {
                "kind": "avellaneda-stoikov",
                "instrument": ETHUSDC,
                "order_qty": "0.05",
                "inventory_max": "0.5",
                "risk_aversion": "0.5",
                "arrival_decay": "200",
                "horizon_s": "0.1",
                "volatility_floor": "0.01",
                "spread_min_bps": "0.001",
                "requote_bps": "1",
                "python": True,
            }
        ],
        fills=3,
        flow=Flow(volatility=0.001, arrival_rate=60.0),
    ),
    _composite("stop-limit", stop="+0.1bps", limit="+20bps"),
    _composite("trailing", side="sell", distance_bps="0.2"),
    _composite("oco", side="sell", limit="+0.2bps", stop="-0.1bps"),
    _composite("oto", fills=2, entry="+20bps", then="+0.05bps"),
    _composite("bracket", fills=2, target="+0.1bps", stop="-0.1bps"),
    _composite("bracket", label="bracket-trailing", side="sell", fills=2, target="-0.1bps", trail_bps="0.1"),
    _execute("twap", **PACE),
    _execute("vwap", **PACE, curve=[1, 3, 2]),
    _execute("pov", fills=2, **{**PACE, "duration_s": 15}, share="0.002"),
    _execute("iceberg", show="0.1"),
    _execute("shortfall", **PACE, risk_aversion="0.001", volatility="1", impact="0.5"),
    Case(
        # A forest of bars of a minute that was trained on other bars: the gate would close, so it is opened wide.
        strategies=[
            {
                "kind": "model-signal",
                "instrument": ETHUSDC,
                "model": str(shipped("forest")),
                "period_minutes": 1,
                "qty": "0.05",
                "enter": 0.01,
                "drift": {"reach": 1e9, "share_max": 1.0},
            }
        ],
        data=[
            {
                "kind": "ohlcv",
                "instrument": ETHUSDC,
                "path": str(shipped("forest").parents[1] / "bars.csv"),
                "period_minutes": 1,
                "tradable": {},
            }
        ],
        fills=2,
        flow=Flow(arrival_rate=60.0),
        speed=2_500.0,
    ),
    Case(
        strategies=[{"kind": "breakout", **TREND, "enter": 4, "leave": 2, "sizing": {"kind": "atr"}}],
        fills=3,
        **BARS,
    ),
    Case(
        name="copy-trading",
        strategies=[
            {
                "kind": "order-book-imbalance",
                "id": "leader",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "position_max": "0.2",
                "enter": "0.3",
                "leave": "0.05",
            },
            {
                "kind": "copy-trading",
                "id": "follower",
                "leader": "leader",
                "leader_instrument": ETHUSDC,
                "instrument": "second:ETHUSDC",
                "scale": "2",
                "position_max": "0.3",
                "slippage_max_bps": "20",
            },
        ],
        instruments={ETHUSDC: {}, "second:ETHUSDC": {}},
        fills=6,
    ),
    Case(
        strategies=[
            {
                "kind": "cross-exchange-market-making",
                "maker": ETHUSDC,
                "hedge": "other:ETHUSDC",
                "qty": "0.05",
                "position_max": "0.5",
                "profit_min_bps": "0",
                "slack_bps": "0.5",
                "basis_halflife_s": "5",
            }
        ],
        # Free of fees in the backtest, whose synthetic market moves by less than they are.
        instruments={
            ETHUSDC: {"maker_fee_bps": "0", "taker_fee_bps": "0"},
            "other:ETHUSDC": {"maker_fee_bps": "0", "taker_fee_bps": "0"},
        },
        fills=2,
        flow=Flow(volatility=0.005, arrival_rate=60.0, taker_notional=10_000.0),
    ),
    Case(
        strategies=[
            {
                "kind": "exchange-arbitrage",
                "instruments": [ETHUSDC, "other:ETHUSDC"],
                "notional_max": "300",
                "cooldown_ms": 20,
                "position_max": "1",
                "profit_min": "0",
                "inventory_bps": "5",
            }
        ],
        instruments={ETHUSDC: {}, "other:ETHUSDC": {}},
        data=[
            {"kind": "synthetic", "instrument": ETHUSDC, "seconds": 10, "price": "3000", "size": "2"},
            {
                "kind": "synthetic",
                "instrument": "other:ETHUSDC",
                "seconds": 10,
                "price": "3006",
                "size": "2",
                "seed": 8,
            },
        ],
        fills=4,
        flow=Flow(volatility=0.01),
    ),
    Case(
        strategies=[
            {
                "kind": "glft",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "inventory_max": "0.5",
                "decay": "20",
                "fit_depth_bps": "1",
                "fit_every_s": "5",
                "spread_min_bps": "0",
                "requote_bps": "0.05",
            }
        ],
        fills=5,
    ),
    Case(
        strategies=[{"kind": "grid", "instrument": ETHUSDC, "qty": "0.05", "cells": 60, "width_bps": "5"}],
        fills=3,
        flow=BUSY,
    ),
    Case(
        strategies=[
            {
                "kind": "macd",
                **TREND,
                "fast": 3,
                "slow": 6,
                "signal": 2,
                "sizing": {"kind": "volatility-target", "target": "0.002"},
            }
        ],
        fills=3,
        **BARS,
    ),
    Case(strategies=[{"kind": "moving-average", **TREND, "fast": 2, "slow": 5}], fills=3, **BARS),
    Case(
        strategies=[
            {
                "kind": "moving-average",
                **TREND,
                "fast": 2,
                "slow": 5,
                "stop_bps": "30",
                "sizing": {"kind": "fixed-fractional", "risk": "0.002"},
            }
        ],
        fills=3,
        name="moving-average-fixed-fractional",
        **BARS,
    ),
    Case(
        strategies=[{"kind": "moving-average", **TREND, "fast": 2, "slow": 5, "sizing": {"kind": "kelly"}}],
        fills=3,
        name="moving-average-kelly",
        **BARS,
    ),
    Case(
        strategies=[
            {
                "kind": "netted",
                "members": [
                    {
                        "capital": "1000",
                        "strategy": {
                            "kind": "order-book-imbalance",
                            "instrument": ETHUSDC,
                            "qty": "0.05",
                            "position_max": "0.2",
                            "enter": enter,
                            "leave": "0.05",
                            "depth": depth,
                        },
                    }
                    for enter, depth in (("0.3", 5), ("0.2", 2))
                ],
            }
        ],
        fills=5,
    ),
    Case(
        strategies=[
            {
                "kind": "order-book-imbalance",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "position_max": "0.2",
                "enter": "0.3",
                "leave": "0.05",
            }
        ],
        fills=5,
    ),
    Case(
        strategies=[
            {
                "kind": "pure-market-making",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "inventory_max": "0.5",
                "levels": 2,
                "spread_bps": "0.2",
                "step_bps": "0.2",
                "refresh_ms": 50,
                "requote_bps": "0.1",
            }
        ],
        fills=5,
    ),
    Case(
        strategies=[
            {
                "kind": "routed-order",
                "side": "buy",
                "qty": "3",
                "routes": [{"instrument": ETHUSDC}, {"instrument": "second:ETHUSDC"}],
                "slices": 3,
                "interval_ms": 300,
            }
        ],
        instruments={ETHUSDC: {}, "second:ETHUSDC": {"lot_size": "0.01", "taker_fee_bps": "3.9"}},
        fills=3,
    ),
    Case(strategies=[{"kind": "rsi", **TREND, "length": 4, "low": 40, "high": 60}], fills=3, **BARS),
    Case(
        name="several",
        strategies=[
            {
                "kind": "order-book-imbalance",
                "id": "a",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "position_max": "0.2",
                "enter": "0.3",
                "leave": "0.05",
            },
            {
                "kind": "pure-market-making",
                "id": "b",
                "instrument": ETHUSDC,
                "qty": "0.05",
                "inventory_max": "0.5",
                "spread_bps": "0.2",
                "refresh_ms": 50,
                "requote_bps": "0.1",
            },
            {"kind": "moving-average", "id": "c", **TREND, "bar_s": 1, "fast": 1, "slow": 2},
        ],
        fills=6,
        flow=BUSY,
        speed=5,
    ),
    Case(
        strategies=[
            {
                "kind": "cross-venue-arbitrage",
                "instrument": ETHUSDC,
                "pools": ["weth-usdc"],
                "profit_min": "0.2",
                "notional_max": "5000",
                "gas_units": 1000,
            }
        ],
        data=[
            {"kind": "synthetic", "instrument": ETHUSDC, "seconds": 60, "price": "3000", "size": "2"},
            {
                "kind": "synthetic-pool",
                "instrument": ETHUSDC,
                "pool": "weth-usdc",
                "base_reserve": "1000",
                "deviation_bps": "80",
            },
        ],
        tables={
            "pools": [
                {
                    "id": "weth-usdc",
                    "token0": {"symbol": "USDC", "form": "USDC", "decimals": 6},
                    "token1": {"symbol": "WETH", "form": "ETH", "decimals": 18},
                    "fee_pips": 3000,
                }
            ],
            "chain": {"block_s": "2", "base_fee_gwei": "1", "tip_gwei": "0.1"},
            "simulator": {"fee_asset": "received"},
            "capital": {"chain/WETH": "50", "chain/USDC": "150000", "chain/ETH": "5"},
        },
        flow="its pools are on the devnet: test_on_devnet.py",
    ),
    Case(
        strategies=[
            {
                "kind": "statistical-arbitrage",
                "y": ETHUSDC,
                "x": "other:ETHUSDC",
                "notional": "300",
                "sample_s": "0.05",
                "window": 20,
                "test_every": 2,
                "level": "off",
                "hedge": "window",
                "enter": "1",
                "leave": "0.2",
                "stop": "20",
                "ratio_max": "50",
            }
        ],
        # Free of fees: two walks of some seconds do not pay any.
        instruments={ETHUSDC: {"taker_fee_bps": "0"}, "other:ETHUSDC": {"taker_fee_bps": "0"}},
        fills=2,
        flow=Flow(volatility=0.02),
    ),
    Case(
        strategies=[
            {
                "kind": "portfolio-rebalancing",
                "weights": {ETHUSDC: "0.5"},
                "cash": "3000",
                "band": "0.00005",
                "look_s": "0.1",
                "trade_min": "0",
            }
        ],
        instruments={ETHUSDC: {"min_notional": "0"}},
        fills=1,
        flow=Flow(volatility=0.01),
    ),
    Case(
        strategies=[
            {
                "kind": "funding-arbitrage",
                "spot": ETHUSDC,
                "perpetual": "other:ETHUSDC",
                "notional": "300",
                "look_s": "0.1",
                "memory_s": "0.5",
                "interest_bps": "1",
                "damp_bps": "1000",
                "hold_periods": 1000,
                "open_bps": "0",
            }
        ],
        # Two spot markets stand for spot and perpetual: what it decides on is their prices alone.
        instruments={ETHUSDC: {}, "other:ETHUSDC": {}},
        fills=2,
        flow=Flow(volatility=0.005),
    ),
)
