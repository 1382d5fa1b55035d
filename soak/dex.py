"""`python -m soak.dex`: every pool replica against the chain, at length, on a devnet of its own.

Random trading on pools of all kinds with reorganisations in between: after each, and before it, the replicas that the
follower's events feed must equal the chain. Then random quotes on every kind of pool, both sides: each must equal what
the contracts say, to the unit. Prints one line a figure (`--json`: one object) and exits 1 when anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from dex import PoolFollower, PoolSpec
from runtime import configure_logging
from tests.dex.audience import Audience
from tests.dex.quotes import Disagreement, compare_quotes
from tests.dex.trader import Trader
from tests.dex.trader_balances import deploy_curve
from tests.dex.traffic import Traffic, replicated

_BATCH = 100
_EVENTS_PER_ROUND = 500


def main() -> int:
    """Run and tell; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soak.dex", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="random swaps, mints and burns (default 10000)")
    parser.add_argument("--reorgs", type=int, default=50, help="reorganisations among them (default 50)")
    parser.add_argument(
        "--quotes", type=int, default=10_000, help="random quotes for each kind of pool (default 10000)"
    )
    parser.add_argument("--seed", type=int, default=None, help="of everything random")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    configure_logging(level="ERROR")
    tell(f"seed {seed}")
    found = asyncio.run(_run(given.events, given.reorgs, given.quotes, seed))
    found["seed"] = seed
    if given.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    return 1 if found.get("mismatches") or found.get("quote_mismatches") else 0


def tell(text: str) -> None:
    """Say how far it is, on standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


async def _run(events: int, reorgs: int, quotes: int, seed: int) -> dict[str, Any]:
    """Trade in rounds, each on a devnet of its own: anvil loses its state on reorganising beyond some 1,300 blocks."""
    chance = random.Random(seed)
    rounds = max(-(-events // _EVENTS_PER_ROUND), 1)
    total: Counter[str] = Counter()
    quoted: Counter[str] = Counter()
    for number in range(rounds):
        share = [(number + 1) * whole // rounds - number * whole // rounds for whole in (events, reorgs, quotes)]
        found, asked = await play(chance, events=share[0], reorgs=share[1], quotes=share[2])
        total.update(found)
        quoted.update(asked)
        tell(f"round {number + 1} of {rounds}: {dict(total)} {dict(quoted)}")
    return {"mismatches": 0, "quote_mismatches": 0, **total, "pools": total["pools"] // rounds, "quotes": dict(quoted)}


async def play(chance: random.Random, *, events: int, reorgs: int, quotes: int) -> tuple[Counter[str], Counter[str]]:
    """Play one round; give its figures, and how many quotes were asked by kind."""
    async with await Devnet.start(DevnetConfig()) as devnet, devnet.client() as client:
        trader = Trader(devnet, client)
        await trader.prepare()
        curve = await deploy_curve(
            devnet, client, ("DAI", "USDC", "USDT"), amplification=200, fee=4_000_000, offpeg=50_000_000_000
        )
        traffic = Traffic(trader, chance, [curve])
        await traffic.prepare()
        found = await _follow(client, traffic, [*replicated(devnet), curve], events, reorgs)
        asked, wrong = await _quote(traffic, quotes)
        return found + Counter(quote_mismatches=wrong), asked


async def _follow(
    client: ChainClient, traffic: Traffic, specs: list[PoolSpec], events: int, reorgs: int
) -> Counter[str]:
    chance, audience = traffic.chance, Audience(specs)
    follower = PoolFollower(client, specs, time.time_ns, poll_s=0.01)
    mismatches: list[str] = []
    done, blocks_undone = 0, 0
    await follower.start(audience)
    try:
        every = max(events // max(reorgs, 1), 1)
        while traffic.events < events:
            await traffic.act()
            if traffic.events % every == 0 and done < reorgs:
                mismatches += await audience.differences(client)
                depth = chance.randint(1, 12)
                if chance.random() < 0.3:
                    await client.rpc.request("anvil_rollback", depth)
                else:
                    await client.rpc.request("anvil_reorg", depth, [])
                traffic.forget()
                mismatches += await audience.differences(client)
                done, blocks_undone = done + 1, blocks_undone + depth
                audience.events.clear()
        mismatches += await audience.differences(client)
    finally:
        await follower.stop()
    for text in mismatches[:10]:
        tell(f"  - {text}")
    return Counter(
        events=traffic.events,
        pools=len(specs),
        reorganisations=done,
        blocks_undone=blocks_undone,
        logs_undone=follower.logs_undone,
        audits=follower.audits,
        mismatches=len(mismatches) + follower.audits_failed,
    )


async def _quote(traffic: Traffic, count: int) -> tuple[Counter[str], int]:
    """Quote on the pools as trading has left them, some trading in between: how many by kind, and how many differ."""
    asked: Counter[str] = Counter()
    wrong: list[Disagreement] = []
    specs = [traffic.trader.spec(pool) for pool in traffic.pools] + traffic.balanced
    for kind in sorted({spec.kind for spec in specs}):
        while asked[kind] < count:
            spec = traffic.chance.choice([spec for spec in specs if spec.kind == kind])
            await traffic.act()
            number, differ = await compare_quotes(traffic, spec, min(_BATCH, count - asked[kind]))
            asked[kind] += number
            wrong += differ
    for case in wrong[:10]:
        tell(f"  - {case}")
    return asked, len(wrong)


if __name__ == "__main__":
    sys.exit(main())
