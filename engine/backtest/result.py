"""A backtest's figures: money from fills and marks, counts from commands. Floats: they inform, they decide nothing."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.backtest.run import Finished
from engine.data.captures import Events
from engine.edge.words import rule
from engine.records import CommandKind, EventFlag
from engine.sdk.run import VALUE_DECIMALS, Market

_YEAR_S: Final = 365.25 * 86_400
_GRID: Final = 1_000
"""Equal steps that a run is cut into for the Sharpe ratio."""
_SPAN_MIN_NS: Final = 86_400 * 10**9
_UNIT: Final = 10.0**VALUE_DECIMALS
Floats = npt.NDArray[np.float64]


def result_of(run: Finished) -> dict[str, Any]:
    """Everything the table and the JSON line say. Money is in the account's asset."""
    net, times = curve(run)
    gross = sum(gross_result(run, at) for at in range(len(run.markets)))
    fees = sum(fees_paid(run, at) for at in range(len(run.markets)))
    total = float(net[-1]) if len(net) else 0.0
    kinds = Counter(run.commands["kind"].tolist())
    placed = run.commands[run.commands["kind"] == CommandKind.PLACE]
    rejected = run.commands[run.commands["kind"] == CommandKind.REJECTED]
    lots_sent, lots_filled = int(placed["size"].sum()), int(run.fills["size"].sum())
    latency = run.config.simulator.latency
    seconds = (run.ended_ns - run.began_ns) / 1e9
    return {
        "name": run.config.name,
        "account": run.config.account,
        "fills": len(run.fills),
        "fills_maker": int((run.fills["flags"] & EventFlag.MAKER != 0).sum()),
        "volume": round(sum(volume(run, at) for at in range(len(run.markets))), 2),
        "pnl": {
            "gross": round(gross, 6),
            "fees": round(fees, 6),
            # What neither trades nor fees explain was settled between holders of a contract, or came of swaps.
            "funding": 0.0 if run.config.pools else round(total - (gross - fees), 6) + 0.0,
            **({"swaps": round(total - (gross - fees), 6) + 0.0} if run.config.pools else {}),
            "net": round(total, 6),
            "by_strategy": {
                item.id: round(float(run.samples[-1][2 + at]) / _UNIT, 6) if len(run.samples) else 0.0
                for at, item in enumerate(run.config.strategies)
            },
        },
        "drawdown_max": round(float(drawdown(net).max(initial=0.0)), 6),
        "sharpe": sharpe(net, times),
        "orders": {
            "placed": kinds[CommandKind.PLACE],
            "amended": kinds[CommandKind.AMEND],
            "cancelled": kinds[CommandKind.CANCEL],
            "filled": len(np.unique(run.fills["aux"][:, 0])),
            "rejected": len(rejected),
            "rejected_by_rule": {rule(code): n for code, n in sorted(Counter(rejected["rule"].tolist()).items())},
        },
        **({"swaps": _swaps(run)} if run.config.pools else {}),
        "fill_ratio": round(lots_filled / lots_sent, 6) if lots_sent else 0.0,
        "position_end": {
            market.name: f"{market.lot_size * int(run.samples[-1][_lots_column(run, at)]):f}"
            for at, market in enumerate(run.markets)
            if len(run.samples)
        },
        "latency_us": {
            "order": latency.order_us,
            "answer": latency.answer_us,
            "per_message": latency.per_message_us,
        },
        "queue": run.config.simulator.queue,
        "seed": run.config.simulator.seed,
        "sha256": run.digest,
        "events": run.events,
        "seconds_market": round(seconds, 3),
        "seconds_wall": round(run.wall_s, 3),
        "seconds_cpu": round(run.cpu_s, 3),
        "events_per_second": round(run.events / run.wall_s) if run.wall_s else 0,
    }


