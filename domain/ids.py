"""Numbers and names without rules of their own."""

from __future__ import annotations

from typing import NewType

ChainId = NewType("ChainId", int)
BlockNumber = NewType("BlockNumber", int)
Wei = NewType("Wei", int)
Address = NewType("Address", str)
"""An EVM address in EIP-55 checksum form."""

VenueId = NewType("VenueId", str)
"""A place that holds our value: `sandbox`, `binance`, or a chain account's `eip155:<chain>`."""
PoolId = NewType("PoolId", str)
"""`eip155:<chain>/<checksummed pool address>`."""
StrategyId = NewType("StrategyId", str)
ClientOrderId = NewType("ClientOrderId", str)
"""Chosen by us before an order is sent; at most 32 characters of [A-Za-z0-9-_]."""
IntentId = NewType("IntentId", str)
"""Chosen before an on-chain transfer or swap is planned; custody never executes one twice."""
