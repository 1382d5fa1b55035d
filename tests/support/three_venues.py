"""Routed orders on three recorded venues of one asset (Binance spot, USD-M, COIN-M) and a pool.

The pool is made: constant product, as deep as said, moved in every block to near the recorded spot price. ETH's own
recording prices its gas. Without recorded data the same on synthetic books.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.data.captures import Events
from tests.support.market_data import RECORDINGS

VENUES: Mapping[str, Mapping[str, Any]] = {
    "spot:BTCUSDT": {"quote": "USDT", "tick_size": "0.01", "lot_size": "0.00001", "min_notional": "5"},
    "usdm:BTCUSDT": {"quote": "USDT", "tick_size": "0.1", "lot_size": "0.001", "contract": "linear"},
    "cm:BTCUSD_PERP": {
        "quote": "USDT", "tick_size": "0.1", "lot_size": "1", "contract": "inverse", "face": "100",
    },
}  # fmt: skip
FILES = {"spot:BTCUSDT": "spot_btcusdt", "usdm:BTCUSDT": "usdm_btcusdt", "cm:BTCUSD_PERP": "cm_btcusd_perp"}
FEES: Mapping[str, tuple[str, str, str, int]] = {
    "small account": ("10", "5", "5", 500),
    "large account": ("2.3", "1.7", "2.4", 500),
}
"""Taker fees in bps at spot, USD-M, COIN-M, and the pool's in millionths."""
ROUTES: Mapping[str, Mapping[str, Any]] = {
    "spot:BTCUSDT": {"instrument": "spot:BTCUSDT"},
    "usdm:BTCUSDT": {"instrument": "usdm:BTCUSDT", "contract": "linear"},
    "cm:BTCUSD_PERP": {"instrument": "cm:BTCUSD_PERP", "contract": "inverse", "face": "100"},
}
POOL = "wbtc-usdt"


def orders(qty: str, count: int, *, every_s: float, places: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
    """Parents one after the other, buying and selling by turns."""
    return [
        {
            "kind": "routed-order",
            "id": f"o{at}",
            "side": "sell" if at % 2 else "buy",
            "qty": qty,
            "start_after_ms": round((at + 1) * every_s * 1_000),
            "routes": [ROUTES[name] for name in places if name in ROUTES],
            "pools": [name for name in places if name == POOL],
            "levels": 200,
            "collar_bps": "60",
            **settings,
        }
        for at in range(count)
    ]


def config(
    strategies: Sequence[Mapping[str, Any]],
    *,
    fees: str = "large account",
    folder: Path | None,
    seconds: float = 30,
    base_reserve: str = "3000",
    latency_us: int = 2_000,
) -> BacktestConfig:
    """The market with its strategies: recorded where a folder is given, else synthetic."""
    spot, usdm, coin, pips = FEES[fees]
    data: list[dict[str, Any]] = []
    for at, (name, stem) in enumerate({**FILES, "spot:ETHUSDT": "spot_ethusdt"}.items()):
        if folder is not None:
            path = str(folder / RECORDINGS[stem].files[0])
            data.append({"kind": "capture", "instrument": name, "path": [path], "clock_shift_ms": 1280})
        else:
            price, size = ("2600", "2") if "ETH" in name else ("60000", "0.05")
            size = "30" if "cm" in name else size
            data.append({"kind": "synthetic", "instrument": name, "seconds": seconds, "seed": 7 + at, "price": price,
                         "size": size})  # fmt: skip
    data.append({"kind": "synthetic-pool", "instrument": "spot:BTCUSDT", "pool": POOL, "deviation_bps": "3",
                 "base_reserve": base_reserve})  # fmt: skip
    instruments: dict[str, dict[str, Any]] = {
        name: {"base": "BTC", **terms, "taker_fee_bps": fee}
        for (name, terms), fee in zip(VENUES.items(), (spot, usdm, coin), strict=True)
    }
    instruments["spot:ETHUSDT"] = {"base": "ETH", "quote": "USDT", "tick_size": "0.01", "lot_size": "0.0001"}
    return BacktestConfig.model_validate(
        {
            "account": "USDT",
            "data": data,
            "instruments": instruments,
            "pools": [
                {
                    "id": POOL, "fee_pips": pips,
                    "token0": {"symbol": "WBTC", "form": "BTC", "decimals": 8},
                    "token1": {"symbol": "USDTe", "form": "USDT", "decimals": 6},
                }
            ],
            "chain": {"block_s": "12", "base_fee_gwei": "10", "tip_gwei": "1"},
            "strategies": strategies,
            "simulator": {"latency": {"order_us": latency_us, "answer_us": latency_us}},
            "risk": {
                "order_notional_max": 10**8, "swap_notional_max": 10**8, "position_notional_max": 10**10,
                "exposure_notional_max": 10**11, "drawdown_max": 10**9, "price_collar_bps": 500,
                "messages_per_second_max": 10_000, "open_orders_max": 1_000, "book_age_ms_max": 60_000,
            },
            "capital": {
                **{f"{venue}/{asset}": "1000000000" for venue in ("spot", "usdm", "cm") for asset in ("BTC", "USDT")},
                "chain/WBTC": "100000", "chain/USDTe": "1000000000", "chain/ETH": "1000",
            },
        }
    )  # fmt: skip


def events(made: BacktestConfig, *, seconds: float | None = None) -> Events:
    """Its data, from where every market is known on, and no longer than said."""
    found = load_events(made, Path())
    if seconds is None:
        return found
    end_ns = int(found["time_local_ns"][0]) + round(seconds * 1e9)
    cut = int(np.searchsorted(found["time_local_ns"], end_ns))
    return np.ascontiguousarray(found[:cut])


def gas_price(name: str = "2600") -> float:
    """What a coin of gas is taken to be worth in reports."""
    return float(Decimal(name))
