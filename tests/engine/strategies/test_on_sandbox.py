"""Every kind of the catalog, unchanged, on the sandbox exchange through the real runner: it trades, the books agree.

What is compared at the end: our books with what the exchange says it holds for us, to the unit; the strategies' ledgers
with both; what was decided with what a kernel rebuilt from the journal decides.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.strategies.cases import CASES, Case
from tests.engine.strategies.flow import Flow
from tests.engine.strategies.lab import trade_on_sandbox


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
async def test_it_trades_and_the_books_agree(case: Case, tmp_path: Path) -> None:
    if not isinstance(case.flow, Flow):
        pytest.skip(case.flow)
    run = await trade_on_sandbox(case, tmp_path)
    assert run.kernel.trades_booked >= case.fills
    assert not run.kernel.orders.open_orders()
    traded = {asset: raw for asset, raw in run.kernel.portfolio.balances.items() if asset in run.held}
    assert traded == {asset: run.books.get(asset, 0) for asset in traded} == run.held
    # Each strategy's own ledger, added up, is all that moved.
    native, numbers = run.kernel.native, run.kernel.numbers
    moved = {
        asset: sum(native.moved(place, numbers.asset_at[asset]) for place in range(len(case.strategies)))
        for asset in run.held
    }
    assert {asset: run.opening[asset] + raw for asset, raw in moved.items()} == run.held
    assert run.replayed() == run.decided
