"""Liquidity positions: V3's NonfungiblePositionManager and V4's PositionManager.

V3 names the tokens only when a position is made. Adding to one pays whatever tokens it has, so `increaseLiquidity` is
read as a call whose effects its bytes do not say: a policy must allow it by kind, and what bounds it are the allowances
that policy has counted. Taking out and collecting pay the recipient and nobody else, whatever the tokens.

V4 takes any list of actions. Read are the few lists that settle all they move between the caller and the pool; the
tokens they name are the position's, or the contract reverts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, canonical, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, joined, one
from custody.calls.uniswap import pool_fee
from domain import Address

_ZERO: Final = checksum("0x" + "00" * 20)
_CALLER: Final = checksum("0x" + "00" * 19 + "01")
_MANAGER_ITSELF: Final = checksum("0x" + "00" * 19 + "02")

# --- V3


def _mint(values: Values, place: Place) -> DecodedCall:
    token0, token1, fee, lower, upper, given0, given1, min0, min1, recipient, deadline = values[0]
    _check_pair(token0, token1)
    if checksum(recipient) in (_ZERO, place.to):
        raise unsafe("the position would belong to the position manager itself")
    return DecodedCall(
        "mint",
        spends=_amounts((token0, given0), (token1, given1)),
        receives_min=NOTHING,
        approves=NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
        action="Provide liquidity on Uniswap V3",
        shown=(
            *_paid(token0, token1, given0, given1),
            *_used_at_least(token0, token1, min0, min1),
            pool_fee(fee),
            *_ticks(lower, upper),
            Shown("Position's owner", Kind.ADDRESS, checksum(recipient)),
            Shown("Valid until", Kind.DATE, deadline),
        ),
    )


def _increase(values: Values, place: Place) -> DecodedCall:
    number, given0, given1, min0, min1, deadline = values[0]
    return DecodedCall(
        "increaseLiquidity",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        deadline_s=deadline,
        action="Add liquidity to a position on Uniswap V3",
        shown=(
            Shown("Position", Kind.NUMBER, number),
            Shown("Pay at most, smallest units of its token 0", Kind.NUMBER, given0),
            Shown("Pay at most, smallest units of its token 1", Kind.NUMBER, given1),
            Shown("Use at least, of token 0", Kind.NUMBER, min0),
            Shown("Use at least, of token 1", Kind.NUMBER, min1),
            Shown("Valid until", Kind.DATE, deadline),
        ),
        warnings=("which tokens are paid is the position's, not in this transaction: look it up; allowances bound it",),
        is_described=True,
    )


def _decrease(values: Values, place: Place) -> DecodedCall:
    number, liquidity, min0, min1, deadline = values[0]
    if not liquidity:
        raise unsafe("no liquidity is taken out")
    return DecodedCall(
        "decreaseLiquidity",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        deadline_s=deadline,
        action="Take liquidity out of a position on Uniswap V3",
        shown=(
            Shown("Position", Kind.NUMBER, number),
            Shown("Liquidity", Kind.NUMBER, liquidity),
            Shown("At least, smallest units of its token 0", Kind.NUMBER, min0),
            Shown("At least, smallest units of its token 1", Kind.NUMBER, min1),
            Shown("Valid until", Kind.DATE, deadline),
        ),
    )


def _collect(values: Values, place: Place) -> DecodedCall:
    number, recipient, max0, max1 = values[0]
    if checksum(recipient) in (_ZERO, place.to):
        raise unsafe("what is collected would stay in the position manager, where anyone takes it")
    if max0 != _EVERYTHING or max1 != _EVERYTHING:
        raise unsafe("all that is owed to a position is collected, or nothing")
    return DecodedCall(
        "collect",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=checksum(recipient),
        action="Collect all that a position on Uniswap V3 is owed",
        shown=(Shown("Position", Kind.NUMBER, number), Shown("Recipient", Kind.ADDRESS, checksum(recipient))),
    )


def _burn(values: Values, place: Place) -> DecodedCall:
    return DecodedCall(
        "burn",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        action="Do away with an empty position on Uniswap V3",
        shown=(Shown("Position", Kind.NUMBER, values[0]),),
    )


def position_batch(calls: list[bytes], place: Place) -> DecodedCall:
    """Several calls about one position: take out, collect, burn, in this order."""
    known = {method.selector: method for method in (DECREASE, COLLECT, _BURN)}
    if any(call[:4] not in known for call in calls):
        raise unsafe("a multicall of the position manager holds decreaseLiquidity, collect and burn, nothing else")
    parts = [known[call[:4]].read(call, place) for call in calls]
    names = tuple(part.method for part in parts)
    if names not in _SEQUENCES:
        raise unsafe("take out, collect, burn: in this order, each once, and what is taken out is collected")
    numbers = {part.shown[0].value for part in parts}
    if len(numbers) != 1:
        raise unsafe("a multicall is about one position")
    paid = next(part for part in parts if part.method == "collect")
    return DecodedCall(
        names[0],
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=paid.recipient,
        deadline_s=max(part.deadline_s for part in parts),
        action="Take out of a position on Uniswap V3" if names[0] == "decreaseLiquidity" else "End a position",
        shown=(Shown("Position", Kind.NUMBER, numbers.pop()),),
        # Whose proceeds they are, the collection says.
        inner=tuple((place.to, replace(part, recipient=paid.recipient)) for part in parts),
    )


_EVERYTHING: Final = (1 << 128) - 1
_MINT_TUPLE: Final = "(address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256)"
DECREASE: Final = Method("decreaseLiquidity", ("(uint256,uint128,uint256,uint256,uint256)",), _decrease)
COLLECT: Final = Method("collect", ("(uint256,address,uint128,uint128)",), _collect)
# `burn(uint256)` alone is also how some tokens destroy an amount: it is read within a batch only.
_BURN: Final = Method("burn", ("uint256",), _burn)
_SEQUENCES: Final = (
    ("decreaseLiquidity", "collect"),
    ("decreaseLiquidity", "collect", "burn"),
    ("collect", "burn"),
)
"""What is burned is empty, or the contract reverts: nothing is lost with it."""

# --- V4: v4-periphery's Actions.sol

_KEY: Final = "(address,address,uint24,int24,address)"
_CHANGE: Final = ("uint256", "uint256", "uint128", "uint128", "bytes")
_TYPES: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        0x00: _CHANGE,  # increase
        0x01: _CHANGE,  # decrease
        0x02: (_KEY, "int24", "int24", "uint256", "uint128", "uint128", "address", "bytes"),  # mint
        0x03: ("uint256", "uint128", "uint128", "bytes"),  # burn
        0x0B: ("address", "uint256", "bool"),  # settle
        0x0D: ("address", "address"),  # settle pair
        0x0E: ("address", "address", "uint256"),  # take
        0x11: ("address", "address", "address"),  # take pair
        0x12: ("address",),  # close
        0x14: ("address", "address"),  # sweep
        0x15: ("uint256",),  # wrap
        0x16: ("uint256",),  # unwrap
    }
)
_OPEN: Final = 0
_ALL_IT_HOLDS: Final = 1 << 255
Steps = Sequence[Values]


def _modify(values: Values, place: Place) -> DecodedCall:
    content, deadline = values
    codes, parameters = canonical("modifyLiquidities", ("bytes", "bytes[]"), content)
    reader = _SHAPES.get(bytes(codes))
    if reader is None or len(codes) != len(parameters):
        raise unsafe(f"the actions 0x{bytes(codes[:16]).hex()} are not a list that is read")
    steps = [canonical("an action", _TYPES[code], each) for code, each in zip(codes, parameters, strict=True)]
    call = reader(steps, place)
    return replace(call, deadline_s=deadline, shown=(*call.shown, Shown("Valid until", Kind.DATE, deadline)))


def _mint4(steps: Steps, place: Place) -> DecodedCall:
    key, *_ = steps[0]
    if tuple(map(checksum, steps[1])) != (checksum(key[0]), checksum(key[1])):
        raise unsafe("what is settled is not what the pool trades")
    return _minted(steps[0], (key[0], key[1]), place)


def _mint4_coin(steps: Steps, place: Place) -> DecodedCall:
    key, _, _, _, max0, *_ = steps[0]
    if checksum(key[0]) != _ZERO:
        raise unsafe("coins are wrapped and unwrapped for a pool of another token")
    wrapped = _coin_payment(steps[1:], max0, key[1])
    return _minted(steps[0], (wrapped, key[1]), place)


def _minted(mint: Values, paid: tuple[str, str], place: Place) -> DecodedCall:
    (currency0, currency1, fee, spacing, hooks), lower, upper, liquidity, max0, max1, owner, extra = mint
    _check_pair(currency0, currency1)
    _check_no_extra(extra)
    holder = _mapped(owner, place)
    return DecodedCall(
        "modifyLiquidities",
        spends=_amounts((paid[0], max0), (paid[1], max1)),
        receives_min=NOTHING,
        approves=NOTHING,
        recipient=holder,
        action="Provide liquidity on Uniswap V4",
        shown=(
            *_paid(*paid, max0, max1),
            Shown("Liquidity", Kind.NUMBER, liquidity),
            pool_fee(fee),
            Shown("Tick spacing", Kind.NUMBER, spacing),
            *((Shown("Pool's hooks", Kind.ADDRESS, checksum(hooks)),) if checksum(hooks) != _ZERO else ()),
            *_ticks(lower, upper),
            Shown("Position's owner", Kind.ADDRESS, holder),
        ),
        others=frozenset({checksum(hooks)} - {_ZERO}),
    )


def _increase4(steps: Steps, place: Place) -> DecodedCall:
    return _increased(steps[0], (steps[1][0], steps[2][0]), place)


def _increase4_coin(steps: Steps, place: Place) -> DecodedCall:
    fees, taken, wrapped_all, more, *payment = steps
    if fees[0] != more[0] or any(fees[1:4]):
        raise unsafe("fees are taken of the position that is added to, and nothing besides")
    _check_no_extra(fees[4])
    _coin_taken(taken, wrapped_all)
    other = payment[4][0]
    wrapped = _coin_payment(payment, more[2], other)
    return _increased(more, (wrapped, other), place, is_of_coin=True)


def _increased(change: Values, paid: tuple[str, str], place: Place, *, is_of_coin: bool = False) -> DecodedCall:
    number, liquidity, max0, max1, extra = change
    if not is_of_coin:
        _check_pair(*paid)
    _check_no_extra(extra)
    return DecodedCall(
        "modifyLiquidities",
        spends=_amounts((paid[0], max0), (paid[1], max1)),
        receives_min=NOTHING,
        approves=NOTHING,
        recipient=place.sender,
        action="Add liquidity to a position on Uniswap V4",
        shown=(
            Shown("Position", Kind.NUMBER, number),
            Shown("Liquidity", Kind.NUMBER, liquidity),
            *_paid(*paid, max0, max1),
        ),
    )


def _take4(steps: Steps, place: Place) -> DecodedCall:
    currency0, currency1, recipient = steps[1]
    _check_pair(currency0, currency1)
    if checksum(currency0) == _ZERO:
        raise unsafe("coins are taken out wrapped: no transfer shows bare ones")
    return _taken(steps[0], (currency0, currency1), _mapped(recipient, place))


def _take4_coin(steps: Steps, place: Place) -> DecodedCall:
    _coin_taken(steps[1], steps[2])
    other, recipient, amount = steps[3]
    wrapped, swept_to = steps[4]
    if amount != _OPEN or swept_to != recipient or checksum(other) == _ZERO:
        raise unsafe("all that is owed goes to one recipient")
    return _taken(steps[0], (wrapped, other), _mapped(recipient, place))


def _taken(change: Values, paid: tuple[str, str], recipient: Address) -> DecodedCall:
    # burn: number, minima, extra; decrease has the liquidity besides.
    number, *liquidity, min0, min1, extra = change
    _check_no_extra(extra)
    is_burn = not liquidity
    verb = "End a position" if is_burn else "Take liquidity out of a position" if liquidity[0] else "Collect a position"
    return DecodedCall(
        "modifyLiquidities",
        NOTHING,
        receives_min=_amounts((paid[0], min0), (paid[1], min1)),
        approves=NOTHING,
        recipient=recipient,
        action=f"{verb} on Uniswap V4",
        shown=(
            Shown("Position", Kind.NUMBER, number),
            *(Shown("Liquidity", Kind.NUMBER, each) for each in liquidity),
            Shown("Receive", Kind.TOKEN_MINIMUM, min0, checksum(paid[0])),
            Shown("Receive", Kind.TOKEN_MINIMUM, min1, checksum(paid[1])),
            Shown("Recipient", Kind.ADDRESS, recipient),
        ),
    )


def _coin_taken(take: Values, wrap: Values) -> None:
    coin, recipient, amount = take
    if (checksum(coin), checksum(recipient), amount) != (_ZERO, _MANAGER_ITSELF, _OPEN) or wrap != (_ALL_IT_HOLDS,):
        raise unsafe("coins that are taken are wrapped, all of them")


def _coin_payment(steps: Steps, at_most: int, other: str) -> Address:
    """Check the six actions that pay a coin with wrapped ones; gives the wrapped token."""
    (wrapped, amount, is_callers), take, unwrap, settle, close, sweep = steps
    if (amount, is_callers) != (at_most, True):
        raise unsafe("no more of the wrapped coin is paid in than the position may take")
    if tuple(map(checksum, take[:2])) != (checksum(wrapped), _MANAGER_ITSELF) or take[2] != at_most:
        raise unsafe("what is paid in is what is unwrapped")
    if unwrap != (_OPEN,) or (checksum(settle[0]), *settle[1:]) != (_ZERO, _OPEN, False):
        raise unsafe("what is owed is unwrapped and settled, no more")
    if close != (other,) or tuple(map(checksum, sweep)) != (checksum(wrapped), _CALLER):
        raise unsafe("the other token is settled, and what is left goes back to the caller")
    if len({checksum(wrapped), checksum(other), _ZERO}) != 3:
        raise unsafe("a pool of the coin trades it for another token")
    return checksum(wrapped)


_SHAPES: Final[Mapping[bytes, Callable[[Steps, Place], DecodedCall]]] = MappingProxyType(
    {
        bytes((0x02, 0x0D)): _mint4,
        bytes((0x02, 0x0B, 0x0E, 0x16, 0x0B, 0x12, 0x14)): _mint4_coin,
        bytes((0x00, 0x12, 0x12)): _increase4,
        bytes((0x01, 0x0E, 0x15, 0x00, 0x0B, 0x0E, 0x16, 0x0B, 0x12, 0x14)): _increase4_coin,
        bytes((0x01, 0x11)): _take4,
        bytes((0x03, 0x11)): _take4,
        bytes((0x01, 0x0E, 0x15, 0x0E, 0x14)): _take4_coin,
        bytes((0x03, 0x0E, 0x15, 0x0E, 0x14)): _take4_coin,
    }
)

# --- shared


def _mapped(recipient: str, place: Place) -> Address:
    """The manager's stand-ins for addresses."""
    if checksum(recipient) == _CALLER:
        return place.sender
    if checksum(recipient) in (_ZERO, _MANAGER_ITSELF, place.to):
        raise unsafe("it would stay in the position manager")
    return checksum(recipient)


