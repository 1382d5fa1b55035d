"""One backtest, varied: the tables on the pages of strategies. Each variant is a label and what it changes.

    python -m tests.support.variants CONFIG "as it is" "list fees: instruments.*.taker_fee_bps=10" …

A change is `path=value`; `*` stands for every key or place there (`strategies.0.legs=one-by-one`).
"""

from __future__ import annotations

import copy
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from tests.support.market_data import market_data_folder

HEAD = (
    "| variant | fills | traded | trades | fees | funding | net | deepest drawdown |\n|---|---|---|---|---|---|---|---|"
)

SUMS = (("gross", 1), ("fees", -1), ("funding", 1), ("net", 1))


def changed(raw: dict[str, Any], path: list[str], value: str) -> None:
    """Set every place that a path names."""
    keys = (raw if isinstance(raw, dict) else range(len(raw))) if path[0] == "*" else [path[0]]
    for key in list(keys):
        place = int(key) if isinstance(raw, list) else key
        if len(path) == 1:
            raw[place] = value
        else:
            changed(raw[place], path[1:], value)


def rows(config: Path, variants: list[str]) -> Iterator[str]:
    """Run each variant on the same events, unless it changes the data."""
    given = tomllib.loads(config.read_text(encoding="utf-8"))
    events: dict[str, Any] = {}
    for variant in variants:
        label, _, changes = variant.partition(":")
        raw = copy.deepcopy(given)
        for change in changes.split():
            path, _, value = change.partition("=")
            changed(raw, path.split("."), value)
        made = BacktestConfig.model_validate(raw)
        key = repr((made.data, made.pools, made.chain))
        if key not in events:
            events = {key: load_events(made, config.parent)}
        result = result_of(run_backtest(made, events[key], config.parent))
        pnl = result["pnl"]
        sums = " | ".join(f"{sign * pnl.get(name, 0):+,.2f}" for name, sign in SUMS)
        traded = f"{result['volume']:,.0f}"
        yield f"| {label} | {result['fills']} | {traded} | {sums} | {result['drawdown_max']:,.2f} |"


def main() -> None:
    """Write the table."""
    folder = market_data_folder()
    if folder is not None:
        os.environ.setdefault("CAPSTAN_DATA", str(folder.parent))
    print(HEAD)
    for row in rows(Path(sys.argv[1]), sys.argv[2:] or ["as it is"]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
