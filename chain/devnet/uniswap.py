"""Uniswap V2 and V3 on the devnet: factories, routers, quoters, and pools with liquidity."""

from __future__ import annotations

import math
from typing import Final

from chain.abi import address_at, address_word, int_at, int_word, selector, uint_word
from chain.devnet.deployer import DEPLOYER, Deployer
from chain.devnet.market import Market, V2Seed, V3Seed
from chain.devnet.tokens import ZERO, Tokens, in_order
from chain.devnet.world import PoolEntry

NO_DEADLINE: Final = 2**40
_POINT_ONE: Final = (100, 1)
"""The 0.01 % tier and its tick spacing: Uniswap's owner enabled it on mainnet later, as the deployer does here."""

SPENDERS: Final = ("UniswapV2Router02", "NonfungiblePositionManager")
"""Who takes the deployer's tokens for liquidity."""


async def deploy(to: Deployer) -> None:
    """Put the V2 and V3 contracts where mainnet has them."""
    weth = address_word(to.contracts["WETH9"])
    factory2 = address_word(await to.place("UniswapV2Factory", address_word(DEPLOYER)))
    await to.place("UniswapV2Router02", factory2 + weth)
    factory3 = address_word(await to.place("UniswapV3Factory"))
    positions = address_word(await to.place("NonfungiblePositionManager", factory3 + weth + address_word(ZERO)))
    await to.place("SwapRouter", factory3 + weth)
    await to.place("SwapRouter02", factory2 + factory3 + positions + weth)
    await to.place("Quoter", factory3 + weth)
    await to.place("QuoterV2", factory3 + weth)
    await to.place("TickLens")
    enable = selector("enableFeeAmount(uint24,int24)") + uint_word(_POINT_ONE[0]) + int_word(_POINT_ONE[1])
    await to.send(to.contracts["UniswapV3Factory"], enable, what="the 0.01 % tier of V3")


async def seed_v2(to: Deployer, tokens: Tokens, seed: V2Seed, market: Market) -> PoolEntry:
    """Create a pair and give it its reserves."""
    token, quote = tokens.address(seed.symbol), tokens.address(seed.quote)
    amounts = (market.raw(seed.symbol, seed.usd_per_side), market.raw(seed.quote, seed.usd_per_side))
    await to.send(
        to.contracts["UniswapV2Router02"],
        selector("addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)")
        + address_word(token)
        + address_word(quote)
        + b"".join(uint_word(v) for v in (*amounts, 0, 0))
        + address_word(DEPLOYER)
        + uint_word(NO_DEADLINE),
        what=f"V2 {seed.symbol}/{seed.quote} liquidity",
    )
    token0, token1 = in_order(token, quote)
    pair = selector("getPair(address,address)") + address_word(token0) + address_word(token1)
    address = address_at(await to.client.call(to.contracts["UniswapV2Factory"], pair), 0)
    return PoolEntry("v2", address, token0, token1, 3000)


async def seed_v3(to: Deployer, tokens: Tokens, seed: V3Seed, market: Market) -> PoolEntry:
    """Create a pool at the market's price and mint its positions."""
    manager = to.contracts["NonfungiblePositionManager"]
    token0, token1 = in_order(tokens.address(seed.symbol), tokens.address(seed.quote))
    pair = address_word(token0) + address_word(token1) + uint_word(seed.fee)
    name = f"V3 {seed.symbol}/{seed.quote} {seed.fee}"
    await to.send(
        manager,
        selector("createAndInitializePoolIfNecessary(address,address,uint24,uint160)")
        + pair
        + uint_word(sqrt_price_x96(*tokens.amounts((token0, token1), 10**6, market))),
        what=f"create {name}",
    )
    find = selector("getPool(address,address,uint24)") + pair
    pool = address_at(await to.client.call(to.contracts["UniswapV3Factory"], find), 0)
    tick = int_at(await to.client.call(pool, selector("slot0()")), 1)
    mint = selector("mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))")
    for half_width, usd in seed.positions:
        lower, upper = around(tick, half_width, seed.tick_spacing)
        await to.send(
            manager,
            mint
            + pair
            + int_word(lower)
            + int_word(upper)
            + b"".join(uint_word(v) for v in (*tokens.amounts((token0, token1), usd, market), 0, 0))
            + address_word(DEPLOYER)
            + uint_word(NO_DEADLINE),
            what=f"{name} position of {half_width} ticks",
        )
    return PoolEntry("v3", pool, token0, token1, seed.fee)


def sqrt_price_x96(amount0: int, amount1: int) -> int:
    """Give the price at which both amounts are worth the same, as V3 and V4 write it, rounded down."""
    return math.isqrt((amount1 << 192) // amount0)


def around(tick: int, half_width: int, spacing: int) -> tuple[int, int]:
    """Give a position's bounds, each rounded down to a tick that may be used."""
    return (tick - half_width) // spacing * spacing, (tick + half_width) // spacing * spacing
