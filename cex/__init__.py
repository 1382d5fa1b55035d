"""Exchanges: one account at any venue ccxt knows, and the sandbox exchange (`cex.sandbox`).

`CcxtVenue` satisfies the engine's port for an exchange, `CcxtWithdrawals` custody's; `VenueSettings` is its part of the
settings.
"""

from cex.feeds.data import Funding
from cex.positions import Position
from cex.settings import VenueSettings
from cex.venue import CcxtVenue
from cex.withdrawals import CcxtWithdrawals

__all__ = ["CcxtVenue", "CcxtWithdrawals", "Funding", "Position", "VenueSettings"]
