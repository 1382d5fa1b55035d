"""Opportunities as words and as JSON."""

from __future__ import annotations

from dex.arbitrage.searcher import Opportunity, Searcher


def opportunity_row(found: Opportunity, searcher: Searcher) -> dict[str, object]:
    """Write an opportunity for machines: amounts are raw units as text."""
    legs = found.optimum.cycle.legs
    return {
        "path": path_words(found, searcher),
        "token": found.token.symbol,
        "decimals": found.token.decimals,
        "amount_in": str(found.optimum.amount_in),
        "profit": str(found.profit),
        "gas_cost": str(found.gas_cost),
        "net": str(found.net),
        "gas_units": found.gas_units,
        "funding": found.loan.funding.name.lower().replace("_", "-"),
        "loan_fee": str(found.loan.fee),
        "amounts": [str(amount) for amount in found.optimum.amounts],
        "pools": [
            {
                "id": leg.pool,
                "kind": searcher.pools[leg.pool].kind,
                "fee_pips": searcher.pools[leg.pool].fee_pips,
                "token_in": leg.token_in,
                "token_out": leg.token_out,
            }
            for leg in legs
        ],
    }


def path_words(found: Opportunity, searcher: Searcher) -> str:
    """Write a cycle for people: `WETH -v2-> USDC -v3 0.05%-> WETH`."""
    words = []
    for leg in found.optimum.cycle.legs:
        pool = searcher.pools[leg.pool]
        symbols = {asset.id: asset.symbol for asset, _ in pool.tokens}
        words.append(f"{symbols[leg.token_in]} -{pool.kind} {pool.fee_pips / 10_000:g}%->")
    return " ".join([*words, words[0].split(" ")[0]])
