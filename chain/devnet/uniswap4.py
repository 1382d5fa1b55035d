"""Permit2, Uniswap V4 and the UniversalRouter on the devnet.

V4 pools are entries of one PoolManager, named by the hash of their key (tokens, fee, tick spacing, hooks). Liquidity
comes through the PositionManager, whose calls are a row of actions: mint, settle both tokens, sweep what is left.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

from chain.abi import Dynamic, address_word, bytes_array, bytes_words, compose, int_at, int_word, selector, uint_word
from chain.devnet.artifacts import creation_code, permit2_runtime
from chain.devnet.deployer import DEPLOYER, Deployer
from chain.devnet.market import DECIMALS, DYNAMIC_FEE, Market, V4Seed
from chain.devnet.tokens import ZERO, Tokens, in_order
from chain.devnet.uniswap import NO_DEADLINE, around, sqrt_price_x96
from chain.devnet.world import PoolEntry
from chain.keccak import keccak256

HOOK_FEE: Final = 2_500
"""What the devnet's hook asks per swap, in hundredths of a basis point."""

_UNSUBSCRIBE_GAS: Final = 300_000
_NO_EXPIRY: Final = 2**48 - 1
_MINT_POSITION, _SETTLE_PAIR, _SWEEP = 0x02, 0x0D, 0x14
_KEY: Final = "(address,address,uint24,int24,address)"
_EXACT: Final = Context(prec=60)


async def deploy(to: Deployer) -> None:
    """Put Permit2, the V4 contracts and the router where mainnet has them, and the hook at an address of its flags."""
    permit2 = address_word(await to.place_runtime("Permit2", permit2_runtime(to.artifacts)))
    weth, none = address_word(to.contracts["WETH9"]), address_word(ZERO)
    manager = address_word(await to.place("PoolManager", address_word(DEPLOYER)))
    positions = address_word(
        await to.place("PositionManager", manager + permit2 + uint_word(_UNSUBSCRIBE_GAS) + none + weth)
    )
    await to.place("V4Quoter", manager)
    await to.place("StateView", manager)
    parts = (
        (permit2, weth),
        (address_word(to.contracts["UniswapV2Factory"]), address_word(to.contracts["UniswapV3Factory"])),
        tuple(keccak256(creation_code(name, to.artifacts)) for name in ("UniswapV2Pair", "UniswapV3Pool")),
        (manager, address_word(to.contracts["NonfungiblePositionManager"]), positions),
        (none,),  # Across's spoke pool: no bridge here.
    )
    await to.place("UniversalRouter", b"".join(word for part in parts for word in part))
    hook = await to.place("DynamicFeeHook")
    await to.send(hook, selector("setManager(address)") + manager, what="the hook's manager")
    await to.send(hook, selector("setFee(uint24)") + uint_word(HOOK_FEE), what="the hook's fee")


async def permit(to: Deployer, tokens: Tokens) -> None:
    """Let the PositionManager take the deployer's tokens through Permit2."""
    method = selector("approve(address,address,uint160,uint48)")
    for symbol in DECIMALS:
        words = address_word(tokens.address(symbol)) + address_word(to.contracts["PositionManager"])
        await to.send(
            to.contracts["Permit2"],
            method + words + uint_word(2**160 - 1) + uint_word(_NO_EXPIRY),
            what=f"permit {symbol} to the PositionManager",
        )


async def seed_v4(to: Deployer, tokens: Tokens, seed: V4Seed, market: Market) -> PoolEntry:
    """Create a pool at the market's price and mint its positions."""
    token0, token1 = in_order(tokens.address(seed.symbol), tokens.address(seed.quote))
    hooks = to.contracts["DynamicFeeHook"] if seed.fee == DYNAMIC_FEE else ZERO
    key = (
        address_word(token0)
        + address_word(token1)
        + uint_word(seed.fee)
        + int_word(seed.tick_spacing)
        + address_word(hooks)
    )
    name = f"V4 {seed.symbol}/{seed.quote} {seed.fee}"
    sqrt_price = sqrt_price_x96(*tokens.amounts((token0, token1), 10**6, market))
    manager = to.contracts["PositionManager"]
    create = selector(f"initializePool({_KEY},uint160)") + key + uint_word(sqrt_price)
    await to.send(manager, create, what=f"create {name}")
    pool_id = keccak256(key)
    slot0 = await to.client.call(to.contracts["StateView"], selector("getSlot0(bytes32)") + pool_id)
    tick = int_at(slot0, 1)
    for half_width, usd in seed.positions:
        lower, upper = around(tick, half_width, seed.tick_spacing)
        amounts = tokens.amounts((token0, token1), usd, market)
        liquidity = _liquidity_down(sqrt_price, lower, upper, *amounts)
        spent = uint_word(amounts[0] + 1) + uint_word(amounts[1] + 1)  # The contract rounds up what it takes.
        mint = compose(
            key + int_word(lower) + int_word(upper) + uint_word(liquidity) + spent + address_word(DEPLOYER),
            Dynamic(bytes_words(b"")),
        )
        settle = address_word(token0) + address_word(token1)
        sweep = address_word(ZERO) + address_word(DEPLOYER)
        actions = bytes((_MINT_POSITION, _SETTLE_PAIR, _SWEEP))
        unlock = compose(Dynamic(bytes_words(actions)), bytes_array((mint, settle, sweep)))
        await to.send(
            manager,
            selector("modifyLiquidities(bytes,uint256)")
            + compose(Dynamic(bytes_words(unlock)), uint_word(NO_DEADLINE)),
            value_wei=amounts[0] + 1 if token0 == ZERO else 0,
            what=f"{name} position of {half_width} ticks",
        )
    return PoolEntry(
        kind="v4",
        address=to.contracts["PoolManager"],
        token0=token0,
        token1=token1,
        fee=seed.fee,
        pool_id="0x" + pool_id.hex(),
        tick_spacing=seed.tick_spacing,
        hooks=hooks,
    )


def _liquidity_down(sqrt_price: int, lower: int, upper: int, amount0: int, amount1: int) -> int:
    """Give the liquidity that two amounts buy in a range around the price, a little less than the contracts' maths."""
    low, high = (_sqrt_x96(tick) for tick in (lower, upper))
    by0 = amount0 * sqrt_price * high // (high - sqrt_price) >> 96
    by1 = (amount1 << 96) // (sqrt_price - low)
    return min(by0, by1) * 999_999 // 1_000_000


def _sqrt_x96(tick: int) -> int:
    """Give the square root of a tick's price in 96 fractional bits, good to far more digits than liquidity needs."""
    return int(_EXACT.multiply(_EXACT.sqrt(_EXACT.power(Decimal("1.0001"), tick)), 2**96))
