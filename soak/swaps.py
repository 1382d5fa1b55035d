"""`python -m soak.swaps`: random swaps, quoted by routing and carried out through custody on the devnet.

Tokens, coins, exact inputs and outputs, amounts from 10 to 100,000 dollars, each router, the genuine contracts; the
pools move with every swap. Each must give exactly what was quoted (an exact output over V2 pairs of the UniversalRouter
may give a little more: it pays the pair what the output costs and hands over all that this buys), and the ledger must
equal the chain after each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.devnet import TEST_ADDRESSES, Devnet
from cli.dex.desk import DexDesk, open_desk
from cli.dex.market import read_market
from cli.dex.options import ACCOUNT, DeskPlace
from cli.dex.swapping import carry_out, contracts_on, prepare, quote_through
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through
from dex.routing.quote import Quote
from domain import InputError, InvariantError, Refused

_USD = {"ETH": 3_000, "WETH": 3_000, "WBTC": 60_000, "USDC": 1, "USDT": 1, "DAI": 1}
_DECIMALS = {"ETH": 18, "WETH": 18, "WBTC": 8, "USDC": 6, "USDT": 6, "DAI": 18}
_HELD_USD = 3_000_000
_WISHES = (None, None, Through.UNIVERSAL_ROUTER, Through.SWAP_ROUTER)


@dataclass(slots=True)
class Tally:
    """What came of a run."""

    swaps: int = 0
    hops: Counter[str] = field(default_factory=Counter)
    through: Counter[str] = field(default_factory=Counter)
    paths_max: int = 0
    kinds_in_one_path_max: int = 0
    refused: Counter[str] = field(default_factory=Counter)


async def run_swaps(devnet: Devnet, folder: Path, *, count: int, seed: int) -> Tally:
    """Carry out `count` swaps; stop at the first that differs.

    Raises:
        InvariantError: A swap gave something else than quoted, or ledger and chain differ.
    """
    chance, tally = random.Random(seed), Tally()
    await devnet.fund(
        TEST_ADDRESSES[ACCOUNT],
        _HELD_USD // _USD["ETH"] * 10**18,
        {s: _HELD_USD // usd * 10 ** _DECIMALS[s] for s, usd in _USD.items() if s != "ETH"},
    )
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=folder)) as desk:
        while tally.swaps < count:
            await _one(desk, chance, tally)
            if differing := await desk.differences():
                raise InvariantError(f"seed {seed}, swap {tally.swaps}: ledger and chain differ: {differing}")
    return tally


async def _one(desk: DexDesk, chance: random.Random, tally: Tally) -> None:
    ends: Any = tuple(chance.sample(sorted(_USD), 2))
    if set(ends) == {"ETH", "WETH"}:
        return
    is_exact_out, wish = chance.random() < 0.4, chance.choice(_WISHES)
    if wish is Through.SWAP_ROUTER and "ETH" in ends:
        wish = None
    of = ends[1] if is_exact_out else ends[0]
    amount = int(10 ** chance.uniform(1, 5) / _USD[of] * 10 ** _DECIMALS[of])
    contracts, policy = await contracts_on(desk.client, desk.network), SlippagePolicy(lifetime_s=1_500)

    async def quote(through: Through | None) -> Quote:
        market = await read_market(desk.client, desk.network, ends)
        return await quote_through(market, ends, amount, through, is_exact_out=is_exact_out, max_hops=3)

    try:
        prepared = await prepare(desk.client, await quote(wish), policy, contracts, desk.account, wish)
        done = await carry_out(desk, prepared, policy, quote)
    except Refused as exc:
        tally.refused[exc.rule] += 1
        return
    except InputError:  # The router that was wished for does not reach what was found.
        tally.refused["way"] += 1
        return
    paths = prepared.quote.paths
    has_pairs = wish is not Through.SWAP_ROUTER and any(hop.pool.kind == "v2" for path in paths for hop in path.hops)
    gives_more = is_exact_out and has_pairs and (done.difference_bps or 0) >= 0
    expected = done.expected
    same = done.amount_in == expected.amount_in and (done.amount_out == expected.amount_out or gives_more)
    if done.status != "mined" or not same or int(done.amount_out) < int(expected.amount_out):
        raise InvariantError(f"{expected} ended as {done}")
    tally.swaps += 1
    tally.hops.update(hop.pool.kind for path in paths for hop in path.hops)
    tally.through[expected.router] += 1
    tally.paths_max = max(tally.paths_max, len(paths))
    tally.kinds_in_one_path_max = max(
        tally.kinds_in_one_path_max, *(len({hop.pool.kind for hop in path.hops}) for path in paths)
    )


async def _main(count: int, seed: int) -> Tally:
    with tempfile.TemporaryDirectory(prefix="capstan-swaps-") as folder:
        async with await Devnet.start() as devnet:
            return await run_swaps(devnet, Path(folder), count=count, seed=seed)


def main() -> int:
    """Run, and print a line of JSON."""
    from runtime import configure_logging

    parser = argparse.ArgumentParser(prog="python -m soak.swaps", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="swaps to carry out (default 500)")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    configure_logging(level="ERROR")
    began = time.monotonic()
    tally = asyncio.run(_main(given.count, seed))
    told = {name: getattr(tally, name) for name in Tally.__dataclass_fields__}
    print(json.dumps({"seed": seed, "seconds": round(time.monotonic() - began, 1), **told}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
