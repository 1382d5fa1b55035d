"""What a draft of the policy would have said to everything custody was asked: recorded intents, replayed.

The past is taken as it was: windows count what was let out then, services said what was recorded with the intent, and
whoever asked is who is written down. A fact nobody recorded is unknown, as it would be to a signer.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import func
from sqlmodel import Session, col, select

from custody.approvals.tables import AttestationRow
from custody.policy import Action, Decision, Facts, Policy, read_proposal
from custody.policy.attestations import attested_facts, subject_of
from custody.policy.request import Request
from custody.transactions.evidence import proposal_of
from custody.transactions.plans import decode_plan
from custody.transactions.tables import TransactionEventRow, TransactionRow
from domain import Address, InputError, Refused
from domain.events import SwapSettled
from runtime.database import Database

_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy says, in short."""

    allowed: bool
    rule: str
    """What refused it; empty for a yes."""
    requires: tuple[str, ...] = ()
    """`2 of treasury`."""
    delay_s: int = 0

    def text(self) -> str:
        """Write it for a person."""
        if not self.allowed:
            return f"refused: {self.rule}"
        parts = [*self.requires, *([f"after {self.delay_s} s"] if self.delay_s else [])]
        return f"allowed: {', '.join(parts)}" if parts else "allowed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One intent, then and under the draft."""

    intent_id: str
    time_s: int
    purpose: str
    to: Address
    amounts: tuple[tuple[str, int], ...]
    then: Answer
    draft: Answer

    @property
    def differs(self) -> bool:
        """Whether the draft would have let out what was not, kept back what was, or asked for something else."""
        if self.then.allowed != self.draft.allowed:
            return True
        return self.draft.allowed and (self.then.requires, self.then.delay_s) != (
            self.draft.requires,
            self.draft.delay_s,
        )


def replay(database: Database, draft: Policy, *, since_s: int) -> list[Replayed]:
    """Judge every recorded intent by a draft; gives those recorded since an instant (Unix seconds), oldest first."""
    accounts: dict[tuple[int, str], _Windows] = defaultdict(_Windows)
    found = []
    with database.snapshot() as session:
        for row, asked_ns in _rows(session):
            plan, now_s = decode_plan(row.plan), asked_ns // _NS
            spent = accounts[row.chain_id, row.sender]
            spent.now_s = now_s
            action: Action | None = None
            try:
                action, facts = _asked(session, row, now_s, draft)
                answer = _answer(
                    draft.judge(action, spent=spent, facts=facts), spent, is_out=row.approved_ns is not None
                )
            except Refused as exc:
                answer = Answer(False, exc.rule)
                if row.approved_ns is not None and action is not None:
                    spent.add(dict(action.spends))
            if now_s >= since_s:
                amounts = tuple(sorted((amount.asset.id, amount.raw) for amount in plan.spends))
                then = _then(row)
                found.append(Replayed(row.intent_id, now_s, row.purpose, plan.to, amounts, then, answer))
    return found


def recorded_request(database: Database, policy: Policy, intent_id: str) -> Request:
    """Find a recorded intent, with the facts and windows of when it was asked.

    Raises:
        InputError: No such intent.
        Refused: Its bytes cannot be read.
    """
    accounts: dict[tuple[int, str], _Windows] = defaultdict(_Windows)
    with database.snapshot() as session:
        for row, asked_ns in _rows(session):
            spent = accounts[row.chain_id, row.sender]
            spent.now_s = asked_ns // _NS
            if row.intent_id != intent_id:
                if row.approved_ns is not None:
                    with contextlib.suppress(Refused):
                        spent.add(dict(read_proposal(proposal_of(decode_plan(row.plan)), policy.descriptors).spends))
                continue
            action, facts = _asked(session, row, spent.now_s, policy)
            return Request(action, facts, spent)
    raise InputError(f"no intent {intent_id!r} is recorded")


def _asked(session: Session, row: TransactionRow, now_s: int, policy: Policy) -> tuple[Action, Facts]:
    proposal = proposal_of(decode_plan(row.plan))
    facts = attested_facts(
        _statements(session, row.intent_id),
        policy.document,
        known=Facts(initiator=row.initiator, vault=_vault(row), now_s=now_s),
        now_s=now_s,
        subject=subject_of(proposal),
        sender=proposal.sender,
    )
    return read_proposal(proposal, policy.descriptors), facts


class _Windows:
    """Adds up what was let out, as the outbox does."""

    def __init__(self) -> None:
        self.now_s = 0
        self._out: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, counts: dict[str, int]) -> None:
        for counter, raw in counts.items():
            self._out[counter].append((self.now_s, raw))

    def __call__(self, counter: str, window_s: int) -> int:
        return sum(raw for at, raw in self._out[counter] if at > self.now_s - window_s)


def _rows(session: Session) -> Iterator[tuple[TransactionRow, int]]:
    """Intents in the order in which they were asked, with when."""
    asked = func.min(TransactionEventRow.time_ns)
    query = (
        select(TransactionRow, asked)
        .join(TransactionEventRow, col(TransactionEventRow.transaction_id) == col(TransactionRow.id))
        .group_by(*TransactionRow.__table__.columns)  # type: ignore[attr-defined]
        .order_by(col(TransactionRow.id))
    )
    yield from session.exec(query)


def _vault(row: TransactionRow) -> str | None:
    # `default` is what nobody named: the draft may list the vault by its address.
    return None if row.vault == "default" else row.vault


def _statements(session: Session, intent_id: str) -> Any:
    row = session.get(AttestationRow, intent_id)
    return [] if row is None else json.loads(row.attestations)


def _answer(decision: Decision, spent: _Windows, *, is_out: bool) -> Answer:
    if is_out:
        spent.add(dict(decision.counts))
    requires = tuple(f"{each.count} of {each.group}" for each in decision.requirements)
    return Answer(True, "", requires, decision.delay_s)


def _then(row: TransactionRow) -> Answer:
    if row.outcome == "declined" and row.approved_ns is None and row.settlement:
        reason = msgspec.json.decode(row.settlement, type=SwapSettled).reason
        return Answer(False, reason.partition(":")[0])
    required = json.loads(row.decision) if row.decision else {}
    requires = tuple(f"{count} of {group}" for group, count, *_ in required.get("requirements", ()))
    return Answer(True, "", requires, int(required.get("delay_s", 0)))
