"""What a comparison of books and places found, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Explanation:
    """A movement that the books and the place see at different times.

    `raw` is what it adds to what the place should hold now: negative for a booked arrival that the block does not
    contain yet, positive for a booked departure that has not left yet; or the whole effect of a transaction that the
    block contains and the books do not yet.
    """

    tx_hash: str
    raw: int
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One account and asset: what is booked, what was found, and what is between the two."""

    scope: str
    """What is frozen if nothing explains it: `chain/1`, `venue/binance`."""
    account: str
    asset: str
    booked_raw: int
    found_raw: int
    explanations: tuple[Explanation, ...] = ()
    tolerated_raw: int = 0
    """A surplus up to this is reported and freezes nothing: anybody may send us something."""

    @property
    def unexplained_raw(self) -> int:
        """Found beyond what the books can account for; negative: missing."""
        return self.found_raw - self.booked_raw - sum(item.raw for item in self.explanations)

    @property
    def is_mismatch(self) -> bool:
        """Whether it must stop what leaves."""
        return not 0 <= self.unexplained_raw <= self.tolerated_raw

    def to_wire(self) -> dict[str, Any]:
        """For JSON and the audit log: amounts as text."""
        return {
            "scope": self.scope,
            "account": self.account,
            "asset": self.asset,
            "booked": str(self.booked_raw),
            "found": str(self.found_raw),
            "unexplained": str(self.unexplained_raw),
            "explained": [
                {"tx_hash": item.tx_hash, "raw": str(item.raw), "reason": item.reason} for item in self.explanations
            ],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """One look at all places. `unread` names those that did not answer: about them nothing is known."""

    comparisons: tuple[Comparison, ...]
    pinned: dict[str, str] = field(default_factory=dict)
    """By chain scope: number and hash of the block that was read."""
    unread: tuple[str, ...] = ()

    @property
    def mismatches(self) -> tuple[Comparison, ...]:
        return tuple(item for item in self.comparisons if item.is_mismatch)

    @property
    def is_clean(self) -> bool:
        """Everything was read, and everything is accounted for."""
        return not self.mismatches and not self.unread
