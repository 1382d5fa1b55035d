"""New parameters between two events: fixed keys are named, a replay has them, a restart keeps them."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from domain import InputError
from domain import events as e
from engine.journal import Journal, read_journal
from engine.replay import replay
from engine.runner import LiveRunner
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel, continued
from engine.strategies.changes import changed, differing
from engine.strategies.order_book_imbalance import OrderBookImbalance, OrderBookImbalanceSettings
from engine.strategies.pure_market_making import PureMarketMakingSettings
from engine.wiring import Wiring
from runtime import ManualClock
from tests.engine.markets import ETHUSDC, SECOND, book
from tests.engine.places import MemoryBooks

OURS = OrderBookImbalanceSettings(instrument=ETHUSDC.id, qty=Decimal("0.01"), position_max=Decimal("0.02"), id="obi")
ASSETS = {"USD": {"members": ["USDC"]}, "ETH": {"members": ["ETH"], "mark": ETHUSDC.id}}
HEAVY = ((299_990, 90_000),), ((300_010, 10_000),)


def run_config(settings=OURS, **more):
    part = EngineSettings.model_validate({"assets": ASSETS, "strategies": [settings.model_dump()], **more})
    return RunConfig("run", "live", part, (ETHUSDC,), (), None)


def change(settings, *, time_ns=2 * SECOND, source="operator", number="1"):
    return e.ParametersChanged(
        time_ns=time_ns, strategy="obi", settings=settings.model_dump_json(), source=source, change=number
    )


# --- what may change


def test_values_are_laid_over_and_checked():
    new = changed(OURS, {"enter": "0.5", "depth": 7})
    assert differing(OURS, new) == ("depth", "enter")
    assert (new.enter, new.depth, new.qty) == (Decimal("0.5"), 7, OURS.qty)
    assert changed(OURS, {}) == OURS


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"entr": "0.5"}, "unknown keys entr", "did you mean enter"),
        ({"zzz": 1, "yyy": 2}, "unknown keys yyy, zzz", "there are"),
        ({"enter": "2", "depth": 0}, "depth: .*; enter: |enter: .*; depth: ", "schema order-book-imbalance"),
        ({"instrument": "sandbox:BTCUSDC"}, "instrument cannot change while it runs", "new run"),
        ({"id": "other", "refresh_ms": 77}, "id, refresh_ms cannot change", "new run"),
    ],
)
def test_what_cannot_be_is_named_and_changes_nothing(changes, message, hint):
    with pytest.raises(InputError, match=message) as caught:
        changed(OURS, changes)
    assert hint in caught.value.hint


# --- in the kernel


def test_strategy_decides_by_the_new_ones_from_the_next_event():
    kernel = build_kernel(run_config())
    kernel.step(book(SECOND, *HEAVY))
    assert kernel.orders.open_orders()[0].qty_lots == 100
    fresh = build_kernel(run_config())
    fresh.step(change(changed(OURS, {"enter": "0.95"})))
    fresh.step(book(3 * SECOND, *HEAVY))
    assert fresh.changes == {"1": ""}
    assert not fresh.orders.open_orders()
    assert fresh.parameters["obi"].enter == Decimal("0.95")
    assert fresh.file_parameters["obi"] == OURS


def test_one_that_refuses_keeps_what_it_had(monkeypatch):
    def refuse(self, ctx, settings):
        self.settings = settings
        raise ZeroDivisionError("no such parameters")

    monkeypatch.setattr(OrderBookImbalance, "reconfigure", refuse)
    kernel = build_kernel(run_config())
    kernel.step(change(changed(OURS, {"enter": "0.95"})))
    assert "ZeroDivisionError: no such parameters" in kernel.changes["1"]
    assert kernel.strategies[0].settings == kernel.parameters["obi"] == OURS


def test_who_is_not_there_or_sends_nonsense_is_told_so():
    kernel = build_kernel(run_config())
    kernel.step(e.ParametersChanged(time_ns=SECOND, strategy="who", settings="{}", source="operator", change="a"))
    kernel.step(e.ParametersChanged(time_ns=SECOND, strategy="obi", settings="{}", source="operator", change="b"))
    assert "no strategy who" in kernel.changes["a"]
    assert "instrument" in kernel.changes["b"]
    assert kernel.parameters == {"obi": OURS}


def test_replay_has_them(tmp_path):
    config = run_config()
    journal = Journal.open(tmp_path / "j", config.to_header())
    events = [book(SECOND), change(changed(OURS, {"enter": "0.95"})), book(3 * SECOND, *HEAVY)]
    kernel = build_kernel(config)
    for event in events:
        journal.append(event)
        kernel.step(event)
    journal.close()
    header, recorded = read_journal(tmp_path / "j")
    again = build_kernel(RunConfig.from_header(header))
    replay(again, recorded)
    assert again.parameters == kernel.parameters
    assert again.digest == kernel.digest


async def test_runner_tells_what_became_of_it(tmp_path):
    config = run_config()
    kernel, journal = build_kernel(config), Journal.open(tmp_path / "j", config.to_header())
    clock = ManualClock(SECOND)
    runner = LiveRunner(kernel, journal, Wiring(venues={}, desk=None, bookkeeper=MemoryBooks(), clock=clock))
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(runner.run(stop, started=started.set))
    await started.wait()
    await runner.reconfigure(change(changed(OURS, {"depth": 3})), 10)
    with pytest.raises(InputError, match="no strategy who"):
        await runner.reconfigure(
            e.ParametersChanged(time_ns=0, strategy="who", settings="{}", source="operator", change="x"), 10
        )
    stop.set()
    await task
    journal.close()
    assert kernel.parameters["obi"].depth == 3


# --- over restarts


def test_a_run_goes_on_when_only_what_may_change_changed():
    started, wanted = run_config(), run_config(changed(OURS, {"enter": "0.7"}))
    assert continued(started, wanted) == started
    assert continued(started, wanted).to_header() == started.to_header()


def test_a_run_does_not_go_on_with_another_instrument_kind_or_limit():
    started = run_config()
    other = PureMarketMakingSettings(instrument=ETHUSDC.id, qty=Decimal(1), inventory_max=Decimal(2), id="obi")
    fixed = OURS.model_copy(update={"refresh_ms": 99})
    for wanted in (run_config(other), run_config(fixed), run_config(risk={"capital": 7})):
        assert continued(started, wanted).to_header() != started.to_header()


def test_the_journal_remembers_what_the_file_said_and_what_an_operator_said_after(tmp_path):
    kernel = build_kernel(run_config())
    by_file, by_hand = changed(OURS, {"enter": "0.7"}), changed(OURS, {"enter": "0.9"})
    kernel.step(change(by_file, source="file", number="1"))
    kernel.step(change(by_hand, number="2"))
    assert kernel.file_parameters["obi"] == by_file
    assert kernel.parameters["obi"] == by_hand
    assert json.loads(by_hand.model_dump_json())["enter"] == "0.9"
