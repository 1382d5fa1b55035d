"""Smart order routing on three recorded venues and a pool: against each venue alone, as decided and as executed.

`make bench TOPIC=engine_routing` measures one size and how long a split takes; `python -m bench.engine_routing` prints
the tables of docs/execution/routing.md (two minutes). Costs are basis points of all-in price against the spot mid when
the order began: fees, spread, depth, latency and gas are in; more is worse.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import mean, median

from bench.rows import Row, bound_row, figure_row
from engine.backtest.run import run_backtest
from engine.data.captures import Events
from engine.routing import PoolPlace, Route
from engine.routing.report import Parent, parents
from engine.strategies import routed_order
from tests.support.market_data import absence, market_data_folder
from tests.support.three_venues import FEES, POOL, ROUTES, config, events, gas_price, orders

COUNT, EVERY_S = 32, 10.0
SIZES = ("0.1", "1", "5", "20", "50")
ALL = (*ROUTES, POOL)
SAME_ASSET = ("spot:BTCUSDT", POOL)
ROUNDING_BPS = 1e-6
"""A pool's contract rounds to a unit; floats of the report round too."""


@cache
def _events() -> Events:
    return events(config(orders("1", 1, every_s=EVERY_S, places=ALL), folder=market_data_folder()))


def first_instant() -> str:
    """When the recording begins: parents of different runs start together."""
    micros = int(_events()["time_local_ns"][0]) // 1_000
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def trade(places: Sequence[str], qty: str, fees: str, **settings: object) -> dict[str, Parent]:
    """Run parents of one size over some places."""
    settings.setdefault("start_at", first_instant())
    made = config(
        orders(qty, COUNT, every_s=EVERY_S, places=places, **settings), fees=fees, folder=market_data_folder()
    )
    return {one.strategy: one for one in parents(run_backtest(made, _events(), Path()), gas_price=gas_price())}


def compare(places: Sequence[str], qty: str, fees: str) -> dict[str, float | str]:
    """Routed against every single exchange, each run on its own with the same parents."""
    routed = trade(places, qty, fees)
    alone = {name: trade([name], qty, fees) for name in places if name in ROUTES}

    def cost(found: Parent, key: str) -> float:
        """Against one reference for all: the spot mid when the routed order began."""
        sign = 1 if found.side == "buy" else -1
        return sign * (found.price / routed[key].arrival - 1) * 1e4

    whole = [key for key in routed if all(key in one for one in alone.values())]
    singles = {name: mean(cost(one[key], key) for key in whole) for name, one in alone.items()}
    ours = {key: cost(routed[key], key) for key in whole}
    best = {key: min(cost(one[key], key) for one in alone.values()) for key in whole}
    fixed = min(singles, key=lambda name: singles[name])
    parents_ = list(routed.values())
    return {
        "routed": mean(ours.values()),
        "fixed": fixed,
        "fixed_bps": singles[fixed],
        "hindsight_bps": mean(best.values()),
        "worst_bps": min(best[key] - ours[key] for key in whole),
        "saved_mean": mean(one.saved_bps for one in parents_),
        "saved_max": max(one.saved_bps for one in parents_),
        "saved_min": min(one.saved_bps for one in parents_),
        "gap_max": max(one.decided_bps - one.bound_bps for one in parents_),
        "rounds": mean(one.rounds for one in parents_),
        "rounds_alone": mean(one.rounds for one in alone[str(fixed)].values()),
        "places": mean(sum(units > 0 for units in one.split.values()) for one in parents_),
        "pool": mean(one.split.get(POOL, 0.0) / one.qty for one in parents_),
        "filled": min(one.executed / one.qty for one in parents_),
    }


def split_ms(qty: str) -> tuple[float, float]:
    """The median and the largest time of a whole split in the strategy, in milliseconds."""
    times, honest = list[float](), routed_order.route_order

    def timed(places: Sequence[Route | PoolPlace], units: int, **keys: int) -> object:
        began = time.perf_counter()
        found = honest(places, units, **keys)
        times.append((time.perf_counter() - began) * 1e3)
        return found

    routed_order.route_order = timed  # type: ignore[assignment]
    try:
        trade(ALL, qty, "large account")
    finally:
        routed_order.route_order = honest
    return median(times), max(times)


def run() -> list[Row]:
    """Measure; takes about half a minute."""
    if market_data_folder() is None:
        return [figure_row(topic="engine", name="smart order routing", ours=0, unit="bps", peer_name=absence())]
    found = compare(ALL, "20", "large account")
    usual, most = split_ms("20")
    name = "routing 20 BTC over three venues and a pool"
    assert isinstance(found["fixed_bps"], float)
    return [
        bound_row(topic="engine", name=f"{name}: all in, executed", ours=_f(found["routed"]), unit="bps",
                  most=_f(found["fixed_bps"])),
        figure_row(topic="engine", name=f"{name}: saved, as decided", ours=_f(found["saved_mean"]), unit="bps",
                   peer_name="best single place of each moment"),
        bound_row(topic="engine", name=f"{name}: worse than the best single place, as decided",
                  ours=max(-_f(found["saved_min"]), 1e-12), unit="bps", most=ROUNDING_BPS),
        figure_row(topic="engine", name=f"{name}: a split", ours=usual, unit="ms", peer_name=f"largest {most:.1f} ms"),
    ]  # fmt: skip


def _f(value: float | str) -> float:
    return float(value)


def tables() -> str:
    """The tables of the page, as Markdown."""
    lines = []
    for title, places in (("three venues and the pool", ALL), ("one asset: spot and the pool", SAME_ASSET)):
        lines += [
            f"**{title}**",
            "",
            "| fees | BTC | routed | best fixed venue | best of each parent | worst parent | rounds: routed, alone "
            "| saved as decided: mean, most, least | gap | places | pool |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for fees in FEES:
            for qty in SIZES:
                found = compare(places, qty, fees)
                lines.append(
                    f"| {fees} | {qty} | {found['routed']:.2f} | {found['fixed_bps']:.2f} ({found['fixed']}) "
                    f"| {found['hindsight_bps']:.2f} | {found['worst_bps']:+.2f} "
                    f"| {found['rounds']:.1f}, {found['rounds_alone']:.1f} "
                    f"| {found['saved_mean']:.3f}, {found['saved_max']:.3f}, {found['saved_min']:.3f} "
                    f"| {found['gap_max']:.4f} | {found['places']:.1f} | {100 * _f(found['pool']):.0f} % |"
                )
                print(lines[-1], file=sys.stderr)
        lines.append("")
    usual, most = split_ms("20")
    return "\n".join([*lines, f"A split of 20 BTC: {usual:.2f} ms in the median, {most:.1f} ms at most."])


if __name__ == "__main__":
    if market_data_folder() is None:
        sys.exit(absence())
    print(tables())
