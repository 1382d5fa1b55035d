"""Assets: what an amount counts. One asset lives in one place, so a coin at a venue and a token on a chain differ."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.errors import InputError
from domain.ids import Address, ChainId, VenueId

_ID = re.compile(r"[A-Za-z0-9:._\-]{1,64}/[A-Za-z0-9:._\-]{1,64}")


@dataclass(frozen=True, slots=True)
class Asset:
    """A kind of value in one place, counted in integers of its smallest unit.

    `id` follows CAIP-19 on chain (`eip155:1337/erc20:0x…`, `eip155:1337/slip44:60`) and is `<venue>/<code>` at a venue.
    `decimals` says how many of the smallest units make one: 10 ** decimals.
    """

    id: str
    symbol: str
    decimals: int

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise InputError(f"not an asset id: {self.id!r}")
        if not 0 <= self.decimals <= 36:
            raise InputError(f"asset {self.id}: decimals must lie in 0..36, found {self.decimals}")

    @property
    def unit(self) -> int:
        """Smallest units in one whole."""
        return int(10**self.decimals)


def token_asset(chain_id: ChainId, address: Address, symbol: str, decimals: int) -> Asset:
    """Name an ERC-20 token on a chain."""
    return Asset(f"eip155:{chain_id}/erc20:{address}", symbol, decimals)


def native_asset(chain_id: ChainId, symbol: str = "ETH") -> Asset:
    """Name a chain's own coin, in wei."""
    return Asset(f"eip155:{chain_id}/slip44:60", symbol, 18)


def venue_asset(venue: VenueId, code: str, decimals: int = 8) -> Asset:
    """Name a coin held at an exchange, counted in the exchange's finest unit (Binance: 1e-8)."""
    return Asset(f"{venue}/{code}", code, decimals)
