"""A tear sheet as PNGs, drawn without a browser: an overview, and each chart by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.backtest.costs import Costs, costs_of
from engine.backtest.money import curve, exposure, fills_in, mids
from engine.backtest.run import Finished
from engine.backtest.trips import trips_of
from engine.research.statistics import drawdown

_INK, _BLUE, _RED, _GREEN, _GREY = "#17202a", "#2f6fde", "#b42318", "#0a7d4f", "#9aa5b1"
_FILLS_MAX: Final = 1_500
_DPI: Final = 90


def write_images(folder: Path, run: Finished) -> list[Path]:
    """Write `tear_sheet.png` (all in one, small enough for a page of documentation) and one file a chart."""
    from matplotlib.figure import Figure

    charts: dict[str, Callable[[Any, Finished], None]] = {
        "equity": _equity,
        "drawdown": _drawdown,
        "exposure": _exposure,
        "fills": _fills,
        "costs": _costs,
        "trades": _trades,
    }
    folder.mkdir(parents=True, exist_ok=True)
    overview = Figure(figsize=(11, 8.2), dpi=_DPI, layout="constrained")
    overview.suptitle(_title(run), fontsize=11, color=_INK)
    for axes, draw in zip(overview.subplots(3, 2).flat, charts.values(), strict=True):
        draw(axes, run)
    written = [_save(overview, folder / "tear_sheet.png")]
    for name, draw in charts.items():
        figure = Figure(figsize=(8, 3.6), dpi=_DPI, layout="constrained")
        draw(figure.subplots(), run)
        written.append(_save(figure, folder / f"{name}.png"))
    return written


def cost_steps(costs: Costs) -> list[tuple[str, float, bool]]:
    """The way from the paper result to the net one: name, amount, and whether it is a sum so far."""
    steps = [
        ("at the mid", costs.paper, True),
        ("spread", -costs.spread, False),
        ("slippage", -costs.slippage, False),
        ("gross", costs.gross, True),
        ("fees", -costs.fees, False),
        ("funding", costs.funding, False),
    ]
    if costs.swaps or costs.gas:
        steps += [("swaps", costs.swaps, False), ("gas", -costs.gas, False)]
    steps.append(("net", costs.net, True))
    return [(name, round(amount, 6) + 0.0, is_sum) for name, amount, is_sum in steps]


def _title(run: Finished) -> str:
    net, _ = curve(run)
    result = float(net[-1]) if len(net) else 0.0
    return f"{run.config.name}: {result:+,.2f} {run.config.account} net, {len(run.fills):,} fills"


def _save(figure: Any, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # A palette of 64 colours halves the file; charts have a dozen.
    temporary = path.with_name(f".{path.name}")
    picture.quantize(64).save(temporary, format="PNG", optimize=True)
    temporary.replace(path)
    return path


def _dress(axes: Any, title: str, unit: str, *, is_time: bool = True) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    axes.set_title(title, fontsize=9, loc="left", color=_INK)
    axes.set_ylabel(unit, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(visible=True, linewidth=0.4, color="#e3e8ee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if is_time:
        locator = AutoDateLocator(maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _when(times: Any) -> Any:
    return np.asarray(times).astype("datetime64[ns]").astype("datetime64[us]")


def _equity(axes: Any, run: Finished) -> None:
    net, times = curve(run)
    if len(net):
        if len(run.config.strategies) > 1:
            for at, item in enumerate(run.config.strategies):
                axes.plot(_when(times), run.samples[:, 2 + at] / 1e8, linewidth=0.9, label=item.id)
        axes.plot(_when(times), net, color=_INK, linewidth=1.4, label="total")
        axes.axhline(0.0, color=_GREY, linewidth=0.6)
        axes.legend(fontsize=7, frameon=False)
    _dress(axes, "net result", run.config.account)


def _drawdown(axes: Any, run: Finished) -> None:
    net, times = curve(run)
    axes.fill_between(_when(times), -drawdown(net), color=_RED, alpha=0.35, linewidth=0)
    _dress(axes, "below the peak", run.config.account)


def _exposure(axes: Any, run: Finished) -> None:
    for at, market in enumerate(run.markets if len(run.samples) else ()):
        axes.plot(_when(run.samples[:, 0]), exposure(run, at), linewidth=0.8, label=market.name)
    axes.axhline(0.0, color=_GREY, linewidth=0.6)
    if len(run.samples):
        axes.legend(fontsize=7, frameon=False)
    _dress(axes, "exposure (below zero: short)", "quote units")


def _fills(axes: Any, run: Finished) -> None:
    counts = [len(fills_in(run, at)) for at in range(len(run.markets))]
    at = int(np.argmax(counts))
    market = run.markets[at]
    if len(run.samples):
        axes.plot(_when(run.samples[:, 0]), mids(run, at), color=_GREY, linewidth=0.8)
    every = max(1, -(-counts[at] // _FILLS_MAX))
    fills = fills_in(run, at)[::every]
    for side, marker, colour in ((0, "^", _GREEN), (1, "v", _RED)):
        some = fills[fills["side"] == side]
        prices = some["price"] * float(market.tick_size)
        axes.scatter(_when(some["time_local_ns"]), prices, s=9, marker=marker, color=colour, linewidths=0)
    thinned = f", one fill in {every}" if every > 1 else ""
    _dress(axes, f"{market.name}: bought (green), sold (red){thinned}", market.quote)


def _costs(axes: Any, run: Finished) -> None:
    steps = cost_steps(costs_of(run))
    level, edges = 0.0, [0.0]
    for place, (_, amount, is_sum) in enumerate(steps):
        bottom = 0.0 if is_sum else level
        colour = _BLUE if is_sum else (_GREEN if amount >= 0 else _RED)
        axes.bar(place, amount, bottom=bottom, color=colour, width=0.65)
        level = amount if is_sum else level + amount
        edges.append(level)
        edge, side = bottom + amount, "top" if amount < 0 else "bottom"
        axes.annotate(f"{amount:+,.2f}", (place, edge), ha="center", va=side, fontsize=7, color=_INK)
    axes.axhline(0.0, color=_GREY, linewidth=0.6)
    low, high = min(edges), max(edges)
    room = 0.15 * (high - low or 1.0)
    axes.set_ylim(low - room, high + room)
    _dress(axes, "from the mid to the net result", run.config.account, is_time=False)
    axes.set_xticks(range(len(steps)), [name for name, _, _ in steps], fontsize=7)


def _trades(axes: Any, run: Finished) -> None:
    results = np.array([trip.net for trip in trips_of(run)])
    if len(results):
        low, high = np.quantile(results, [0.005, 0.995])
        axes.hist(np.clip(results, low, high), bins=60, color=_BLUE)
        axes.axvline(float(results.mean()), color=_RED, linewidth=1.0)
        won = f"{(results > 0).mean():.0%} of {len(results):,} won, mean {results.mean():+,.4g} (red)"
    else:
        won = "none closed"
    _dress(axes, f"round trips after fees: {won}", "trips", is_time=False)
