"""Uniswap's routers of V2 and V3: swaps along paths, several in one multicall."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, joined, one
from domain import Address

# The routers' stand-ins for addresses: zero is SwapRouter itself, the others are SwapRouter02's (Constants.sol).
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_ROUTER_ITSELF: Final = "0x0000000000000000000000000000000000000002"
_ADDRESS_BYTES: Final = 20
_HOP_BYTES: Final = 23
_CALLS_MAX: Final = 16


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


def _v2_02(values: Values, place: Place, *, is_exact_out: bool) -> DecodedCall:
    first, second, path, recipient = values
    amount_in, amount_out = (second, first) if is_exact_out else (first, second)
    name = "swapTokensForExactTokens" if is_exact_out else "swapExactTokensForTokens"
    return _path(name, "V2", tuple(path), (), amount_in, amount_out, recipient, place, is_exact_out=is_exact_out)


def _v3_02_one(values: Values, place: Place) -> DecodedCall:
    token_in, token_out, fee, recipient, amount_out, amount_in_max, price_limit = values[0]
    if price_limit:
        raise unsafe("a price limit would cut an exact output short")
    path, fees = (token_in, token_out), (fee,)
    return _path("exactOutputSingle", "V3", path, fees, amount_in_max, amount_out, recipient, place, is_exact_out=True)


def _v3_02_path(values: Values, place: Place, *, is_exact_out: bool) -> DecodedCall:
    packed, recipient, first, second = values[0]
    path, fees = v3_path(packed)
    if is_exact_out:
        # The path of an exact output begins at its end.
        return _path("exactOutput", "V3", path[::-1], fees[::-1], second, first, recipient, place, is_exact_out=True)
    return _path("exactInput", "V3", path, fees, first, second, recipient, place, is_exact_out=False)


def _path(
    method: str,
    version: str,
    path: tuple[str, ...],
    fees: tuple[int, ...],
    amount_in: int,
    amount_out: int,
    recipient: str,
    place: Place,
    *,
    is_exact_out: bool,
) -> DecodedCall:
    """Read a swap along a path on SwapRouter02; `amount_in` is the most, or exact, and `amount_out` the other."""
    if recipient in (_ZERO, _ROUTER_ITSELF) or checksum(recipient) == place.to:
        raise unsafe("the proceeds would stay in the router, where anyone takes them")
    if amount_in == 0 or (is_exact_out and amount_out == 0):
        raise unsafe("an amount of 0 means the router's own balance")
    tokens = tuple(checksum(token) for token in path)
    if len(tokens) < 2 or tokens[0] == tokens[-1]:
        raise unsafe("a swap's path has two ends that differ")
    owner = place.sender if recipient == _MSG_SENDER else checksum(recipient)
    pay, receive = ("Pay at most", Kind.TOKEN_AMOUNT) if is_exact_out else ("Pay", Kind.TOKEN_MINIMUM)
    return DecodedCall(
        method,
        spends=one(tokens[0], amount_in),
        receives_min=one(tokens[-1], amount_out),
        approves=NOTHING,
        recipient=owner,
        action=f"Swap on Uniswap {version}",
        shown=(
            Shown(pay, Kind.TOKEN_AMOUNT, amount_in, tokens[0]),
            *(Shown("Through", Kind.TOKEN, token) for token in tokens[1:-1]),
            Shown("Receive", receive, amount_out, tokens[-1]),
            Shown("Recipient", Kind.ADDRESS, owner),
            *map(pool_fee, fees),
        ),
        others=frozenset(tokens[1:-1]),
    )


def v3_path(packed: bytes) -> tuple[tuple[Address, ...], tuple[int, ...]]:
    """Unpack token, fee, token, fee, …, token into tokens and fees."""
    if len(packed) % _HOP_BYTES != _ADDRESS_BYTES:
        raise unsafe("a V3 path is addresses with fees between them")
    starts = range(0, len(packed), _HOP_BYTES)
    tokens = tuple(checksum("0x" + packed[at : at + _ADDRESS_BYTES].hex()) for at in starts)
    fees = tuple(int.from_bytes(packed[at + _ADDRESS_BYTES : at + _HOP_BYTES], "big") for at in starts[:-1])
    return tokens, fees


def _multicall(values: Values, place: Place) -> DecodedCall:
    deadline, calls = values
    # Swaps under a deadline are what the platform sends; anything else (payments, permits, a nested batch) is not read.
    if not 0 < len(calls) <= _CALLS_MAX or any(call[:4] not in _SWAPS_02 for call in calls):
        raise unsafe(f"a multicall may hold 1 to {_CALLS_MAX} swaps and nothing else")
    parts = [_SWAPS_02[call[:4]].read(call, place) for call in calls]
    recipients, names = {part.recipient for part in parts}, {part.method for part in parts}
    if len(recipients) != 1:
        raise unsafe("the swaps of a multicall have one recipient")
    valid = Shown("Valid until", Kind.DATE, deadline)
    is_one = len(parts) == 1
    return DecodedCall(
        names.pop() if len(names) == 1 else "multicall",
        joined(*(part.spends for part in parts)),
        joined(*(part.receives_min for part in parts)),
        NOTHING,
        recipients.pop(),
        deadline_s=deadline,
        action=parts[0].action if is_one else "Swap on Uniswap over several paths",
        shown=(*parts[0].shown, valid) if is_one else (valid,),
        inner=() if is_one else tuple((place.to, part) for part in parts),
        others=frozenset[Address]().union(*(part.others for part in parts)),
    )


_V3_SINGLE: Final = "(address,address,uint24,address,uint256,uint256,uint256,uint160)"
_V3_SINGLE_02: Final = "(address,address,uint24,address,uint256,uint256,uint160)"
_V2_PATH_02: Final = ("uint256", "uint256", "address[]", "address")
_V3_PATH_02: Final = ("(bytes,address,uint256,uint256)",)
_METHODS_02: Final = (
    Method("exactInputSingle", (_V3_SINGLE_02,), _swap_v3_02),
    Method("exactOutputSingle", (_V3_SINGLE_02,), _v3_02_one),
    Method("exactInput", _V3_PATH_02, partial(_v3_02_path, is_exact_out=False)),
    Method("exactOutput", _V3_PATH_02, partial(_v3_02_path, is_exact_out=True)),
    Method("swapExactTokensForTokens", _V2_PATH_02, partial(_v2_02, is_exact_out=False)),
    Method("swapTokensForExactTokens", _V2_PATH_02, partial(_v2_02, is_exact_out=True)),
)
_SWAPS_02: Final = MappingProxyType({method.selector: method for method in _METHODS_02})
METHODS: Final = (
    # UniswapV2Router02
    Method("swapExactTokensForTokens", ("uint256", "uint256", "address[]", "address", "uint256"), _swap_v2),
    # SwapRouter, then SwapRouter02, whose swaps have no deadline: the multicall around them has.
    Method("exactInputSingle", (_V3_SINGLE,), _swap_v3),
    *_METHODS_02,
    Method("multicall", ("uint256", "bytes[]"), _multicall),
)
