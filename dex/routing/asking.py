"""Quotes that also consider pools which only the chain can price: hooks, dynamic fees.

No optimiser sees such a pool, for nobody knows its curve: it is asked, at the market's own block, what it gives for the
whole amount, and taken when that is more than the best route over the others. The quote says so (`by_call`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from chain import ChainClient
from dex.discovery import Discovery
from dex.pools import PoolSpec
from dex.replicas.by_call import CallQuote, quotes_by_call
from dex.routing.quote import Hop, Path, Quote
from dex.routing.router import Router
from domain.assets import Asset
from domain.errors import Refused

_SMALL: Final = 1000
"""The price at the margin is read off an amount so many times smaller; its fee is in it."""
_AMOUNT_MAX: Final = (1 << 128) - 1
"""V4's amounts."""


async def quote_asking(
    client: ChainClient,
    discovery: Discovery,
    router: Router,
    token_in: Asset,
    token_out: Asset,
    amount: int,
    *,
    is_exact_out: bool = False,
) -> Quote:
    """Quote over replicas and, where there are any between the two tokens, over pools that must be asked.

    Raises:
        InputError: As the router's.
        Refused: As the router's, and no pool that was asked gives anything.
        VenueUnavailable: No node answers.
    """
    try:
        quote = router.quote_exact_out if is_exact_out else router.quote_exact_in
        options = [quote(token_in, token_out, amount)]
        failure = None
    except Refused as exc:
        options, failure = [], exc
    options += await _asked(client, discovery, router, (token_in, token_out), amount, is_exact_out=is_exact_out)
    if not options:
        raise failure or Refused(f"no route from {token_in.symbol} to {token_out.symbol}", rule="no_route")
    return min(options, key=_cost) if is_exact_out else max(options, key=_gain)


async def _asked(
    client: ChainClient,
    discovery: Discovery,
    router: Router,
    ends: tuple[Asset, Asset],
    amount: int,
    *,
    is_exact_out: bool,
) -> list[Quote]:
    node = router.market.node
    nodes = {node(end) for end in ends}
    pools = [pool for pool in discovery.pools if pool.is_by_call and {node(asset) for asset, _ in pool.tokens} == nodes]
    quoter = discovery.deployment.v4_quoter
    if not pools or quoter is None or amount > _AMOUNT_MAX:
        return []
    questions, small = [], max(1, amount // _SMALL)
    for pool in pools:
        token = _of_pool(pool, router, ends[1] if is_exact_out else ends[0])
        questions += [CallQuote(pool, token.id, n, is_exact_out) for n in (amount, small)]
    answers = await quotes_by_call(client, quoter, questions, router.market.block_hash)
    found = []
    for index, pool in enumerate(pools):
        whole, little = answers[2 * index : 2 * index + 2]
        if isinstance(whole, int) and isinstance(little, int) and whole > 0 and little > 0:
            amounts, price = (amount, whole), Fraction(little, small)
            if is_exact_out:
                amounts, price = (whole, amount), Fraction(small, little)
            tokens = _of_pool(pool, router, ends[0]), _of_pool(pool, router, ends[1])
            found.append(_quote(router, ends, Hop(pool, *tokens, *amounts), price, is_exact_out=is_exact_out))
    return found


def _quote(router: Router, ends: tuple[Asset, Asset], hop: Hop, price: Fraction, *, is_exact_out: bool) -> Quote:
    market = router.market
    units, cost = router.gas_price(market.node(ends[0 if is_exact_out else 1])).of_hops([[hop.pool.kind]])
    return Quote(
        id=router.new_id(),
        chain_id=market.chain_id,
        block_number=market.block_number,
        block_hash=market.block_hash,
        token_in=ends[0],
        token_out=ends[1],
        amount_in=hop.amount_in,
        amount_out=hop.amount_out,
        is_exact_out=is_exact_out,
        paths=(Path((hop,)),),
        mid_price=price,
        gas_units=units,
        gas_cost=cost,
        by_call=(hop.pool.id,),
    )


def _of_pool(pool: PoolSpec, router: Router, end: Asset) -> Asset:
    """Give the pool's own form of a token: the coin where it is asked for the coin's ERC-20 form, and the reverse."""
    node = router.market.node
    return next(asset for asset, _ in pool.tokens if node(asset) == node(end))


def _gain(quote: Quote) -> int:
    return quote.amount_out - quote.gas_cost


def _cost(quote: Quote) -> int:
    return quote.amount_in + quote.gas_cost
