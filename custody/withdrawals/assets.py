"""The assets that can be withdrawn, by the names people use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import Asset, InputError, VenueId, venue_asset
from domain.amounts import format_units


class AssetNames:
    """Finds assets by id, symbol or an exchange's code.

    Args:
        on_chain: The chain's coin and the tokens of the address book.
        venues: How finely each exchange counts, by its name.
    """

    def __init__(self, on_chain: Iterable[Asset], venues: Mapping[str, int]) -> None:
        self._by_id = {asset.id: asset for asset in on_chain}
        self._by_symbol = {asset.symbol: asset for asset in self._by_id.values()}
        self._venues = dict(venues)

    @property
    def venues(self) -> frozenset[str]:
        """The exchanges."""
        return frozenset(self._venues)

    def find(self, name: str, venue: str = "") -> Asset:
        """Give the asset that a name means: on the chain, or at an exchange.

        Raises:
            InputError: There is none.
        """
        if venue:
            if venue not in self._venues:
                raise InputError(
                    f"there is no venue {venue[:64]!r}", hint=f"there are {', '.join(self._venues) or 'none'}"
                )
            return venue_asset(VenueId(venue), name.partition("/")[2] or name, self._venues[venue])
        found = self._by_id.get(name) or self._by_symbol.get(name)
        if found is None:
            raise InputError(f"no asset {name[:140]!r}", hint=f"known are {', '.join(sorted(self._by_symbol))}")
        return found

    def of(self, asset_id: str) -> Asset | None:
        """The asset of an id; None for one that is not known (any more)."""
        venue, _, code = asset_id.partition("/")
        if venue in self._venues and code:
            return venue_asset(VenueId(venue), code, self._venues[venue])
        return self._by_id.get(asset_id)

    def symbol(self, asset_id: str) -> str | None:
        """What people call an asset; None where it is not known."""
        asset = self.of(asset_id)
        return None if asset is None else asset.symbol

    def amount(self, asset_id: str, raw: int) -> str | None:
        """Smallest units as decimal text; None where the asset is not known."""
        asset = self.of(asset_id)
        if asset is None:
            return None
        text = format_units(raw, asset.decimals)
        return text.rstrip("0").rstrip(".") if "." in text else text
