"""A run that changes while it goes on: strategies join, limits tighten; a replay and a restart find the same run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from domain import InputError
from domain import events as e
from engine.journal import Journal, read_journal
from engine.own_limits import OwnLimits, RunLimits, difference, loosened, tightest
from engine.replay import replay
from engine.runner import LiveRunner
from engine.settings import EngineSettings, RiskLimits
from engine.setup import RunConfig, build_kernel, continued
from engine.wiring import Wiring
from runtime import ManualClock
from tests.engine.markets import SECOND, book
from tests.engine.places import MemoryBooks
from tests.engine.strategies.test_reconfigure import HEAVY, OURS, run_config

SECOND_ONE = OURS.model_copy(update={"id": "late"})


def joins(settings=SECOND_ONE, *, time_ns=2 * SECOND, number="j1"):
    return e.StrategyJoined(time_ns=time_ns, settings=settings.model_dump_json(), change=number)


def limits(kernel, strategy="", *, time_ns=2 * SECOND, number="l1", **changes):
    wanted = kernel.limits.changed(strategy, changes)
    return e.LimitsChanged(time_ns=time_ns, limits=wanted.model_dump_json(), change=number)


def orders_of(kernel, strategy):
    return [order for order in kernel.orders.orders.values() if order.strategy == strategy]


# --- strategies


def test_one_that_joins_decides_from_the_next_event_and_is_replayed():
    events = [book(SECOND, *HEAVY), joins(), book(3 * SECOND, *HEAVY), book(4 * SECOND, *HEAVY)]
    kernel = build_kernel(run_config())
    digest = replay(kernel, events)
    assert kernel.changes == {"j1": ""}
    assert [len(orders_of(kernel, name)) for name in ("obi", "late")] == [1, 1]
    assert (kernel.numbers.strategies, kernel.parameters["late"]) == (["obi", "late"], SECOND_ONE)
    again = build_kernel(run_config())
    assert (replay(again, events).hex, again.digest) == (digest.hex, kernel.digest)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (OURS, "there is a strategy obi"),
        (OURS.model_copy(update={"id": "late", "instrument": "sandbox:NONE"}), "sandbox:NONE is not among"),
    ],
)
def test_one_that_cannot_join_changes_nothing(settings, why):
    kernel = build_kernel(run_config())
    kernel.step(joins(settings))
    assert why in kernel.changes["j1"]
    assert (kernel.numbers.strategies, len(kernel.strategies)) == (["obi"], 1)
    kernel.step(joins())
    assert kernel.changes["j1"] == ""


def test_one_that_is_no_settings_at_all_changes_nothing():
    kernel = build_kernel(run_config())
    for text in ("", "{}", '{"kind": "python", "strategy": "os:system"}', "[" * 1_000):
        kernel.step(e.StrategyJoined(time_ns=SECOND, settings=text, change=text))
        assert kernel.changes[text]
    assert len(kernel.strategies) == 1


def two(config):
    strategies = (*config.settings.strategies, SECOND_ONE)
    return replace(config, settings=config.settings.model_copy(update={"strategies": strategies}))


def test_a_run_goes_on_with_more_strategies_than_it_began_with_and_not_with_fewer():
    started = run_config()
    assert continued(started, two(started)) == started
    assert continued(two(started), started) == started, "what was taken away is wanted, and the journal will refuse it"
    own = EngineSettings.model_validate({"strategies": [{"kind": "python", "id": "mine", "strategy": "m:C"}]})
    python = replace(started, settings=started.settings.model_copy(update={"strategies": (OURS, *own.strategies)}))
    assert continued(started, python) == python


async def test_a_restart_finds_who_joined(tmp_path):
    async def run(work):
        clock, config = ManualClock(SECOND), run_config()
        kernel, journal = build_kernel(config), Journal.open(tmp_path / "journal.bin", config.to_header())
        runner = LiveRunner(kernel, journal, Wiring(venues={}, desk=None, bookkeeper=MemoryBooks(), clock=clock))
        stop, started = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(runner.run(stop, started=started.set))
        await started.wait()
        await work(runner)
        stop.set()
        await task
        journal.close()
        return kernel

    async def change(runner):
        await runner.reconfigure(joins(), 5)
        await runner.reconfigure(limits(runner.kernel, "late", order_notional_max="10"), 5)
        with pytest.raises(InputError, match="there is a strategy late"):
            await runner.reconfigure(joins(number="j2"), 5)

    async def nothing(_runner):
        pass

    first, second = await run(change), await run(nothing)
    for kernel in (first, second):
        assert kernel.numbers.strategies == ["obi", "late"]
        assert kernel.limits.own["late"].order_notional_max == Decimal(10)
    fresh = build_kernel(RunConfig.from_header(read_journal(tmp_path / "journal.bin")[0]))
    replay(fresh, read_journal(tmp_path / "journal.bin")[1])
    assert fresh.digest == second.digest


# --- limits


def test_a_tighter_limit_of_a_strategy_binds_it_alone():
    kernel = build_kernel(two(run_config()))
    kernel.step(limits(kernel, "late", order_notional_max="1"))
    commands = kernel.step(book(3 * SECOND, *HEAVY))
    assert [type(c).__name__ for c in commands if c.strategy == "late"] == ["RiskRejected"]
    assert [c.rule for c in commands if isinstance(c, e.RiskRejected)] == ["order_notional"]
    assert len(orders_of(kernel, "obi")) == 1


def test_limits_that_cannot_be_change_nothing():
    kernel = build_kernel(run_config())
    before = kernel.limits
    crowded = RunLimits(run=RiskLimits(shares={"obi": Decimal(10**9)}))
    for text in ("{}", crowded.model_dump_json(), '{"run": {"drawdown_max": "-1"}}'):
        kernel.step(e.LimitsChanged(time_ns=SECOND, limits=text, change=text))
        assert kernel.changes[text]
    assert kernel.limits == before


def test_what_holds_for_a_strategy_is_never_more_than_the_run_allows():
    holds = RunLimits(run=RiskLimits()).changed("late", {"order_notional_max": "900", "drawdown_max": "50"})
    assert (holds.of("late", "order_notional_max"), holds.of("obi", "order_notional_max")) == (900, 1_000)
    assert (holds.of("late", "drawdown_max"), holds.of("obi", "drawdown_max")) == (50, None)
    tighter = holds.changed("", {"order_notional_max": "500", "strategy_drawdown_max": "20"})
    assert (tighter.of("late", "order_notional_max"), tighter.of("late", "drawdown_max")) == (500, 20)
    _, [own], [share] = tighter.native(["late"], value_decimals=2)
    assert (own["order_value_max"], own["losses"]["drawdown"], share) == (50_000, (2_000, 2), 10_000 * 100)
    _, _, [share] = tighter.changed("late", {"capital": "7"}).native(["late"], value_decimals=2)
    assert share == 700


@pytest.mark.parametrize(
    ("strategy", "changes", "why"),
    [
        ("late", {"order_notional_max": "1001"}, "the run allows 1000"),
        ("late", {"order_notional_max": "0"}, "greater than 0"),
        ("late", {"price_collar_bps": "1"}, "price_collar_bps cannot change"),
        ("", {"messages_per_second_max": 5}, "messages_per_second_max cannot change"),
        ("", {"drawdown_max": None}, "drawdown_max"),
        ("", {"loss_max": "many"}, "loss_max"),
        ("", {"kill": {}, "nonsense": 1}, "kill, nonsense cannot change"),
    ],
)
def test_what_cannot_be_is_named(strategy, changes, why):
    holds = RunLimits(run=RiskLimits())
    with pytest.raises(InputError, match=why):
        holds.changed(strategy, changes)


def test_which_way_a_change_goes():
    holds = RunLimits(run=RiskLimits(), own={"late": OwnLimits(drawdown_max=Decimal(50))})
    tighter = holds.changed("", {"drawdown_max": "400", "loss_max": "10"})
    assert loosened(holds, tighter, "") == []
    assert difference(holds, tighter, "") == {"drawdown_max": ["500", "400"], "loss_max": [None, "10"]}
    assert loosened(tighter, holds, "") == ["drawdown_max", "loss_max"]
    assert loosened(holds, holds.changed("late", {"drawdown_max": None}), "late") == ["drawdown_max"]
    assert loosened(holds, holds.changed("late", {"drawdown_max": "50", "loss_max": "1"}), "late") == []


def test_of_what_was_wanted_once_only_what_is_tighter_holds_in_another_run():
    holds = RunLimits(run=RiskLimits(), own={"late": OwnLimits(drawdown_max=Decimal(50))})
    stored = {"drawdown_max": "400", "loss_max": "10", "order_notional_max": "5000", "swap_notional_max": None}
    assert tightest(holds, "", stored) == {"drawdown_max": 400, "loss_max": 10}
    assert tightest(holds, "late", {"drawdown_max": "60", "loss_max": "7", "order_notional_max": "2000"}) == {
        "loss_max": Decimal(7)
    }
    assert tightest(holds, "", {"of_another_release": 1}) == {}
