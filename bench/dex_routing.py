"""Routes against a 5 % grid and against the clock.

The grid's side is kinder than a router that searches it: dynamic programming gives the best of all splits in 5 % steps
(Uniswap's router looks at a few of them). Both sides settle in exact integers on the same replicas, and every case is
compared. Markets are made up from seeds: pools of both kinds, depths over two decades, prices a few tenths of a percent
apart.
"""

from __future__ import annotations

import os

# The systems are small: a second thread costs more than it brings (notes: 40 to 110 times).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import random
import statistics
import sys
import time
from collections.abc import Sequence

from bench.rows import Row, bound_row, figure_row, interleaved, notes, ratio_row
from dex.routing import Quote, Router
from dex.routing.gas import GasTerms
from dex.routing.market import Edge
from dex.routing.paths import best_path_in
from domain.errors import Refused
from tests.dex.routing.markets import MadeUp, random_market

CASES = 300
LARGE_BPS = 100
"""A large order: worse than the mid price by so much."""
_STEPS = 20
_REPEATS = 3
_GAS = GasTerms(unit_wei=20 * 10**9)


def run() -> list[Row]:
    """Measure; takes about fifteen seconds."""
    return [*against_grid(), *over_networks()]


def grid_optimum(edges: Sequence[Edge], total: int) -> int:
    """The most any split in 5 % steps gives; -1 where none is possible."""
    best = [0] + [-1] * _STEPS
    for edge in edges:
        gives = [0]
        for k in range(1, _STEPS + 1):
            try:
                gives.append(edge.quote_in(total * k // _STEPS))
            except Refused:
                gives.append(-1)
        best = [
            max((best[k - j] + gives[j] for j in range(k + 1) if best[k - j] >= 0 and gives[j] >= 0), default=-1)
            for k in range(_STEPS + 1)
        ]
    return best[_STEPS]


def against_grid() -> list[Row]:
    chance, ratios, gains, cases = random.Random(7), list[float](), list[float](), 0
    while cases < CASES:
        made = MadeUp(chance.randrange(10**9), 2)
        for _ in range(chance.randint(3, 14)):
            made.any_pool(0, 1, 1e6)
        market, amount = made.market(), made.raw(1, 10 ** chance.uniform(3, 6.7))
        given, wanted = made.asset(1), made.asset(0)
        grid = grid_optimum(market.outgoing(given.id), amount)
        if grid <= 0:
            continue
        cases += 1
        quote = Router(market).quote_exact_in(given, wanted, amount)
        ratios.append(quote.amount_out / grid if quote.amount_out < grid else max(1.0, quote.amount_out / grid))
        if quote.impact_bps >= LARGE_BPS:
            gains.append((quote.amount_out / grid - 1) * 1e4)
    made = MadeUp(1, 2)
    for _ in range(14):
        made.any_pool(0, 1, 1e6)
    market, amount = made.market(), made.raw(1, 1e6)
    router, edges = Router(market), market.outgoing(made.asset(1).id)
    ours, theirs = interleaved(
        lambda: router.quote_exact_in(made.asset(1), made.asset(0), amount), lambda: grid_optimum(edges, amount)
    )
    notes.append(
        f"dex routing: of {len(gains)} large orders ({LARGE_BPS} bps from mid or more) the gain over the grid is "
        f"{min(gains):.2f} to {max(gains):.2f} bps, mean {statistics.mean(gains):.2f}"
    )
    return [
        ratio_row(
            topic="dex",
            name=f"split, worst of {CASES} random orders",
            ours=min(ratios),
            unit="of the grid",
            peer_name="5 % grid's optimum",
            ratio=min(ratios),
            target=1.0,
        ),
        ratio_row(
            topic="dex",
            name=f"split, median gain over {len(gains)} large orders",
            ours=statistics.median(gains),
            unit="bps",
            peer_name="3 bps above the grid's optimum",
            ratio=statistics.median(gains) / 3,
            target=1.0,
        ),
        figure_row(
            topic="dex",
            name="split over 14 pools, whole quote",
            ours=ours * 1e3,
            unit="ms",
            peer_name=f"the grid, {theirs * 1e3:.2f} ms",
            ratio=theirs / ours,
        ),
    ]


def over_networks() -> list[Row]:
    chance, times, gains = random.Random(11), list[float](), list[float]()
    for seed in range(30):
        made = random_market(seed, tokens=10, pools=100)
        for _ in range(2):
            given, wanted = (made.asset(token) for token in chance.sample(range(10), 2))
            amount = max(1, int(10 ** chance.uniform(3, 5) / made.dollars[_place(made, given.id)] * given.unit))
            takes = []
            for _ in range(_REPEATS):
                # A market is of one block: nothing that was computed for another is left in it.
                router = Router(made.market(), gas=_GAS)
                # Processor time: a quote waits for nothing, on one thread; it is what the clock of a free core says.
                began = time.process_time()
                quote = router.quote_exact_in(given, wanted, amount)
                takes.append(time.process_time() - began)
            times.append(min(takes))
            gains.append(_gain_bps(router, quote))
    notes.append(
        f"dex routing: 10 tokens, 100 pools, 1,000 to 100,000 $, gas at 20 gwei: 90 % within "
        f"{statistics.quantiles(times, n=10)[-1] * 1e3:.1f} ms; after gas {statistics.mean(gains):.1f} bps above "
        f"the best single path on average, at least {min(gains):.2f}"
    )
    return [
        bound_row(
            topic="dex",
            name="gas-aware quote, 10 tokens, 100 pools, processor time",
            ours=statistics.median(times) * 1e3,
            unit="ms",
            most=10.0,
        ),
        figure_row(
            topic="dex",
            name="the same, gain after gas",
            ours=statistics.mean(gains),
            unit="bps",
            peer_name="the best single path",
        ),
    ]


def _place(made: MadeUp, asset_id: str) -> int:
    return next(token for token in range(len(made.dollars)) if made.asset(token).id == asset_id)


def _gain_bps(router: Router, quote: Quote) -> float:
    node = router.market.node
    single = best_path_in(router.market, node(quote.token_in), node(quote.token_out), quote.amount_in)
    if single is None:
        return 0.0
    cost = router.gas_price(node(quote.token_out)).of_paths([single], router.ticks)[1]
    return (
        ((quote.amount_out - quote.gas_cost) / (single.amounts[-1] - cost) - 1) * 1e4
        if single.amounts[-1] > cost
        else 0.0
    )


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row['name']}: {row['value']} {row['unit']} ({row['peer']}), {row['ok']}\n")
    for text in notes:
        sys.stdout.write(text + "\n")
