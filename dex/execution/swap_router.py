"""A quote as calls of Uniswap's SwapRouter02: V2 and V3 paths, each whole on one kind of pool, in one multicall.

It takes tokens by an ordinary allowance and knows no Permit2. A path over both kinds would keep its middle in the
router under amounts that the call does not say; the UniversalRouter does that.
"""

from __future__ import annotations

from typing import Final

from chain.codec import function
from dex.execution.slippage import Bounds
from dex.execution.universal_router import v3_path
from dex.routing.quote import Path, Quote
from domain.assets import native_asset
from domain.errors import InvariantError
from domain.ids import Address

KINDS: Final = frozenset({"v2", "v3"})

_MULTICALL: Final = function("multicall(uint256 deadline, bytes[] data)")
_V2_IN: Final = function("swapExactTokensForTokens(uint256 amountIn, uint256 least, address[] path, address to)")
_V2_OUT: Final = function("swapTokensForExactTokens(uint256 amountOut, uint256 most, address[] path, address to)")
_SINGLE: Final = "(address tokenIn, address tokenOut, uint24 fee, address to, uint256 first, uint256 second, uint160 l)"
_V3_IN_ONE: Final = function(f"exactInputSingle({_SINGLE} p)")
_V3_OUT_ONE: Final = function(f"exactOutputSingle({_SINGLE} p)")
_V3_IN: Final = function("exactInput((bytes path, address to, uint256 amountIn, uint256 least) p)")
_V3_OUT: Final = function("exactOutput((bytes path, address to, uint256 amountOut, uint256 most) p)")


def reaches(quote: Quote) -> bool:
    """Whether every path is of V2 pools or of V3 pools, and tokens are paid for tokens."""
    native = native_asset(quote.chain_id).id
    kinds = [{hop.pool.kind for hop in path.hops} for path in quote.paths]
    return native not in (quote.token_in.id, quote.token_out.id) and all(
        len(each) == 1 and each <= KINDS for each in kinds
    )


def encode_swap_router(quote: Quote, bounds: Bounds, owner: Address) -> bytes:
    """Give the call's data; `reaches` must hold."""
    calls = [
        _path(path, bound, owner, exact_out=quote.is_exact_out)
        for path, bound in zip(quote.paths, bounds.paths, strict=True)
    ]
    return _MULTICALL.encode(bounds.deadline_s, calls)


def _path(path: Path, bound: int, owner: Address, *, exact_out: bool) -> bytes:
    first = path.hops[0]
    tokens = [first.pool.address_of(first.token_in.id), *(h.pool.address_of(h.token_out.id) for h in path.hops)]
    amount = path.amount_out if exact_out else path.amount_in
    kind, fees = first.pool.kind, [hop.pool.fee_pips for hop in path.hops]
    if kind == "v2":
        return (_V2_OUT if exact_out else _V2_IN).encode(amount, bound, tokens, owner)
    if kind != "v3":
        raise InvariantError(f"SwapRouter02 does not reach {kind} pools")
    if len(fees) == 1:
        method = _V3_OUT_ONE if exact_out else _V3_IN_ONE
        return method.encode((tokens[0], tokens[1], fees[0], owner, amount, bound, 0))
    if exact_out:
        return _V3_OUT.encode((v3_path(tokens[::-1], fees[::-1]), owner, amount, bound))
    return _V3_IN.encode((v3_path(tokens, fees), owner, amount, bound))
