"""Where the exchanges of a chain stand, and what was found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from chain.devnet import CANONICAL
from chain.networks import L1Fee, Network
from dex.pools import PoolSpec
from domain.assets import Asset, native_asset
from domain.errors import InputError
from domain.ids import Address, ChainId

V3_FEES_PIPS: Final = (100, 500, 3000, 10000)
V4_KEYS: Final = ((100, 1), (500, 10), (3000, 60), (10000, 200))
"""Fee and tick spacing that V4 pools without hooks usually have."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the exchanges of a chain stand. What is None is not asked."""

    chain_id: ChainId
    wrapped: Address
    """The ERC-20 form of the chain's own coin."""
    tokens: Mapping[str, Address] = field(default_factory=dict)
    """Tokens to route over, by the name they are known under."""
    v2_factory: Address | None = None
    v3_factory: Address | None = None
    v3_fees_pips: tuple[int, ...] = V3_FEES_PIPS
    pool_manager: Address | None = None
    """V4's. Pools of the usual fees are asked for by their ids, which follow from their keys."""
    v4_quoter: Address | None = None
    """Asked about V4 pools that only the chain can price."""
    vault: Address | None = None
    """Balancer V2's."""
    events_from: int | None = None
    """Block to look for V4's and Balancer's own announcements of pools from, which also name those with hooks and
    unusual fees. None where the node would not search so many blocks."""
    l1_fee: L1Fee = "none"
    """Whether transactions also pay for their bytes on another chain, and by whose rule."""
    native_symbol: str = "ETH"

    @property
    def native(self) -> Asset:
        return native_asset(self.chain_id, self.native_symbol)


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its contract; the chain's own coin has the zero address."""

    asset: Asset
    address: Address

    @property
    def terms(self) -> tuple[str, str, int]:
        """Address, symbol and decimals, as pools are described."""
        return self.address, self.asset.symbol, self.asset.decimals


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: tokens by upper-case symbol and by asset id, and the pools between them."""

    deployment: Deployment
    tokens: Mapping[str, Token]
    pools: tuple[PoolSpec, ...]

    @property
    def wrapped(self) -> Asset:
        """The coin's ERC-20 form, which routing takes for the coin itself."""
        return next(t.asset for t in self.tokens.values() if t.address == self.deployment.wrapped)

    def token(self, text: str) -> Asset:
        """Find a token by symbol (in any case), address or asset id.

        Raises:
            InputError: There is none.
        """
        wanted = text.strip().lower()
        for token in self.tokens.values():
            if wanted in (token.asset.symbol.lower(), token.address.lower(), token.asset.id.lower()):
                return token.asset
        known = ", ".join(sorted(t.asset.symbol for t in self.tokens.values()))
        raise InputError(f"no token {text!r}", hint=f"Known here: {known}; or give a token's address.")


def devnet_deployment(chain_id: int) -> Deployment:
    """Say where everything stands on a devnet: at mainnet's addresses."""
    names = {"WETH": "WETH9", "USDC": "USDC", "WBTC": "WBTC", "DAI": "DAI", "USDT": "USDT"}
    return Deployment(
        chain_id=ChainId(chain_id),
        wrapped=Address(CANONICAL["WETH9"]),
        tokens={symbol: Address(CANONICAL[name]) for symbol, name in names.items() if name in CANONICAL},
        v2_factory=Address(CANONICAL["UniswapV2Factory"]),
        v3_factory=Address(CANONICAL["UniswapV3Factory"]),
        pool_manager=Address(CANONICAL["PoolManager"]),
        v4_quoter=Address(CANONICAL["V4Quoter"]),
        vault=Address(CANONICAL["BalancerVault"]),
        events_from=0,
    )


def network_deployment(network: Network) -> Deployment:
    """Say where everything stands on a chain whose addresses are among ours."""
    return Deployment(
        chain_id=network.chain_id,
        wrapped=network.tokens[network.coin.wrapped].address,
        tokens={symbol: token.address for symbol, token in network.tokens.items()},
        v2_factory=network.contracts.get("UniswapV2Factory"),
        v3_factory=network.contracts.get("UniswapV3Factory"),
        pool_manager=network.contracts.get("PoolManager"),
        v4_quoter=network.contracts.get("V4Quoter"),
        vault=network.contracts.get("BalancerVault"),
        l1_fee=network.l1_fee,
        native_symbol=network.coin.symbol,
    )
