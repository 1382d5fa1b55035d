"""A routed order on two exchanges and a pool: whole, cheaper than anywhere alone, and again where a place refuses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from domain import OrderState
from domain.events import OrderReported
from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.run import Finished, run_backtest
from engine.records import CommandKind
from engine.strategies.catalog import make
from engine.strategies.routed_order_settings import RoutedOrderSettings
from tests.engine.strategies.desk import SECOND, Desk

HERE = Path(__file__).parent
ROUTES = [{"instrument": "one:ETHUSDC"}, {"instrument": "two:ETHUSDC"}]
ORDER = {"kind": "routed-order", "side": "buy", "qty": "16", "start_after_ms": 500}


def config(*orders: dict[str, Any], faults: dict[str, Any] | None = None, **more: Any) -> BacktestConfig:
    def exchange(venue: str, lot: str, fee: str) -> dict[str, Any]:
        return {
            "base": "ETH", "quote": "USDC", "tick_size": "0.01", "lot_size": lot, "min_notional": "5",
            "taker_fee_bps": fee,
        }  # fmt: skip

    return BacktestConfig.model_validate(
        {
            "account": "USDC",
            "data": [
                {"kind": "synthetic", "instrument": "one:ETHUSDC", "seconds": 20, "price": "3000", "size": "0.2"},
                {"kind": "synthetic", "instrument": "two:ETHUSDC", "seconds": 20, "price": "3000", "size": "0.3"},
                {
                    "kind": "synthetic-pool", "instrument": "one:ETHUSDC", "pool": "weth-usdc", "deviation_bps": "0",
                    "base_reserve": "30000", "moves_every_blocks": 0,
                },
            ],
            "instruments": {
                "one:ETHUSDC": exchange("one", "0.0001", "9"),
                "two:ETHUSDC": exchange("two", "0.1", "9.5"),
            },
            "pools": [
                {
                    "id": "weth-usdc", "fee_pips": 500,
                    "token0": {"symbol": "USDC", "form": "USDC", "decimals": 6},
                    "token1": {"symbol": "WETH", "form": "ETH", "decimals": 18},
                }
            ],
            "chain": {"block_s": "2", "base_fee_gwei": "1", "tip_gwei": "0.1", **more.pop("chain", {})},
            "strategies": orders,
            "simulator": {"faults": faults or {}},
            "risk": {
                "order_notional_max": 10**6, "swap_notional_max": 10**6, "position_notional_max": 10**6,
                "exposure_notional_max": 10**7, "drawdown_max": 10**5, "messages_per_second_max": 1000,
            },
            "capital": {
                f"{place}/{asset}": "1000000"
                for place in ("one", "two")
                for asset in ("ETH", "USDC")
            } | {"chain/WETH": "100", "chain/USDC": "1000000", "chain/ETH": "5"},
            **more,
        }
    )  # fmt: skip


def run(made: BacktestConfig) -> Finished:
    return run_backtest(made, load_events(made, HERE), HERE)


def executed(done: Finished) -> tuple[Decimal, Decimal]:
    """Base units and quote units with fees and gas, of all of a run: bought is positive, paid is negative."""
    base = quote = Decimal(0)
    for fill in done.fills:
        market = done.markets[fill["instrument"]]
        sign = 1 if fill["side"] == 0 else -1
        qty = int(fill["size"]) * market.lot_size
        base += sign * qty
        quote -= sign * qty * int(fill["price"]) * market.tick_size + Decimal(int(fill["aux"][1])).scaleb(-8)
    for swap in done.settlements:
        quote -= Decimal(swap.gas_wei).scaleb(-18) * 3_000
        if swap.is_mined and swap.amount_in > swap.amount_out:
            base, quote = base - Decimal(swap.amount_in).scaleb(-18), quote + Decimal(swap.amount_out).scaleb(-6)
        elif swap.is_mined:
            base, quote = base + Decimal(swap.amount_out).scaleb(-18), quote - Decimal(swap.amount_in).scaleb(-6)
    return base, quote


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_an_order_is_executed_whole_and_cheaper_than_anywhere_alone(side):
    order = {**ORDER, "side": side}
    places = {
        "all": {"routes": ROUTES, "pools": ["weth-usdc"], "pool_wait_s": "0"},
        "one": {"routes": ROUTES[:1], "collar_bps": "100"},
        "two": {"routes": ROUTES[1:], "collar_bps": "100"},
    }
    paid = {}
    for name, where in places.items():
        done = run(config({**order, **where}))
        base, quote = executed(done)
        assert abs(base) == pytest.approx(16, rel=2e-4), name
        paid[name] = quote / abs(base)
        if name == "all":
            assert set(done.fills["instrument"].tolist()) == {0, 1}
            assert sum(swap.is_mined for swap in done.settlements) == 1
    assert paid["all"] > paid["one"]
    assert paid["all"] > paid["two"]


def test_slices_are_spread_and_their_sum_is_the_order():
    done = run(config({**ORDER, "routes": ROUTES, "qty": "2", "slices": 4, "interval_ms": 1_000}))
    assert executed(done)[0] == 2
    times = sorted({int(fill["time_local_ns"]) // 10**9 for fill in done.fills})
    assert len(times) >= 4


def test_a_limit_leaves_what_is_worse():
    first = run(config({**ORDER, "routes": ROUTES[:1], "qty": "0.1"}))
    price = int(first.fills[0]["price"]) * Decimal("0.01") * Decimal("1.0009")
    done = run(config({**ORDER, "routes": ROUTES, "qty": "500", "limit": str(price.quantize(Decimal("0.01")))}))
    bought = executed(done)[0]
    assert 0 < bought < 500
    worst = max(
        int(fill["price"]) * Decimal("0.01") * (Decimal("1.0009") if fill["instrument"] == 0 else Decimal("1.00095"))
        for fill in done.fills
    )
    assert worst <= price + Decimal("0.01")


def test_lost_messages_end_in_the_whole_order_and_no_more():
    faults = {"request_lost_ppm": 300_000, "report_lost_ppm": 100_000, "duplicate_ppm": 100_000}
    done = run(config({**ORDER, "routes": ROUTES, "qty": "3", "rounds_max": 50}, faults=faults))
    assert executed(done)[0] == 3
    assert (done.commands["kind"] == CommandKind.PLACE).sum() > 2


def test_a_swap_that_is_not_executed_goes_to_exchanges():
    order = {**ORDER, "routes": ROUTES, "pools": ["weth-usdc"], "pool_wait_s": "0", "pool_deadline_s": 1}
    done = run(config(order, chain={"missed_ppm": 1_000_000}))
    assert [swap.is_mined for swap in done.settlements][:1] == [False]
    assert executed(done)[0] == pytest.approx(16, rel=2e-4)


def test_the_same_run_twice_decides_the_same():
    made = config({**ORDER, "routes": ROUTES, "pools": ["weth-usdc"], "pool_wait_s": "0"})
    assert run(made).digest == run(made).digest


def desk(**settings: Any) -> Desk:
    return Desk(
        RoutedOrderSettings(**{**ORDER, "start_after_ms": 0, "routes": ROUTES, **settings}), venues=["one", "two"]
    )


def ended(made: Desk, order: Any) -> list[Any]:
    made.now_ns += SECOND
    return made.tell(
        OrderReported(time_ns=made.now_ns, client_order_id=order.client_order_id, state=OrderState.EXPIRED)
    )


def test_what_comes_back_is_sent_again_and_a_place_that_refuses_is_left_alone():
    made = desk(qty="1", start_after_ms=500, collar_bps="100", limit="3020")
    made.book(300_100, 300_110, lots=5_000)
    made.book(300_000, 300_010, at=1, lots=5_000)
    (first,) = made.placed()
    assert (first.instrument, first.qty_lots) == ("two:ETHUSDC", 1_000)
    # A basis point beyond the level it was meant to take.
    assert first.price_ticks == 300_040
    (order,) = made.kernel.orders.open_orders("s")
    made.fill(order, lots=400)
    assert made.placed() == []
    ended(made, order)
    made.book(300_000, 300_010, at=1, lots=5_000)
    for _ in range(3):
        (order,) = made.kernel.orders.open_orders("s")
        assert (order.instrument, order.open_lots) == ("two:ETHUSDC", 600)
        ended(made, order)
        made.book(300_000, 300_010, at=1, lots=5_000)
    # Three refusals running: the dearer exchange gets the rest.
    (order,) = made.kernel.orders.open_orders("s")
    assert (order.instrument, order.open_lots) == ("one:ETHUSDC", 600)
    made.fill(order)
    made.book(300_000, 300_010, at=1, lots=5_000)
    assert not made.kernel.orders.open_orders("s")
    assert made.strategy.filled == 10**8


def test_its_state_goes_on_in_another_process():
    made = desk(qty="1")
    made.book(300_000, 300_010, lots=5_000)
    assert made.placed()
    other = make(RoutedOrderSettings(**{**ORDER, "routes": ROUTES, "qty": "1"}))
    other.restore(made.strategy.state())
    assert other.state() == made.strategy.state()
    assert not other.is_idle


@pytest.mark.parametrize(
    "bad",
    [
        {"routes": []},
        {"routes": [*ROUTES, ROUTES[0]]},
        {"routes": [{"instrument": "cm:X", "contract": "inverse"}]},
        {"routes": [{"instrument": "cm:X", "face": "100"}]},
        {"side": "short"},
        {"qty": "0"},
    ],
)
def test_settings_that_cannot_be_are_refused(bad):
    with pytest.raises(ValidationError):
        RoutedOrderSettings(**{**ORDER, "routes": ROUTES, **bad})
