"""Kinds with pools, unchanged, between a sandbox exchange and a devnet: they trade on both, and the ledger is true.

True is: what the ledger says of exchange and vault is what exchange and chain say, to the unit, gas included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chain.devnet import Devnet
from tests.engine.strategies.devnet_lab import POOLS, trade_on_devnet
from tests.engine.strategies.flow import Flow

pytestmark = pytest.mark.anvil

WANDERING = Flow(volatility=0.004, arrival_rate=60.0)
THIN = Flow(volatility=0.001, arrival_rate=60.0, level_notional=1_500.0)
"""Not deep enough for a slice of the routed order."""
ETHUSDC = "sandbox:ETHUSDC"
CASES: tuple[tuple[Mapping[str, Any], int, int, Flow], ...] = (
    (
        {
            "kind": "avellaneda-stoikov",
            "instrument": ETHUSDC,
            "hedge_pools": list(POOLS),
            "order_qty": "0.5",
            "inventory_max": "5",
            "hedge_above": "0.2",
            "hedge_cost_max_bps": "500",
            "hedge_slippage_bps": "100",
            "spread_min_bps": "0.5",
            "risk_aversion": "0.0001",
            "arrival_decay": "50",
        },
        3,
        1,
        WANDERING,
    ),
    (
        {
            "kind": "cross-venue-arbitrage",
            "instrument": ETHUSDC,
            "pools": list(POOLS),
            "profit_min": "0.5",
            "notional_max": "20000",
            "slippage_bps": "50",
        },
        1,
        1,
        WANDERING,
    ),
    (
        {
            "kind": "cross-venue-arbitrage",
            "instrument": ETHUSDC,
            "pools": list(POOLS),
            "profit_min": "0.5",
            "notional_max": "20000",
            "slippage_bps": "50",
            "legs": "at-once",
        },
        1,
        1,
        WANDERING,
    ),
    (
        {
            "kind": "routed-order",
            "side": "buy",
            "qty": "30",
            "routes": [{"instrument": ETHUSDC}],
            "pools": list(POOLS),
            "collar_bps": "200",
            "pool_slippage_bps": "100",
            "slices": 3,
            "interval_ms": 300,
        },
        1,
        1,
        THIN,
    ),
)


@pytest.mark.parametrize(("strategy", "fills", "swaps", "flow"), CASES, ids=[str(case[0]["kind"]) for case in CASES])
async def test_it_trades_on_both_and_the_ledger_is_true(
    strategy: Mapping[str, Any], fills: int, swaps: int, flow: Flow, devnet: Devnet, tmp_path: Path
) -> None:
    run = await trade_on_devnet(devnet, strategy, tmp_path, fills=fills, swaps=swaps, flow=flow)
    assert run.kernel.trades_booked >= fills
    assert run.swaps >= swaps
    assert not run.kernel.orders.open_orders()
    assert not run.kernel.swaps
    assert run.differences == []
    assert run.replayed == run.decided
