"""A withdrawal's life: states, what may happen, and where that leads. What is not in the table is an error.

    REQUESTED ─> SCREENED ─┬─────────────────────────┬─> APPROVED ─> SENDING ─> FINAL ─> BOOKED
        ^                  ├─> AWAITING_APPROVAL ─┐  │                  │
        │                  └──────> DELAYED <─────┴──┘                  └─> FAILED
        └── released ── HELD <── before anything is signed or asked ──> CANCELLED, REFUSED

The amount and its fee leave the user's available balance with REQUESTED, in the same database transaction, and come
back with REFUSED, CANCELLED and FAILED. On a chain the withdrawal follows its transaction (`custody.transactions`),
which is screened, judged and approved as every other; at an exchange the desk does that itself.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from custody.transactions.lifecycle import State as TransactionState
from domain import InvariantError


class State(StrEnum):
    REQUESTED = "requested"
    """Recorded, its funds held."""
    SCREENED = "screened"
    """The destination is clear. On a chain its transaction is recorded with this step."""
    AWAITING_APPROVAL = "awaiting-approval"
    DELAYED = "delayed"
    APPROVED = "approved"
    HELD = "held"
    """An operator stopped it; released, it goes on."""
    SENDING = "sending"
    """Signed, or the exchange was asked: it may be on its way, and only the outside decides now."""
    FINAL = "final"
    """The value is with the recipient for ever."""
    BOOKED = "booked"
    """The debt to the user is gone from the books."""
    REFUSED = "refused"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """It was tried and came to nothing: reverted, or the exchange said no."""

    @property
    def has_ended(self) -> bool:
        return self in ENDED


class Step(StrEnum):
    REQUESTED = "requested"
    SCREENED = "screened"
    APPROVAL_ASKED = "approval-asked"
    DELAYED = "delayed"
    APPROVED = "approved"
    HELD = "held"
    RELEASED = "released"
    RESUMED = "resumed"
    """Its transaction was released."""
    SENT = "sent"
    ACCEPTED = "accepted"
    """The exchange has taken it, under a reference of its own."""
    FINALIZED = "finalized"
    BOOKED = "booked"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED: Final = frozenset({State.BOOKED, State.REFUSED, State.CANCELLED, State.FAILED})
UNSENT: Final = frozenset(
    {State.REQUESTED, State.SCREENED, State.AWAITING_APPROVAL, State.DELAYED, State.APPROVED, State.HELD}
)
"""Nothing was signed or asked: may still be cancelled."""
_ORDER: Final = (State.SCREENED, State.AWAITING_APPROVAL, State.DELAYED, State.APPROVED)
_WAITING: Final = (State.SCREENED, State.AWAITING_APPROVAL, State.DELAYED)

TRANSITIONS: Final = MappingProxyType(
    {
        (State.REQUESTED, Step.SCREENED): State.SCREENED,
        (State.SCREENED, Step.APPROVAL_ASKED): State.AWAITING_APPROVAL,
        (State.SCREENED, Step.DELAYED): State.DELAYED,
        (State.AWAITING_APPROVAL, Step.DELAYED): State.DELAYED,
        **{(state, Step.APPROVED): State.APPROVED for state in _WAITING},
        **{(state, Step.HELD): State.HELD for state in UNSENT - {State.HELD}},
        (State.HELD, Step.RELEASED): State.REQUESTED,
        (State.HELD, Step.RESUMED): State.SCREENED,
        (State.APPROVED, Step.SENT): State.SENDING,
        (State.SENDING, Step.ACCEPTED): State.SENDING,
        (State.SENDING, Step.FINALIZED): State.FINAL,
        (State.SENDING, Step.FAILED): State.FAILED,
        # A transaction that was signed may still be cancelled, by another one under its nonce.
        (State.SENDING, Step.CANCELLED): State.CANCELLED,
        # The last signer said no: nothing left.
        (State.SENDING, Step.REFUSED): State.REFUSED,
        (State.FINAL, Step.BOOKED): State.BOOKED,
        **{(state, Step.REFUSED): State.REFUSED for state in UNSENT - {State.HELD}},
        **{(state, Step.CANCELLED): State.CANCELLED for state in UNSENT},
    }
)

FOLLOWED: Final = MappingProxyType(
    {
        TransactionState.CREATED: State.SCREENED,
        TransactionState.SCREENED: State.SCREENED,
        TransactionState.AWAITING_APPROVAL: State.AWAITING_APPROVAL,
        TransactionState.DELAYED: State.DELAYED,
        TransactionState.HELD: State.HELD,
        TransactionState.APPROVED: State.APPROVED,
        TransactionState.NONCE_RESERVED: State.SENDING,
        TransactionState.SIGNED: State.SENDING,
        TransactionState.BROADCAST: State.SENDING,
        TransactionState.MINED: State.SENDING,
        # Booked and told, but a reorganisation may still undo it: the debt stays until the chain cannot.
        TransactionState.SAFE: State.SENDING,
        TransactionState.FINAL: State.BOOKED,
        TransactionState.FAILED: State.FAILED,
        TransactionState.LOST: State.FAILED,
        TransactionState.CANCELLED: State.CANCELLED,
        TransactionState.REFUSED: State.REFUSED,
    }
)
"""Where a withdrawal is when its transaction is there."""

PASSING: Final = frozenset(
    {
        TransactionState.CREATED,
        TransactionState.SCREENED,
        TransactionState.APPROVED,
        TransactionState.NONCE_RESERVED,
        TransactionState.SIGNED,
        TransactionState.MINED,
    }
)
"""States a transaction is in for a moment: recorded here only when it stays, and made up for by the next."""

_LEADS: Final = MappingProxyType(
    {
        State.SCREENED: Step.RESUMED,
        State.AWAITING_APPROVAL: Step.APPROVAL_ASKED,
        State.DELAYED: Step.DELAYED,
        State.APPROVED: Step.APPROVED,
        State.HELD: Step.HELD,
        State.SENDING: Step.SENT,
        State.FINAL: Step.FINALIZED,
        State.BOOKED: Step.BOOKED,
        State.REFUSED: Step.REFUSED,
        State.CANCELLED: Step.CANCELLED,
        State.FAILED: Step.FAILED,
    }
)
_BEFORE: Final = MappingProxyType(
    {
        State.AWAITING_APPROVAL: State.SCREENED,
        State.DELAYED: State.SCREENED,
        State.APPROVED: State.SCREENED,
        State.SENDING: State.APPROVED,
        State.FINAL: State.SENDING,
        State.BOOKED: State.FINAL,
        State.FAILED: State.SENDING,
    }
)


def after(state: State, step: Step, *, what: str) -> State:
    """Look up where a step leads.

    Raises:
        InvariantError: It must not happen in this state; `what` names the withdrawal.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvariantError(f"{what}: {step} must not happen in state {state}") from None


def way(state: State, target: State, *, what: str) -> tuple[Step, ...]:
    """Give the steps from one state to another: what happened while nobody looked is recorded all the same.

    Raises:
        InvariantError: No way leads there.
    """
    if state is target:
        return ()
    last = _LEADS[target]
    if TRANSITIONS.get((state, last)) is target:
        return (last,)
    if state is State.HELD:
        return (Step.RESUMED, *way(State.SCREENED, target, what=what))
    if state in _ORDER and target in _ORDER and _ORDER.index(target) < _ORDER.index(state):
        # It went back: somebody held it and released it while nobody looked.
        return (Step.HELD, *way(State.HELD, target, what=what))
    if target in _BEFORE and state in UNSENT | {State.SENDING, State.FINAL}:
        return (*way(state, _BEFORE[target], what=what), last)
    raise InvariantError(f"{what}: no way leads from {state} to {target}")
