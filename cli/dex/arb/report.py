"""An HTML page about a run: what was predicted, what came of it, where it came from. One file, nothing loaded."""

from __future__ import annotations

import base64
import html
import io
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.dex.arb.log import totals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dex.arbitrage.journal import Row

_PATHS_SHOWN: Final = 12
_ROWS_SHOWN: Final = 200
_PLACES: Final = ((0, slice(None)), (1, slice(0, 3)), (1, slice(3, None)))
_INK, _BLUE, _ORANGE, _GREY = "#1f2328", "#2f6fab", "#d9822b", "#8a929b"
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem} img{max-width:100%} table{border-collapse:collapse;width:100%;font-size:13px}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e3e6e9} td.l,th.l{text-align:left}
dl{display:grid;grid-template-columns:repeat(4,auto);gap:.2rem 1.5rem} dt{color:#606a73} dd{margin:0;font-weight:600}
.mined{color:#1a7f4b}.failed{color:#b3261e}
"""


def write_report(path: Path, rows: Sequence[Row]) -> None:
    """Write the page; the picture alone when the name ends in `.png`."""
    figure = _figure(rows)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    if path.suffix == ".png":
        path.write_bytes(buffer.getvalue())
        return
    picture = base64.b64encode(buffer.getvalue()).decode()
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Arbitrage</title>"
        f"<style>{_STYLE}</style><h1>Arbitrage: predicted and realised</h1>"
        f"<dl>{_totals(rows)}</dl><img alt='Profit over time, by cycle, and time to a block' "
        f"src='data:image/png;base64,{picture}'>{_table(rows[-_ROWS_SHOWN:])}</html>\n"
    )


def _totals(rows: Sequence[Row]) -> str:
    shown = []
    for name, value in totals(rows).items():
        words = name.removesuffix("_wei").replace("_", " ")
        text = str(value)
        if name.endswith("_wei"):
            text = f"{Decimal(text) / 10**18:.6f} ETH"
        elif name.endswith("_share"):
            text = f"{Decimal(text):.3%}"
        shown.append(f"<dt>{words}</dt><dd>{text}</dd>")
    return "".join(shown)


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        unit = Decimal(10) ** -row.found.decimals
        realised = f"{row.realised * unit:.6f}" if row.status == "mined" else ""
        lines.append(
            f"<tr><td>{row.found.block_number}</td><td class=l>{html.escape(row.found.path)}</td>"
            f"<td class=l>{html.escape(row.found.funding)}</td>"
            f"<td>{row.predicted * unit:.6f} {html.escape(row.found.symbol)}</td><td>{realised}</td>"
            f"<td>{row.error_bps:.2f}</td><td>{Decimal(row.gas_wei) / 10**18:.6f}</td>"
            f"<td class='l {html.escape(row.status)}'>{html.escape(row.status)}</td></tr>"
        )
    head = (
        "<tr><th>block<th class=l>cycle<th class=l>paid by<th>predicted<th>realised<th>difference, bps"
        "<th>gas, ETH<th class=l>status</tr>"
    )
    return f"<table>{head}{''.join(lines)}</table>"


def _figure(rows: Sequence[Row]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.2), layout="tight")
    grid = figure.add_gridspec(2, 5)
    over_time, by_path, delay = (figure.add_subplot(grid[place]) for place in _PLACES)
    ended = [row for row in rows if row.ended is not None and row.status in ("mined", "failed")]
    begin = ended[0].found.time_ns if ended else 0
    seconds, predicted, realised, net = [0.0], [0.0], [0.0], [0.0]
    per_path: dict[str, float] = defaultdict(float)
    for row in ended:
        worth = row.found.token_wei / 1e18
        gas = row.gas_wei / 1e18
        seconds.append((row.found.time_ns - begin) / 1e9)
        predicted.append(predicted[-1] + (row.predicted * worth if row.status == "mined" else 0))
        realised.append(realised[-1] + row.realised * worth)
        net.append(net[-1] + row.realised * worth - gas)
        per_path[row.found.path] += row.realised * worth - gas
    over_time.step(seconds, predicted, where="post", color=_GREY, lw=3, alpha=0.5, label="predicted")
    over_time.step(seconds, realised, where="post", color=_BLUE, lw=1.2, label="realised")
    over_time.step(seconds, net, where="post", color=_ORANGE, lw=1.2, label="realised, after gas")
    over_time.set(title="Profit, added up", xlabel="seconds", ylabel="ETH")
    over_time.legend(frameon=False, loc="upper left")
    best = sorted(per_path.items(), key=lambda item: item[1])[-_PATHS_SHOWN:]
    by_path.barh([name for name, _ in best], [worth for _, worth in best], color=_BLUE)
    by_path.tick_params(axis="y", labelsize=6.5)
    by_path.set(title="Net profit by cycle", xlabel="ETH")
    waits = [(row.ended.time_ns - row.found.time_ns) / 1e6 for row in ended if row.ended is not None]
    delay.hist(waits, bins=30, color=_BLUE)
    delay.set(title="Found to outcome", xlabel="milliseconds", ylabel="cycles")
    for axes in (over_time, by_path, delay):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_color(_INK)
    return figure
