"""Random pools and books for the property tests, built from snapshots as the chain would give them."""

from __future__ import annotations

import random
from fractions import Fraction

from dex import BookTerms, PoolReplica, V2Pool, V3Pool
from dex.replicas.tick_math import sqrt_price_at
from domain.events import PoolSnapshotted

BASE, QUOTE = "eip155:1337/erc20:base", "eip155:1337/erc20:quote"


def v3_snapshot(
    ticks: dict[int, tuple[int, int]], tick: int, *, fee_pips: int = 500, spacing: int = 10, token0: str = BASE
) -> PoolSnapshotted:
    """A V3 pool standing at `tick`, with (net, gross) liquidity by tick."""
    return PoolSnapshotted(
        time_ns=0,
        pool="p",
        block_number=5,
        kind="v3",
        token0=token0,
        token1=QUOTE if token0 == BASE else BASE,
        fee_pips=fee_pips,
        tick_spacing=spacing,
        sqrt_price_x96=str(sqrt_price_at(tick)),
        tick=tick,
        liquidity=str(sum(net for t, (net, _) in ticks.items() if t <= tick)),
        ticks=tuple((t, str(ticks[t][0])) for t in sorted(ticks)),
        ticks_gross=tuple(str(ticks[t][1]) for t in sorted(ticks)),
    )


def ranges_to_ticks(ranges: list[tuple[int, int, int]]) -> dict[int, tuple[int, int]]:
    """Sum positions (lower, upper, liquidity) to nets and grosses."""
    ticks: dict[int, tuple[int, int]] = {}
    for lower, upper, liquidity in ranges:
        for tick, sign in ((lower, 1), (upper, -1)):
            net, gross = ticks.get(tick, (0, 0))
            ticks[tick] = (net + sign * liquidity, gross + liquidity)
    return ticks


def random_pool(chance: random.Random) -> PoolReplica:
    """A pool near 3000 quote (6 decimals) per base (18 decimals), V2 or V3, either token order."""
    token0, token1 = chance.choice([(BASE, QUOTE), (QUOTE, BASE)])
    base_first = token0 == BASE
    if chance.random() < 0.3:
        pool: PoolReplica = V2Pool("p", token0, token1, 3000)
        base, quote = chance.randint(10**19, 10**22), chance.randint(10**19, 10**22) * 3000 // 10**12
        reserves = (base, quote) if base_first else (quote, base)
        pool.apply(
            PoolSnapshotted(
                time_ns=0, pool="p", block_number=5, kind="v2", token0=token0, token1=token1, fee_pips=3000,
                reserve0=str(reserves[0]), reserve1=str(reserves[1]),
            )
        )  # fmt: skip
        return pool
    fee, spacing = chance.choice([(500, 10), (3000, 60), (10000, 200)])
    centre = (-196_256 if base_first else 196_256) + chance.randint(-300, 300)
    ranges = [(-887_200 // spacing * spacing + spacing, 887_200 // spacing * spacing, chance.randint(10**13, 10**15))]
    for _ in range(chance.randint(0, 8)):
        lower = (centre + chance.randint(-3000, 2500)) // spacing * spacing
        ranges.append((lower, lower + chance.randint(1, 60) * spacing, chance.randint(10**13, 10**17)))
    pool = V3Pool("p", token0, token1, fee)
    pool.apply(v3_snapshot(ranges_to_ticks(ranges), centre, fee_pips=fee, spacing=spacing, token0=token0))
    return pool


def random_terms(chance: random.Random) -> BookTerms:
    """Lots of 0.001 to 0.1 base, ticks of 0.01 quote, fees up to 20 bps."""
    lot = 10 ** chance.randint(15, 17)
    return BookTerms(
        base_token=BASE,
        quote_token=QUOTE,
        lot_base_raw=lot,
        tick_quote_raw=Fraction(10_000 * lot, 10**18),
        taker_fee=Fraction(chance.randint(0, 20), 10_000),
    )


def random_levels(chance: random.Random, pool: PoolReplica, *, is_bids: bool) -> list[tuple[int, int]]:
    """A staircase whose touch lies up to 3 % on the profitable side of the pool's price, or on the other."""
    mid = pool.mid_price_raw() if pool.token0 == BASE else 1 / pool.mid_price_raw()
    touch = int(mid * 10**18 / 10_000 * Fraction(10_000 + (1 if is_bids else -1) * chance.randint(-50, 300), 10_000))
    levels, price = [], touch
    for _ in range(chance.randint(0, 12)):
        levels.append((price, chance.randint(1, 25)))
        price += (-1 if is_bids else 1) * chance.randint(1, 400)
    return levels
