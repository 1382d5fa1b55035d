"""The native risk gate decides as the plain one in tests/reference does, figure by figure, whatever happens to it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from capstan_native import RiskGate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.reference import risk as plain

SECOND = 10**9
START = 19_000 * 86_400 * SECOND - 30 * SECOND
"""Half a minute before a midnight."""


def terms(**changed: Any) -> dict[str, Any]:
    return {
        "venue": 0,
        "base": 0,
        "quote": 1,
        "inverse": False,
        "contract": False,
        "base_per_lot": 1_000,
        "quote_per_tick_lot": 1,
        "quote_per_lot": 0,
        "order_lots_max": 900,
        "value_min": 2_900,
        "blacklisted": False,
    } | changed


INVERSE = {"inverse": True, "contract": True, "base_per_lot": 0, "quote_per_tick_lot": 0, "quote_per_lot": 10_000}
# ETH and BTC at an exchange, dollars, wrapped ETH, a dollar token, a coin without value.
ASSETS = [(0, 6, False), (1, 3, False), (0, 9, False), (2, 6, False), (1, 6, False), (None, 8, False)]
NO_LOSSES = {"drawdown": None, "total": None, "daily": None, "velocity": None, "velocity_window_ns": 3_200}

few = st.integers(0, 3)
loss = st.one_of(st.none(), st.tuples(st.integers(0, 400), st.integers(1, 4)))
losses = st.fixed_dictionaries(
    {
        "drawdown": loss,
        "total": loss,
        "daily": loss,
        "velocity": loss,
        "velocity_window_ns": st.sampled_from([32, 3_200, 60 * SECOND]),
    }
)
limits = st.fixed_dictionaries(
    {
        "order_value_max": st.sampled_from([150_000, 3_000_000]),
        "swap_value_max": st.sampled_from([150_000, 3_000_000]),
        "collar_ppm": st.sampled_from([1_000, 10_000, 999_999]),
        "position_value_max": st.sampled_from([200_000, 500_000, 3_000_000]),
        "exposure_value_max": st.sampled_from([200_000, 900_000, 6_000_000]),
        "open_orders_max": st.integers(1, 4),
        "open_orders_total_max": st.integers(1, 6),
        "messages_per_second_max": st.sampled_from([1, 3, 7]),
        "book_age_ns_max": st.just(2 * SECOND),
        "capital": st.just(10**8),
        "executions_max": st.integers(1, 4),
        "executions_window_ns": st.sampled_from([SECOND, 10 * SECOND]),
        "executions_pause_ns": st.sampled_from([SECOND // 2, 5 * SECOND]),
        "executions_stage": st.integers(1, 4),
        "strategy_losses": losses,
        "losses": losses,
    }
)
KILL = {
    "cancel_again_ns": 1,
    "cancel_ns_max": 0,
    "flatten_ns_max": 0,
    "flatten_collar_ppm": 0,
    "flatten_again_ns": 1,
    "flatten_attempts_max": 1,
    "freeze_when_flat": False,
}
configs = st.builds(
    lambda limits, shares, pool, black: {
        "limits": limits | {"kill": KILL},
        "assets": [(e, d, n == black) for n, (e, d, _) in enumerate(ASSETS)],
        "economics": [False, True, False],
        "instruments": [terms(), terms(venue=1, contract=True), terms(venue=1, **INVERSE), terms(base=3, value_min=0)],
        "pools": [False, pool],
        "venues": 2,
        "shares": shares,
    },
    limits,
    st.lists(st.sampled_from([100_000, 400_000, 5_000_000]), min_size=1, max_size=2),
    st.booleans(),
    st.sampled_from([-1, -1, -1, 0, 1, 2, 3]),
)


def odd(rng: Random, usual: Any, *others: Any) -> Any:
    """The usual value nineteen times in twenty: one thing wrong at a time, or every order would fail at the first."""
    return usual if rng.random() < 0.95 else rng.choice(others)


def ask_of(rng: Random, strategies: int, now: int) -> dict[str, Any]:
    """What the world looks like: holdings of every strategy and of nobody, books, prices."""
    scale = rng.choice([0, 1, 10, 60])

    def lots() -> tuple[int, int, int]:
        return rng.randint(-scale, scale), rng.randint(0, scale), rng.randint(0, scale)

    def moved(decimals: int) -> tuple[int, int, int]:
        most = scale * 10 ** (decimals - 3)
        return rng.randint(-most, most), rng.randint(0, most), rng.randint(0, most)

    bid = rng.randint(2_950, 3_050)
    return {
        "now_ns": now,
        "strategy": odd(rng, rng.randrange(strategies), strategies),
        "top": (
            odd(rng, bid, 0, -1),
            odd(rng, bid + rng.randint(1, 9), bid, 0),
            now - odd(rng, rng.randint(0, 2 * SECOND), 2 * SECOND + 1, -1),
            odd(rng, False, True),
        ),
        "own_bid": rng.choice([0, 0, bid - 5]),
        "own_ask": rng.choice([0, 0, bid + 5]),
        "replaces": odd(rng, rng.choice([0, 0, rng.randint(1, 60)]), -1),
        "open_orders": rng.choice([0, 0, 0, 1, 3]),
        "open_orders_total": rng.choice([0, 0, 0, 1, 5]),
        "lots": [[rng.choice([(0, 0, 0), lots()]) for _ in range(4)] for _ in range(strategies + 1)],
        "moved": [[rng.choice([(0, 0, 0), moved(d)]) for _, d, _ in ASSETS] for _ in range(strategies + 1)],
        "prices": [
            odd(rng, (rng.randint(2_999_000, 3_001_000), 1_000_003), None),
            odd(rng, (1, 1), None),
            (rng.randint(2_999, 3_001), 10**6),
            odd(rng, (60_000, 1_000), None),
            (1, 1_000),
            None,
        ],
    }


def order_of(rng: Random) -> dict[str, Any]:
    return {
        "instrument": odd(rng, rng.choice([0, 0, 1, 2, 3]), 9),
        "side": odd(rng, rng.randint(0, 1), 2),
        "price": odd(rng, rng.randint(2_940, 3_060), rng.randint(2_000, 4_000), 0, -1),
        "size": odd(rng, rng.randint(1, 90), rng.randint(90, 2_000), 0, -1),
        "market": odd(rng, False, True),
        "reduce_only": rng.random() < 0.2,
    }


def swap_of(rng: Random) -> dict[str, Any]:
    ends = [(1, 2), (2, 1), (4, 2), (2, 4), (1, 3), (3, 1), (0, 3), (1, 4)]
    asset_in, asset_out = odd(rng, rng.choice(ends), (2, 2), (5, 1), (1, 6), (6, 5))
    amounts = [10 ** (ASSETS[asset][1] - 3) if asset < 6 else 1 for asset in (asset_in, asset_out)]
    most = [
        amount * (30_000 if asset in (1, 4) else 60)
        for amount, asset in zip(amounts, (asset_in, asset_out), strict=True)
    ]
    return {
        "pool": odd(rng, rng.choice([0, 0, 1]), 7),
        "asset_in": asset_in,
        "asset_out": asset_out,
        "amount_in": odd(rng, rng.randint(1, most[0]), 0, most[0] * 20),
        "amount_out": odd(rng, rng.randint(1, most[1]), 0, most[1] * 20),
    }


class Differential(RuleBasedStateMachine):
    """Both gates live through the same."""

    @initialize(config=configs)
    def begin(self, config: dict[str, Any]) -> None:
        self.config, self.now = config, START
        self.native, self.plain = RiskGate(config), plain.Gate(config)

    @rule(seed=st.integers(0, 2**32), swaps=st.booleans())
    def requests(self, seed: int, swaps: bool) -> None:
        rng = Random(seed)
        for _ in range(20):
            ask = ask_of(rng, len(self.config["shares"]), self.now)
            if swaps:
                swap = swap_of(rng)
                assert self.native.check_swap(ask, **swap) == self.plain.check_swap(ask, **swap), (ask, swap)
            else:
                order = order_of(rng)
                assert self.native.check(ask, **order) == self.plain.check(ask, **order), (ask, order)

    @rule(venue=st.integers(0, 1))
    def cancel(self, venue: int) -> None:
        """A cancel passes whatever the bucket holds, and is charged."""
        self.native.count_message(venue, self.now)
        self.plain.count_message(venue, self.now)

    @rule(passed=st.sampled_from([1, SECOND // 7, SECOND // 3, SECOND, 3 * SECOND, 40 * SECOND, 86_400 * SECOND]))
    def time(self, passed: int) -> None:
        self.now += passed

    @rule(data=st.data(), first=st.sampled_from([True, True, False]))
    def fill(self, data: st.DataObject, first: bool) -> None:
        strategy = data.draw(st.integers(0, len(self.config["shares"]) - 1))
        assert self.native.on_fill(self.now, strategy, first) == self.plain.on_fill(self.now, strategy, first)

    @rule(data=st.data())
    def mark(self, data: st.DataObject) -> None:
        count = len(self.config["shares"])
        results = data.draw(st.lists(st.integers(-300, 300), min_size=count, max_size=count))
        assert self.native.on_mark(self.now, results) == self.plain.on_mark(self.now, results)

    @precondition(lambda self: self.native.stages()[0] < 2)
    @rule(data=st.data(), to=st.sampled_from([1, 1, 2, 3, 4]))
    def operator_raises(self, data: st.DataObject, to: int) -> None:
        who = data.draw(st.one_of(st.none(), st.integers(0, len(self.config["shares"]) - 1)))
        assert self.native.raise_stage(self.now, who, to) == self.plain.raise_stage(self.now, who, to)

    @rule(data=st.data(), to=st.sampled_from([0, 0, 1, 2]))
    def operator_lowers(self, data: st.DataObject, to: int) -> None:
        who = data.draw(st.one_of(st.none(), st.integers(0, len(self.config["shares"]) - 1)))
        assert self.native.lower_stage(self.now, who, to) == self.plain.lower_stage(self.now, who, to)

    @rule()
    def restart(self) -> None:
        self.native.restart()

    @invariant()
    def stages_and_buckets_are_equal(self) -> None:
        if hasattr(self, "native"):
            whole, each = self.native.stages()
            assert (whole, list(each)) == self.plain.stages()
            for venue in range(2):
                assert self.native.wait_ns(venue, self.now) == self.plain.wait_ns(venue, self.now)


TestDifferential = Differential.TestCase
TestDifferential.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)

WIDE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]))
WIDER = st.one_of(st.integers(-(2**127), 2**127 - 1), st.sampled_from([0, 1, 2**127 - 1, -(2**127)]))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_figures_at_the_ends_of_their_range_refuse_and_never_wrap(data: st.DataObject) -> None:
    config = {
        "limits": {
            "order_value_max": 10**6, "swap_value_max": 10**6, "collar_ppm": 999_999, "position_value_max": 10**6,
            "exposure_value_max": 10**6, "open_orders_max": 9, "open_orders_total_max": 9,
            "messages_per_second_max": 1_000_000, "book_age_ns_max": 2**62, "capital": 10**6, "executions_max": 9,
            "executions_window_ns": 1, "executions_pause_ns": 1, "executions_stage": 2,
            "strategy_losses": NO_LOSSES, "losses": NO_LOSSES, "kill": KILL,
        },
        "assets": ASSETS,
        "economics": [False, True, False],
        "instruments": [terms(order_lots_max=0), terms(contract=True, order_lots_max=0), terms(**INVERSE)],
        "pools": [False],
        "venues": 1,
        "shares": [10**6],
    }  # fmt: skip
    triple = st.tuples(WIDE, WIDE, WIDE)
    wide = st.tuples(WIDER, WIDER, WIDER)
    bid = data.draw(st.integers(1, 2**63 - 2))
    ask = {
        "now_ns": data.draw(WIDE), "strategy": 0, "top": (bid, bid + 1, data.draw(WIDE), False), "own_bid": 0,
        "own_ask": 0, "replaces": data.draw(WIDE), "open_orders": 0, "open_orders_total": 0,
        "lots": data.draw(st.lists(st.tuples(triple, triple, triple), min_size=2, max_size=2)),
        "moved": data.draw(st.lists(st.tuples(*([wide] * 6)), min_size=2, max_size=2)),
        "prices": [(3_000, 1_000), (1, 1), (3_000, 10**6), None, (1, 1_000), None],
    }  # fmt: skip
    order = {
        "instrument": data.draw(few.filter(lambda n: n < 3)), "side": data.draw(st.integers(0, 1)),
        "price": data.draw(WIDE), "size": data.draw(WIDE), "reduce_only": data.draw(st.booleans()),
    }  # fmt: skip
    native, oracle = RiskGate(config), plain.Gate(config)
    judged, wanted = native.check(ask, **order), oracle.check(ask, **order)
    # Beyond the integers' range the rule may be another (overflow, no price); that it refuses may not.
    assert (judged is None) <= (wanted is None)
    swap = {"pool": 0, "asset_in": 2, "amount_in": data.draw(WIDER), "asset_out": 1, "amount_out": data.draw(WIDER)}
    assert (native.check_swap(ask, **swap) is None) <= (oracle.check_swap(ask, **swap) is None)


def test_a_configuration_that_makes_no_sense_makes_no_gate() -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        RiskGate({})
