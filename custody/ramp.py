"""The capital ramp's steps: up by two different people within a day, down by one.

Steps, proposals and the runs of each step are rows that never change; the last step is the one that holds. What must
be true before a step up is not decided here: it is brought along as objections, and any of them is a no.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Text, UniqueConstraint
from sqlmodel import Field, Session, SQLModel, col, select

from custody.audit import AuditLog
from custody.columns import APPEND_ONLY, row_number
from custody.freeze import check_name, ensure_signed, sign
from domain import InputError, Refused
from runtime import Secret
from runtime.database import Database

PROPOSAL_NS: Final = 86_400 * 10**9
"""A proposal that is older is void."""


class RampStepRow(SQLModel, table=True):
    """One step: the stage that holds from then on."""

    __tablename__ = "ramp_steps"
    __table_args__ = (UniqueConstraint("proposal_id"), Index("ix_ramp_steps_scope", "scope"), APPEND_ONLY)

    id: int | None = row_number()
    scope: str = Field(sa_column=Column(String(16), nullable=False))
    stage: int = Field(sa_column=Column(BigInteger, nullable=False))
    terms: str = Field(sa_column=Column(String(64), nullable=False))
    kind: str = Field(sa_column=Column(String(16), nullable=False))
    proposal_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    operator: str = Field(sa_column=Column(String(80), nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class RampProposalRow(SQLModel, table=True):
    """One person's word that the next stage may be taken, from a step."""

    __tablename__ = "ramp_proposals"
    __table_args__ = (Index("ix_ramp_proposals_step_id", "step_id"), APPEND_ONLY)

    id: int | None = row_number()
    step_id: int = Field(sa_column=Column(BigInteger, ForeignKey("ramp_steps.id"), nullable=False))
    stage: int = Field(sa_column=Column(BigInteger, nullable=False))
    terms: str = Field(sa_column=Column(String(64), nullable=False))
    operator: str = Field(sa_column=Column(String(80), nullable=False))
    reason: str = Field(sa_column=Column(Text, nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


class RampRunRow(SQLModel, table=True):
    """A run that traded at a step: its results must be known before the next."""

    __tablename__ = "ramp_runs"
    __table_args__ = (UniqueConstraint("step_id", "run"), APPEND_ONLY)

    id: int | None = row_number()
    step_id: int = Field(sa_column=Column(BigInteger, ForeignKey("ramp_steps.id"), nullable=False))
    run: str = Field(sa_column=Column(String(32), nullable=False))
    time_ns: int = Field(sa_column=Column(BigInteger, nullable=False))


@dataclass(frozen=True, slots=True)
class Step:
    """The step that holds, and the runs that traded at it."""

    id: int
    stage: int
    terms: str
    kind: str
    operator: str
    time_ns: int
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A step up that one person wants."""

    id: int
    step_id: int
    stage: int
    terms: str
    operator: str
    reason: str
    time_ns: int


def sign_proposal(key: Secret, step_id: int, stage: int, terms: str, operator: str, reason: str) -> bytes:
    """Sign a proposal with an operator's Ed25519 key: 32 bytes in hex.

    Raises:
        InputError: It is no such key.
    """
    return sign(key, _statement("propose", step_id, stage, terms, operator, reason))


def sign_approval(key: Secret, proposal: Proposal, operator: str, reason: str) -> bytes:
    """Sign an approval with an operator's Ed25519 key; see `sign_proposal`."""
    return sign(key, _statement("approve", proposal.id, proposal.stage, proposal.terms, operator, reason))


class Ramps:
    """Takes steps, each with its audit record.

    Args:
        database: Where they are.
        audit: Where it is recorded.
        now_ns: The time.
        scope: `live` or `paper`: the steps of the one are not those of the other.
        operators: Ed25519 public keys in hex, by name. When there are any, only these people step up, by signature.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        now_ns: Callable[[], int],
        *,
        scope: str,
        operators: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._now_ns = now_ns
        self._scope = scope
        self._operators = dict(operators or {})

    def standing(self) -> Step | None:
        """Give the step that holds; None when none was ever taken."""
        with self._database.snapshot() as session:
            return self._standing(session)

    def proposals(self) -> list[Proposal]:
        """Give what waits for a second person, oldest first."""
        with self._database.snapshot() as session:
            return self._proposals(session, self._standing(session))

    def begin(self, terms: str, run: str, *, seen: int | None) -> Step:
        """Note that a run trades now; the first one ever takes the lowest stage, whose terms these are.

        Raises:
            InputError: The step is another than the one that was seen: its limits are not those of the run.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"ramp/{self._scope}")
            step = self._standing(session)
            if (None if step is None else step.id) != seen:
                raise InputError("the stage of the ramp changed during the start", hint="start the engine again")
            if step is None:
                self._add(session, 1, terms, "begun", "engine", "the ramp begins", None)
                step = self._taken(session)
            if run not in step.runs:
                session.add(RampRunRow(step_id=step.id, run=run, time_ns=self._now_ns()))
                session.flush()
            return self._taken(session)

    def propose(
        self,
        step: Step,
        terms: str,
        *,
        operator: str,
        reason: str,
        against: Sequence[str],
        signature: bytes | None = None,
    ) -> Proposal:
        """Give one person's word for the next stage, whose terms these are.

        Raises:
            InputError: A name or the reason is missing, or the stage is another by now.
            Refused: Something speaks against it (rule `ramp`), or it is not signed by an operator (rule `operator`).
        """
        check_name(operator, reason, "a step up")
        _refuse(against)
        stage = step.stage + 1
        if self._operators:
            ensure_signed(
                self._operators, operator, signature, _statement("propose", step.id, stage, terms, operator, reason)
            )
        with self._database.transaction() as session:
            self._database.serialize(session, f"ramp/{self._scope}")
            self._ensure_current(session, step.id)
            row = RampProposalRow(
                step_id=step.id, stage=stage, terms=terms, operator=operator, reason=reason, time_ns=self._now_ns()
            )
            session.add(row)
            session.flush()
            detail = {"stage": stage, "terms": terms, "operator": operator, "reason": reason, "scope": self._scope}
            self._audit.append(session, "ramp.proposed", f"ramp/{row.id}", detail | _signed(signature))
            return _proposal(row)

    def approve(
        self, proposal_id: int, *, operator: str, reason: str, against: Sequence[str], signature: bytes | None = None
    ) -> Step:
        """Give the second person's word: the next stage holds from now on.

        Raises:
            InputError: No such proposal waits (it is void after a day, or the stage is another by now), or this is the
                person who made it.
            Refused: Something speaks against it by now (rule `ramp`), or it is not signed (rule `operator`).
        """
        check_name(operator, reason, "a step up")
        with self._database.transaction() as session:
            self._database.serialize(session, f"ramp/{self._scope}")
            step = self._standing(session)
            found = [item for item in self._proposals(session, step) if item.id == proposal_id]
            if step is None or not found:
                raise InputError(
                    f"no proposal {proposal_id} waits",
                    hint="a proposal is void after a day or another step; `capstan ramp status` lists them",
                )
            proposal = found[0]
            if operator.casefold() == proposal.operator.casefold():
                raise InputError(f"{operator} has proposed this: another person must approve proposal {proposal_id}")
            _refuse(against)
            if self._operators:
                statement = _statement("approve", proposal.id, proposal.stage, proposal.terms, operator, reason)
                ensure_signed(self._operators, operator, signature, statement)
            self._add(session, proposal.stage, proposal.terms, "raised", operator, reason, proposal, signature)
            return self._taken(session)

    def lower(self, stage: int, terms: str, *, operator: str, reason: str) -> Step:
        """Go down to a stage, whose terms these are: one person, no checks. To the lowest always.

        Raises:
            InputError: It is not lower, or a name or the reason is missing.
        """
        check_name(operator, reason, "a step down")
        with self._database.transaction() as session:
            self._database.serialize(session, f"ramp/{self._scope}")
            step = self._standing(session)
            if stage != 1 and (step is None or not 1 <= stage < step.stage):
                held = "no stage" if step is None else f"stage {step.stage}"
                raise InputError(f"stage {stage} is not lower than {held}", hint="`capstan ramp propose` goes up")
            self._add(session, stage, terms, "lowered", operator, reason, None)
            return self._taken(session)

    def _standing(self, session: Session) -> Step | None:
        query = select(RampStepRow).where(col(RampStepRow.scope) == self._scope).order_by(col(RampStepRow.id).desc())
        row = session.exec(query.limit(1)).first()
        if row is None:
            return None
        runs = session.exec(select(RampRunRow).where(col(RampRunRow.step_id) == row.id).order_by(col(RampRunRow.id)))
        names = tuple(item.run for item in runs)
        return Step(row.id or 0, row.stage, row.terms, row.kind, row.operator, row.time_ns, names)

    def _taken(self, session: Session) -> Step:
        step = self._standing(session)
        if step is None:
            raise InputError("the step was not stored")
        return step

    def _proposals(self, session: Session, step: Step | None) -> list[Proposal]:
        if step is None:
            return []
        now = self._now_ns()
        rows = session.exec(
            select(RampProposalRow).where(col(RampProposalRow.step_id) == step.id).order_by(col(RampProposalRow.id))
        )
        return [_proposal(row) for row in rows if 0 <= now - row.time_ns <= PROPOSAL_NS]

    def _ensure_current(self, session: Session, step_id: int) -> None:
        step = self._standing(session)
        if step is None or step.id != step_id:
            raise InputError("the stage is another by now", hint="look again: capstan ramp status")

    def _add(
        self,
        session: Session,
        stage: int,
        terms: str,
        kind: str,
        operator: str,
        reason: str,
        proposal: Proposal | None,
        signature: bytes | None = None,
    ) -> None:
        row = RampStepRow(
            scope=self._scope,
            stage=stage,
            terms=terms,
            kind=kind,
            proposal_id=None if proposal is None else proposal.id,
            operator=operator,
            reason=reason,
            time_ns=self._now_ns(),
        )
        session.add(row)
        session.flush()
        detail = {"stage": stage, "terms": terms, "operator": operator, "reason": reason, "scope": self._scope}
        if proposal is not None:
            detail |= {"proposal": proposal.id, "proposed_by": proposal.operator}
        self._audit.append(session, f"ramp.{kind}", f"ramp/step/{row.id}", detail | _signed(signature))


def _signed(signature: bytes | None) -> dict[str, str]:
    return {} if signature is None else {"signature": signature.hex()}


def _refuse(against: Sequence[str]) -> None:
    if against:
        raise Refused(
            f"no step up: {'; '.join(against)}", rule="ramp", hint="`capstan ramp status` shows what is needed"
        )


def _proposal(row: RampProposalRow) -> Proposal:
    return Proposal(row.id or 0, row.step_id, row.stage, row.terms, row.operator, row.reason, row.time_ns)


def _statement(what: str, number: int, stage: int, terms: str, operator: str, reason: str) -> bytes:
    return f"capstan/ramp-{what}/v1\n{number}\n{stage}\n{terms}\n{operator}\n{reason}".encode()
