"""Cycles of two pools: our optimum against degenbot's on the same pools, in time and in profit.

Somebody trades at random on three WETH/USDC pools of a devnet (V2, V3 at 0.05 % and at 0.3 %), so that their prices
part. Both sides size every cycle of two of them; ours is timed cold (curves made anew from the replicas, as after a
block that touched both pools) and with curves that are there. Profits are exact integers on both sides.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.comparison import Peer, Unavailable
from bench.rows import Row, figure_row, notes, ratio_row

if TYPE_CHECKING:
    from chain.devnet import PoolEntry
    from dex import PoolReplica
    from dex.arbitrage import Cycle, CycleOptimum
    from tests.dex.trader import Trader

RATIO_LEAST = 30.0
SHORTFALL_MOST = 1e-9
_ROUNDS = 12
_REPEATS = 200
_PEER_REPEATS = 3
_MAX_INPUT = 10**22


def run() -> list[Row]:
    """Measure; takes about twenty seconds, and the peer's installation once."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    from chain.devnet import Devnet, DevnetConfig
    from tests.dex.trader import Trader

    async with await Devnet.start(DevnetConfig(chain_id=1)) as devnet, devnet.client() as client:
        trader = Trader(devnet, client)
        await trader.prepare()
        try:
            peer = Peer.open("degenbot")
        except Unavailable as exc:
            notes.append(f"dex_cycles: {exc}")
            return []
        with peer:
            return await _compare(trader, peer)


async def _compare(trader: Trader, peer: Peer) -> list[Row]:
    world, chance = trader.devnet.world, random.Random(11)
    pools = {
        "V2": world.pool("v2", "WETH", "USDC"),
        "V3 0.05 %": world.pool("v3", "WETH", "USDC", 500),
        "V3 0.3 %": world.pool("v3", "WETH", "USDC", 3000),
    }
    weth, usdc = world.tokens["WETH"].address, world.tokens["USDC"].address
    times: dict[str, list[tuple[float, float, float]]] = {"V2-V3": [], "V3-V3": []}
    ahead, behind, worst = 0, 0, 0.0
    for _ in range(_ROUNDS):
        for pool in pools.values():
            usd = chance.randint(1_000, 400_000)
            token, amount = (weth, usd * 10**18 // 3_000) if chance.random() < 0.5 else (usdc, usd * 10**6)
            await trader.swap(pool, token, amount)
        replicas = {pool.address: await trader.replica(pool) for pool in pools.values()}
        _open(peer, world.rpc_url, pools, replicas)
        for one, other in itertools.permutations(pools, 2):
            pair = [pools[one].address, pools[other].address]
            cycle = _cycle(trader, replicas, pair, weth)
            found = _solve(cycle, replicas)
            answer = peer.ask("cycle", pools=pair, token=weth, max_input=str(_MAX_INPUT), repeats=_PEER_REPEATS)
            theirs = int(answer["profit"])
            if found is None:
                if theirs > 0:
                    raise AssertionError(f"degenbot earns {theirs} on a cycle that we call unprofitable")
                continue
            if theirs > found.profit:
                behind += 1
                worst = max(worst, (theirs - found.profit) / theirs)
            else:
                ahead += 1
            kind = "V2-V3" if "V2" in (one, other) else "V3-V3"
            cold, cached = _times(cycle, replicas)
            times[kind].append((cold, cached, answer["seconds"] / _PEER_REPEATS * 1e6))
    notes.append(
        f"cycles: {ahead + behind} profitable ones; our profit is at least degenbot's on {ahead}, "
        f"elsewhere lower by at most {worst:.1e} of it"
    )
    rows = []
    for kind, measured in times.items():
        cold, cached, theirs_us = (statistics.median(column) for column in zip(*measured, strict=True))
        name = f"{kind} cycle optimum"
        peer_name = f"degenbot, {theirs_us:.0f} us"
        rows += [
            ratio_row(
                topic="dex", name=f"{name}, cold", ours=cold, unit="us", peer_name=peer_name,
                ratio=theirs_us / cold, target=RATIO_LEAST,
            ),
            figure_row(
                topic="dex", name=f"{name}, curves there", ours=cached, unit="us", peer_name=peer_name,
                ratio=theirs_us / cached,
            ),
        ]  # fmt: skip
    rows.append(
        Row(
            topic="dex", name="cycle profit below degenbot's, at most", value=worst, unit="of it",
            peer=f"at most {SHORTFALL_MOST:g}", ratio=0.0, target=0.0, ok=worst <= SHORTFALL_MOST,
        )
    )  # fmt: skip
    return rows


def _open(peer: Peer, url: str, pools: dict[str, PoolEntry], replicas: dict[str, PoolReplica]) -> None:
    """Have the peer read the same pools."""
    from dex import V3Pool

    v3 = []
    for pool in pools.values():
        replica = replicas[pool.address]
        if isinstance(replica, V3Pool):
            v3.append([pool.address, replica.tick_spacing, [[t, str(n), str(g)] for t, n, g in replica.ticks]])
    v2 = [pool.address for pool in pools.values() if pool.kind == "v2"]
    peer.ask("open", url=url, v2=v2, v3=v3)


def _cycle(trader: Trader, replicas: dict[str, PoolReplica], pair: list[str], token: str) -> Cycle:
    from dex.arbitrage import Cycle, Leg

    start = next(asset for asset in replicas[pair[0]].tokens if asset.lower().endswith(token.lower()))
    between = replicas[pair[0]].other(start)
    return Cycle((Leg(pair[0], start, between), Leg(pair[1], between, start)))


def _solve(cycle: Cycle, replicas: dict[str, PoolReplica]) -> CycleOptimum | None:
    from dex.arbitrage import curve_of, solve_cycle

    curves = [curve_of(replicas[leg.pool], leg.token_in, leg.token_out) for leg in cycle.legs]
    return solve_cycle(cycle, replicas, curves)


def _times(cycle: Cycle, replicas: dict[str, PoolReplica]) -> tuple[float, float]:
    """Microseconds with curves made anew, and with curves that are there."""
    from dex.arbitrage import curve_of, solve_cycle

    curves = [curve_of(replicas[leg.pool], leg.token_in, leg.token_out) for leg in cycle.legs]
    return (
        _us(lambda: _solve(cycle, replicas)),
        _us(lambda: solve_cycle(cycle, replicas, curves)),
    )


def _us(work: Callable[[], object]) -> float:
    rounds = []
    for _ in range(5):
        began = time.perf_counter_ns()
        for _ in range(_REPEATS // 5):
            work()
        rounds.append((time.perf_counter_ns() - began) / 1_000 / (_REPEATS // 5))
    return statistics.median(rounds)