def _swaps(run: Finished) -> dict[str, Any]:
    mined = [swap for swap in run.settlements if swap.is_mined]
    return {
        "asked": int((run.commands["kind"] == CommandKind.SWAP).sum()),
        "mined": len(mined),
        "failed": dict(sorted(Counter(swap.reason for swap in run.settlements if not swap.is_mined).items())),
        "gas_wei": str(sum(swap.gas_wei for swap in run.settlements)),
    }


def curve(run: Finished) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The net result and when it was looked at."""
    if not len(run.samples):
        return np.zeros(0), np.zeros(0, np.int64)
    return run.samples[:, 1] / _UNIT, run.samples[:, 0]


def drawdown(net: Floats) -> Floats:
    """How far each point is below the highest before it (and below the start)."""
    return np.maximum.accumulate(np.maximum(net, 0.0)) - net


def sharpe(net: Floats, times: npt.NDArray[np.int64]) -> float | None:
    """Mean over deviation of the result's changes in equal steps of time, by the year; no riskless rate is taken off.

    Nothing when nothing changed, and nothing of less than a day: extrapolated to a year, minutes say anything.
    """
    if len(net) < 3 or times[-1] - times[0] < _SPAN_MIN_NS:
        return None
    grid = np.linspace(times[0], times[-1], min(_GRID, len(net)) + 1)
    changes = np.diff(np.interp(grid, times, net))
    deviation = float(changes.std())
    if deviation == 0.0:
        return None
    step_s = (times[-1] - times[0]) / 1e9 / (len(grid) - 1)
    return round(float(changes.mean()) / deviation * math.sqrt(_YEAR_S / step_s), 3)


def fills_in(run: Finished, instrument: int) -> Events:
    found: Events = run.fills[run.fills["instrument"] == instrument]
    return found


def signed(fills: Events) -> npt.NDArray[np.int64]:
    """Lots bought (+) and sold (-)."""
    return np.where(fills["side"] == 0, fills["size"], -fills["size"])


def mark_end(run: Finished, instrument: int) -> float:
    """The last mid, in quote units."""
    if not len(run.samples):
        return 0.0
    return float(run.samples[-1][_lots_column(run, instrument) + 1]) / 2 * float(run.markets[instrument].tick_size)


def gross_result(run: Finished, instrument: int) -> float:
    """What the trades and the position they left are worth at the last mid, in quote units, before costs."""
    market, fills, mark = run.markets[instrument], fills_in(run, instrument), mark_end(run, instrument)
    if not len(fills) or mark == 0.0:
        return 0.0
    prices, lots = fills["price"] * float(market.tick_size), signed(fills) * float(market.lot_size)
    if market.contract == "inverse":
        face = float(market.face or 0)
        return float((lots * face / prices).sum() - lots.sum() * face / mark) * mark
    return float(lots.sum() * mark - (lots * prices).sum())


def fees_paid(run: Finished, instrument: int) -> float:
    """In quote units; what was taken in base is worth its trade's price."""
    market, fills = run.markets[instrument], fills_in(run, instrument)
    in_base = (fills["flags"] & EventFlag.FEE_BASE != 0) | (market.contract == "inverse")
    raw = fills["aux"][:, 1].astype(np.float64)
    prices = fills["price"] * float(market.tick_size)
    return float(np.where(in_base, raw / 10**market.base_decimals * prices, raw / 10**market.quote_decimals).sum())


def volume(run: Finished, instrument: int) -> float:
    """In quote units."""
    return float(values(run.markets[instrument], fills_in(run, instrument)).sum())


def values(market: Market, fills: Events) -> Floats:
    """Each fill's value in quote units."""
    lots = fills["size"] * float(market.lot_size)
    return (
        lots * float(market.face or 0)
        if market.contract == "inverse"
        else lots * fills["price"] * float(market.tick_size)
    )


def _lots_column(run: Finished, instrument: int) -> int:
    return 2 + len(run.config.strategies) + 2 * instrument
