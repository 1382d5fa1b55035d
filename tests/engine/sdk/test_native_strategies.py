"""Native kernels decide what the Python classes decide: the same commands and fills, to the last bit."""

from __future__ import annotations

import pytest

from engine.sdk.run import NATIVE_WAKES, engine_config
from engine.strategies.avellaneda_stoikov import AvellanedaStoikov, AvellanedaStoikovSettings
from engine.strategies.quoting import Quoting
from tests.engine.sdk.runs import BTC, VENUE, market, records, run

MODEL = {
    "risk_aversion": 0.1, "arrival_decay": 0.5, "horizon_s": 30.0, "volatility_floor": 0.1,
    "volatility_halflife_s": 20.0, "spread_min_bps": 0.05, "requote_bps": 0.005, "inventory_max": 0.2,
}  # fmt: skip

NARROW = {"risk_aversion": 0.5, "arrival_decay": 20.0, "horizon_s": 0.1, "spread_min_bps": 0.001}
"""Quotes near enough to the touch to be filled."""


def quoting(interval_ms, instrument=0):
    return (
        Quoting(size=10, position_max=200, interval_ms=interval_ms),
        ("quoting", {"instrument": instrument, "size": 10, "behind": 1, "position_max": 200,
                     "interval_ns": round(interval_ms * 1e6)}),
    )  # fmt: skip


def avellaneda_stoikov(**changes):
    model = {**MODEL, **changes}
    settings = AvellanedaStoikovSettings(
        instrument=BTC.name, order_qty="0.01", hedge_above="100", **{name: str(value) for name, value in model.items()}
    )
    native = {"instrument": 0, "tick": 0.1, "lot": 0.001, "order_lots": 10, **model}
    return AvellanedaStoikov(settings), ("avellaneda-stoikov", native)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("interval_ms", [0, 1, 100])
def test_quoting_decides_alike(seed, interval_ms):
    events = market(seed=seed)
    one, other = (run(strategy, events) for strategy in quoting(interval_ms))
    assert one.digest() == other.digest()
    assert one.records() == other.records()
    fills, commands = records(one)
    assert len(fills) > 0
    assert len(commands) > 100


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("changes", [{}, NARROW])
def test_avellaneda_stoikov_decides_alike(seed, changes):
    events = market(seed=seed)
    one, other = (run(strategy, events) for strategy in avellaneda_stoikov(**changes))
    assert one.digest() == other.digest()
    assert one.records() == other.records()
    fills, commands = records(one)
    assert len(commands) > 100
    assert len(fills) > 0 or not changes


def test_run_again_is_the_same_and_another_seed_is_not():
    strategy = quoting(1)[1]
    first, again, other = (run(strategy, market(seed=seed)).digest() for seed in (1, 1, 2))
    assert first == again != other


def test_faults_and_latency_leave_the_equality():
    venue = {**VENUE, "latency": {"place": (7_000_000, 3_000_000)}, "faults": {"seed": 5, "duplicate_ppm": 200_000}}
    one, other = (run(strategy, market(), venue=venue) for strategy in quoting(10))
    assert one.digest() == other.digest()


def test_python_and_native_subscribe_to_the_same():
    config = engine_config((BTC,), [("a", quoting(1)[0]), ("b", quoting(1)[1])], account="USDT")
    python, native = (s["subscriptions"] for s in config["strategies"])
    assert native == [(0, NATIVE_WAKES)]
    assert python == [(None, 1 << 0 | 1 << 9)]


@pytest.mark.parametrize("native", [quoting(1)[1], avellaneda_stoikov(**NARROW)[1]])
def test_native_state_goes_over_to_another_process(native):
    one, other = run(native, market()), run(native, market(seed=9))
    assert one.states() != other.states()
    other.restore(one.states())
    assert one.states() == other.states()
    with pytest.raises(ValueError, match="cannot take this state up"):
        other.restore([b"\0" * 7])


def test_position_stays_within_its_bound_and_one_order_rests_on_a_side():
    made = run(quoting(1)[1], market(seconds=120))
    lots, open_orders = made.standing(0, 0)
    assert abs(lots) <= 200 + 10
    assert open_orders <= 2
