"""The strategies that ship; each has its page under `docs/strategies/`."""

from engine.strategies.avellaneda_stoikov import AvellanedaStoikov
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrage

__all__ = ["AvellanedaStoikov", "CrossVenueArbitrage"]
