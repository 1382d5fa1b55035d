"""Calldata of V4's PositionManager: a list of actions that settle among themselves, or revert.

A pool of the chain's own coin is paid with the wrapped one and pays it: the manager takes the wrapped coin through
Permit2, unwraps what is owed, wraps what comes out. So every unit that moves shows as a token transfer, in the books
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chain.abi import Dynamic, address_word, bytes_array, bytes_words, compose, int_word, selector, uint_word
from dex.liquidity.maths import Range
from dex.pools import ZERO_ADDRESS, PoolSpec
from domain.ids import Address

MODIFY: Final = selector("modifyLiquidities(bytes,uint256)")

# v4-periphery, libraries/Actions.sol and ActionConstants.sol.
_INCREASE: Final = 0x00
_DECREASE: Final = 0x01
_MINT: Final = 0x02
_BURN: Final = 0x03
_SETTLE: Final = 0x0B
_SETTLE_PAIR: Final = 0x0D
_TAKE: Final = 0x0E
_TAKE_PAIR: Final = 0x11
_CLOSE: Final = 0x12
_SWEEP: Final = 0x14
_WRAP: Final = 0x15
_UNWRAP: Final = 0x16
_WHAT_IS_OPEN: Final = 0
_ALL_IT_HOLDS: Final = 1 << 255
_CALLER: Final = "0x0000000000000000000000000000000000000001"
_MANAGER_ITSELF: Final = "0x0000000000000000000000000000000000000002"

Action = tuple[int, bytes]


def mint(
    pool: PoolSpec, span: Range, liquidity: int, at_most: tuple[int, int], owner: str, wrapped: Address, deadline_s: int
) -> bytes:
    """A new position of exactly this liquidity."""
    head = pool_key(pool) + int_word(span.lower) + int_word(span.upper) + _uints(liquidity, *at_most)
    made = (_MINT, compose(head, address_word(owner), Dynamic(bytes_words(b""))))
    if not _is_of_coin(pool):
        return _modify([made, (_SETTLE_PAIR, _pair(pool))], deadline_s)
    return _modify([made, *_pay_coin(pool, at_most[0], wrapped)], deadline_s)


def increase(
    pool: PoolSpec, number: int, liquidity: int, at_most: tuple[int, int], wrapped: Address, deadline_s: int
) -> bytes:
    """Exactly this much more liquidity; fees that are due pay for it first, or are paid out."""
    more = (_INCREASE, _change(number, liquidity, at_most))
    if not _is_of_coin(pool):
        closed = [(_CLOSE, address_word(token)) for token in (pool.token0_address, pool.token1_address)]
        return _modify([more, *closed], deadline_s)
    # Fees of the coin are taken first: else they might come out as coins, which no transfer shows.
    fees = [(_DECREASE, _change(number, 0, (0, 0))), *_take_coin(pool)]
    return _modify([*fees, more, *_pay_coin(pool, at_most[0], wrapped)], deadline_s)


def decrease(
    pool: PoolSpec,
    number: int,
    liquidity: int,
    at_least: tuple[int, int],
    recipient: str,
    wrapped: Address,
    deadline_s: int,
) -> bytes:
    """Liquidity taken out, and the fees with it; of liquidity 0 only the fees."""
    return _out((_DECREASE, _change(number, liquidity, at_least)), pool, recipient, wrapped, deadline_s)


def burn(
    pool: PoolSpec, number: int, at_least: tuple[int, int], recipient: str, wrapped: Address, deadline_s: int
) -> bytes:
    """All liquidity and fees taken out, and the position's token done away with."""
    gone = compose(_uints(number, *at_least), Dynamic(bytes_words(b"")))
    return _out((_BURN, gone), pool, recipient, wrapped, deadline_s)


def pool_key(pool: PoolSpec) -> bytes:
    """The five words that name a pool."""
    ends = address_word(pool.token0_address) + address_word(pool.token1_address)
    return ends + uint_word(pool.fee_pips) + int_word(pool.tick_spacing) + address_word(pool.hooks)


def _out(action: Action, pool: PoolSpec, recipient: str, wrapped: Address, deadline_s: int) -> bytes:
    if not _is_of_coin(pool):
        return _modify([action, (_TAKE_PAIR, _pair(pool) + address_word(recipient))], deadline_s)
    other = (_TAKE, address_word(pool.token1_address) + address_word(recipient) + uint_word(_WHAT_IS_OPEN))
    swept = (_SWEEP, address_word(wrapped) + address_word(recipient))
    return _modify([action, *_take_coin(pool), other, swept], deadline_s)


def _take_coin(pool: PoolSpec) -> list[Action]:
    """Take the coin that is owed into the manager, and wrap it there; sweep afterwards."""
    coin = address_word(pool.token0_address)
    return [(_TAKE, coin + address_word(_MANAGER_ITSELF) + uint_word(_WHAT_IS_OPEN)), (_WRAP, uint_word(_ALL_IT_HOLDS))]


def _pay_coin(pool: PoolSpec, at_most: int, wrapped: Address) -> list[Action]:
    """Pay what is open: the coin out of wrapped coins, the other token straight; wrapped ones left over go back."""
    wrap, coin = address_word(wrapped), address_word(pool.token0_address)
    return [
        (_SETTLE, wrap + uint_word(at_most) + uint_word(1)),
        (_TAKE, wrap + address_word(_MANAGER_ITSELF) + uint_word(at_most)),
        (_UNWRAP, uint_word(_WHAT_IS_OPEN)),
        (_SETTLE, coin + uint_word(_WHAT_IS_OPEN) + uint_word(0)),
        (_CLOSE, address_word(pool.token1_address)),
        (_SWEEP, wrap + address_word(_CALLER)),
    ]


def _change(number: int, liquidity: int, bounds: tuple[int, int]) -> bytes:
    return compose(_uints(number, liquidity, *bounds), Dynamic(bytes_words(b"")))


def _pair(pool: PoolSpec) -> bytes:
    return address_word(pool.token0_address) + address_word(pool.token1_address)


def _modify(actions: Sequence[Action], deadline_s: int) -> bytes:
    codes = bytes(code for code, _ in actions)
    content = compose(Dynamic(bytes_words(codes)), bytes_array([parameters for _, parameters in actions]))
    return MODIFY + compose(Dynamic(bytes_words(content)), uint_word(deadline_s))


def _is_of_coin(pool: PoolSpec) -> bool:
    return pool.token0_address == ZERO_ADDRESS


def _uints(*values: int) -> bytes:
    return b"".join(uint_word(value) for value in values)
