"""Which pools there are: their names, tokens and fees, before anything is known of their state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chain import parse_address
from chain.abi import address_word, int_word, uint_word
from chain.devnet import DevnetWorld
from chain.keccak import keccak256
from dex.replicas.balancer import BalancerStablePool, BalancerWeightedPool
from dex.replicas.base import PoolReplica
from dex.replicas.curve import CurveStablePool
from dex.replicas.v2 import V2Pool
from dex.replicas.v3 import V3Pool
from dex.replicas.v4 import V4Pool
from domain.assets import Asset, native_asset, token_asset
from domain.errors import InputError
from domain.ids import Address, ChainId, PoolId

ZERO_ADDRESS: Final = Address("0x0000000000000000000000000000000000000000")
BALANCER_VAULT: Final = Address("0xBA12222222228d8Ba445958a75a0704d566BF2C8")
"""Holds the tokens of all Balancer V2 pools, at the same address on every chain."""
POOL_KINDS: Final = ("v2", "v3", "v4", "curve-stable", "balancer-stable", "balancer-weighted")
DYNAMIC_FEE: Final = 0x800000
"""In place of a V4 pool's fee: its hook sets the fee, at any time."""

TokenTerms: TypeAlias = tuple[str, str, int]
"""A token's address, symbol and decimals."""

_BALANCER: Final = ("balancer-stable", "balancer-weighted")
_POOL_ID: Final = re.compile("0x[0-9a-f]{64}")
_SWAP_HOOKS: Final = 0b1100_1100
"""Bits of a V4 hook's address by which the PoolManager calls it around a swap or lets it change the amounts."""


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

    @property
    def is_by_call(self) -> bool:
        """Whether only the chain can quote it: V4 pools whose fee is dynamic or whose hooks act on swaps."""
        if self.kind != "v4":
            return False
        return self.fee_pips == DYNAMIC_FEE or bool(int(self.hooks, 16) & _SWAP_HOOKS)

    def replica(self) -> PoolReplica:
        """Make an empty replica; it quotes once a snapshot is applied.

        Raises:
            InputError: The pool is quoted by call alone.
        """
        if self.is_by_call:
            raise InputError(
                f"pool {self.id} has no replica: its hooks or its dynamic fee decide what a swap gives",
                hint="Ask the chain for its quotes (dex.replicas.by_call).",
            )
        match self.kind:
            case "v2":
                return V2Pool(self.id, self.token0.id, self.token1.id, self.fee_pips)
            case "v3":
                return V3Pool(self.id, self.token0.id, self.token1.id, self.fee_pips)
            case "v4":
                return V4Pool(self.id, self.token0.id, self.token1.id, self.fee_pips)
        tokens = tuple(asset.id for asset, _ in self.tokens)
        match self.kind:
            case "curve-stable":
                return CurveStablePool(self.id, tokens, self.fee_pips)
            case "balancer-stable":
                return BalancerStablePool(self.id, tokens, self.fee_pips)
            case "balancer-weighted":
                return BalancerWeightedPool(self.id, tokens, self.fee_pips)
        raise InputError(f"pool {self.id}: there is no replica of kind {self.kind}")

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
        """Give the other token of a pool that has two.

        Raises:
            InputError: The token is not the pool's, or several others are.
        """
        if self.more_tokens:
            raise InputError(f"pool {self.id} has {len(self.tokens)} tokens: name both of a swap")
        return self.token1 if self.address_of(asset_id) == self.token0_address else self.token0


def pool_spec(
    *,
    kind: str,
    chain_id: int,
    address: str,
    token_a: TokenTerms,
    token_b: TokenTerms,
    fee_pips: int,
    pool_id: str = "",
    tick_spacing: int = 0,
    hooks: str = ZERO_ADDRESS,
    more_tokens: Sequence[TokenTerms] = (),
) -> PoolSpec:
    """Describe a pool from its tokens (address, symbol, decimals), in any order; Curve's in the order of the pool.

    Raises:
        InputError: An unknown kind, equal tokens, a malformed address, or what a pool of this kind cannot do without.
    """
    if kind not in POOL_KINDS:
        raise InputError(f"pool kind must be one of {', '.join(POOL_KINDS)}, found {kind!r}")
    if more_tokens and kind not in ("curve-stable", *_BALANCER):
        raise InputError(f"pool {address}: a {kind} pool has two tokens")
    needs_id = kind in ("v4", *_BALANCER)
    if needs_id != bool(_POOL_ID.fullmatch(pool_id)) or (kind == "v4") != (tick_spacing > 0):
        raise InputError(
            f"pool {address}: of kind {kind} with id {pool_id!r} and tick spacing {tick_spacing}",
            hint="V4 pools have a 32-byte id and a tick spacing, Balancer's an id, the others neither.",
        )
    sides = [(parse_address(a), symbol, n) for a, symbol, n in (token_a, token_b, *more_tokens)]
    if kind != "curve-stable":
        sides.sort(key=lambda side: int(side[0], 16))
    if len({side[0] for side in sides}) != len(sides):
        raise InputError(f"pool {address}: its tokens are {', '.join(side[0] for side in sides)}")
    chain, pool = ChainId(chain_id), parse_address(address)
    name = f"eip155:{chain}/{pool}" + (f"/{pool_id}" if kind == "v4" else "")
    tokens = [(_asset(chain, *side), side[0]) for side in sides]
    spec = PoolSpec(
        id=PoolId(name),
        kind=kind,
        address=pool,
        chain_id=chain,
        token0=tokens[0][0],
        token1=tokens[1][0],
        token0_address=tokens[0][1],
        token1_address=tokens[1][1],
        fee_pips=fee_pips,
        pool_id=pool_id,
        tick_spacing=tick_spacing,
        hooks=parse_address(hooks),
        more_tokens=tuple(tokens[2:]),
    )
    if kind == "v4" and pool_id != "0x" + keccak256(v4_key(spec)).hex():
        raise InputError(f"pool {pool_id} is not the V4 pool of these tokens, fee, tick spacing and hooks")
    return spec


def devnet_pools(world: DevnetWorld) -> dict[PoolId, PoolSpec]:
    """Describe the pools of a devnet, by id: also those that have no replica (`is_by_call`)."""
    terms = {token.address: (token.address, symbol, token.decimals) for symbol, token in world.tokens.items()}
    terms[ZERO_ADDRESS] = (ZERO_ADDRESS, "ETH", 18)
    specs = (
        pool_spec(
            kind=pool.kind,
            chain_id=world.chain_id,
            address=pool.address,
            token_a=terms[pool.token0],
            token_b=terms[pool.token1],
            fee_pips=pool.fee,
            pool_id=pool.pool_id,
            tick_spacing=pool.tick_spacing,
            hooks=pool.hooks,
            more_tokens=[terms[token] for token in pool.more_tokens],
        )
        for pool in world.pools
    )
    return {spec.id: spec for spec in specs}


def v4_key(spec: PoolSpec) -> bytes:
    """Pack a V4 pool's key, whose hash is its id.

    Raises:
        InputError: It is no V4 pool.
    """
    if spec.kind != "v4":
        raise InputError(f"pool {spec.id} of kind {spec.kind} has no V4 key")
    tokens = address_word(spec.token0_address) + address_word(spec.token1_address)
    return tokens + uint_word(spec.fee_pips) + int_word(spec.tick_spacing) + address_word(spec.hooks)


def _asset(chain: ChainId, address: Address, symbol: str, decimals: int) -> Asset:
    if address == ZERO_ADDRESS:
        return native_asset(chain, symbol)
    return token_asset(chain, address, symbol, decimals)
