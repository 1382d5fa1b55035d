"""Every cycle is known once, and a change is asked about where it matters and nowhere else."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dex import PoolReplica
from dex.arbitrage.cycles import CycleOptimum
from dex.arbitrage.index import CycleIndex, CycleScanner, disjoint
from domain import InputError
from domain.events import PoolInvalidated, PoolSynced
from tests.dex.arbitrage.markets import BTC, ETH, USD, random_market, v2_pool

COIN = "eip155:1337/slip44:60"


def _tokens(market: dict[str, PoolReplica]) -> dict[str, tuple[str, ...]]:
    return {name: pool.tokens for name, pool in market.items()}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), legs_max=st.integers(2, 4))
def test_the_cycles_are_all_there_are_each_once(seed: int, legs_max: int) -> None:
    chance = random.Random(seed)
    tokens = ["a", "b", "c", "d"]
    pools = {f"p{n}": tuple(chance.sample(tokens, chance.choice([2, 2, 3]))) for n in range(5)}
    index = CycleIndex(pools, ["a", "b"], legs_max=legs_max)
    expected = set()
    for count in range(2, legs_max + 1):
        for chosen in itertools.permutations(pools, count):
            for walk in itertools.permutations(tokens, count):
                legs = [(chosen[i], walk[i], walk[(i + 1) % count]) for i in range(count)]
                begins = "a" if "a" in walk else "b"
                if walk[0] == begins and all(x in pools[p] and y in pools[p] for p, x, y in legs):
                    expected.add(tuple(legs))
    found = [tuple((leg.pool, leg.token_in, leg.token_out) for leg in cycle.legs) for cycle in index.cycles]
    assert len(found) == len(set(found))
    assert set(found) == expected
    for pool in pools:
        assert index.touched([pool]) == [n for n, legs in enumerate(found) if pool in {leg[0] for leg in legs}]


def test_the_coin_passes_for_its_wrapped_form() -> None:
    pools = {"v4": (COIN, USD), "v3": (ETH, USD)}
    assert CycleIndex(pools, [ETH]).cycles == ()
    index = CycleIndex(pools, [ETH], same={COIN: ETH})
    assert [[(leg.pool, leg.token_in) for leg in cycle.legs] for cycle in index.cycles] == [
        [("v3", ETH), ("v4", USD)],
        [("v4", COIN), ("v3", USD)],
    ]


def test_too_many_cycles_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dex.arbitrage.index._CYCLES_MAX", 5)
    with pytest.raises(InputError, match="more than 5 cycles"):
        CycleIndex({f"p{n}": (ETH, USD) for n in range(4)}, [ETH])


def _key(found: CycleOptimum) -> tuple[object, ...]:
    return found.cycle.legs, found.amounts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_asking_about_what_changed_gives_what_asking_about_all_gives(seed: int) -> None:
    chance = random.Random(seed)
    market = random_market(chance, 6)
    index = CycleIndex(_tokens(market), [ETH, USD, BTC])
    scanner = CycleScanner(index, market)
    scanner.update()
    for block in range(6, 12):
        name = chance.choice([name for name, pool in market.items() if pool.is_valid])
        token = chance.choice(market[name].tokens)
        market[name] = market[name].after_exact_in(token, chance.randint(1, 10 ** chance.randint(5, 18)))
        if block == 10:
            market["p0"].apply(PoolInvalidated(time_ns=0, pool="p0", reason="reorg"))
        changed = {name, "p0"} if block == 10 else {name}
        fresh = CycleScanner(index, market)
        assert sorted(map(_key, scanner.update(changed)), key=str) == sorted(map(_key, fresh.update()), key=str)


def test_cycles_that_no_change_touches_are_not_solved_again() -> None:
    market: dict[str, PoolReplica] = {
        "a": v2_pool("a", ETH, USD, 10**21, 3_100_000 * 10**6),
        "b": v2_pool("b", ETH, USD, 10**21, 3_000_000 * 10**6),
        "c": v2_pool("c", BTC, USD, 10**11, 60_000_000 * 10**6),
        "d": v2_pool("d", BTC, USD, 10**11, 63_000_000 * 10**6),
    }
    scanner = CycleScanner(CycleIndex(_tokens(market), [ETH, BTC]), market)
    assert len(scanner.update()) == 2
    solved = scanner.solved
    market["c"].apply(PoolSynced(time_ns=0, pool="c", block_number=6, reserve0=str(10**11), reserve1=str(61 * 10**12)))
    assert len(scanner.update(["c"])) == 2
    assert scanner.solved == solved + 1


def test_chosen_cycles_share_no_pool_and_the_best_comes_first() -> None:
    market: dict[str, PoolReplica] = {
        "a": v2_pool("a", ETH, USD, 10**21, 3_200_000 * 10**6),
        "b": v2_pool("b", ETH, USD, 10**21, 3_000_000 * 10**6),
        "c": v2_pool("c", ETH, USD, 10**21, 3_100_000 * 10**6),
        "d": v2_pool("d", BTC, USD, 10**11, 60_000_000 * 10**6),
        "e": v2_pool("e", BTC, USD, 10**11, 63_000_000 * 10**6),
    }
    found = CycleScanner(CycleIndex(_tokens(market), [ETH, BTC], legs_max=2), market).update()
    worth = {ETH: Fraction(1), BTC: Fraction(20 * 10**18, 10**8)}
    chosen = disjoint(found, lambda optimum: Fraction(optimum.profit) * worth[optimum.cycle.token])
    assert [{leg.pool for leg in optimum.cycle.legs} for optimum in chosen] == [{"a", "b"}, {"d", "e"}] or [
        {leg.pool for leg in optimum.cycle.legs} for optimum in chosen
    ] == [{"d", "e"}, {"a", "b"}]
    assert disjoint(found, lambda optimum: Fraction(0)) == []
