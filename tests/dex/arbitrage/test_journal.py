"""The log says what was predicted and what came of it, whatever a crash did to its last line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dex.arbitrage.journal import Ended, Found, OpportunityLog, summarise
from domain import InputError


def found(name: str, profit: int, token_wei: float = 1.0) -> Found:
    return Found(
        id=name, time_ns=1, block_number=7, token="eip155:1/erc20:w", symbol="WETH", decimals=18, pools=("a", "b"),
        path="WETH -v2-> USDC -v3-> WETH", funding="flash-swap", amount_in="5", profit=str(profit), gas_units=200_000,
        gas_cost="1", token_wei=token_wei,
    )  # fmt: skip


def test_rows_join_findings_with_their_last_outcome(tmp_path: Path) -> None:
    log = OpportunityLog(tmp_path / "log.jsonl")
    assert log.rows() == []
    for entry in (
        found("one", 1000),
        found("two", 500, token_wei=2.0),
        found("three", 10),
        Ended(id="one", time_ns=2, status="unknown"),
        Ended(id="one", time_ns=3, status="mined", profit="990", gas_cost_wei="100"),
        Ended(id="two", time_ns=3, status="failed", gas_cost_wei="70", reason="reverted"),
    ):
        log.append(entry)
    one, two, three = log.rows()
    assert (one.status, one.predicted, one.realised) == ("mined", 1000, 990)
    assert one.error_bps == pytest.approx(-100)
    assert (two.status, two.realised, three.status) == ("failed", 0, "open")
    total = summarise(log.rows())
    assert (total.found, total.mined, total.reverted, total.open) == (3, 1, 1, 1)
    assert (total.predicted_wei, total.realised_wei, total.gas_wei, total.net_wei) == (1000, 990, 170, 820)
    assert (total.realised_share, total.reverted_share) == (0.99, 0.5)


def test_a_line_that_a_crash_cut_is_left_out_and_the_next_one_counts(tmp_path: Path) -> None:
    log = OpportunityLog(tmp_path / "log.jsonl")
    log.append(found("one", 1))
    with log.path.open("ab") as file:
        file.write(b'{"type":"found","id":"tw')
    log.append(found("three", 3))
    assert [row.found.id for row in log.rows()] == ["one", "three"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    log = OpportunityLog(tmp_path / "log.jsonl")
    log.path.write_text('{"type":"order"}\n')
    with pytest.raises(InputError, match="line 1 is no entry"):
        log.rows()


def test_nothing_mined_is_as_predicted() -> None:
    assert (summarise([]).realised_share, summarise([]).reverted_share) == (1.0, 0.0)
