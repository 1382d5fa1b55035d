"""Reading and checking the files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias

import msgspec

from chain.finality import FinalityRule
from chain.keccak import parse_address
from domain.assets import Asset, native_asset, token_asset
from domain.errors import InputError
from domain.ids import Address, ChainId

L1Fee: TypeAlias = Literal["none", "op-stack", "arbitrum"]
NAMES: Final = ("ethereum", "arbitrum", "base", "optimism", "polygon", "bsc")
_PLACEHOLDER: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_ORACLES: Final[dict[str, str]] = {"op-stack": "GasPriceOracle", "arbitrum": "NodeInterface"}
_DECIMALS_MAX: Final = 36


class Coin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chain's own coin, 18 decimals, and the token that wraps it."""

    symbol: str
    wrapped: str


class NetworkToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token on this chain. The same symbol has other decimals elsewhere."""

    address: Address
    decimals: int


class _Finality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["tags", "depth"]
    safe_depth: int
    final_depth: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    chain_id: int
    block_time_s: float
    l1_fee: L1Fee
    endpoints: tuple[str, ...]
    private_endpoints: tuple[str, ...]
    finality: _Finality
    coin: Coin
    tokens: dict[str, NetworkToken]
    contracts: dict[str, Address]


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A chain and what is known of it."""

    name: str
    title: str
    chain_id: ChainId
    block_time_s: float
    l1_fee: L1Fee
    """Whether a transaction also pays for its data on layer 1, and by which chain's rule."""
    endpoints: tuple[str, ...]
    """URLs, or placeholders such as `${BASE_RPC_URL}`; see `urls`."""
    private_endpoints: tuple[str, ...]
    """Where transactions go that nobody shall see before they are mined; read with `private_urls`."""
    finality: FinalityRule
    coin: Coin
    tokens: Mapping[str, NetworkToken]
    contracts: Mapping[str, Address]
    """By the names the devnet uses too: `UniswapV3Factory`, `PoolManager`, `Permit2`."""

    @property
    def native(self) -> Asset:
        """The chain's own coin."""
        return native_asset(self.chain_id, self.coin.symbol)

    @property
    def wrapped(self) -> Asset:
        """The token that wraps the coin one for one."""
        return self.asset(self.coin.wrapped)

    def asset(self, symbol: str) -> Asset:
        """Give a token by its symbol, in any case.

        Raises:
            InputError: The network's file does not list it.
        """
        for listed, token in self.tokens.items():
            if listed.lower() == symbol.lower():
                return token_asset(self.chain_id, token.address, listed, token.decimals)
        raise InputError(f"{self.title} lists no token {symbol!r}", hint=f"It lists {', '.join(self.tokens)}.")

    def contract(self, name: str) -> Address:
        """Give a contract's address.

        Raises:
            InputError: The network's file does not list it.
        """
        try:
            return self.contracts[name]
        except KeyError:
            raise InputError(f"{self.title} has no {name}", hint=f"It has {', '.join(self.contracts)}.") from None

    def urls(self, environment: Mapping[str, str]) -> list[str]:
        """Give the nodes' URLs with placeholders filled; a variable may hold several, separated by commas.

        Raises:
            InputError: A variable is not set.
        """
        return _filled(self, self.endpoints, environment)

    def private_urls(self, environment: Mapping[str, str]) -> list[str]:
        """Give the private endpoints' URLs likewise."""
        return _filled(self, self.private_endpoints, environment)


def networks() -> list[Network]:
    """List every network we have a file of."""
    return [_read(name) for name in NAMES]


def network(name: str) -> Network:
    """Give a network by its name or chain id, as a person writes it.

    Raises:
        InputError: There is none.
    """
    for known in networks():
        if name.strip().lower() in (known.name, str(int(known.chain_id))):
            return known
    raise InputError(f"no network {name!r}", hint=f"There are {', '.join(NAMES)}.")


def network_of(chain_id: int) -> Network | None:
    """Give a network by its chain id; None when it is not among ours (a devnet, a testnet)."""
    return next((known for known in networks() if known.chain_id == chain_id), None)


@cache
def _read(name: str) -> Network:
    return parse_network(name, (files(__package__) / f"{name}.toml").read_text())


def parse_network(name: str, text: str) -> Network:
    """Read a network from TOML.

    Raises:
        InputError: Something is missing, unknown, or an address fails its checksum.
    """
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise InputError(f"network {name}: {exc}") from exc
    _check(name, found)
    rule = FinalityRule(found.finality.kind, found.finality.safe_depth, found.finality.final_depth)
    return Network(
        name=name,
        title=found.title,
        chain_id=ChainId(found.chain_id),
        block_time_s=found.block_time_s,
        l1_fee=found.l1_fee,
        endpoints=found.endpoints,
        private_endpoints=found.private_endpoints,
        finality=rule,
        coin=found.coin,
        tokens=found.tokens,
        contracts=found.contracts,
    )


def _check(name: str, found: _File) -> None:
    if found.chain_id < 1 or found.block_time_s <= 0 or not found.endpoints:
        raise InputError(f"network {name}: chain id and block time are positive, and there is an endpoint")
    addresses = {**{symbol: token.address for symbol, token in found.tokens.items()}, **found.contracts}
    for label, address in addresses.items():
        if parse_address(address) != address:
            raise InputError(f"network {name}: {label} is not in EIP-55 form: {address}")
    if len(set(found.contracts.values())) != len(found.contracts):
        raise InputError(f"network {name}: two contracts share an address")
    if any(not 0 <= token.decimals <= _DECIMALS_MAX for token in found.tokens.values()):
        raise InputError(f"network {name}: decimals lie in 0..{_DECIMALS_MAX}")
    wrapped = found.tokens.get(found.coin.wrapped)
    if wrapped is None or wrapped.decimals != 18:
        raise InputError(f"network {name}: the wrapped coin {found.coin.wrapped} is listed, with 18 decimals")
    oracle = _ORACLES.get(found.l1_fee)
    if oracle is not None and oracle not in found.contracts:
        raise InputError(f"network {name}: l1_fee {found.l1_fee!r} needs the contract {oracle}")


def _filled(network_: Network, endpoints: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
    urls: list[str] = []
    for endpoint in endpoints:
        missing = [key for key in _PLACEHOLDER.findall(endpoint) if not environment.get(key)]
        if missing:
            raise InputError(
                f"{network_.title}: no node is configured", hint=f"Set {missing[0]} to its URL, several by commas."
            )
        text = _PLACEHOLDER.sub(lambda match: environment[match[1]], endpoint)
        urls += [url.strip() for url in text.split(",") if url.strip()]
    return urls
