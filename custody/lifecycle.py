"""A transaction's life in custody: states, what may happen, and where that leads. What is not in the table is an error.

    CREATED ─> SCREENED ─> APPROVED ─> NONCE_RESERVED ─> SIGNED ─> BROADCAST ─> MINED ─> CONFIRMED
       │          │           │          │   ^                      │  │  ^       │  │
       └──────────┴───────────┴──────────┤   └── REPLACING (fees) ──┘  │  └REORGED┘  └─> FAILED (reverted)
                                         v                             └──────────────> FAILED (nonce used elsewhere)
                                      REFUSED

Everything left of SIGNED has not left the house: refusing there is final and nothing was sent. Everything right of it
has raw bytes in the database, which are sent again until the chain has decided; they are never signed again.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from domain import InvariantError


class State(StrEnum):
    CREATED = "created"
    SCREENED = "screened"
    APPROVED = "approved"
    NONCE_RESERVED = "nonce-reserved"
    """The unsigned transaction is recorded under its nonce; the signer may have been asked."""
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    """Mined and reverted (gas was paid), or its nonce was used by a transaction that is not ours."""
    REFUSED = "refused"
    """By screening, policy, simulation or the signer: nothing was signed."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


class Step(StrEnum):
    """What happened."""

    CREATED = "created"
    SCREENED = "screened"
    APPROVED = "approved"
    RESERVED = "reserved"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    REPLACING = "replacing"
    """A version with higher fees is recorded under the same nonce."""
    KEPT = "kept"
    """The replacement came to nothing; the earlier version stays out."""
    REORGED = "reorged"
    REVERTED = "reverted"
    LOST = "lost"


FINAL: Final = frozenset({State.CONFIRMED, State.FAILED, State.REFUSED})

TRANSITIONS: Final = MappingProxyType(
    {
        (State.CREATED, Step.SCREENED): State.SCREENED,
        (State.CREATED, Step.DECLINED): State.REFUSED,
        (State.SCREENED, Step.APPROVED): State.APPROVED,
        (State.SCREENED, Step.DECLINED): State.REFUSED,
        (State.APPROVED, Step.RESERVED): State.NONCE_RESERVED,
        (State.APPROVED, Step.DECLINED): State.REFUSED,
        (State.NONCE_RESERVED, Step.SIGNED): State.SIGNED,
        (State.NONCE_RESERVED, Step.DECLINED): State.REFUSED,
        (State.NONCE_RESERVED, Step.KEPT): State.BROADCAST,
        (State.SIGNED, Step.SENT): State.BROADCAST,
        (State.BROADCAST, Step.REPLACING): State.NONCE_RESERVED,
        (State.BROADCAST, Step.MINED): State.MINED,
        (State.BROADCAST, Step.LOST): State.FAILED,
        (State.MINED, Step.REORGED): State.BROADCAST,
        (State.MINED, Step.CONFIRMED): State.CONFIRMED,
        (State.MINED, Step.REVERTED): State.FAILED,
    }
)


def after(state: State, step: Step, *, what: str) -> State:
    """Look up where a step leads.

    Raises:
        InvariantError: It must not happen in this state; `what` names the transaction.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvariantError(f"{what}: {step} must not happen in state {state}") from None
