"""`report.html`: the run in one self-contained page, for people who look before they read."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.reporting import RunSummary

STYLE = """
:root { color-scheme: light; --ink: #17202a; --muted: #5d6b7a; --line: #e3e8ee; --good: #0a7d4f; --bad: #b42318; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1120px; padding: 28px 24px; }
h1 { font-size: 24px; margin: 0 0 2px; } h2 { font-size: 17px; margin: 30px 0 8px; }
p.sub { color: var(--muted); margin: 0 0 18px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(138px, 1fr)); gap: 10px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.card b { display: block; font-size: 16px; white-space: nowrap; font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { color: var(--muted); font-weight: 500; }
"""


def write_report(path: Path, summary: RunSummary, result: dict[str, Any], labels: dict[str, str]) -> None:
    """Write the page.

    Args:
        path: Where; replaced at once, never half-written.
        summary: The replayed run.
        result: The same figures as the JSON line, with ledger and latency.
        labels: What to call ids in the page: `eip155:1337/0x…` → `V3 WETH/USDC 0.05 %`.
    """
    figures = _figures(summary, labels)
    parts = [figure.to_html(full_html=False, include_plotlyjs=(i == 0)) for i, figure in enumerate(figures)]
    began = datetime.fromtimestamp(summary.started_ns / 1e9, UTC)
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Capstan run {html.escape(str(result["run"]))}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>
<h1>Capstan run report</h1>
<p class="sub">{began:%Y-%m-%d %H:%M:%S} UTC, {result["seconds_traded"]:.0f} s of trading,
run {html.escape(str(result["run"]))}{_seed(result)}</p>
{_cards(result)}
<h2>Result over time</h2>{parts[0]}
<h2>Inventory</h2>{parts[1]}
<h2>Exchange against pools</h2>{parts[2]}
<h2>Spread on the exchange</h2>{parts[3]}
<h2>By strategy and place</h2>{_results_table(result, labels)}
<h2>Costs, orders, safety</h2>{_facts_table(result, labels)}
</body></html>
"""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(body, encoding="utf-8")
    temporary.replace(path)


def _figures(summary: RunSummary, labels: dict[str, str]) -> list[Any]:
    from plotly.graph_objects import Figure, Scatter

    start = summary.started_ns
    seconds = [(sample.time_ns - start) / 1e9 for sample in summary.samples]

    def figure(title: str) -> Any:
        made = Figure()
        made.update_layout(
            template="plotly_white",
            height=320,
            margin={"l": 60, "r": 20, "t": 10, "b": 40},
            xaxis_title="seconds since the start",
            yaxis_title=title,
            legend={"orientation": "h", "y": 1.12},
        )
        return made

    def line(name: str, values: list[float | None], **style: Any) -> Any:
        return Scatter(x=seconds, y=values, name=name, mode="lines", line=style)

    equity = figure("USD")
    equity.add_trace(line("total", [s.result for s in summary.samples], width=3))
    for name in summary.by_strategy:
        equity.add_trace(line(name, [s.by_strategy.get(name, 0.0) for s in summary.samples], width=1.5))

    inventory = figure("USD above the start")
    symbols = list(summary.samples[-1].position_values) if summary.samples else []
    for symbol in symbols:
        inventory.add_trace(line(symbol, [s.position_values.get(symbol) for s in summary.samples], shape="hv"))

    basis = figure("pool minus exchange, bps")
    for pool_id, instrument in _pairs(summary, labels):
        values: list[float | None] = [
            (s.pool_mids[pool_id] / s.mids[instrument] - 1) * 1e4
            if pool_id in s.pool_mids and s.mids.get(instrument)
            else None
            for s in summary.samples
        ]
        basis.add_trace(line(labels.get(pool_id, pool_id), values, width=1.5))

    spread = figure("bps")
    instruments = sorted({name for s in summary.samples for name in s.spreads_bps})
    for name in instruments:
        spread.add_trace(line(name, [s.spreads_bps.get(name) for s in summary.samples], width=1.5))
    return [equity, inventory, basis, spread]


def _pairs(summary: RunSummary, labels: dict[str, str]) -> list[tuple[str, str]]:
    """Each pool with the instrument whose mid lies nearest: the pair it trades."""
    if not summary.samples:
        return []
    last = summary.samples[-1]
    return [
        (pool_id, min(last.mids, key=lambda name: abs(last.mids[name] - mid)))
        for pool_id, mid in last.pool_mids.items()
        if last.mids and pool_id in labels
    ]


def _cards(result: dict[str, Any]) -> str:
    ledger, latency = result["ledger"], result["latency_us"]["tick_to_order"]
    total = result["pnl"]["total"]
    books = ledger["balanced"] and ledger["matches_venues"]
    cards = [
        (f"{total:+,.2f} USD", "result", "good" if total >= 0 else "bad"),
        (result["fills"], "fills on the exchange", ""),
        (result["swaps"], "swaps mined on chain", ""),
        (result["orders"]["sent"], "orders sent", ""),
        (result["risk"]["rejected"], "refused by risk", ""),
        (f"{_ms(latency['p50'])} / {_ms(latency['p99'])} ms", "tick → order sent, p50 / p99", ""),
        ("balanced" if books else "DIFFERS", "ledger against venues and chain", "good" if books else "bad"),
    ]
    cells = "".join(
        f'<div class="card"><b class="{c}">{html.escape(str(v))}</b><span>{n}</span></div>' for v, n, c in cards
    )
    return f'<div class="cards">{cells}</div>'


def _seed(result: dict[str, Any]) -> str:
    return f", seed {result['seed']}" if result.get("seed") is not None else ""


def _ms(us: float | None) -> str:
    return "–" if us is None else f"{us / 1000:.1f}"


def _results_table(result: dict[str, Any], labels: dict[str, str]) -> str:
    places = sorted({place for by in result["pnl"]["by_place"].values() for place in by})
    head = "".join(f"<th>{html.escape(labels.get(place, place))}</th>" for place in places)
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td>{by.get(place, 0.0):+,.2f}</td>" for place in places)
        + f"<td>{result['pnl']['by_strategy'][name]:+,.2f}</td></tr>"
        for name, by in result["pnl"]["by_place"].items()
    )
    return f"<table><tr><th>strategy</th>{head}<th>result, USD</th></tr>{rows}</table>"


def _facts_table(result: dict[str, Any], labels: dict[str, str]) -> str:
    rows: list[tuple[str, str]] = [
        ("fees", ", ".join(f"{fee} {labels.get(asset, asset)}" for asset, fee in result["fees"].items()) or "none"),
        ("gas", f"{result['gas']} ETH in {result['transactions']} transactions"),
        ("orders", ", ".join(f"{count} {state}" for state, count in result["orders"].items())),
        ("refused by risk", ", ".join(f"{n} {rule}" for rule, n in result["risk"]["by_rule"].items()) or "nothing"),
        ("refused by policy", str(result["policy"]["refused"])),
        ("open orders after stop", str(result["open_orders_after_stop"])),
        ("engine restarts", str(result["restarts"])),
        ("ledger entries", str(result["ledger"]["entries"])),
    ]
    return "<table>" + "".join(f"<tr><td>{k}</td><td>{html.escape(v)}</td></tr>" for k, v in rows) + "</table>"
