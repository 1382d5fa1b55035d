"""Names and their numbers: the kernel knows strategies, venues, instruments, assets and pools by their place.

The places follow from the run's configuration alone, so a replay numbers them as the run did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from domain import Asset, Instrument, InvariantError

FOREIGN: Final = 255
"""The place of what no strategy of this run ordered."""
_ID_BITS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class PoolTokens:
    """What the kernel's edge needs of a pool."""

    id: str
    token0: str
    token1: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """The run's names, each at its place."""

    strategies: list[str]
    """Grows at its end, as strategies join."""
    venues: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    assets: tuple[Asset, ...]
    pools: tuple[PoolTokens, ...]
    instrument_at: Mapping[str, int]
    asset_at: Mapping[str, int]
    pool_at: Mapping[str, int]

    @classmethod
    def of(
        cls,
        strategies: Iterable[str],
        instruments: Iterable[Instrument],
        assets: Iterable[Asset],
        pools: Iterable[PoolTokens],
    ) -> Numbers:
        """Number everything in the order in which it is given."""
        instruments, assets, pools = tuple(instruments), tuple({a.id: a for a in assets}.values()), tuple(pools)
        return cls(
            strategies=list(strategies),
            venues=tuple(dict.fromkeys(str(i.venue) for i in instruments)),
            instruments=instruments,
            assets=assets,
            pools=pools,
            instrument_at={i.id: at for at, i in enumerate(instruments)},
            asset_at={a.id: at for at, a in enumerate(assets)},
            pool_at={p.id: at for at, p in enumerate(pools)},
        )

    def strategy(self, at: int) -> str | None:
        """The strategy at a place; None for what nobody here ordered."""
        return self.strategies[at] if at < len(self.strategies) else None


@dataclass(frozen=True, slots=True)
class ClientId:
    """An order's or swap's own id; see `ClientId` in native/engine/src/command.rs."""

    number: int

    @property
    def run(self) -> int:
        return self.number >> 48

    @property
    def epoch(self) -> int:
        return self.number >> 36 & 0xFFF

    @property
    def strategy(self) -> int:
        return self.number >> 28 & 0xFF

    @property
    def text(self) -> str:
        """As venues and custody see it."""
        return f"c{self.number:016x}"

    @classmethod
    def parse(cls, text: str) -> ClientId | None:
        """Read an id; None for one that is not of our making."""
        if len(text) != 17 or text[0] != "c" or not set(text[1:]) <= set("0123456789abcdef"):
            return None
        return cls(int(text[1:], 16))


def run_number(run: str) -> int:
    """The run's part of client ids: sixteen bits of its name."""
    return int.from_bytes(blake2b(run.encode(), digest_size=2).digest(), "big")


def client_number(text: str) -> int:
    """The number of a client id; 0 for a foreign one, which no order of ours has."""
    found = ClientId.parse(text)
    return 0 if found is None else found.number


def trade_number(trade_id: str) -> int:
    """The number a venue's trade is known by: its own where it is one, else 64 bits of a digest of its name.

    Raises:
        InvariantError: A trade without a name.
    """
    if not trade_id:
        raise InvariantError("a trade without an id cannot be told from another")
    if trade_id.isascii() and trade_id.isdecimal() and (number := int(trade_id)) < _ID_BITS:
        return number
    return int.from_bytes(blake2b(trade_id.encode(), digest_size=8).digest(), "little")


def order_number(venue_order_id: str) -> int:
    """A venue's order id where it is a number, else 0: the kernel keeps it for people only."""
    if venue_order_id.isascii() and venue_order_id.isdecimal() and (number := int(venue_order_id)) < _ID_BITS:
        return number
    return 0
