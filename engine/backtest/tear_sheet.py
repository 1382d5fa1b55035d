"""A backtest in one self-contained page: result, drawdown, exposure, costs by kind, fill quality, fills, trade list."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.backtest import charts
from engine.backtest.run import Finished
from engine.backtest.saved import write_whole
from engine.backtest.trips import Trip, trips_of
from engine.report_html import STYLE

_TRIPS_MAX: Final = 500
"""Round trips on the page: the first and the last of more. The file `trades.csv` has all."""
_RATIOS: Final = (
    ("sharpe", "Sharpe ratio"),
    ("sharpe_deflated", "deflated Sharpe: probability of skill"),
    ("sortino", "Sortino ratio"),
    ("calmar", "Calmar ratio"),
    ("turnover", "turnover, times the capital"),
    ("capacity_scale_best", "times today's size it bears"),
)
_MORE_STYLE: Final = """
.scroll { max-height: 420px; overflow-y: auto; border: 1px solid var(--line); border-radius: 8px; }
.scroll th { position: sticky; top: 0; background: #fff; } .scroll td { white-space: nowrap; font-size: 13px; }
summary { cursor: pointer; color: var(--muted); }
"""


def write_tear_sheet(path: Path, run: Finished, result: dict[str, Any]) -> None:
    """Write the page; replaced at once, never half-written."""
    trips = trips_of(run)
    began = datetime.fromtimestamp(run.began_ns / 1e9, UTC)
    drawn = _Drawn()
    equity, below = charts.result_figures(run)
    account = html.escape(result["account"])
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest {html.escape(result["name"])}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}{_MORE_STYLE}</style></head><body>
<h1>Backtest {html.escape(result["name"])}</h1>
<p class="sub">{began:%Y-%m-%d %H:%M:%S} UTC, {_span(result["seconds_market"])} of market time,
{result["events"]:,} events, seed {result["seed"]}</p>
{_cards(result)}
<h2>Net result, {account}</h2>{drawn(equity)}
<h2>Below the peak</h2>{drawn(below)}
<h2>Exposure, below zero when short</h2>{drawn(charts.exposure_figure(run))}
<h2>Costs by kind, {account}: from the mid that was seen to the net result</h2>{drawn(charts.costs_figure(run))}
<h2>Fill quality: where the mid was after our fills, of our price</h2>{drawn(charts.fills_figure(run))}
{_quality(result)}
{"".join(_market(run, at, drawn) for at in range(len(run.markets)))}
<h2>Round trips, {len(trips):,}, oldest lots first</h2>{drawn(charts.trips_figure(trips, account)) if trips else ""}
{_trade_list(trips)}
<h2>Figures</h2><details><summary>all of them</summary>{_facts(result)}</details>
</body></html>
"""
    write_whole(path, body.encode())


def write_trades(path: Path, run: Finished) -> None:
    """Write every round trip as CSV: times in nanoseconds, prices and sizes in units, money in quote units."""
    rows = [",".join((*Trip._fields, "net"))]
    rows += [",".join(map(str, (*trip, trip.net))) for trip in trips_of(run)]
    write_whole(path, ("\n".join(rows) + "\n").encode())


class _Drawn:
    """Makes figures into parts of one page: the first brings the library, so that the page needs no network."""

    def __init__(self) -> None:
        self._is_first = True

    def __call__(self, figure: Any) -> str:
        made: str = figure.to_html(full_html=False, include_plotlyjs=self._is_first)
        self._is_first = False
        return made


def _market(run: Finished, instrument: int, drawn: _Drawn) -> str:
    every = charts.fills_every(run, instrument)
    thinned = f" (one fill in {every} drawn)" if every > 1 else ""
    name = html.escape(run.markets[instrument].name)
    return f"<h2>{name}: price and fills, position{thinned}</h2>{drawn(charts.market_figure(run, instrument))}"


def _span(seconds: float) -> str:
    return f"{seconds / 86_400:,.1f} days" if seconds >= 2 * 86_400 else f"{seconds:,.0f} s"


def _quality(result: dict[str, Any]) -> str:
    found: dict[str, dict[str, Any]] = result["fill_quality"]
    if not found:
        return "<p>Nothing traded.</p>"
    names = list(next(iter(found.values())))
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{kind}</td>{''.join(f'<td>{_text(values[name])}</td>' for name in names)}</tr>"
        for kind, values in found.items()
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _trade_list(trips: list[Trip]) -> str:
    if not trips:
        return "<p>None was closed.</p>"
    shown = trips if len(trips) <= _TRIPS_MAX else trips[: _TRIPS_MAX // 2] + trips[-_TRIPS_MAX // 2 :]
    left_out = len(trips) - len(shown)
    note = f"<p>{left_out:,} in the middle are left out here; trades.csv has all.</p>" if left_out else ""
    head = "".join(
        f"<th>{name}</th>" for name in ("opened", "side", "instrument", "held", "size", "entry", "exit", "fees", "net")
    )
    return f'{note}<div class="scroll"><table><tr>{head}</tr>{"".join(map(_trip, shown))}</table></div>'


def _trip(trip: Trip) -> str:
    opened = datetime.fromtimestamp(trip.opened_ns / 1e9, UTC)
    colour = "good" if trip.net >= 0 else "bad"
    cells = (
        f"{opened:%Y-%m-%d %H:%M:%S}",
        trip.side,
        html.escape(trip.instrument),
        _span((trip.closed_ns - trip.opened_ns) / 1e9),
        f"{trip.size:,.8g}",
        f"{trip.entry:,.10g}",
        f"{trip.exit:,.10g}",
        f"{trip.fees:,.4f}",
    )
    return f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}<td class="{colour}">{trip.net:+,.4f}</td></tr>'


def _cards(result: dict[str, Any]) -> str:
    net, account, ratios = result["pnl"]["net"], result["account"], result["ratios"]
    cards = [
        (f"{net:+,.2f} {account}", "net result", "good" if net >= 0 else "bad"),
        (f"{result['pnl']['gross']:+,.2f}", "before fees and funding", ""),
        (f"{result['pnl']['fees']:,.2f}", "fees (negative: rebates)", ""),
        (f"{result['drawdown_max']:,.2f}", "deepest drawdown", ""),
        (f"{result['fills']:,}", "fills", ""),
        (f"{result['fill_ratio']:.1%}", "of what was ordered filled", ""),
        *((_text(ratios[name]), label, "") for name, label in _RATIOS),
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
        else:
            rows[label] = _text(value)
    return rows


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value)
