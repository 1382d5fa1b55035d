"""A transaction's life in custody: states, what may happen, and where that leads. What is not in the table is an error.

    CREATED ─> SCREENED ─┬──────────────────────────────┬─> APPROVED ─> NONCE_RESERVED ─> SIGNED ─> BROADCAST
                         ├─> AWAITING_APPROVAL ─┐       │                     ^                     │    ^
                         └─────────> DELAYED <──┴───────┘                     └── replacing (fees, ─┤    │
                                                                                  or a cancel)      v    │
    FINAL | FAILED | CANCELLED <── finalized ── SAFE <── confirmed, reverted ────────────────── MINED ───┤
                           LOST <── finalized ──┘└────────────────── reorged ────────────────────┴───────┘

Everything before SIGNED has not left the house: it may be refused, held (and released, which begins again at CREATED)
or cancelled, and nothing was sent. Everything after has raw bytes in the database, which are sent again until the chain
has decided; they are never signed again. SAFE is when the outcome is booked and told, `confirmations` deep; the four
states after it are when the chain can no longer take it back.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from domain import InvariantError


class State(StrEnum):
    CREATED = "created"
    SCREENED = "screened"
    AWAITING_APPROVAL = "awaiting-approval"
    """People have to approve it first."""
    DELAYED = "delayed"
    """Policy wants it to wait until an instant."""
    HELD = "held"
    """An operator stopped it; released, it begins again."""
    APPROVED = "approved"
    NONCE_RESERVED = "nonce-reserved"
    """The unsigned transaction is recorded under its nonce; the signer may have been asked."""
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    SAFE = "safe"
    """The outcome, whatever it was, is booked and told. A reorganisation may still undo it."""
    FINAL = "final"
    """It did what it was to do, for ever."""
    FAILED = "failed"
    """Mined and reverted, for ever: gas was paid, nothing else moved."""
    CANCELLED = "cancelled"
    """It never left, or the cancellation was mined in its place, for ever."""
    LOST = "lost"
    """Its nonce was used by a transaction that is not ours, for ever."""
    REFUSED = "refused"
    """By screening, policy, approvers, simulation or the signer: nothing was signed."""

    @property
    def is_final(self) -> bool:
        return self in FINAL

    @property
    def is_settled(self) -> bool:
        """Whether an outcome was told."""
        return self in SETTLED

    @classmethod
    def _missing_(cls, value: object) -> State | None:
        # Events recorded before there was finality are never rewritten.
        return cls.SAFE if value == "confirmed" else None


class Step(StrEnum):
    """What happened."""

    CREATED = "created"
    SCREENED = "screened"
    APPROVAL_ASKED = "approval-asked"
    DELAYED = "delayed"
    APPROVED = "approved"
    HELD = "held"
    RELEASED = "released"
    RESERVED = "reserved"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    CONFIRMED = "confirmed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REPLACING = "replacing"
    """Another version is recorded under the same nonce: higher fees, or a cancellation."""
    KEPT = "kept"
    """The replacement came to nothing; the earlier version stays out."""
    REORGED = "reorged"
    REVERTED = "reverted"
    LOST = "lost"
    FINALIZED = "finalized"


FINAL: Final = frozenset({State.FINAL, State.FAILED, State.CANCELLED, State.LOST, State.REFUSED})
SETTLED: Final = FINAL | {State.SAFE}
WORKED_ON: Final = frozenset(State) - SETTLED
"""Where the desk has something to do before an outcome can be told."""
UNSIGNED: Final = frozenset(
    {State.CREATED, State.SCREENED, State.AWAITING_APPROVAL, State.DELAYED, State.HELD, State.APPROVED}
)
"""Nothing is recorded for the signer yet: may be held, cancelled and refused at once."""
FINALITY: Final = MappingProxyType(
    {Step.CONFIRMED: State.FINAL, Step.REVERTED: State.FAILED, Step.CANCELLED: State.CANCELLED, Step.LOST: State.LOST}
)
"""Where SAFE leads when the chain can no longer take it back, by the step that led to SAFE."""

TRANSITIONS: Final = MappingProxyType(
    {
        (State.CREATED, Step.SCREENED): State.SCREENED,
        (State.SCREENED, Step.APPROVAL_ASKED): State.AWAITING_APPROVAL,
        (State.SCREENED, Step.DELAYED): State.DELAYED,
        (State.SCREENED, Step.APPROVED): State.APPROVED,
        (State.AWAITING_APPROVAL, Step.DELAYED): State.DELAYED,
        (State.AWAITING_APPROVAL, Step.APPROVED): State.APPROVED,
        (State.DELAYED, Step.APPROVED): State.APPROVED,
        (State.HELD, Step.RELEASED): State.CREATED,
        (State.APPROVED, Step.RESERVED): State.NONCE_RESERVED,
        **{(state, Step.HELD): State.HELD for state in UNSIGNED - {State.HELD}},
        **{(state, Step.DECLINED): State.REFUSED for state in UNSIGNED - {State.HELD}},
        **{(state, Step.CANCELLED): State.CANCELLED for state in UNSIGNED},
        (State.NONCE_RESERVED, Step.SIGNED): State.SIGNED,
        (State.NONCE_RESERVED, Step.DECLINED): State.REFUSED,
        (State.NONCE_RESERVED, Step.KEPT): State.BROADCAST,
        # The signer signed something else under it once: all that is left is to use the nonce up.
        (State.NONCE_RESERVED, Step.REPLACING): State.NONCE_RESERVED,
        (State.SIGNED, Step.SENT): State.BROADCAST,
        (State.SIGNED, Step.REPLACING): State.NONCE_RESERVED,
        (State.BROADCAST, Step.REPLACING): State.NONCE_RESERVED,
        (State.BROADCAST, Step.MINED): State.MINED,
        (State.BROADCAST, Step.LOST): State.SAFE,
        (State.MINED, Step.REORGED): State.BROADCAST,
        (State.MINED, Step.CONFIRMED): State.SAFE,
        (State.MINED, Step.REVERTED): State.SAFE,
        (State.MINED, Step.CANCELLED): State.SAFE,
        (State.SAFE, Step.REORGED): State.BROADCAST,
    }
)


def after(state: State, step: Step, *, what: str) -> State:
    """Look up where a step leads; `Step.FINALIZED` is in `finality`.

    Raises:
        InvariantError: It must not happen in this state; `what` names the transaction.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvariantError(f"{what}: {step} must not happen in state {state}") from None


def finality(state: State, outcome: Step, *, what: str) -> State:
    """Look up where a settled transaction ends, given the step that settled it.

    Raises:
        InvariantError: It is not settled, or not by this step.
    """
    if state is not State.SAFE or outcome not in FINALITY:
        raise InvariantError(f"{what}: {outcome} cannot become final in state {state}")
    return FINALITY[outcome]
