"""Routes: how to turn one token into another over many pools, and what comes of it, in exact integers."""

from dex.routing.quote import Hop, Path, Quote

__all__ = ["Hop", "Path", "Quote"]
