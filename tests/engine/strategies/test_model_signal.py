"""The strategy that trades a model's signal: what it asks is what research would have asked, and drift stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from domain import InputError
from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.run import Finished, run_backtest
from engine.models.artefact import load_artefact
from engine.models.features import WINDOW, of_history
from engine.models.inference import LocalModel
from engine.records import EventKind
from engine.strategies.catalog import make
from engine.strategies.model_signal import ModelSignalSettings
from tests.support.shipped_models import FOLDER, shipped

WIDE = {"reach": 1e9, "share_max": 1.0}
INSTRUMENT = "sim:BTCUSDT"


def config(model: str = "forest", *, tables: dict[str, Any] | None = None, **keys: Any) -> BacktestConfig:
    strategy = {
        "kind": "model-signal",
        "instrument": INSTRUMENT,
        "model": shipped(model),
        "period_minutes": 1,
        "qty": "0.5",
        "drift": WIDE,
    }
    given = {
        "data": [{"kind": "ohlcv", "instrument": INSTRUMENT, "path": "bars.csv", "period_minutes": 1, "tradable": {}}],
        "instruments": {
            INSTRUMENT: {
                "base": "BTC",
                "quote": "USDT",
                "contract": "linear",
                "tick_size": "0.01",
                "lot_size": "0.001",
                "taker_fee_bps": "5",
            }
        },
        "strategies": [{**strategy, **keys}],
        "risk": {
            "order_notional_max": 10**6,
            "position_notional_max": 10**6,
            "exposure_notional_max": 10**7,
            "drawdown_max": 10**6,
            "price_collar_bps": 500,
        },
        **(tables or {}),
    }
    return BacktestConfig.model_validate(given)


def run(model: str = "forest", **keys: Any) -> Finished:
    asked = config(model, **keys)
    return run_backtest(asked, load_events(asked, FOLDER), FOLDER)


def signals(finished: Finished, name: str = "probability") -> list[float]:
    return [signal.value for signal in finished.signals if signal.name == name]


def bars_of(asked: BacktestConfig) -> Any:
    events = load_events(asked, FOLDER)
    return events[events["kind"] == EventKind.BAR]


@pytest.mark.parametrize("name", ["forest", "lstm"])
def test_it_asks_what_research_would_ask(name):
    finished = run(name)
    model = LocalModel(load_artefact(shipped(name)))
    vectors, steps = of_history(bars_of(config(name))), model.card.steps
    inputs = [vectors[at] if steps == 1 else vectors[at - steps + 1 : at + 1] for at in range(steps - 1, len(vectors))]
    assert len(inputs) == 300 - WINDOW + 1 - (steps - 1)
    assert signals(finished) == [model.probability(x) for x in inputs]
    last = next(signal for signal in reversed(finished.signals) if signal.name == "probability")
    assert [last.inputs[feature] for feature in model.card.features] == [float(value) for value in vectors[-1]]


def test_it_holds_what_the_signal_says():
    finished = run(enter=0.05, leave=0.0, short=True)
    lots, wanted, position = 500, [], 0
    for p in signals(finished):
        edge = p - 0.5
        if abs(edge) >= 0.05:
            position = lots if edge > 0 else -lots
        elif (edge <= 0.0 and position > 0) or (edge >= 0.0 and position < 0):
            position = 0
        wanted.append(position)
    changes = np.diff([0, *wanted])
    signed = np.where(finished.fills["side"] == 0, finished.fills["size"], -finished.fills["size"].astype(np.int64))
    times = finished.fills["time_exchange_ns"]
    traded = [int(signed[times == moment].sum()) for moment in np.unique(times)]
    # Each order arrives after the next open and fills whole; the last bar's has no next open.
    assert traded == [int(change) for change in changes[:-1] if change]
    assert min(wanted) == -lots
    assert max(wanted) == lots


def test_without_leave_to_go_short_it_never_does():
    finished = run(enter=0.01)
    signed = np.where(finished.fills["side"] == 0, finished.fills["size"], -finished.fills["size"].astype(np.int64))
    held = np.cumsum(signed)
    assert held.min() >= 0
    assert held.max() == 500


def test_drift_closes_the_position_and_it_stays_closed():
    calm = run()
    first = calm.fills["time_exchange_ns"][0]
    asked = config(drift={"reach": 1.0, "share_max": 1.0, "window": 50})
    events = load_events(asked, FOLDER)
    bars = events["kind"] == EventKind.BAR
    after = np.flatnonzero(bars & (events["time_exchange_ns"] > first))[0]
    events["size"][after] = 10**9  # A volume that no bar of training had.
    finished = run_backtest(asked, events, FOLDER)
    (stopped,) = [signal for signal in finished.signals if signal.name == "stopped"]
    assert "volume_1" in str(stopped.inputs["reason"])
    assert stopped.time_ns == events["time_local_ns"][after]
    assert not [s for s in finished.signals if s.name == "probability" and s.time_ns >= stopped.time_ns]
    signed = np.where(finished.fills["side"] == 0, finished.fills["size"], -finished.fills["size"].astype(np.int64))
    assert signed.sum() == 0
    moments = np.unique(finished.fills["time_exchange_ns"])
    assert len(moments) == 2  # What was bought was sold at the next open; nothing more.
    assert moments[1] > stopped.time_ns


def test_bars_of_another_period_are_not_the_models():
    with pytest.raises(InputError, match="reads bars of 1 minutes, period_minutes is 5"):
        make(config(period_minutes=5).strategies[0], FOLDER).on_start(None)
    with pytest.raises(InputError, match="wants bars of 5 minutes"):
        run(period_minutes=5)


def test_it_goes_on_from_its_state():
    # What a kernel does after a crash: state of one, restored into another, then the same bars.
    asked = config("lstm")
    bars = bars_of(asked)
    whole, first = (Spoken(make(asked.strategies[0], FOLDER)) for _ in range(2))
    for bar in bars:
        whole.tell(bar)
    for bar in bars[:200]:
        first.tell(bar)
    second = Spoken(make(asked.strategies[0], FOLDER), state=first.strategy.state())
    for bar in bars[200:]:
        second.tell(bar)
    assert first.said + second.said == whole.said
    assert len(whole.said) > 200
    assert second.strategy.state() == whole.strategy.state()


def test_a_digest_that_is_pinned_must_be_the_models():
    digest = load_artefact(shipped("forest")).digest
    assert signals(run(digest=digest))
    with pytest.raises(InputError, match="not 0000000000000000"):
        run(digest="0" * 16)


def test_a_service_elsewhere_is_refused():
    for url in ("http://10.0.0.1:8470", "https://127.0.0.1:8470", "http://example.org", "nonsense"):
        with pytest.raises(ValidationError, match="no http address of this machine"):
            ModelSignalSettings(instrument=INSTRUMENT, model=Path("m"), qty=1, service=url)
    assert ModelSignalSettings(instrument=INSTRUMENT, model=Path("m"), qty=1, service="http://127.0.0.1:8470").service


def test_a_service_that_does_not_answer_changes_no_decision():
    # Nobody listens on port 1: every input is computed in process instead.
    silent = run(service="http://127.0.0.1:1", service_timeout_ms=5)
    assert silent.digest == run().digest
    assert len(signals(silent)) > 200


class Spoken:
    """A strategy outside a kernel, on a context that notes what it signals and holds an empty book."""

    halted = stopping = False

    def __init__(self, strategy: Any, state: bytes | None = None) -> None:
        self.strategy, self.said = strategy, list[tuple[str, float]]()
        if state is not None:
            strategy.restore(state)
        strategy.on_start(self)

    def tell(self, bar: Any) -> None:
        self.strategy.on_bar(self, _Bar(bar))

    def signal(self, name: str, value: float, /, **_inputs: Any) -> None:
        self.said.append((name, value))

    def lot(self, _instrument: int) -> float:
        return 0.001

    def position(self, _instrument: int) -> int:
        return 0

    def book(self, _instrument: int) -> Any:
        return type("Empty", (), {"is_valid": False})()


class _Bar:
    instrument = 0

    def __init__(self, record: Any) -> None:
        self.time_exchange_ns, self.price, self.size = (int(record[n]) for n in ("time_exchange_ns", "price", "size"))
        self.sequence, self.aux0, self.aux1 = int(record["sequence"]), int(record["aux"][0]), int(record["aux"][1])
