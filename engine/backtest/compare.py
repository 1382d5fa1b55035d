"""Saved runs side by side, and whether they differ by more than chance."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from domain import InputError
from engine.backtest import charts
from engine.backtest.money import Floats, curve
from engine.backtest.ratios import steps
from engine.backtest.result import result_of
from engine.backtest.run import Finished
from engine.backtest.saved import write_whole
from engine.backtest.tear_sheet import flat
from engine.report_html import STYLE
from engine.research import statistics
from engine.research.bootstrap import interval

_GRID: Final = 500
_SHOWN: Final = ("fills", "volume", "costs", "drawdown_max", "ratios", "fill_ratio", "fill_quality", "sha256")


def comparison(names: Sequence[str], runs: Sequence[Finished]) -> dict[str, Any]:
    """Figures of each run, and its difference to the first.

    Raises:
        InputError: Fewer than two, or results in different assets.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} runs to compare, expected two or more")
    accounts = {run.config.account for run in runs}
    if len(accounts) > 1:
        raise InputError(f"the results are in {' and '.join(sorted(accounts))}: they cannot be compared")
    deviation = _sharpe_deviation(runs)
    rows = []
    for name, run in zip(names, runs, strict=True):
        result = result_of(run)
        row = {"run": name, **{key: result[key] for key in _SHOWN}}
        made = steps(*curve(run))
        if made is not None and deviation is not None:
            deflated = statistics.deflated_sharpe(made[0], len(runs), deviation)
            row["ratios"]["sharpe_deflated"] = None if deflated is None else round(deflated, 4)
        if run is not runs[0]:
            row["difference"] = _difference(runs[0], run)
        rows.append(row)
    return {"account": runs[0].config.account, "runs": rows}


def write_comparison(path: Path, made: dict[str, Any], runs: Sequence[Finished]) -> None:
    """Write a self-contained page."""
    from plotly.graph_objects import Scatter

    figure = charts.figure(made["account"], 360)
    for row, run in zip(made["runs"], runs, strict=True):
        net, times = curve(run)
        figure.add_trace(Scatter(x=charts.times_of(times), y=net, name=row["run"], mode="lines"))
    columns = [flat({key: value for key, value in row.items() if key != "run"}) for row in made["runs"]]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    head = "".join(f"<th>{html.escape(row['run'])}</th>" for row in made["runs"])
    rows = "".join(
        f"<tr><td>{html.escape(label)}</td>"
        + "".join(f"<td>{html.escape(column.get(label, '–')[:24])}</td>" for column in columns)
        + "</tr>"
        for label in labels
    )
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtests compared</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>Backtests compared</h1>
<p class="sub">Differences are those to the first, in {html.escape(made["account"])}; the interval holds 95 % of
resampled blocks of equal steps.</p>
<h2>Net result</h2>{figure.to_html(full_html=False, include_plotlyjs=True)}
<h2>Figures</h2><table><tr><th></th>{head}</tr>{rows}</table>
</body></html>
"""
    write_whole(path, body.encode())


def _sharpe_deviation(runs: Sequence[Finished]) -> float | None:
    """How the runs' Sharpe ratios scatter, by the step."""
    found = []
    for run in runs:
        made = steps(*curve(run))
        ratio = None if made is None else statistics.sharpe(made[0], 1.0)
        if ratio is not None:
            found.append(ratio)
    return float(np.std(found, ddof=1)) if len(found) > 1 else None


def _difference(first: Finished, other: Finished) -> dict[str, Any]:
    """How much more the other made, over the time both were there."""
    ours, theirs = _changes(first, other)
    apart = theirs - ours
    if len(apart) < 8:
        return {"net": round(float(apart.sum()), 6), "low": None, "high": None, "is_chance": None}
    sums = interval(lambda rows: rows.sum(axis=1), apart)
    low, high = sums.low, sums.high
    is_chance = low <= 0.0 <= high
    return {"net": round(sums.estimate, 6), "low": round(low, 6), "high": round(high, 6), "is_chance": is_chance}


def _changes(first: Finished, other: Finished) -> tuple[Floats, Floats]:
    (a, at), (b, bt) = curve(first), curve(other)
    begin, end = max(first.began_ns, other.began_ns), min(first.ended_ns, other.ended_ns)
    if end <= begin or not len(a) or not len(b):
        return np.zeros(0), np.zeros(0)
    grid = np.linspace(begin, end, min(_GRID, len(a), len(b)) + 1)
    return np.diff(np.interp(grid, at, a)), np.diff(np.interp(grid, bt, b))