def _check_pair(token0: str, token1: str) -> None:
    if int(token0, 16) >= int(token1, 16):
        raise unsafe("a pool's tokens are in order of their addresses: else a bound would be the other's")


def _check_no_extra(extra: bytes) -> None:
    if extra:
        raise unsafe("data for a pool's hooks is not read")


def _amounts(*pairs: tuple[str, int]) -> Mapping[Address, int]:
    return joined(*(one(token, raw) for token, raw in pairs if raw))


def _paid(token0: str, token1: str, raw0: int, raw1: int) -> tuple[Shown, ...]:
    return tuple(
        Shown("Pay at most", Kind.TOKEN_AMOUNT, raw, checksum(token)) for token, raw in ((token0, raw0), (token1, raw1))
    )


def _used_at_least(token0: str, token1: str, raw0: int, raw1: int) -> tuple[Shown, ...]:
    return tuple(
        Shown("Use at least", Kind.TOKEN_AMOUNT, raw, checksum(token))
        for token, raw in ((token0, raw0), (token1, raw1))
    )


def _ticks(lower: int, upper: int) -> tuple[Shown, ...]:
    return (Shown("From tick", Kind.NUMBER, lower), Shown("To tick", Kind.NUMBER, upper))


METHODS: Final = (
    Method("mint", (_MINT_TUPLE,), _mint),
    Method("increaseLiquidity", ("(uint256,uint256,uint256,uint256,uint256,uint256)",), _increase),
    DECREASE,
    COLLECT,
    Method("modifyLiquidities", ("bytes", "uint256"), _modify),
)
