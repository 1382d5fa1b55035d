"""Every kind of the catalog trades in a backtest, the same way twice, with books that are true."""

from __future__ import annotations

import pytest

from engine.strategies.catalog import CATALOG
from tests.engine.strategies.cases import CASES, Case
from tests.engine.strategies.lab import backtest, events_of

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


@each
def test_it_trades_and_the_same_way_twice(case: Case) -> None:
    run = backtest(case)
    assert len(run.fills) >= case.fills
    assert backtest(case).digest == run.digest


@each
def test_its_orders_follow_the_data_and_no_other(case: Case) -> None:
    """A strategy that kept something of an earlier run in its class or module would decide otherwise afterwards."""
    first = backtest(case).digest
    events = events_of(case)
    backtest(case, events[: len(events) // 3].copy())
    assert backtest(case).digest == first


def test_every_kind_has_a_case() -> None:
    kinds = {str(item["kind"]) for case in CASES for item in case.strategies}
    assert {kind for kind, entry in CATALOG.items() if not entry.strategy.is_driven} <= kinds
