"""Pool replicas: V3 quotes against degenbot's on the same pool, and how long a log takes to be in a replica.

Both sides hold one devnet's WETH/USDC pool with some seventy initialised ticks around the price, answer the same
amounts by turns, and must agree on every one: a fast wrong quote is no quote.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.comparison import Peer, Unavailable
from bench.rows import Row, bound_row, figure_row, notes, ratio_row

if TYPE_CHECKING:
    from dex import PoolReplica, PoolSpec
    from tests.dex.trader import Trader

TARGETS = {0: 25.0, 10: 0.0, 50: 150.0}
"""How many times faster, by initialised ticks crossed; nothing is promised where there is a zero."""
LOG_US_MOST = 15.0
_ROUNDS = 11
_REQUESTS = 300
"""In a round: each amount is asked once and never again, as degenbot remembers what it computed for one."""
_RANGES = 70


def run() -> list[Row]:
    """Measure; takes about fifteen seconds, and the peer's installation once."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    from chain.devnet import Devnet, DevnetConfig
    from tests.dex.trader import Trader

    async with await Devnet.start(DevnetConfig(chain_id=1)) as devnet, devnet.client() as client:
        trader = Trader(devnet, client)
        await trader.prepare()
        rows = await _quotes(trader, devnet.world.rpc_url)
        return rows + await _logs(trader)


async def _quotes(trader: Trader, url: str) -> list[Row]:
    from dex import V3Pool

    pool = trader.devnet.world.pool("v3", "WETH", "USDC", 500)
    spec, tick = trader.spec(pool), await trader.tick(pool)
    first = tick // 10 * 10
    for i in range(_RANGES):  # Neighbouring ranges where selling WETH leads: each boundary is a tick to cross.
        lower = first + (i - 5) * 10
        await trader.mint(pool, lower, lower + 10 + 10 * (i % 3), 10**11, 4 * 10**19)
    replica = await trader.replica(pool)
    assert isinstance(replica, V3Pool)
    try:
        peer = Peer.open("degenbot")
    except Unavailable as exc:
        return [figure_row(topic="dex", name="V3 quote", ours=_alone(replica), unit="us", peer_name=str(exc))]
    with peer:
        ticks = [[t, str(net), str(gross)] for t, net, gross in replica.ticks]
        opened = peer.ask("open", url=url, v3=[[pool.address, replica.tick_spacing, ticks]])
        notes.append(f"degenbot {opened['version']} reads the same pool: {len(ticks)} initialised ticks")
        chance = random.Random(7)
        rows = []
        for crossed, target in TARGETS.items():
            amounts = _amounts(replica, spec, crossed)
            ours, theirs = _by_turns(replica, peer, pool.address, spec, amounts, chance)
            name = f"V3 quote that crosses {crossed} ticks"
            peer_name = f"degenbot {opened['version']}, {theirs:.1f} us"
            if target:
                made = ratio_row(
                    topic="dex",
                    name=name,
                    ours=ours,
                    unit="us",
                    peer_name=peer_name,
                    ratio=theirs / ours,
                    target=target,
                )
            else:
                made = figure_row(
                    topic="dex", name=name, ours=ours, unit="us", peer_name=peer_name, ratio=theirs / ours
                )
            rows.append(made)
        return rows


def _amounts(replica: Any, spec: PoolSpec, crossed: int) -> range:
    """Amounts of WETH that end just beyond so many initialised ticks, which lie above the price: USDC is token 0."""
    from domain import Refused

    token = _weth(spec)
    if not crossed:  # Anywhere before the first tick.
        return range(1, int(next(replica.pieces(token)).in_size))
    ticks = [t for t, _, _ in replica.ticks if t > replica.tick]
    low, high = 1, 10**24
    while high - low > 1:
        middle = (low + high) // 2
        try:
            is_enough = sum(t <= replica.after_exact_in(token, middle).tick for t in ticks) >= crossed
        except Refused:
            is_enough = True
        low, high = (low, middle) if is_enough else (middle, high)
    return range(high, high + high // 1000)


def _weth(spec: PoolSpec) -> str:
    assert spec.token1.symbol == "WETH"
    return spec.token1.id


def _by_turns(
    replica: PoolReplica, peer: Peer, address: str, spec: PoolSpec, amounts: range, chance: random.Random
) -> tuple[float, float]:
    """Medians of both sides in microseconds a quote."""
    ours_us, theirs_us = [], []
    quote, token = replica.quote_exact_in_down, _weth(spec)
    for number in range(_ROUNDS + 1):
        requests = [chance.randrange(amounts.start, amounts.stop) for _ in range(_REQUESTS)]
        asked = [[str(spec.address_of(token)), str(amount)] for amount in requests]
        began = time.perf_counter_ns()
        ours = [quote(token, amount) for amount in requests]
        elapsed = (time.perf_counter_ns() - began) / 1_000
        answer = peer.ask("quotes", pool=address, requests=asked)
        if [str(out) for out in ours] != answer["answers"]:
            raise AssertionError(f"replica and degenbot disagree: {ours[:3]} {answer['answers'][:3]}")
        if number:  # The first one warms both up.
            ours_us.append(elapsed / len(requests))
            theirs_us.append(answer["seconds"] * 1e6 / len(requests))
    return statistics.median(ours_us), statistics.median(theirs_us)


def _alone(replica: PoolReplica) -> float:
    return _median_us(lambda: replica.quote_exact_in_down(replica.token1, 10**15))


async def _logs(trader: Trader) -> list[Row]:
    """One log's bytes to a replica that holds it, for each kind: decoding, its undo, and its being applied."""
    from tests.dex.traffic import replicated

    rows = []
    for kind in ("v2", "v3", "v4", "balancer-stable", "balancer-weighted"):
        spec = next(s for s in replicated(trader.devnet) if s.kind == kind)
        take = await _taking(trader, spec)
        name = f"{kind} swap log to updated replica, and back"
        rows.append(bound_row(topic="dex", name=name, ours=_median_us(take), unit="us", most=LOG_US_MOST))
    return rows


async def _taking(trader: Trader, spec: PoolSpec) -> Callable[[], None]:
    """Swap once on a pool; give what takes the log of it, as the follower does."""
    from dex import read_pools
    from dex.replicas.decoding import LogRoutes, decode_log, topics_of
    from tests.dex.trader_balances import BalanceHand

    client, replica, routes = trader.client, spec.replica(), LogRoutes([spec])
    head = await client.head()
    (now,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
    replica.apply(now)
    token_in, token_out = (address for _, address in spec.tokens[:2])
    if spec.kind.startswith("balancer-"):
        hand = BalanceHand(client)
        await hand.approve(spec)
        await hand.swap(spec, token_in, token_out, 10**6)
    else:
        pool = next(p for p in trader.devnet.world.pools if p.kind == spec.kind and trader.spec(p).id == spec.id)
        await trader.swap(pool, token_in, 10**6)
    block = await client.head()
    logs = await client.logs(addresses=routes.addresses, topics=[topics_of([spec])], block_hash=block.hash)
    log = logs[-1]

    def take() -> None:
        found = routes.find(log)
        assert found is not None
        event = decode_log(found, log, 0, replica)
        assert event is not None
        undo = replica.undo_of(event)
        assert undo is not None
        replica.apply(event)
        replica.apply(undo)  # So that the next round finds what this one did.

    return take


def _median_us(work: Callable[[], object], *, rounds: int = 25, repeats: int = 400) -> float:
    found = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        for _ in range(repeats):
            work()
        found.append((time.perf_counter_ns() - began) / 1_000 / repeats)
    return statistics.median(found)
