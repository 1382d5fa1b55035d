"""The charts of a tear sheet, for a browser."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.backtest.costs import costs_of, judge
from engine.backtest.images import cost_steps
from engine.backtest.looks import HORIZONS_S
from engine.backtest.money import UNIT, curve, exposure, fills_in, mids, positions
from engine.backtest.run import Finished
from engine.backtest.trips import Trip
from engine.research.statistics import drawdown

_FILLS_MAX: Final = 4_000
"""Markers a chart can carry; of more, every n-th is drawn, and the page says so."""


def figure(title: str, height: int) -> Any:
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


def times_of(times_ns: Any) -> Any:
    return np.asarray(times_ns).astype("datetime64[ns]")


def result_figures(run: Finished) -> list[Any]:
    from plotly.graph_objects import Scatter

    net, times = curve(run)
    when = times_of(times)
    equity = figure(run.config.account, 320)
    equity.add_trace(Scatter(x=when, y=net, name="total", mode="lines", line={"width": 2.5}))
    if len(run.config.strategies) > 1:
        for at, item in enumerate(run.config.strategies):
            equity.add_trace(Scatter(x=when, y=run.samples[:, 2 + at] / UNIT, name=item.id, mode="lines"))
    below = figure(run.config.account, 180)
    below.add_trace(
        Scatter(x=when, y=-drawdown(net), mode="lines", fill="tozeroy", line={"color": "#b42318", "width": 1})
    )
    return [equity, below]


def market_figure(run: Finished, instrument: int) -> Any:
    from plotly.graph_objects import Scatter

    market = run.markets[instrument]
    made = figure(f"price, {market.quote}", 360)
    if not len(run.samples):
        return made
    when, grey = times_of(run.samples[:, 0]), {"color": "#5d6b7a", "width": 1}
    made.add_trace(Scatter(x=when, y=mids(run, instrument), name="mid", mode="lines", line=grey))
    fills = fills_in(run, instrument)[:: fills_every(run, instrument)]
    for side, name, colour, symbol in (
        (0, "bought", "#0a7d4f", "triangle-up"),
        (1, "sold", "#b42318", "triangle-down"),
    ):
        some = fills[fills["side"] == side]
        prices = some["price"] * float(market.tick_size)
        marker = {"color": colour, "symbol": symbol, "size": 6}
        made.add_trace(Scatter(x=times_of(some["time_local_ns"]), y=prices, name=name, mode="markers", marker=marker))
    line = {"color": "#2f6fde", "width": 1, "shape": "hv"}
    made.add_trace(
        Scatter(
            x=when,
            y=positions(run, instrument),
            name="position (right)",
            yaxis="y2",
            mode="lines",
            line=line,
            opacity=0.6,
        )
    )
    unit = "contracts" if market.contract == "inverse" else market.base
    made.update_layout(yaxis2={"title": unit, "overlaying": "y", "side": "right", "showgrid": False})
    return made


def fills_every(run: Finished, instrument: int) -> int:
    return max(1, -(-len(fills_in(run, instrument)) // _FILLS_MAX))


def exposure_figure(run: Finished) -> Any:
    from plotly.graph_objects import Scatter

    made = figure("quote units", 220)
    if len(run.samples):
        when = times_of(run.samples[:, 0])
        for at, market in enumerate(run.markets):
            made.add_trace(Scatter(x=when, y=exposure(run, at), name=market.name, mode="lines", line={"width": 1}))
    return made


def costs_figure(run: Finished) -> Any:
    from plotly.graph_objects import Waterfall

    steps = cost_steps(costs_of(run))
    made = figure(run.config.account, 300)
    made.add_trace(
        Waterfall(
            x=[name for name, _, _ in steps],
            y=[amount for _, amount, _ in steps],
            measure=[
                "absolute" if at == 0 else "total" if is_sum else "relative" for at, (*_, is_sum) in enumerate(steps)
            ],
            text=[f"{amount:+,.2f}" for _, amount, _ in steps],
            textposition="outside",
            cliponaxis=False,
            increasing={"marker": {"color": "#0a7d4f"}},
            decreasing={"marker": {"color": "#b42318"}},
            totals={"marker": {"color": "#2f6fde"}},
        )
    )
    return made


def fills_figure(run: Finished) -> Any:
    """Where the mid went after our fills, of our price and our way, weighted by value: makers and takers."""
    from plotly.graph_objects import Scatter

    made = figure("basis points our way", 240)
    judged = [judge(run, at) for at in range(len(run.markets))]
    value = np.concatenate([one.value for one in judged])
    makers = np.concatenate([one.is_maker for one in judged])
    now = np.concatenate([-one.effective_bps / 2 for one in judged])
    after = np.column_stack([now, np.concatenate([one.after_bps for one in judged])])
    for name, chosen in (("maker", makers), ("taker", ~makers)):
        if chosen.any():
            weights = np.where(np.isnan(after[chosen]), 0.0, value[chosen][:, None])
            total = weights.sum(axis=0)
            sums = (np.nan_to_num(after[chosen]) * weights).sum(axis=0)
            means = [float(one / all_) if all_ else None for one, all_ in zip(sums, total, strict=True)]
            made.add_trace(Scatter(x=["at once", *(f"{s} s" for s in HORIZONS_S)], y=means, name=name))
    return made


def trips_figure(trips: list[Trip], account: str) -> Any:
    from plotly.graph_objects import Histogram

    made = figure("round trips", 240)
    made.add_trace(Histogram(x=[trip.net for trip in trips], nbinsx=80, marker={"color": "#2f6fde"}))
    made.update_layout(xaxis_title=f"after fees, {account}")
    return made
