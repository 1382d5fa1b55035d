"""What addresses and tokens are called: the names of the policy bundle, the same at every signer.

A name is part of what an approver reads, so it may only come from a signed bundle: never from the chain, where
anybody deploys a token called USDC, and never from whoever asks for a signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from custody.calls import Descriptions
from custody.clear_signing.text import decimal_text, escape
from domain import Address, Refused

_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_LOOK_ALIKE_DIGITS: Final = 4
"""Wallets show `0x1234…abcd`: who sees these digits alone takes one address for the other."""


@dataclass(frozen=True, slots=True)
class TokenName:
    """How amounts of a token are written."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class ChainName:
    """A chain and the symbol of its own coin."""

    name: str
    coin: str = "ETH"
    decimals: int = 18


WELL_KNOWN: Final[Mapping[int, ChainName]] = MappingProxyType(
    {
        1: ChainName("Ethereum"),
        10: ChainName("OP Mainnet"),
        56: ChainName("BNB Smart Chain", "BNB"),
        100: ChainName("Gnosis", "xDAI"),
        137: ChainName("Polygon", "POL"),
        1337: ChainName("development chain"),
        8453: ChainName("Base"),
        42161: ChainName("Arbitrum One"),
        43114: ChainName("Avalanche", "AVAX"),
        11155111: ChainName("Sepolia testnet"),
    }
)


@dataclass(frozen=True, slots=True)
class Names:
    """Chains, tokens and addresses by name. Whoever is not in it has no name."""

    chains: Mapping[int, ChainName] = field(default_factory=lambda: WELL_KNOWN)
    tokens: Mapping[tuple[int, Address], TokenName] = field(default_factory=lambda: _NOTHING)
    addresses: Mapping[tuple[int, Address], str] = field(default_factory=lambda: _NOTHING)
    """By chain id, or 0 for an address that has this name on every chain."""
    descriptors: Descriptions = field(default_factory=lambda: _NOTHING)
    """Further methods that can be read; see `custody.calls.load_descriptors`."""

    def chain(self, chain_id: int) -> str:
        """Write a chain: `Ethereum (chain id 1)`."""
        known = self.chains.get(chain_id)
        return f"{escape(known.name)} (chain id {chain_id})" if known else f"chain id {chain_id}"

    def coins(self, chain_id: int, wei: int) -> str:
        """Write an amount of a chain's own coin; `ETH` where the bundle does not name it."""
        known = self.chains.get(chain_id) or ChainName("")
        return f"{decimal_text(wei, known.decimals)} {escape(known.coin)}"

    def amount(self, chain_id: int, token: Address, raw: int) -> str:
        """Write an amount of a token.

        Raises:
            Refused: Rule `unreadable`: the bundle does not know the token, so nobody can say how much it is.
        """
        known = self.tokens.get((chain_id, token))
        if known is None:
            raise Refused(f"token {token} on chain {chain_id} has no symbol and decimals here", rule="unreadable")
        return f"{decimal_text(raw, known.decimals)} {escape(known.symbol)}"

    def token(self, chain_id: int, token: Address) -> str:
        """Write a token with its address: `USDC (0xA0b8…)`."""
        known = self.tokens.get((chain_id, token))
        return f"{escape(known.symbol)} ({token})" if known else self.address(chain_id, token)

    def address(self, chain_id: int, address: Address) -> str:
        """Write an address in full, with its name if it has one."""
        name = self.name_of(chain_id, address)
        return f"{escape(name)} ({address})" if name else address

    def name_of(self, chain_id: int, address: Address) -> str | None:
        """Find an address's name."""
        return self.addresses.get((chain_id, address)) or self.addresses.get((0, address))

    def look_alike(self, chain_id: int, address: Address) -> Address | None:
        """Find a known address that this unknown one would be mistaken for: the same first and last four digits."""
        known = {at for chain, at in self.addresses if chain in (0, chain_id)}
        known |= {at for chain, at in self.tokens if chain == chain_id}
        if address in known:
            return None
        ends = _ends(address)
        return next((at for at in sorted(known) if _ends(at) == ends), None)


def _ends(address: Address) -> tuple[str, str]:
    digits = address[2:].lower()
    return digits[:_LOOK_ALIKE_DIGITS], digits[-_LOOK_ALIKE_DIGITS:]
