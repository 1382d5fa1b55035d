"""A Uniswap V3 pool: quotes equal to `QuoterV2` to the last unit."""

from __future__ import annotations

from dex.replicas.concentrated import ConcentratedPool


class V3Pool(ConcentratedPool):
    """A pool of its own contract, charging one fee in both directions."""
