"""Which pools there are: their names, tokens and fees, before anything is known of their state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import parse_address
from chain.devnet import DevnetWorld
from dex.replicas.base import PoolReplica
from dex.replicas.v2 import V2Pool
from dex.replicas.v3 import V3Pool
from domain.assets import Asset, token_asset
from domain.errors import InputError
from domain.ids import Address, ChainId, PoolId

ZERO_ADDRESS: Final = Address("0x0000000000000000000000000000000000000000")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool as configured. Token 0 is the one with the lower address, as the contract has it."""

    id: PoolId
    kind: str
    """`v2`, `v3`, `v4`, `curve-stable`, `balancer-stable` or `balancer-weighted`."""
    address: Address
    """The contract that holds the pool: of V4 its PoolManager, of Balancer the pool's own (not the Vault)."""
    chain_id: ChainId
    token0: Asset
    token1: Asset
    token0_address: Address
    token1_address: Address
    fee_pips: int
    pool_id: str = ""
    """V4's and Balancer's 32-byte id as 0x and 64 digits; empty for the others."""
    tick_spacing: int = 0
    hooks: Address = ZERO_ADDRESS
    more_tokens: tuple[tuple[Asset, Address], ...] = ()
    """Tokens after the first two, of pools that have more. V4's native coin has the zero address."""

    @property
    def tokens(self) -> tuple[tuple[Asset, Address], ...]:
        """Every token with its contract, in the contract's order."""
        return ((self.token0, self.token0_address), (self.token1, self.token1_address), *self.more_tokens)

    def replica(self) -> PoolReplica:
        """Make an empty replica; it quotes once a snapshot is applied."""
        if self.kind == "v2":
            return V2Pool(self.id, self.token0.id, self.token1.id, self.fee_pips)
        return V3Pool(self.id, self.token0.id, self.token1.id, self.fee_pips)

    def address_of(self, asset_id: str) -> Address:
        """Give the contract of one of the pool's tokens.

        Raises:
            InputError: It is none of them.
        """
        for asset, address in self.tokens:
            if asset.id == asset_id:
                return address
        raise InputError(f"pool {self.id} does not trade {asset_id}")

    def other(self, asset_id: str) -> Asset:
        """Give the other token of a pool that has two."""
        return self.token1 if self.address_of(asset_id) == self.token0_address else self.token0


def pool_spec(
    *,
    kind: str,
    chain_id: int,
    address: str,
    token_a: tuple[str, str, int],
    token_b: tuple[str, str, int],
    fee_pips: int,
) -> PoolSpec:
    """Describe a pool from two tokens (address, symbol, decimals) in any order.

    Raises:
        InputError: An unknown kind, equal tokens, or a malformed address.
    """
    if kind not in ("v2", "v3"):
        raise InputError(f"pool kind must be v2 or v3, found {kind!r}")
    sides = sorted(((parse_address(a), symbol, n) for a, symbol, n in (token_a, token_b)), key=lambda s: int(s[0], 16))
    (address0, symbol0, decimals0), (address1, symbol1, decimals1) = sides
    if address0 == address1:
        raise InputError(f"pool {address}: both tokens are {address0}")
    chain = ChainId(chain_id)
    pool = parse_address(address)
    return PoolSpec(
        id=PoolId(f"eip155:{chain}/{pool}"),
        kind=kind,
        address=pool,
        chain_id=chain,
        token0=token_asset(chain, address0, symbol0, decimals0),
        token1=token_asset(chain, address1, symbol1, decimals1),
        token0_address=address0,
        token1_address=address1,
        fee_pips=fee_pips,
    )


def devnet_pools(world: DevnetWorld) -> dict[PoolId, PoolSpec]:
    """Describe the V2 and V3 pools of a devnet, by id."""
    by_address = {token.address: (symbol, token.decimals) for symbol, token in world.tokens.items()}
    specs = (
        pool_spec(
            kind=pool.kind,
            chain_id=world.chain_id,
            address=pool.address,
            token_a=(pool.token0, *by_address[pool.token0]),
            token_b=(pool.token1, *by_address[pool.token1]),
            fee_pips=pool.fee,
        )
        for pool in world.pools
        if pool.kind in ("v2", "v3")
    )
    return {spec.id: spec for spec in specs}
