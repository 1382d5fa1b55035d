"""A backtest's figures: money from fills and marks, counts from commands. Floats: they inform, they decide nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from engine.backtest.costs import costs_of, quality_of
from engine.backtest.money import UNIT, curve, lots_column, net_result, volume
from engine.backtest.ratios import ratios_of, sharpe
from engine.backtest.run import Finished
from engine.edge.words import rule
from engine.records import CommandKind, EventFlag
from engine.research.statistics import drawdown


def result_of(run: Finished, *, trials: int = 1) -> dict[str, Any]:
    """Everything the table and the JSON line say. Money is in the account's asset.

    `trials` is how many runs were tried before this one was shown: it deflates the Sharpe ratio.
    """
    net, times = curve(run)
    costs, total = costs_of(run), net_result(run)
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
            "gross": round(costs.gross, 6),
            "fees": round(costs.fees, 6),
            # What neither trades nor fees explain was settled between holders of a contract, or came of swaps.
            "funding": round(costs.funding, 6) + 0.0,
            **({"swaps": round(costs.swaps - costs.gas, 6) + 0.0} if run.config.pools else {}),
            "net": round(total, 6),
            "by_strategy": {
                item.id: round(float(run.samples[-1][2 + at]) / UNIT, 6) if len(run.samples) else 0.0
                for at, item in enumerate(run.config.strategies)
            },
        },
        "costs": {name: round(value, 6) + 0.0 for name, value in costs._asdict().items()},
        "drawdown_max": round(float(drawdown(net).max(initial=0.0)), 6),
        "sharpe": sharpe(net, times),
        "ratios": ratios_of(run, trials=trials),
        "orders": {
            "placed": kinds[CommandKind.PLACE],
            "amended": kinds[CommandKind.AMEND],
            "cancelled": kinds[CommandKind.CANCEL],
            "filled": len(np.unique(run.fills["aux"][:, 0])),
            "rejected": len(rejected),
            "rejected_by_rule": {rule(code): n for code, n in sorted(Counter(rejected["rule"].tolist()).items())},
        },
        **({"swaps": _swaps(run)} if run.config.pools else {}),
        "fill_quality": quality_of(run),
        "fill_ratio": round(lots_filled / lots_sent, 6) if lots_sent else 0.0,
        "position_end": {
            market.name: f"{market.lot_size * int(run.samples[-1][lots_column(run, at)]):f}"
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
