"""Studies as self-contained pages."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.backtest.charts import figure, times_of
from engine.backtest.saved import write_whole
from engine.report_html import STYLE
from engine.research import montecarlo, statistics
from engine.research.montecarlo import MonteCarlo
from engine.research.search import Found
from engine.research.walkforward import MarketResult, WalkForward, summary

_MORE_STYLE: Final = """
body { max-width: 1400px; } .scroll { max-height: 480px; overflow-y: auto; } .wide { overflow-x: auto; }
td, th { font-size: 13px; white-space: nowrap; }
"""


def write_walk_forward(path: Path, found: WalkForward) -> None:
    """Write what a walk-forward made out of sample, fold by fold."""
    told = summary(found)
    equity = figure("quote units", 360)
    below = figure("quote units", 200)
    for one in found.markets:
        times, net = _curve(one)
        equity.add_trace(_line(times, net, one.name))
        below.add_trace(_line(times, -statistics.drawdown(net), one.name))
    rows = [
        {key: value for key, value in market.items() if not isinstance(value, Mapping)} | market["costs"]
        for market in told["markets"]
    ]
    folds = [_fold_row(found, one, at) for one in found.markets for at in range(len(one.folds))]
    body = [
        f"<h2>Out of sample, each fold on what the bars before chose</h2>{_drawn(equity, first=True)}",
        f"<h2>Below the peak</h2>{_drawn(below)}",
        f"<h2>By market</h2>{_table(rows)}",
        f"<h2>Score in and out of sample</h2>{_drawn(_in_and_out(found))}",
        f'<h2>Folds</h2><div class="scroll">{_table(folds)}</div>',
    ]
    sub = f"{told['sets']:,} sets by {told['score']}; {told['set_bars']:,} bars run; sha256 {told['sha256'][:16]}…"
    write_whole(path, _page(f"Walk-forward {told['name']}", sub, body))


def write_search(path: Path, found: Found) -> None:
    """Write what a search tried and found."""
    from plotly.graph_objects import Scatter

    scored = [trial for trial in found.trials if trial.score is not None]
    history = figure(found.settings.score, 320)
    numbers, marks = [trial.number for trial in scored], [trial.score or 0.0 for trial in scored]
    history.add_trace(Scatter(x=numbers, y=marks, mode="markers", name="trial", marker={"size": 5}))
    history.add_trace(Scatter(x=numbers, y=np.maximum.accumulate(marks), name="best so far", line={"shape": "hv"}))
    slices = []
    for name in found.settings.space:
        one = figure(found.settings.score, 240)
        values = [
            str(t.parameters[name]) if isinstance(t.parameters[name], bool) else t.parameters[name] for t in scored
        ]
        one.add_trace(Scatter(x=values, y=marks, mode="markers", marker={"size": 5, "color": numbers}))
        one.update_layout(xaxis_title=name)
        slices.append(_drawn(one))
    best = sorted(scored, key=lambda trial: -(trial.score or 0.0))[:20]
    rows = [{"trial": t.number, "score": t.score, "net": t.net, "drawdown": t.drawdown, **t.parameters} for t in best]
    held = "" if found.held_out is None else f"<h2>The best, over the bars held out</h2>{_table([found.held_out])}"
    luck = (
        "" if found.deflated is None else f"<p>Probability that the best is more than luck: {found.deflated:.1%}.</p>"
    )
    body = [
        f"<h2>Score by trial</h2>{_drawn(history, first=True)}",
        f"<h2>The best twenty</h2>{_table(rows)}{luck}",
        held,
        f"<h2>Score by parameter</h2>{''.join(slices)}",
    ]
    sub = f"{len(found.trials):,} trials, {found.settings.search}, seed {found.settings.seed}"
    write_whole(path, _page(f"Search {found.settings.name}", sub, body))


def write_monte_carlo(path: Path, found: MonteCarlo) -> None:
    """Write the distributions of a Monte-Carlo."""
    from plotly.graph_objects import Histogram

    told = montecarlo.summary(found)
    parts: list[str] = []
    for what, actual in (("net", found.net), ("drawdown", found.drawdown)):
        made = figure("share of draws", 320)
        for one in found.distributions:
            values = getattr(one, what)
            if float(np.ptp(values)) > 1e-9 * max(1.0, abs(found.net)):  # Shuffled trips keep their sum.
                made.add_trace(Histogram(x=values, name=one.name, histnorm="probability", opacity=0.55, nbinsx=70))
        made.add_vline(x=actual, line={"color": "#17202a", "dash": "dash"}, annotation_text="the run")
        made.update_layout(barmode="overlay", xaxis_title=found.account)
        parts.append(_drawn(made, first=not parts))
    rows = [
        {key: value for key, value in one.items() if not isinstance(value, Mapping)}
        | {f"net {name}": value for name, value in one["net"].items()}
        | {f"drawdown {name}": value for name, value in one["drawdown"].items()}
        for one in told["distributions"]
    ]
    body = [
        f"<h2>Net result</h2>{parts[0]}",
        f"<h2>Deepest drawdown</h2>{parts[1]}",
        f"<h2>Quantiles</h2>{_table(rows)}",
    ]
    sub = f"the run: {found.net:+,.2f} {found.account} net, {found.drawdown:,.2f} below its peak at most"
    write_whole(path, _page(f"Monte-Carlo {found.name}", sub, body))


def _axis_value(value: Any) -> Any:
    return str(value) if isinstance(value, bool) else value


def _curve(one: MarketResult) -> tuple[Any, Any]:
    spans = [np.linspace(a["times"][0], a["times"][1], len(a["net"])).astype(np.int64) for a in one.answers]
    return times_of(np.concatenate(spans)), np.cumsum(one.changes)


def _fold_row(found: WalkForward, one: MarketResult, at: int) -> dict[str, Any]:
    answer = one.answers[at]
    began = np.datetime_as_string(times_of(answer["times"][0]), unit="D")
    row = {"market": one.name, "tested from": str(began), "bars": one.folds[at].test.bars}
    row |= {"in sample": answer["score_train"], "out of sample": answer["score_test"], "net": answer["net"][-1]}
    return row | found.sets[answer["best"]]


def _in_and_out(found: WalkForward) -> Any:
    from plotly.graph_objects import Scatter

    made = figure(f"{found.settings.score} out of sample", 320)
    for one in found.markets:
        inside = [answer["score_train"] for answer in one.answers]
        made.add_trace(Scatter(x=inside, y=[a["score_test"] for a in one.answers], name=one.name, mode="markers"))
    made.update_layout(xaxis_title="of the chosen set, in sample")
    return made


def _line(times: Any, values: Any, name: str) -> Any:
    from plotly.graph_objects import Scatter

    every = max(1, len(values) // 4_000)
    return Scatter(x=times[::every], y=values[::every], name=name, mode="lines", line={"width": 1.5})


def _drawn(made: Any, *, first: bool = False) -> str:
    text: str = made.to_html(full_html=False, include_plotlyjs=first)
    return text


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in names)
    lines = ("".join(f"<td>{html.escape(text_of(row.get(name)))}</td>" for name in names) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def text_of(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value)
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 100 else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _page(title: str, sub: str, body: Sequence[str]) -> bytes:
    style = STYLE + _MORE_STYLE
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body>
<h1>{html.escape(title)}</h1><p class="sub">{html.escape(sub)}</p>
{"".join(body)}
</body></html>
""".encode()
