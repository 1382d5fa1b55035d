"""Which contracts GMX v2 is, as versioned data: `addresses.toml` beside this module, or a file of one's own.

GMX replaces its routers every few months, and orders sent to an old one are lost time or lost fees. So a book carries
a version and the code hash of its ExchangeRouter where we know it, and nothing is planned against a router whose code
is another.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chain import ChainClient, parse_address
from chain.keccak import keccak256
from domain.assets import Asset, token_asset
from domain.errors import InputError, Refused
from domain.ids import Address, ChainId

BOOK: Final = Path(__file__).with_name("addresses.toml")
_CONTRACTS: Final = ("exchange_router", "router", "order_vault", "data_store", "event_emitter")


@dataclass(frozen=True, slots=True)
class GmxToken:
    """A token that a market is about or takes as collateral."""

    asset: Asset
    address: Address


@dataclass(frozen=True, slots=True)
class GmxMarket:
    """A market: what is traded, and the two tokens that back it and serve as collateral."""

    name: str
    address: Address
    index_decimals: int
    """Of the index token, which need not exist on this chain."""
    long_token: GmxToken
    short_token: GmxToken

    def collateral(self, address: str) -> GmxToken:
        """Find a collateral token.

        Raises:
            InputError: The market takes none such.
        """
        for token in (self.long_token, self.short_token):
            if token.address == address:
                return token
        raise InputError(f"market {self.name} takes {self.long_token.asset.symbol} and {self.short_token.asset.symbol}")


@dataclass(frozen=True, slots=True)
class GmxBook:
    """GMX v2 on one chain at one version."""

    version: str
    chain_id: ChainId
    exchange_router: Address
    router: Address
    """Who moves tokens, and so who is given the allowance."""
    order_vault: Address
    data_store: Address
    event_emitter: Address
    wrapped: Address
    router_code_hash: str
    """keccak-256 of the ExchangeRouter's code as 0x and 64 digits; empty: not known, then nothing is planned."""
    markets: tuple[GmxMarket, ...]

    def market(self, name: str) -> GmxMarket:
        """Find a market by its name, such as `ETH/USD`.

        Raises:
            InputError: There is none.
        """
        for market in self.markets:
            if market.name == name:
                return market
        raise InputError(f"no market {name}; there are {', '.join(m.name for m in self.markets)}")

    async def ensure_current(self, client: ChainClient) -> None:
        """Check that the router on the chain is the one this book was written for.

        Raises:
            Refused: It is another, there is none, or the book does not say (`stale_address_book`).
            VenueUnavailable: No node answers.
        """
        code = await client.code(self.exchange_router)
        found = "0x" + keccak256(code).hex()
        if not code or not self.router_code_hash or found != self.router_code_hash:
            wanted = self.router_code_hash or "not written in the book"
            raise Refused(
                f"GMX {self.version}: the code of {self.exchange_router} is {found if code else 'missing'}, "
                f"the expected one is {wanted}",
                rule="stale_address_book",
                hint="GMX has moved, or the book is wrong: compare with GMX's own deployments before changing it.",
            )


def load_book(chain_id: int, path: Path = BOOK) -> GmxBook:
    """Read the newest version of a chain's book.

    Raises:
        InputError: The file is missing or malformed, or has nothing on this chain.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise InputError(f"cannot read GMX's address book {path.name}: {exc}") from exc
    entries = [entry for entry in content.get("deployment", []) if entry.get("chain_id") == chain_id]
    if not entries:
        raise InputError(f"{path.name} has no deployment of GMX on chain {chain_id}")
    entry = max(entries, key=lambda found: str(found.get("version", "")))
    try:
        return _book(entry)
    except (KeyError, TypeError) as exc:
        raise InputError(f"{path.name}: the deployment on chain {chain_id} lacks {exc}") from exc


def _book(entry: dict[str, Any]) -> GmxBook:
    chain = ChainId(entry["chain_id"])
    tokens = {
        symbol: GmxToken(token_asset(chain, address, symbol, decimals), address)
        for symbol, (text, decimals) in entry["tokens"].items()
        for address in (parse_address(text),)
    }
    return GmxBook(
        version=entry["version"],
        chain_id=chain,
        wrapped=tokens[entry["wrapped"]].address,
        router_code_hash=entry.get("router_code_hash", ""),
        markets=tuple(
            GmxMarket(
                market["name"],
                parse_address(market["address"]),
                market["index_decimals"],
                tokens[market["long"]],
                tokens[market["short"]],
            )
            for market in entry["markets"]
        ),
        **{name: parse_address(entry[name]) for name in _CONTRACTS},
    )
