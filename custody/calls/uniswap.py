"""Uniswap's routers: swaps of an exact input on one V2 path or one V3 pool."""

from __future__ import annotations

from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, one

# The routers' stand-ins for addresses: zero is SwapRouter itself, the others are SwapRouter02's (Constants.sol).
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_ROUTER_ITSELF: Final = "0x0000000000000000000000000000000000000002"


def swap_shown(
    path: tuple[str, ...], amount_in: int, amount_out_min: int, recipient: str, deadline_s: int
) -> tuple[Shown, ...]:
    """What a person reads of a swap."""
    tokens = tuple(checksum(token) for token in path)
    return (
        Shown("Pay", Kind.TOKEN_AMOUNT, amount_in, tokens[0]),
        *(Shown("Through", Kind.TOKEN, token) for token in tokens[1:-1]),
        Shown("Receive", Kind.TOKEN_MINIMUM, amount_out_min, tokens[-1]),
        Shown("Recipient", Kind.ADDRESS, checksum(recipient)),
        *((Shown("Valid until", Kind.DATE, deadline_s),) if deadline_s else ()),
    )


def pool_fee(pips: int) -> Shown:
    """Show a V3 pool's fee, which picks the pool; in millionths."""
    return Shown("Pool fee", Kind.UNIT, (pips, 4, "%"))


def _swap_v2(values: Values, _place: Place) -> DecodedCall:
    amount_in, amount_out_min, path, recipient, deadline = values
    if len(path) < 2 or path[0] == path[-1]:
        raise unsafe("a swap's path has two ends that differ")
    return DecodedCall(
        "swapExactTokensForTokens",
        spends=one(path[0], amount_in),
        receives_min=one(path[-1], amount_out_min),
        approves=NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
        action="Swap on Uniswap V2",
        shown=swap_shown(tuple(path), amount_in, amount_out_min, recipient, deadline),
        others=frozenset(checksum(token) for token in path[1:-1]),
    )


def _swap_v3(values: Values, _place: Place) -> DecodedCall:
    token_in, token_out, fee, recipient, deadline, amount_in, amount_out_min, price_limit = values[0]
    return _v3(token_in, token_out, fee, recipient, amount_in, amount_out_min, deadline, price_limit)


def _swap_v3_02(values: Values, place: Place) -> DecodedCall:
    token_in, token_out, fee, recipient, amount_in, amount_out_min, price_limit = values[0]
    owner = place.sender if recipient == _MSG_SENDER else recipient
    return _v3(token_in, token_out, fee, owner, amount_in, amount_out_min, 0, price_limit)


def _v3(
    token_in: str,
    token_out: str,
    fee: int,
    recipient: str,
    amount_in: int,
    amount_out_min: int,
    deadline: int,
    price_limit: int,
) -> DecodedCall:
    if recipient in (_ZERO, _ROUTER_ITSELF):
        raise unsafe("the proceeds would stay in the router, where anyone takes them")
    if amount_in == 0:
        # SwapRouter02 reads 0 as "all that the router holds": the bytes do not say how much.
        raise unsafe("an amount of 0 means the router's own balance")
    if token_in == token_out:
        raise unsafe("a swap has two tokens that differ")
    return DecodedCall(
        "exactInputSingle",
        spends=one(token_in, amount_in),
        receives_min=one(token_out, amount_out_min),
        approves=NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
        action="Swap on Uniswap V3",
        shown=(
            *swap_shown((token_in, token_out), amount_in, amount_out_min, recipient, deadline),
            pool_fee(fee),
            *((Shown("Price limit (sqrt, X96)", Kind.NUMBER, price_limit),) if price_limit else ()),
        ),
    )


def _multicall(values: Values, place: Place) -> DecodedCall:
    deadline, calls = values
    # One swap under a deadline is what the platform sends. Several, or a nested batch, would need their effects joined.
    if len(calls) != 1 or calls[0][:4] != _V3_02_SELECTOR:
        raise unsafe("a multicall may hold one exactInputSingle and nothing else")
    inner = _V3_02.read(calls[0], place)
    return DecodedCall(
        inner.method,
        inner.spends,
        inner.receives_min,
        inner.approves,
        inner.recipient,
        deadline_s=deadline,
        action=inner.action,
        shown=(*inner.shown, Shown("Valid until", Kind.DATE, deadline)),
    )


_V3_SINGLE: Final = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
_V3_SINGLE_02: Final = "(address,address,uint24,address,uint256,uint256,uint160)"
_V3_02: Final = Method("exactInputSingle", (_V3_SINGLE_02,), _swap_v3_02)
_V3_02_SELECTOR: Final = _V3_02.selector
METHODS: Final = (
    # UniswapV2Router02
    Method("swapExactTokensForTokens", ("uint256", "uint256", "address[]", "address", "uint256"), _swap_v2),
    # SwapRouter, then SwapRouter02, whose struct has no deadline: the multicall around it has.
    Method("exactInputSingle", (_V3_SINGLE,), _swap_v3),
    _V3_02,
    Method("multicall", ("uint256", "bytes[]"), _multicall),
)
