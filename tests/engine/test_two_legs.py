"""Whatever fails, one leg or the other or the unwind, nothing stays open: seeded rounds of arbitrage with faults.

`python -m soak.two_legs` plays five hundred rounds and more; here are a few of every kind.
"""

from __future__ import annotations

import pytest

from tests.engine.two_legs import DUST, ORDER_FATES, SWAP_FATES, UNWIND_BOUND_S, play


@pytest.mark.parametrize("legs", ["exchange-first", "at-once"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_single_failure_leaves_a_position(legs: str, seed: int) -> None:
    world, rounds = play(seed, 20, legs=legs)
    for number, found in enumerate(rounds):
        assert abs(found.open_raw) <= DUST, (seed, number, found)
        assert found.flat_after_s <= UNWIND_BOUND_S, (seed, number, found)
    assert sum(bool(found.fates) for found in rounds) >= 15
    # The engine's own books say what is so: to the unit of the exchange.
    mine = world.kernel.portfolio.position("ETH", "arb")
    assert round(mine * 10**8) == pytest.approx(world.open_raw, abs=2)


@pytest.mark.parametrize("legs", ["exchange-first", "at-once"])
def test_without_faults_every_opportunity_is_taken_and_nothing_is_unwound(legs: str) -> None:
    world, rounds = play(3, 8, legs=legs, faults=0.0)
    assert [found.fates[:2] for found in rounds] == [("filled", "mined")] * 8
    assert all(abs(found.open_raw) <= DUST for found in rounds)
    assert not world.fates.keys() - {"filled", "mined"}


def test_every_fate_is_met() -> None:
    world, _rounds = play(4, 60, legs="at-once", faults=0.9)
    assert world.fates.keys() == {*ORDER_FATES, *SWAP_FATES}
