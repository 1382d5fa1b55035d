"""Exchanges: one account at any venue ccxt knows, and the sandbox exchange (`cex.sandbox`).

`CcxtVenue` satisfies the engine's port for an exchange, `CcxtWithdrawals` custody's; `VenueSettings` is its part of the
settings.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cex.feeds.data import Funding
    from cex.positions import Position
    from cex.settings import VenueSettings
    from cex.venue import CcxtVenue
    from cex.withdrawals import CcxtWithdrawals
else:
    from runtime.fronts import lazily

    _HOMES = {
        "cex.feeds.data": "Funding",
        "cex.positions": "Position",
        "cex.settings": "VenueSettings",
        "cex.venue": "CcxtVenue",
        "cex.withdrawals": "CcxtWithdrawals",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = ["CcxtVenue", "CcxtWithdrawals", "Funding", "Position", "VenueSettings"]
