"""An intent as the database knows it, and how it is read: many at once, in two queries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlmodel import Session, col, select

from custody.transactions.lifecycle import State
from custody.transactions.plans import decode_plan
from custody.transactions.tables import AttemptRow, TransactionRow
from domain.plans import TransactionPlan
from wallets import TransactionToSign

IN_CLAUSE_MAX = 500
"""How many values one SQL `IN` names here; databases bound it."""


class Kind(StrEnum):
    """What a version of a transaction does."""

    ORIGINAL = "original"
    FASTER = "faster"
    """The same as before, with higher fees."""
    CANCEL = "cancel"
    """Nothing, sent to ourselves: it uses the nonce up."""


class Wish(StrEnum):
    """What an operator asked for and the desk has not done yet."""

    NONE = ""
    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    SPEED_UP = "speed-up"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version of an intent's transaction. `raw` is there once it was signed; `refused` says why it never was."""

    number: int
    kind: Kind
    unsigned: TransactionToSign
    raw: bytes | None
    tx_hash: str | None
    refused: str | None
    created_ns: int


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent with all its versions."""

    id: int
    plan: TransactionPlan
    initiator: str
    vault: str
    state: State
    wish: Wish
    decision: str | None
    delayed_until_ns: int | None
    nonce: int | None
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    attempts: tuple[Attempt, ...]

    @property
    def signed(self) -> tuple[Attempt, ...]:
        """The versions that may be on the chain, newest first."""
        return tuple(attempt for attempt in reversed(self.attempts) if attempt.raw is not None)

    @property
    def is_cancelled(self) -> bool:
        """Whether the version found in a block is the cancellation."""
        return any(a.tx_hash == self.tx_hash and a.kind is Kind.CANCEL for a in self.attempts)


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled transaction that the chain could still take back."""

    id: int
    intent_id: str
    outcome: str
    nonce: int
    block_number: int
    block_hash: str | None
    """None: its nonce was used by somebody else; `block_number` is where that was believed."""


def intents_of(session: Session, rows: Sequence[TransactionRow]) -> list[Intent]:
    """Read the intents of these rows, their versions in one query for many."""
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    ids = [row.id or 0 for row in rows if row.nonce is not None]
    for start in range(0, len(ids), IN_CLAUSE_MAX):
        query = (
            select(AttemptRow)
            .where(col(AttemptRow.transaction_id).in_(ids[start : start + IN_CLAUSE_MAX]))
            .order_by(col(AttemptRow.transaction_id), col(AttemptRow.number))
        )
        for attempt in session.exec(query):
            attempts[attempt.transaction_id].append(_attempt(attempt))
    return [_intent(row, attempts.get(row.id or 0, [])) for row in rows]


def encode_unsigned(tx: TransactionToSign) -> str:
    """Write an unsigned transaction as it is recorded."""
    return json.dumps(tx.to_wire(), separators=(",", ":"))


def value_of(unsigned: str) -> int:
    """Read how many wei a recorded unsigned transaction sends."""
    return int(json.loads(unsigned)["value_wei"])


def encode_detail(detail: dict[str, Any]) -> str:
    """Write an event's detail as it is recorded."""
    return json.dumps(detail, separators=(",", ":"))


def _attempt(row: AttemptRow) -> Attempt:
    return Attempt(
        number=row.number,
        kind=Kind(row.kind),
        unsigned=TransactionToSign.from_wire(json.loads(row.unsigned)),
        raw=row.raw,
        tx_hash=row.tx_hash,
        refused=row.refused,
        created_ns=row.created_ns,
    )


def _intent(row: TransactionRow, attempts: Sequence[Attempt]) -> Intent:
    return Intent(
        id=row.id or 0,
        plan=decode_plan(row.plan),
        initiator=row.initiator,
        vault=row.vault,
        state=State(row.state),
        wish=Wish(row.wish),
        decision=row.decision,
        delayed_until_ns=row.delayed_until_ns,
        nonce=row.nonce,
        tx_hash=row.tx_hash,
        block_number=row.block_number,
        block_hash=row.block_hash,
        attempts=tuple(attempts),
    )
