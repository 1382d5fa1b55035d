"""Random quotes of one pool, ours against the contracts', for runs of any length."""

from __future__ import annotations

from typing import NamedTuple

from dex import PoolReplica, PoolSpec, read_pools
from domain import Refused
from tests.dex.traffic import Traffic

_DIGITS = {"v2": 4.5, "v3": 4.5, "v4": 3.5, "balancer-weighted": 2.5, "balancer-stable": 6.0, "curve-stable": 6.0}
"""Powers of ten of a token that amounts reach; a few are more than the pool has."""


class Disagreement(NamedTuple):
    """A quote that is not the chain's; -1 is a refusal."""

    pool: str
    side: str
    token_in: str
    token_out: str
    amount: int
    ours: int
    theirs: int


async def compare_quotes(traffic: Traffic, spec: PoolSpec, count: int) -> tuple[int, list[Disagreement]]:
    """Ask about random amounts at the newest block, half of them by what is to come out.

    Returns how many were asked (of Curve's exact outputs, which the contract does not quote, both neighbours of the
    answer are asked) and which differ.
    """
    client, chance = traffic.trader.client, traffic.chance
    head = await client.head()
    (now,) = await read_pools(client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
    replica = spec.replica()
    replica.apply(now)
    by_address = {address: asset for asset, address in spec.tokens}
    requests = []
    for _ in range(count):
        source, target = chance.sample(list(by_address), 2)
        size = chance.uniform(0, by_address[source].decimals + _DIGITS[spec.kind])
        requests.append((source, target, max(1, int(10**size))))
    half = count // 2
    wrong = []
    asked = [*((r, True) for r in requests[:half]), *((r, False) for r in requests[half:])]
    theirs = await _chain(traffic, spec, requests[:half], is_exact_in=True)
    if spec.kind == "curve-stable":
        return count, await _curve(traffic, spec, replica, requests[:half], theirs, requests[half:])
    theirs += await _chain(traffic, spec, requests[half:], is_exact_in=False)
    for ((source, target, amount), is_in), answer in zip(asked, theirs, strict=True):
        ours = _ours(replica, by_address[source].id, by_address[target].id, amount, is_exact_in=is_in)
        if spec.kind == "v3" and is_in and ours == -1:
            # V3's quoter fills in part what the pool cannot take, which we refuse: twice as much gives no more then.
            (twice,) = await _chain(traffic, spec, [(source, target, 2 * amount)], is_exact_in=True)
            ours = answer if twice == answer else ours
        if not _agree(spec.kind, ours, answer, is_exact_in=is_in):
            wrong.append(Disagreement(spec.id, "in" if is_in else "out", source, target, amount, ours, answer))
    return count, wrong


def _agree(kind: str, ours: int, theirs: int, *, is_exact_in: bool) -> bool:
    if ours == theirs:
        return True
    if not is_exact_in:
        return False
    # For less than a unit out Balancer's and Curve's contracts may revert where we say that nothing comes out.
    return ours == 0 and theirs == -1 and kind.startswith(("balancer", "curve"))


async def _chain(
    traffic: Traffic, spec: PoolSpec, requests: list[tuple[str, str, int]], *, is_exact_in: bool
) -> list[int]:
    if spec.kind in ("v2", "v3", "v4"):
        pool = next(pool for pool in traffic.pools if traffic.trader.spec(pool) is spec)
        if is_exact_in:
            return await traffic.trader.chain_quotes_in(pool, [(source, amount) for source, _, amount in requests])
        return await traffic.trader.chain_quotes_out(pool, [(target, amount) for _, target, amount in requests])
    return await traffic.hand.quotes(spec, requests, is_exact_in=is_exact_in)


async def _curve(
    traffic: Traffic,
    spec: PoolSpec,
    replica: PoolReplica,
    exact_in: list[tuple[str, str, int]],
    theirs: list[int],
    exact_out: list[tuple[str, str, int]],
) -> list[Disagreement]:
    ids = {address: asset.id for asset, address in spec.tokens}
    wrong = []
    for (source, target, amount), answer in zip(exact_in, theirs, strict=True):
        ours = _ours(replica, ids[source], ids[target], amount, is_exact_in=True)
        if not _agree(spec.kind, ours, answer, is_exact_in=True):
            wrong.append(Disagreement(spec.id, "in", source, target, amount, ours, answer))
    costs = [
        (source, target, amount, _ours(replica, ids[source], ids[target], amount, is_exact_in=False))
        for source, target, amount in exact_out
    ]
    known = [case for case in costs if case[3] > 1]
    enough = await traffic.hand.quotes(spec, [(s, t, cost) for s, t, _, cost in known], is_exact_in=True)
    short = await traffic.hand.quotes(spec, [(s, t, cost - 1) for s, t, _, cost in known], is_exact_in=True)
    for (source, target, amount, cost), least, less in zip(known, enough, short, strict=True):
        if not (least >= amount > less):
            wrong.append(Disagreement(spec.id, "out", source, target, amount, cost, least))
    return wrong


def _ours(replica: PoolReplica, token_in: str, token_out: str, amount: int, *, is_exact_in: bool) -> int:
    try:
        if is_exact_in:
            return replica.quote_exact_in_down(token_in, amount, token_out)
        return replica.quote_exact_out_up(token_out, amount, token_in)
    except Refused as exc:
        if exc.rule != "pool_depth":
            raise
        return -1
