"""What addresses and tokens are called: the names of the policy bundle, the same at every signer.

A name is part of what an approver reads, so it may only come from a signed bundle: never from the chain, where
anybody deploys a token called USDC, and never from whoever asks for a signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from chain import parse_address
from custody.clear_signing.text import decimal_text, escape
from domain import Address, InputError, Refused

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


@dataclass(frozen=True, slots=True)
class Names:
    """Chains, tokens and addresses by name. Whoever is not in it has no name; see `from_document` for the text form."""

    chains: Mapping[int, ChainName] = field(default_factory=lambda: _NOTHING)
    tokens: Mapping[tuple[int, Address], TokenName] = field(default_factory=lambda: _NOTHING)
    addresses: Mapping[tuple[int, Address], str] = field(default_factory=lambda: _NOTHING)
    """By chain id, or 0 for an address that has this name on every chain."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Names:
        """Read the `names` section of a policy bundle.

        ```yaml
        names:
          chains: {1: {name: Ethereum, coin: ETH}}
          tokens: {"eip155:1/erc20:0xA0b8…": {symbol: USDC, decimals: 6}}
          addresses: {"0x1234…": Cold wallet, "eip155:1:0x5678…": Kraken deposit}
        ```

        Raises:
            InputError: An unknown key, a malformed address, or impossible decimals.
        """
        if unknown := set(document) - {"chains", "tokens", "addresses"}:
            raise InputError(f"names has chains, tokens and addresses, not {', '.join(sorted(map(str, unknown)))}")
        try:
            chains = {int(key): ChainName(**value) for key, value in document.get("chains", {}).items()}
            tokens = {_token_key(key): TokenName(**value) for key, value in document.get("tokens", {}).items()}
            addresses = {_address_key(key): str(value) for key, value in document.get("addresses", {}).items()}
        except (TypeError, ValueError, AttributeError) as exc:
            raise InputError(f"names cannot be read: {exc}") from exc
        for decimals in (*(c.decimals for c in chains.values()), *(t.decimals for t in tokens.values())):
            if type(decimals) is not int or not 0 <= decimals <= 77:
                raise InputError(f"decimals lie in 0..77, found {decimals!r}")
        return cls(MappingProxyType(chains), MappingProxyType(tokens), MappingProxyType(addresses))

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


def _token_key(asset: str) -> tuple[int, Address]:
    chain, slash, token = asset.partition("/erc20:")
    if not slash or not chain.startswith("eip155:"):
        raise InputError(f"a token is named eip155:<chain id>/erc20:<address>, found {asset!r}")
    return int(chain.removeprefix("eip155:")), parse_address(token)


def _address_key(text: str) -> tuple[int, Address]:
    if not text.startswith("eip155:"):
        return 0, parse_address(text)
    _, chain, address = text.split(":", 2)
    return int(chain), parse_address(address)
