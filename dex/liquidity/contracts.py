"""Which contracts keep positions on a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dex.pools import ZERO_ADDRESS, PoolSpec
from domain.errors import InputError
from domain.ids import Address


@dataclass(frozen=True, slots=True)
class PositionContracts:
    """The position contracts of one chain; None where there is none."""

    v3: Address | None = None
    """V3's NonfungiblePositionManager."""
    v3_factory: Address | None = None
    v4: Address | None = None
    """V4's PositionManager, which is paid through Permit2."""
    v4_state: Address | None = None
    v4_pools: Address | None = None
    """V4's PoolManager, which holds every pool."""
    permit2: Address | None = None
    wrapped: Address | None = None
    """The wrapped coin. A V4 pool of the coin itself is paid from and into it, so that books see every unit."""

    @classmethod
    def named(cls, contracts: Mapping[str, Address]) -> PositionContracts:
        """Pick them from an address book by their contracts' names."""
        return cls(
            v3=contracts.get("NonfungiblePositionManager"),
            v3_factory=contracts.get("UniswapV3Factory"),
            v4=contracts.get("PositionManager"),
            v4_state=contracts.get("StateView"),
            v4_pools=contracts.get("PoolManager"),
            permit2=contracts.get("Permit2"),
            wrapped=contracts.get("WETH9"),
        )

    def for_pool(self, pool: PoolSpec) -> Address:
        """Give the contract that keeps a pool's positions.

        Raises:
            InputError: None is configured, or the pool has none.
        """
        if pool.kind not in ("v3", "v4"):
            raise InputError(f"positions are kept of v3 and v4 pools, not of {pool.kind} ({pool.id})")
        return self.need(pool.kind)

    def need(self, name: str) -> Address:
        """Give one of the contracts by the name of its field.

        Raises:
            InputError: It is not configured.
        """
        address: Address | None = getattr(self, name)
        if address is None:
            raise InputError(f"no contract is configured for {name} positions")
        return address

    def paid_as(self, pool: PoolSpec, index: int) -> Address:
        """Give the token that custody pays token 0 or 1 of a pool with: the wrapped one for the coin itself."""
        token = pool.tokens[index][1]
        return self.need("wrapped") if token == ZERO_ADDRESS else token
