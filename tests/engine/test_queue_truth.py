"""Queue models against an L3 market that is known whole: when an order would have traded."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.l3_market import STEP_NS, L3Market
from tests.support.queue_error import errors, probes, waits

DEFAULT = "power2"


def test_the_default_model_is_the_one_that_was_measured() -> None:
    market = L3Market(3)
    commands = probes(market, 12_000)
    assert waits(DEFAULT, market.l2, commands).tolist() == waits("", market.l2, commands).tolist()
    assert waits("power1", market.l2, commands).tolist() != waits("", market.l2, commands).tolist()


@pytest.mark.parametrize("who", ["anyone", "mixed", "newest"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_default_model_errs_at_least_30_percent_less_than_the_risk_averse_one(who: str, seed: int) -> None:
    error, traded = errors(seed, who, 0, 16_000)
    assert traded > 0.5, "orders that never trade say nothing"
    assert error[DEFAULT] <= 0.7 * error["risk_averse"], error


def test_batches_hide_what_happens_between_them_from_every_model() -> None:
    at_once, _ = errors(1, "mixed", 0, 16_000)
    batched, _ = errors(1, "mixed", 100 * STEP_NS, 16_000)
    assert batched[DEFAULT] < batched["risk_averse"]
    assert batched[DEFAULT] > at_once[DEFAULT]


def test_the_l3_market_repeats_and_its_projection_shows_the_same_book() -> None:
    def grown(seed: int) -> L3Market:
        market = L3Market(seed)
        for _ in market.run(3_000):
            pass
        return market

    market = grown(5)
    assert market.l3 == grown(5).l3 != grown(6).l3
    shown: dict[tuple[int, int], int] = {}
    for _, kind, side, price, size, _ in market.l2:
        if kind == 1:
            shown[side, price] = size
    queues = {
        (side, price): sum(size for _, size in queue) for side in (0, 1) for price, queue in market.queues[side].items()
    }
    assert {level: size for level, size in shown.items() if size} == queues


def test_no_model_trades_what_was_not_traded() -> None:
    """The probes of one lot that have traded are no more than the lots that traded or crossed at their time."""
    market = L3Market(9)
    commands = probes(market, 12_000)
    for model in ("risk_averse", "power1", "log"):
        wait = waits(model, market.l2, commands)
        placed = commands["time_ns"][commands["kind"] == 1]
        order = np.argsort(commands["client_id"][commands["kind"] == 1])
        times = placed[order] + wait
        moments = {row[0] for row in market.l2}
        traded = times[wait < 4_000 * STEP_NS]
        assert set(traded.tolist()) <= moments
