"""How patient the desk is, and what it may pay to be faster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """Times in seconds, depths in blocks."""

    confirmations: int = 1
    """Depth at which a transaction is booked and told; 1 is the block it is in. Use 12 or more where blocks
    reorganise: what is booked earlier is undone and told again."""
    final_depth: int = 64
    """Depth at which the chain can no longer take a block back, where it has no `finalized` tag."""
    poll_s: float = 0.05
    settled_poll_s: float = 1.0
    """How often settled transactions are looked at while nothing else is going on."""
    rebroadcast_s: float = 5.0
    stuck_s: float = 30.0
    """After so long without being mined, a transaction is replaced by one with higher fees."""
    bump_percent: int = 15
    """Nodes want at least 10 % more on both fees."""
    bumps_max: int = 5
    gap_s: float = 2.0
    """How long a nonce that nothing is bound to may hold up later ones before we use it ourselves."""
    fees_per_hour_wei_max: int = 5 * 10**18
    """The most that all transactions of any hour may cost; over it, new ones wait and none is made faster."""
    approval_s: int = 24 * 3600
    """How long people have to approve, unless the plan's own deadline is nearer."""
    lanes: int = 8
    """How many transactions are prepared and signed at a time."""
    lease_s: float = 10.0
    """How long a holder of the account that gives no sign of life keeps the next one waiting."""
