"""The contracts that carry swaps out on one chain, and which version of Uniswap's router stands there.

UniversalRouters differ in how they read a swap. Which one stands at an address is told by its code, not by its address:
immutables differ from chain to chain, so their places are blanked before the code is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chain import ChainClient, keccak256
from dex.execution.planning import Routers
from domain.errors import InputError, Refused
from domain.ids import Address

PERMIT2: Final = Address("0x000000000022D473030F116dDEE9F6B43aC78BA3")
_PUSH1, _PUSH32 = 0x60, 0x7F


class RouterVersion(StrEnum):
    """How a UniversalRouter reads swaps."""

    V2_0 = "2.0"
    V2_1 = "2.1"
    """V4 paths carry a bound for each hop."""
    V2_1_1 = "2.1.1"
    """So do V2 and V3 paths."""


KNOWN_CODE: Final[Mapping[str, RouterVersion]] = MappingProxyType(
    {
        "7c77aad2ef9f8e182cdefb8d9315a6c5482f12106b89399af69b819a30d54735": RouterVersion.V2_0,
        "58528fb00ad12d616ac903301d889ac3872dd64ff73d7b8c5b8eb5e1b2622df0": RouterVersion.V2_1,
    }
)
"""By `code_digest`: the artifacts of npm's @uniswap/universal-router 2.0.0 and 2.1.0."""


@dataclass(frozen=True, slots=True)
class SwapContracts:
    """What a swap may go through; None where there is none."""

    wrapped: Address
    """The ERC-20 form of the chain's coin."""
    universal_router: Address | None = None
    version: RouterVersion | None = None
    """None while nobody has looked: then the UniversalRouter is not used."""
    permit2: Address | None = None
    swap_router: Address | None = None
    """SwapRouter02."""
    v2_router: Address | None = None
    balancer_vault: Address | None = None

    @property
    def routers(self) -> Routers:
        """The routers of single pools."""
        return Routers(v2=self.v2_router, v3=self.swap_router)


def swap_contracts(contracts: Mapping[str, str], version: RouterVersion | None = None) -> SwapContracts:
    """Pick them out of an address book's contracts by name.

    Raises:
        InputError: The book does not say what wraps the chain's coin.
    """

    def find(name: str) -> Address | None:
        return Address(contracts[name]) if name in contracts else None

    wrapped = find("WETH9")
    if wrapped is None:
        raise InputError("the address book has no WETH9", hint="it names what wraps the chain's own coin")
    return SwapContracts(
        wrapped=wrapped,
        universal_router=find("UniversalRouter"),
        version=version,
        permit2=find("Permit2"),
        swap_router=find("SwapRouter02"),
        v2_router=find("UniswapV2Router02"),
        balancer_vault=find("BalancerVault"),
    )


async def router_version(client: ChainClient, router: str) -> RouterVersion:
    """Tell from its code how the UniversalRouter at an address reads swaps.

    Raises:
        Refused: Rule `unknown-router`: there is no code, or none that is known.
    """
    code = await client.code(router)
    digest = code_digest(code)
    version = KNOWN_CODE.get(digest)
    if version is None:
        what = f"code {digest[:16]}… is not known" if code else "no contract"
        raise Refused(
            f"{router}: {what}",
            rule="unknown-router",
            hint="swap on pools that SwapRouter02 reaches, or add the router's code after trying it on a devnet",
        )
    return version


def code_digest(code: bytes) -> str:
    """Hash a contract's code with every 32-byte constant blanked, which is where immutables are."""
    blanked, at = bytearray(code), 0
    while at < len(blanked):
        op = blanked[at]
        if op == _PUSH32:
            blanked[at + 1 : at + 33] = bytes(len(blanked[at + 1 : at + 33]))
        at += 1 + (op - _PUSH1 + 1 if _PUSH1 <= op <= _PUSH32 else 0)
    return keccak256(bytes(blanked)).hex()
