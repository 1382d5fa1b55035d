"""Ticks and square-root prices of Uniswap V3, to the last bit of `TickMath.sol`.

A square-root price is Q64.96: sqrt(raw token1 / raw token0) * 2**96. Tick t stands at 1.0001**(t/2).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from domain.errors import InputError

Q96: Final = 1 << 96
MIN_TICK: Final = -887_272
MAX_TICK: Final = 887_272
MIN_SQRT_PRICE: Final = 4_295_128_739
MAX_SQRT_PRICE: Final = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342

_MAX_UINT256: Final = (1 << 256) - 1
_TICKS_PER_DOUBLING: Final = 2 / math.log2(1.0001)
"""Ticks that double the square-root price."""
# Q128.128 of 1.0001**(-2**k / 2) for k = 0..19, from TickMath.sol.
_FACTORS: Final = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)


@lru_cache(maxsize=65_536)
def sqrt_price_at(tick: int) -> int:
    """Give the Q64.96 square-root price of a tick.

    Raises:
        InputError: Beyond ±887272.
    """
    if not MIN_TICK <= tick <= MAX_TICK:
        raise InputError(f"tick {tick} is beyond ±{MAX_TICK}")
    ratio, bits = 1 << 128, abs(tick)
    for k, factor in enumerate(_FACTORS):
        if bits >> k & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = _MAX_UINT256 // ratio
    return (ratio >> 32) + (1 if ratio & 0xFFFFFFFF else 0)


def tick_at(sqrt_price: int) -> int:
    """Give the greatest tick whose square-root price is at most this one.

    Raises:
        InputError: Not a price of Uniswap V3.
    """
    if not MIN_SQRT_PRICE <= sqrt_price < MAX_SQRT_PRICE:
        raise InputError(f"square-root price {sqrt_price} lies outside {MIN_SQRT_PRICE}..{MAX_SQRT_PRICE}")
    # The logarithm is right to 1e-9 of a tick, so it errs by at most one where a tick begins.
    tick = min(max(math.floor((math.log2(sqrt_price) - 96) * _TICKS_PER_DOUBLING), MIN_TICK), MAX_TICK - 1)
    while sqrt_price_at(tick) > sqrt_price:
        tick -= 1
    while sqrt_price_at(tick + 1) <= sqrt_price:
        tick += 1
    return tick
