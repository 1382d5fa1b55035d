"""What the devnet's pools hold at the start: tokens, prices, liquidity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from domain.errors import InputError

DECIMALS: Final = {"WETH": 18, "USDC": 6, "WBTC": 8, "DAI": 18, "USDT": 6}
"""The devnet's ERC-20 tokens, by symbol."""

DYNAMIC_FEE: Final = 0x800000
"""The fee in a V4 pool's key that says: the hook sets it."""

NATIVE: Final = "ETH"
"""The coin itself, which V4 pools hold unwrapped under the zero address."""

_DOLLARS: Final = ("USDC", "DAI", "USDT")
_TICK_SPACING: Final = {100: 1, 500: 10, 3000: 60, 10000: 200, DYNAMIC_FEE: 60}
_WIDE: Final = ((600, 900_000), (6_000, 3_900_000))
_NARROW: Final = ((20, 4_000_000), (200, 1_000_000))

Positions = tuple[tuple[int, int], ...]
"""(half width in ticks, US dollars on each side) per position, around the price."""


@dataclass(frozen=True, slots=True)
class V2Seed:
    """Reserves of one V2 pair."""

    symbol: str
    quote: str
    usd_per_side: int


@dataclass(frozen=True, slots=True)
class V3Seed:
    """Liquidity for one V3 pool."""

    symbol: str
    fee: int
    positions: Positions
    quote: str = "USDC"

    @property
    def tick_spacing(self) -> int:
        return _TICK_SPACING[self.fee]


@dataclass(frozen=True, slots=True)
class V4Seed(V3Seed):
    """Liquidity for one V4 pool; `ETH` is the coin itself. A pool with the dynamic fee has the devnet's hook."""


@dataclass(frozen=True, slots=True)
class Member:
    """One token of a Balancer pool; a weight makes the pool a weighted one."""

    symbol: str
    usd: int
    weight_percent: int = 0


@dataclass(frozen=True, slots=True)
class BalancerSeed:
    """Balances of one Balancer pool."""

    members: tuple[Member, ...]
    fee_pips: int
    amplification: int = 200
    """A stable pool's: how flat its curve is."""

    @property
    def is_weighted(self) -> bool:
        return any(member.weight_percent for member in self.members)


@dataclass(frozen=True, slots=True)
class Market:
    """What the pools are worth at the start, in whole US dollars (USDC, DAI and USDT alike).

    The 0.05 % WETH/USDC pool's positions add up to about 100 M$ of virtual depth at the price, so that a swap of 50 k$
    moves it by about 10 basis points.
    """

    prices_usd: Mapping[str, int] = field(default_factory=lambda: {"WETH": 3_000, "WBTC": 60_000})
    v2_usd_per_side: int = 10_000_000
    v2: tuple[V2Seed, ...] = (
        V2Seed("WETH", "DAI", 6_000_000),
        V2Seed("WETH", "USDT", 6_000_000),
        V2Seed("DAI", "USDC", 3_000_000),
    )
    """Pairs besides those of `prices_usd` with USDC."""
    v3: tuple[V3Seed, ...] = (
        V3Seed(
            "WETH", 500, ((100, 50_000), (300, 750_000), (1_000, 1_200_000), (2_000, 1_900_000), (20_000, 6_000_000))
        ),
        V3Seed("WETH", 3000, _WIDE),
        V3Seed("WETH", 10000, ((2_000, 950_000), (20_000, 3_200_000))),
        V3Seed("WBTC", 500, ((300, 900_000), (2_000, 2_800_000), (20_000, 6_000_000))),
        V3Seed("WBTC", 3000, _WIDE),
        V3Seed("DAI", 100, _NARROW),
        V3Seed("USDT", 100, _NARROW),
        V3Seed("WETH", 500, ((300, 500_000), (2_000, 1_500_000), (20_000, 3_000_000)), "USDT"),
        V3Seed("WETH", 3000, _WIDE, "USDT"),
        V3Seed("WETH", 3000, _WIDE, "DAI"),
        V3Seed("WBTC", 500, ((300, 400_000), (2_000, 1_600_000), (20_000, 3_000_000)), "WETH"),
        V3Seed("WBTC", 3000, _WIDE, "WETH"),
    )
    v4: tuple[V4Seed, ...] = (
        V4Seed(NATIVE, 500, ((100, 50_000), (300, 600_000), (2_000, 1_900_000), (20_000, 5_000_000))),
        V4Seed(NATIVE, 3000, _WIDE),
        V4Seed("WBTC", 3000, _WIDE),
        V4Seed("USDT", 100, _NARROW),
        V4Seed(NATIVE, DYNAMIC_FEE, _WIDE),
    )

    balancer: tuple[BalancerSeed, ...] = (
        BalancerSeed(tuple(Member(symbol, 5_000_000) for symbol in _DOLLARS), 400),
        BalancerSeed(
            (Member("WBTC", 4_000_000, 40), Member("WETH", 4_000_000, 40), Member("USDC", 2_000_000, 20)), 3000
        ),
    )
    aave_usd_per_token: int = 20_000_000
    """What the lending pool holds of each token."""

    def raw(self, symbol: str, usd: int) -> int:
        """Give an amount of a token worth so many dollars, in its smallest unit, rounded down.

        Raises:
            InputError: The price is not positive.
        """
        symbol = "WETH" if symbol == NATIVE else symbol
        price = 1 if symbol in _DOLLARS else self.prices_usd[symbol]
        if price <= 0:
            raise InputError(f"the price of {symbol} must be positive, found {price}")
        return int(usd * 10 ** DECIMALS[symbol] // price)

    @property
    def pairs(self) -> tuple[V2Seed, ...]:
        """Every V2 pair."""
        return (*(V2Seed(symbol, "USDC", self.v2_usd_per_side) for symbol in self.prices_usd), *self.v2)

    @property
    def total_usd(self) -> int:
        """What the deployer holds of each token before it seeds: more than any of them needs."""
        concentrated = sum(usd for seed in (*self.v3, *self.v4) for _, usd in seed.positions)
        balanced = sum(member.usd for seed in self.balancer for member in seed.members)
        paired = sum(pair.usd_per_side for pair in self.pairs)
        return 2 * (concentrated + paired + balanced + self.aave_usd_per_token)
