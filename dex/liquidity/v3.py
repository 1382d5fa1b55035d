"""Calldata of V3's NonfungiblePositionManager, packed by hand; the tests run it on the genuine one."""

from __future__ import annotations

from typing import Final

from chain.abi import address_word, bytes_array, compose, int_word, selector, uint_word
from dex.liquidity.maths import Range
from dex.pools import PoolSpec

MINT: Final = selector("mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))")
INCREASE: Final = selector("increaseLiquidity((uint256,uint256,uint256,uint256,uint256,uint256))")
DECREASE: Final = selector("decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))")
COLLECT: Final = selector("collect((uint256,address,uint128,uint128))")
BURN: Final = selector("burn(uint256)")
MULTICALL: Final = selector("multicall(bytes[])")

_EVERYTHING: Final = (1 << 128) - 1


def mint(
    pool: PoolSpec, span: Range, given: tuple[int, int], at_least: tuple[int, int], owner: str, deadline_s: int
) -> bytes:
    """A new position of what two amounts pay for."""
    head = address_word(pool.token0_address) + address_word(pool.token1_address) + uint_word(pool.fee_pips)
    ends = int_word(span.lower) + int_word(span.upper)
    return MINT + head + ends + _uints(*given, *at_least) + address_word(owner) + uint_word(deadline_s)


def increase(number: int, given: tuple[int, int], at_least: tuple[int, int], deadline_s: int) -> bytes:
    """More liquidity for a position."""
    return INCREASE + _uints(number, *given, *at_least, deadline_s)


def decrease(number: int, liquidity: int, at_least: tuple[int, int], deadline_s: int) -> bytes:
    """Liquidity taken out; its tokens stay owed until they are collected."""
    return DECREASE + _uints(number, liquidity, *at_least, deadline_s)


def collect(number: int, recipient: str) -> bytes:
    """All that is owed to a position: taken out before, and its fees."""
    return COLLECT + uint_word(number) + address_word(recipient) + _uints(_EVERYTHING, _EVERYTHING)


def burn(number: int) -> bytes:
    """Do away with an empty position's token."""
    return BURN + uint_word(number)


def together(*calls: bytes) -> bytes:
    """Several calls in one transaction, all or none."""
    return MULTICALL + compose(bytes_array(calls))


def _uints(*values: int) -> bytes:
    return b"".join(uint_word(value) for value in values)
