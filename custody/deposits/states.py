"""A deposit's life: states, what may happen, and where that leads. What is not in the table is an error.

    (nothing) ─┬─ seen ──> PENDING ─┬─ confirmed ─> AVAILABLE ── finalized ──> FINAL
               │                    └─ refused ───> SUSPENDED ── cleared ───────^
               └─ too small ─> DUST

    PENDING, AVAILABLE, SUSPENDED, DUST ── reorged ──> REORGED ── seen, too small ──> PENDING, DUST

FINAL is for ever: the finalized block covers it. A deposit whose sender is refused is suspended until somebody clears
it; dust is held, and owed to nobody.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from domain import InvariantError


class DepositState(StrEnum):
    PENDING = "pending"
    """In a block; shown to the user, who cannot dispose of it."""
    AVAILABLE = "available"
    """Deep enough and screened: the user may dispose of it. A reorganisation may still undo it."""
    FINAL = "final"
    """The chain can no longer take it back; may be swept."""
    SUSPENDED = "suspended"
    """Screening refused its sender: held in suspense, not credited."""
    DUST = "dust"
    """Below the asset's threshold: held in suspense, not credited."""
    REORGED = "reorged"
    """Its block is no longer the chain's."""


class DepositStep(StrEnum):
    SEEN = "seen"
    TOO_SMALL = "too-small"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    CLEARED = "cleared"
    FINALIZED = "finalized"
    REORGED = "reorged"


TRANSITIONS: Final = MappingProxyType(
    {
        (None, DepositStep.SEEN): DepositState.PENDING,
        (None, DepositStep.TOO_SMALL): DepositState.DUST,
        (DepositState.PENDING, DepositStep.CONFIRMED): DepositState.AVAILABLE,
        (DepositState.PENDING, DepositStep.REFUSED): DepositState.SUSPENDED,
        (DepositState.SUSPENDED, DepositStep.CLEARED): DepositState.FINAL,
        (DepositState.AVAILABLE, DepositStep.FINALIZED): DepositState.FINAL,
        (DepositState.PENDING, DepositStep.REORGED): DepositState.REORGED,
        (DepositState.AVAILABLE, DepositStep.REORGED): DepositState.REORGED,
        (DepositState.SUSPENDED, DepositStep.REORGED): DepositState.REORGED,
        (DepositState.DUST, DepositStep.REORGED): DepositState.REORGED,
        (DepositState.REORGED, DepositStep.SEEN): DepositState.PENDING,
        (DepositState.REORGED, DepositStep.TOO_SMALL): DepositState.DUST,
    }
)


def after(state: DepositState | None, step: DepositStep, *, what: str) -> DepositState:
    """Look up where a step leads.

    Raises:
        InvariantError: It must not happen in this state; `what` names the deposit.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise InvariantError(f"{what}: {step} must not happen in state {state}") from None
