"""What the policy answers: a decision, with what must still happen before anything is signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from custody.calls import DecodedCall
from domain import Address

LIFETIME_S: Final = 10**11
"""A window no clock leaves: everything ever spent."""

Spent = Callable[[str, int], int]
"""(counter, window in seconds) → how much was let out in that window, this transaction not among it.

A counter is an asset id, in raw units, or one of policy's own names in `Decision.counts`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """So many people of a group must approve."""

    group: str
    count: int
    rule: str
    """The id of the rule that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A yes, with its conditions. A no is `Refused`, whose `rule` names what said it."""

    rules: tuple[str, ...]
    """Ids of the allow rules that matched."""
    requirements: tuple[Requirement, ...]
    """All must be met; empty: nobody has to approve."""
    delay_s: int
    """How long it must rest before it may be signed; 0: at once."""
    policy_version: int
    policy_digest: str
    """Hex. Approvals bind both: a policy that was changed meanwhile voids them."""
    spends: Mapping[str, int]
    """What leaves the vault, by asset id in raw units."""
    counts: Mapping[str, int]
    """What whoever keeps the windows must add up: `spends`, and counters of the policy's own (dollars, how often)."""
    call: DecodedCall | None
    """None where there is no call: a plain transfer of the chain's coin, a withdrawal from an exchange."""
    addresses: frozenset[Address]
    """Everyone who takes part: what screening must see."""
