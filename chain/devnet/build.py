"""Builds the devnet's world: tokens, Uniswap V2 and V3 at their mainnet addresses, pools with liquidity.

A contract comes to stand at a chosen address the way forge's `deployCodeTo` does it: its creation code is put there
as if it were the deployed one, an `eth_call` yields the runtime (immutables filled in), one real transaction lets the
constructor write its storage, and the runtime takes the place of the creation code. So `address(this)`, storage and
immutables are what a real deployment would give, and pools created through the factories get mainnet's addresses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chain.abi import (
    Dynamic,
    address_at,
    address_word,
    bytes_words,
    compose,
    int_at,
    int_word,
    selector,
    uint_word,
)
from chain.client import ChainClient
from chain.devnet.artifacts import creation_code
from chain.devnet.world import CANONICAL, PoolEntry, TokenEntry
from chain.keccak import checksum, keccak256
from domain.errors import InputError, InvariantError
from domain.ids import Address

DEPLOYER: Final = checksum("0x" + keccak256(b"capstan devnet deployer")[12:].hex())
"""Owns the factories and the seeded liquidity. Nobody has its key: the node lets us impersonate it."""

DECIMALS: Final = {"WETH": 18, "USDC": 6, "WBTC": 8}
_GAS_LIMIT: Final = 15_000_000
_GAS_PRICE_WEI: Final = 2 * 10**9
_UNLIMITED: Final = 2**256 - 1
_NO_DEADLINE: Final = 2**40
_TICK_SPACING: Final = {500: 10, 3000: 60, 10000: 200}
_ZERO: Final = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class V3Seed:
    """Liquidity for one V3 pool: (half width in ticks, US dollars on each side) per position, around the price."""

    symbol: str
    fee: int
    positions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Market:
    """What the pools are worth at the start, in whole USDC.

    The 0.05 % pool's positions add up to about 100 M$ of virtual depth at the price, so that a swap of 50 k$ moves
    it by about 10 basis points.
    """

    prices_usd: Mapping[str, int] = field(default_factory=lambda: {"WETH": 3_000, "WBTC": 60_000})
    v2_usd_per_side: int = 10_000_000
    v3: tuple[V3Seed, ...] = (
        V3Seed(
            "WETH", 500, ((100, 50_000), (300, 750_000), (1_000, 1_200_000), (2_000, 1_900_000), (20_000, 6_000_000))
        ),
        V3Seed("WETH", 3000, ((600, 900_000), (6_000, 3_900_000))),
        V3Seed("WETH", 10000, ((2_000, 950_000), (20_000, 3_200_000))),
        V3Seed("WBTC", 500, ((300, 900_000), (2_000, 2_800_000), (20_000, 6_000_000))),
        V3Seed("WBTC", 3000, ((600, 900_000), (6_000, 3_900_000))),
    )


@dataclass(frozen=True, slots=True)
class Built:
    """What `Builder.build` made."""

    contracts: dict[str, Address]
    tokens: dict[str, TokenEntry]
    pools: tuple[PoolEntry, ...]


class Builder:
    """Sends the deployer's transactions, one block each, with fixed gas and fees so that every run is the same."""

    def __init__(self, client: ChainClient, artifacts: Path) -> None:
        self._client = client
        self._artifacts = artifacts
        self._contracts: dict[str, Address] = {}
        self._pools: list[PoolEntry] = []
        self._nonce = 0

    async def build(self, market: Market) -> Built:
        """Deploy everything and seed the pools. The node must mine each transaction at once."""
        ask = self._client.rpc.request
        # Block times count up by one second, whatever the machine's speed: state roots are reproducible.
        await ask("anvil_setBlockTimestampInterval", 1)
        await ask("anvil_impersonateAccount", DEPLOYER)
        await ask("anvil_setBalance", DEPLOYER, hex(10**7 * 10**18))
        await self._deploy()
        await self._fund(market)
        for symbol in market.prices_usd:
            await self._seed_v2(symbol, market)
        for seed in market.v3:
            await self._seed_v3(seed, market)
        await ask("anvil_removeBlockTimestampInterval")
        tokens = {s: TokenEntry(self._token(s), d) for s, d in DECIMALS.items()}
        return Built(self._contracts, tokens, tuple(self._pools))

    async def _deploy(self) -> None:
        weth = address_word(await self._place("WETH9"))
        for symbol, name in (("USDC", b"USD Coin"), ("WBTC", b"Wrapped BTC")):
            arguments = compose(
                Dynamic(bytes_words(name)), Dynamic(bytes_words(symbol.encode())), uint_word(DECIMALS[symbol])
            )
            await self._place(symbol, arguments, artifact="MintableERC20")
        factory2 = address_word(await self._place("UniswapV2Factory", address_word(DEPLOYER)))
        await self._place("UniswapV2Router02", factory2 + weth)
        factory3 = address_word(await self._place("UniswapV3Factory"))
        positions = address_word(await self._place("NonfungiblePositionManager", factory3 + weth + address_word(_ZERO)))
        await self._place("SwapRouter", factory3 + weth)
        await self._place("SwapRouter02", factory2 + factory3 + positions + weth)
        await self._place("Quoter", factory3 + weth)
        await self._place("QuoterV2", factory3 + weth)
        await self._place("TickLens")

    async def _place(self, name: str, arguments: bytes = b"", *, artifact: str = "") -> Address:
        ask = self._client.rpc.request
        address = checksum(CANONICAL[name])
        creation = creation_code(artifact or name, self._artifacts) + arguments
        await ask("anvil_setCode", address, "0x" + creation.hex())
        runtime = await self._client.call(address, b"", sender=DEPLOYER)
        await self._send(address, b"", what=f"constructor of {name}")
        await ask("anvil_setCode", address, "0x" + runtime.hex())
        # EIP-161: a contract starts with nonce 1; CREATE from a factory with nonce 0 would reuse that number.
        await ask("anvil_setNonce", address, "0x1")
        self._contracts[name] = address
        return address

    async def _fund(self, market: Market) -> None:
        seeded = [usd for seed in market.v3 for _, usd in seed.positions] + [market.v2_usd_per_side] * 2
        total_usd = 2 * sum(seeded)
        for symbol in DECIMALS:
            raw = self._raw(symbol, total_usd, market)
            token = self._token(symbol)
            if symbol == "WETH":
                await self._send(token, selector("deposit()"), value_wei=raw, what="deposit WETH")
            else:
                await self._send(
                    token,
                    selector("mint(address,uint256)") + address_word(DEPLOYER) + uint_word(raw),
                    what=f"mint {symbol}",
                )
            for spender in ("UniswapV2Router02", "NonfungiblePositionManager"):
                approve = selector("approve(address,uint256)")
                await self._send(
                    token,
                    approve + address_word(self._contracts[spender]) + uint_word(_UNLIMITED),
                    what=f"approve {symbol}",
                )

    async def _seed_v2(self, symbol: str, market: Market) -> None:
        token, usdc = self._token(symbol), self._token("USDC")
        base, quote = (self._raw(s, market.v2_usd_per_side, market) for s in (symbol, "USDC"))
        method = selector("addLiquidity(address,address,uint256,uint256,uint256,uint256,address,uint256)")
        await self._send(
            self._contracts["UniswapV2Router02"],
            method
            + address_word(token)
            + address_word(usdc)
            + b"".join(uint_word(v) for v in (base, quote, 0, 0))
            + address_word(DEPLOYER)
            + uint_word(_NO_DEADLINE),
            what=f"V2 {symbol}/USDC liquidity",
        )
        token0, token1 = _in_order(token, usdc)
        pair = selector("getPair(address,address)") + address_word(token0) + address_word(token1)
        address = address_at(await self._client.call(self._contracts["UniswapV2Factory"], pair), 0)
        self._pools.append(PoolEntry("v2", address, token0, token1, 3000))

    async def _seed_v3(self, seed: V3Seed, market: Market) -> None:
        manager = self._contracts["NonfungiblePositionManager"]
        token0, token1 = _in_order(self._token(seed.symbol), self._token("USDC"))
        pair = address_word(token0) + address_word(token1) + uint_word(seed.fee)

        def amounts(usd: int) -> tuple[int, int]:
            return self._raw(self._symbol(token0), usd, market), self._raw(self._symbol(token1), usd, market)

        one0, one1 = amounts(10**6)
        await self._send(
            manager,
            selector("createAndInitializePoolIfNecessary(address,address,uint24,uint160)")
            + pair
            + uint_word(math.isqrt((one1 << 192) // one0)),
            what=f"create V3 {seed.symbol}/USDC {seed.fee}",
        )
        found = await self._client.call(
            self._contracts["UniswapV3Factory"], selector("getPool(address,address,uint24)") + pair
        )
        pool = address_at(found, 0)
        tick = int_at(await self._client.call(pool, selector("slot0()")), 1)
        spacing = _TICK_SPACING[seed.fee]
        mint = selector("mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))")
        for half_width, usd in seed.positions:
            lower, upper = ((tick + side * half_width) // spacing * spacing for side in (-1, 1))
            await self._send(
                manager,
                mint
                + pair
                + int_word(lower)
                + int_word(upper)
                + b"".join(uint_word(v) for v in (*amounts(usd), 0, 0))
                + address_word(DEPLOYER)
                + uint_word(_NO_DEADLINE),
                what=f"V3 {seed.symbol}/USDC {seed.fee} position of {half_width} ticks",
            )
        self._pools.append(PoolEntry("v3", pool, token0, token1, seed.fee))

    async def _send(self, to: str, data: bytes, *, value_wei: int = 0, what: str) -> None:
        tx_hash = await self._client.rpc.request(
            "eth_sendTransaction",
            {
                "from": DEPLOYER,
                "to": to,
                "data": "0x" + data.hex(),
                "value": hex(value_wei),
                "nonce": hex(self._nonce),
                "gas": hex(_GAS_LIMIT),
                "gasPrice": hex(_GAS_PRICE_WEI),
            },
        )
        self._nonce += 1
        receipt = await self._client.wait_receipt(tx_hash, timeout_s=10, poll_s=0.002)
        if not receipt.succeeded:
            raise InvariantError(f"devnet: {what} reverted")

    def _token(self, symbol: str) -> Address:
        return self._contracts["WETH9" if symbol == "WETH" else symbol]

    def _symbol(self, token: Address) -> str:
        return next(symbol for symbol in DECIMALS if self._token(symbol) == token)

    @staticmethod
    def _raw(symbol: str, usd: int, market: Market) -> int:
        price = 1 if symbol == "USDC" else market.prices_usd[symbol]
        if price <= 0:
            raise InputError(f"the price of {symbol} must be positive, found {price}")
        return int(usd * 10 ** DECIMALS[symbol] // price)


def _in_order(a: Address, b: Address) -> tuple[Address, Address]:
    """Sort two tokens as Uniswap does, by number."""
    return (a, b) if int(a, 16) < int(b, 16) else (b, a)
