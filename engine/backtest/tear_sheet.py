"""A backtest in one self-contained page: result, drawdown, position, price with the fills on it."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.backtest.result import curve, drawdown, fills_in
from engine.backtest.run import Finished
from engine.report_html import STYLE

_FILLS_MAX: Final = 4_000
"""Markers a chart can carry; of more, every n-th is drawn, and the page says so."""


def write_tear_sheet(path: Path, run: Finished, result: dict[str, Any]) -> None:
    """Write the page; replaced at once, never half-written."""
    figures = [*_result_figures(run), *(_market_figure(run, at) for at in range(len(run.markets)))]
    parts = [figure.to_html(full_html=False, include_plotlyjs=(at == 0)) for at, figure in enumerate(figures)]
    began = datetime.fromtimestamp(run.began_ns / 1e9, UTC)
    markets = "".join(
        f"<h2>{html.escape(market.name)}: price and fills, position{_thinned(run, at)}</h2>{part}"
        for at, (market, part) in enumerate(zip(run.markets, parts[2:], strict=True))
    )
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest {html.escape(result["name"])}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>Backtest {html.escape(result["name"])}</h1>
<p class="sub">{began:%Y-%m-%d %H:%M:%S} UTC, {result["seconds_market"]:,.0f} s of market time,
{result["events"]:,} events, seed {result["seed"]}</p>
{_cards(result)}
<h2>Net result, {html.escape(result["account"])}</h2>{parts[0]}
<h2>Below the peak</h2>{parts[1]}
{markets}
<h2>Figures</h2>{_facts(result)}
</body></html>
"""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(body, encoding="utf-8")
    temporary.replace(path)


def _figure(title: str, height: int) -> Any:
    from plotly.graph_objects import Figure

    made = Figure()
    made.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 70, "r": 60, "t": 10, "b": 40},
        yaxis_title=title,
        yaxis_tickformat=",",
        legend={"orientation": "h", "y": 1.12},
    )
    return made


def _times(times_ns: Any) -> Any:
    return np.asarray(times_ns).astype("datetime64[ns]")


def _result_figures(run: Finished) -> list[Any]:
    from plotly.graph_objects import Scatter

    net, times = curve(run)
    when = _times(times)
    equity = _figure(run.config.account, 320)
    equity.add_trace(Scatter(x=when, y=net, name="total", mode="lines", line={"width": 2.5}))
    if len(run.config.strategies) > 1:
        for at, item in enumerate(run.config.strategies):
            equity.add_trace(Scatter(x=when, y=run.samples[:, 2 + at] / 1e8, name=item.id, mode="lines"))
    below = _figure(run.config.account, 180)
    below.add_trace(
        Scatter(x=when, y=-drawdown(net), mode="lines", fill="tozeroy", line={"color": "#b42318", "width": 1})
    )
    return [equity, below]


def _market_figure(run: Finished, instrument: int) -> Any:
    from plotly.graph_objects import Scatter

    market = run.markets[instrument]
    column = 2 + len(run.config.strategies) + 2 * instrument
    made = _figure(f"price, {market.quote}", 360)
    if not len(run.samples):
        return made
    when, mids = _times(run.samples[:, 0]), run.samples[:, column + 1] / 2 * float(market.tick_size)
    made.add_trace(
        Scatter(
            x=when, y=np.where(mids > 0, mids, np.nan), name="mid", mode="lines", line={"color": "#5d6b7a", "width": 1}
        )
    )
    fills = fills_in(run, instrument)[:: _every(run, instrument)]
    for side, name, colour, symbol in (
        (0, "bought", "#0a7d4f", "triangle-up"),
        (1, "sold", "#b42318", "triangle-down"),
    ):
        some = fills[fills["side"] == side]
        prices = some["price"] * float(market.tick_size)
        marker = {"color": colour, "symbol": symbol, "size": 6}
        made.add_trace(Scatter(x=_times(some["time_local_ns"]), y=prices, name=name, mode="markers", marker=marker))
    position = run.samples[:, column] * float(market.lot_size)
    line = {"color": "#2f6fde", "width": 1, "shape": "hv"}
    made.add_trace(
        Scatter(x=when, y=position, name="position (right)", yaxis="y2", mode="lines", line=line, opacity=0.6)
    )
    unit = "contracts" if market.contract == "inverse" else market.base
    made.update_layout(yaxis2={"title": unit, "overlaying": "y", "side": "right", "showgrid": False})
    return made


def _every(run: Finished, instrument: int) -> int:
    return max(1, -(-len(fills_in(run, instrument)) // _FILLS_MAX))


def _thinned(run: Finished, instrument: int) -> str:
    every = _every(run, instrument)
    return f" (one fill in {every} drawn)" if every > 1 else ""


def _cards(result: dict[str, Any]) -> str:
    net, account = result["pnl"]["net"], result["account"]
    cards = [
        (f"{net:+,.2f} {account}", "net result", "good" if net >= 0 else "bad"),
        (f"{result['pnl']['gross']:+,.2f}", "before fees and funding", ""),
        (f"{result['pnl']['fees']:,.2f}", "fees (negative: rebates)", ""),
        (f"{result['drawdown_max']:,.2f}", "deepest drawdown", ""),
        (f"{result['fills']:,}", "fills", ""),
        (f"{result['orders']['placed']:,}", "orders placed", ""),
        (f"{result['fill_ratio']:.1%}", "of what was ordered filled", ""),
    ]
    cells = "".join(f'<div class="card"><b class="{c}">{html.escape(v)}</b><span>{n}</span></div>' for v, n, c in cards)
    return f'<div class="cards">{cells}</div>'


def _facts(result: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in flat(result).items()
    )
    return f"<table>{rows}</table>"


def flat(result: dict[str, Any], before: str = "") -> dict[str, str]:
    """The result as names and texts, tables in it opened up."""
    rows: dict[str, str] = {}
    for name, value in result.items():
        label = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            rows |= flat(value, f"{label}: ") if value else {label: "none"}
        elif isinstance(value, float):
            rows[label] = f"{value:,.6f}".rstrip("0").rstrip(".")
        elif isinstance(value, int):
            rows[label] = f"{value:,}"
        else:
            rows[label] = "–" if value is None else str(value)
    return rows
