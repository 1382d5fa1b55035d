"""A quote as one swap of Balancer's Vault, which holds every pool's tokens and is paid by an ordinary allowance.

One pool only: what lies between two pools, or beside other exchanges' paths, needs a contract that does both at once.
"""

from __future__ import annotations

from typing import Final

from chain.codec import function
from dex.execution.slippage import Bounds
from dex.routing.quote import Quote
from domain.assets import native_asset
from domain.ids import Address

KINDS: Final = frozenset({"balancer-stable", "balancer-weighted"})
_GIVEN_IN, _GIVEN_OUT = 0, 1
_SWAP: Final = function(
    "swap((bytes32 poolId, uint8 kind, address assetIn, address assetOut, uint256 amount, bytes userData) one,"
    " (address sender, bool fromInternalBalance, address recipient, bool toInternalBalance) funds,"
    " uint256 limit, uint256 deadline)"
)


def reaches(quote: Quote) -> bool:
    """Whether it is one swap on one Balancer pool, tokens for tokens."""
    native = native_asset(quote.chain_id).id
    hops = [hop for path in quote.paths for hop in path.hops]
    return len(hops) == 1 and hops[0].pool.kind in KINDS and native not in (quote.token_in.id, quote.token_out.id)


def encode_balancer(quote: Quote, bounds: Bounds, owner: Address) -> bytes:
    """Give the call's data; `reaches` must hold."""
    (hop,) = quote.paths[0].hops
    is_out = quote.is_exact_out
    swap = (
        bytes.fromhex(hop.pool.pool_id[2:]),
        _GIVEN_OUT if is_out else _GIVEN_IN,
        hop.pool.address_of(hop.token_in.id),
        hop.pool.address_of(hop.token_out.id),
        hop.amount_out if is_out else hop.amount_in,
        b"",
    )
    return _SWAP.encode(swap, (owner, False, owner, False), bounds.paths[0], bounds.deadline_s)
