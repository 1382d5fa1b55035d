"""Routes: how to turn one token into another over many pools, and what comes of it, in exact integers."""

from dex.routing.market import Market
from dex.routing.quote import Hop, Path, Quote
from dex.routing.router import Router

__all__ = ["Hop", "Market", "Path", "Quote", "Router"]
