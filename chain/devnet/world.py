"""What stands on a devnet and where: the file other tools read."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.ids import Address

CANONICAL: Final[dict[str, str]] = {
    "WETH9": "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2",
    "USDC": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "WBTC": "0x2260FAC5E5542a773Aa44fBCfeDf7C193bc2C599",
    "DAI": "0x6B175474E89094C44Da98b954EedeAC495271d0F",
    "USDT": "0xdAC17F958D2ee523a2206206994597C13D831ec7",
    "UniswapV2Factory": "0x5C69bEe701ef814a2B6a3EDD4B1652CB9cc5aA6f",
    "UniswapV2Router02": "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D",
    "UniswapV3Factory": "0x1F98431c8aD98523631AE4a59f267346ea31F984",
    "NonfungiblePositionManager": "0xC36442b4a4522E871399CD717aBDD847Ab11FE88",
    "SwapRouter": "0xE592427A0AEce92De3Edee1F18E0157C05861564",
    "SwapRouter02": "0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45",
    "Quoter": "0xb27308f9F90D607463bb33eA1BeBb41C27CE5AB6",
    "QuoterV2": "0x61fFE014bA17989E743c5F6cB21bF9697530B21e",
    "TickLens": "0xbfd8137f7d1516D3ea5cA83523914859ec47F573",
    "Permit2": "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    "PoolManager": "0x000000000004444c5dc75cB358380D2e3dE08A90",
    "PositionManager": "0xbD216513d74C8cf14cf4747E6AaA6420FF64ee9e",
    "V4Quoter": "0x52F0E24D1c21C8A0cB1e5a5dD6198556BD9E1203",
    "StateView": "0x7fFE42C4a5DEeA5b0feC41C94C136Cf115597227",
    "UniversalRouter": "0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af",
    "AavePoolAddressesProvider": "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e",
    "AavePool": "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2",
    "BalancerAuthorizer": "0xA331D84eC860Bf466b4CdCcFb4aC09a1B43F3aE6",
    "BalancerVault": "0xBA12222222228d8Ba445958a75a0704d566BF2C8",
    "BalancerStablePoolFactory": "0xc66Ba2B6595D3613CCab350C886aCE23866EDe24",
    "BalancerWeightedPoolFactory": "0x8E9aa87E45e92bad84D5F8DD1bff34Fb92637dE9",
    "SafeL2": "0x29fcB43b46531BcA003ddC8FCB67FFE91900C762",
    "SafeProxyFactory": "0x4e1DCf7AD4e460CfD30791CCC4F9c8a4f820ec67",
    "SafeFallbackHandler": "0xfd0732Dc9E303f09fCEf3a7388Ad10A83459Ec99",
    "SafeMultiSendCallOnly": "0x9641d764fc13c8B624c04430C7356C1C7C8102e2",
    "EntryPoint": "0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108",
    "SimpleAccountFactory": "0x13E9ed32155810FDbd067D4522C492D6f68E5944",
    "Multicall3": "0xcA11bde05977b3631167028862bE2a173976CA11",
    # Not mainnet's: the address says which of its functions the PoolManager calls (after initialising, before a swap).
    "DynamicFeeHook": "0xCa95000000000000000000000000000000001080",
}
"""Ethereum mainnet's addresses: tools that hard-code them run on a devnet unmodified."""

NATIVE_COIN: Final = Address("0x0000000000000000000000000000000000000000")
"""What V4 calls the chain's own coin."""


class TokenEntry(msgspec.Struct, frozen=True):
    """An ERC-20 token."""

    address: Address
    decimals: int


class PoolEntry(msgspec.Struct, frozen=True):
    """A pool, as an address book names it."""

    kind: str
    """`v2`, `v3`, `v4`, `curve-stable`, `balancer-stable` or `balancer-weighted`."""
    address: Address
    """The contract that holds the pool: of V4 its PoolManager, of Balancer the pool's own (not the Vault)."""
    token0: Address
    token1: Address
    fee: int
    """In hundredths of a basis point (3000 = 0.3 %)."""
    pool_id: str = ""
    """V4's and Balancer's 32-byte id as 0x and 64 digits; empty for the others."""
    tick_spacing: int = 0
    """V4's; V3 pools have theirs in their contract."""
    hooks: Address = NATIVE_COIN
    """V4's hook contract; zero for none."""
    more_tokens: tuple[Address, ...] = ()
    """Tokens after the first two, of pools that have more. V4's native coin is the zero address."""


class DevnetWorld(msgspec.Struct, frozen=True):
    """Everything a client needs to use a devnet. `tokens` is by symbol, `contracts` by contract name."""

    rpc_url: str
    chain_id: int
    genesis_hash: str
    contracts: dict[str, Address]
    tokens: dict[str, TokenEntry]
    pools: tuple[PoolEntry, ...]
    test_accounts: tuple[Address, ...]
    relay_url: str = ""
    """Where its bundle relay listens, if it has one."""

    def pool(self, kind: str, symbol_a: str, symbol_b: str, fee: int = 3000) -> PoolEntry:
        """Find a pool by its kind, two token symbols in any order (`ETH` is the coin itself), and its fee.

        Raises:
            KeyError: There is none.
        """
        wanted = {NATIVE_COIN if s == "ETH" else self.tokens[s].address for s in (symbol_a, symbol_b)}
        for pool in self.pools:
            if pool.kind == kind and pool.fee == fee and {pool.token0, pool.token1} == wanted:
                return pool
        raise KeyError((kind, symbol_a, symbol_b, fee))

    @property
    def classic_pools(self) -> tuple[PoolEntry, ...]:
        """The V2 and V3 pools that trade WETH and WBTC against USDC."""
        usual = {self.tokens[symbol].address for symbol in ("WETH", "WBTC")}
        usdc = self.tokens["USDC"].address
        return tuple(
            pool
            for pool in self.pools
            if pool.kind in ("v2", "v3") and {pool.token0, pool.token1} in [{token, usdc} for token in usual]
        )

    def to_json(self) -> bytes:
        """Write the addresses file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> DevnetWorld:
        """Read an addresses file; unknown keys are ignored, so that newer files stay readable."""
        return msgspec.json.decode(text, type=cls)
