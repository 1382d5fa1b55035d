"""Where approvals are asked for and collected. The database is a notice board: signers believe signatures, not it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from custody.approvals.intent import ApprovalState, CanonicalIntent, Verdict, digest_of
from custody.approvals.keys import Approval
from custody.approvals.tables import ApprovalRequestRow, ApprovalRow, AttestationRow
from custody.approvals.verify import ApprovalRules, VerifiedApprovals, check_initiator, person_of, verify
from custody.audit import AuditLog
from custody.policy import Decision, Requirement
from domain import InputError, Refused
from runtime.database import Database

_NS: int = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What people are asked about one intent, and what they said so far."""

    intent: CanonicalIntent
    text: str
    """What they read."""
    digest: str
    """What they sign, as hex."""
    requirements: tuple[Requirement, ...]
    approvals: tuple[tuple[str, Approval], ...]
    """Who, and the signed verdict; oldest first."""
    opened_ns: int
    state: ApprovalState
    reason: str
    """Why it is in this state: what is missing, who rejected, what ended it."""


Observe = Callable[[Session, ApprovalRequest], None]


class DatabaseApprovals:
    """Keeps requests and approvals in custody's database. Satisfies `custody.ports.ApprovalDesk`.

    Args:
        database: Brought up to date by `custody.open_books`.
        rules: Gives the policy bundle that is active now.
        now_ns: UTC nanoseconds.
        observe: Told when a request was opened or somebody has said something, in that database transaction.
    """

    def __init__(
        self,
        database: Database,
        *,
        rules: Callable[[], ApprovalRules],
        now_ns: Callable[[], int],
        observe: Observe = lambda _session, _request: None,
    ) -> None:
        self._database = database
        self._rules = rules
        self._now_ns = now_ns
        self._observe = observe
        self._audit = AuditLog(database, now_ns)

    def open(self, session: Session, intent: CanonicalIntent, decision: Decision) -> None:
        """Ask for what a decision requires, in the caller's transaction. The same intent again is a no-op.

        Raises:
            Refused: `policy-changed` if the intent names another policy than decided, `approval-expired`, `approvers`
                if too few people could ever approve, or what rendering refuses (`unreadable`, `look-alike`).
            InputError: Another intent was opened under its id.
        """
        rules = self._rules()
        for version, digest in ((decision.policy_version, decision.policy_digest), (rules.version, rules.digest)):
            if (intent.policy_version, intent.policy_digest) != (version, digest):
                raise Refused(f"{intent.intent_id}: names another policy than decided on it", rule="policy-changed")
        if self._now_ns() >= intent.expires_s * _NS:
            raise Refused(f"{intent.intent_id}: would be asked about after it has ended", rule="approval-expired")
        for requirement in decision.requirements:
            _check_reachable(intent, requirement, rules)
        text = intent.render(rules.names)
        digest = digest_of(intent, text).hex()
        earlier = _find(session, intent.intent_id)
        if earlier is not None:
            if earlier.digest != digest:
                raise InputError(f"{intent.intent_id}: another intent was opened under this id")
            return
        session.add(
            ApprovalRequestRow(
                intent_id=intent.intent_id,
                intent=intent.canonical().decode(),
                text=text,
                digest=digest,
                requirements=json.dumps([[r.group, r.count, r.rule] for r in decision.requirements]),
                expires_s=intent.expires_s,
                opened_ns=self._now_ns(),
            )
        )
        session.flush()
        asked = [f"{r.count} of {r.group}" for r in decision.requirements]
        self._audit.append(session, "approval.asked", f"intent/{intent.intent_id}", {"digest": digest, "of": asked})
        self._observe(session, self._read(session, intent.intent_id))

    def add(self, intent_id: str, approval: Approval) -> ApprovalState:
        """Take a signed verdict; the same one again is a no-op. Returns the state it led to.

        Raises:
            InputError: No such intent.
            Refused: `approver` for a key of nobody who is asked, `initiator`, `approval-signature`, `approval-over`
                when it is decided or has ended, `passkey-counter` for a cloned authenticator.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"approvals {intent_id}")
            self._database.serialize(session, f"approver {approval.key}")  # for the counter, over all intents
            request = self._read(session, intent_id)
            name = self._judge(request, approval)
            if any(given == approval for _, given in request.approvals):
                return request.state
            if request.state is not ApprovalState.PENDING and approval.verdict is Verdict.APPROVE:
                raise Refused(f"{intent_id} is {request.state}: {request.reason}", rule="approval-over")
            if request.state in (ApprovalState.REJECTED, ApprovalState.EXPIRED):
                raise Refused(f"{intent_id} is {request.state}: {request.reason}", rule="approval-over")
            counter = approval.check(request.intent, request.text)
            self._check_counter(session, approval.key, counter)
            session.add(
                ApprovalRow(
                    intent_id=intent_id,
                    approver=name,
                    key=approval.key,
                    verdict=approval.verdict.value,
                    proof=json.dumps(dict(approval.proof), sort_keys=True),
                    counter=counter,
                    time_ns=self._now_ns(),
                )
            )
            session.flush()
            told = self._read(session, intent_id)
            self._audit.append(
                session,
                "approval.given" if approval.verdict is Verdict.APPROVE else "approval.rejected",
                f"intent/{intent_id}",
                {"by": name, "key": approval.key, "digest": request.digest, "state": told.state.value},
            )
            self._observe(session, told)
            return told.state

    def state(self, intent_id: str, now_ns: int) -> ApprovalState:
        """Say how far an intent's approvals have come. Recomputed from the signatures each time.

        Raises:
            InputError: No such intent.
        """
        with self._database.snapshot() as session:
            return self._read(session, intent_id, now_ns).state

    def find(self, intent_id: str) -> ApprovalRequest:
        """Give all about one intent.

        Raises:
            InputError: No such intent.
        """
        with self._database.snapshot() as session:
            return self._read(session, intent_id)

    def find_in(self, session: Session, intent_id: str) -> ApprovalRequest:
        """Give all about one intent in a transaction of the caller's; see `find`."""
        return self._read(session, intent_id)

    def list(self, *, pending_only: bool = True) -> list[ApprovalRequest]:
        """Give the requests, oldest first."""
        query = select(ApprovalRequestRow).order_by(col(ApprovalRequestRow.id))
        if pending_only:
            query = query.where(col(ApprovalRequestRow.expires_s) * _NS > self._now_ns())
        with self._database.snapshot() as session:
            found = [self._read(session, row.intent_id) for row in session.exec(query).all()]
        return [r for r in found if r.state is ApprovalState.PENDING or not pending_only]

    def attest(self, session: Session, intent_id: str, attestations: Sequence[Mapping[str, Any]]) -> None:
        """Put services' statements about an intent in the place of earlier ones."""
        text = json.dumps(list(attestations), sort_keys=True)
        session.merge(AttestationRow(intent_id=intent_id, attestations=text))
        session.flush()

    def evidence(self, intent_id: str) -> Mapping[str, Any]:
        """Give what signers are shown: `intent`, `text`, `approvals`, `attestations`, `bundle`.

        Raises:
            InputError: No such intent.
        """
        with self._database.snapshot() as session:
            row = _get(session, intent_id)
            attested = session.get(AttestationRow, intent_id)
            return _evidence(row, _approvals(session, intent_id)) | {
                "attestations": json.loads(attested.attestations) if attested else []
            }

    def _judge(self, request: ApprovalRequest, approval: Approval) -> str:
        """Find out who signs, and whether that person is asked."""
        intent, groups = request.intent, self._rules().groups
        name = person_of(groups, approval.key)
        asked = {requirement.group for requirement in request.requirements}
        if name is None or not any(name in groups.get(group, {}) for group in asked):
            raise Refused(f"{intent.intent_id}: {approval.key[:24]}... is the key of nobody asked", rule="approver")
        if approval.verdict is Verdict.APPROVE:
            check_initiator(intent, name)
        return name

    def _check_counter(self, session: Session, key: str, counter: int) -> None:
        latest = session.exec(
            select(ApprovalRow.counter).where(ApprovalRow.key == key).order_by(col(ApprovalRow.counter).desc()).limit(1)
        ).first()
        # WebAuthn §6.1.1: authenticators that do not count always say 0; one that counts never goes back.
        if latest and counter <= latest:
            raise Refused(
                f"a passkey counted {counter} after {latest}: it may have been cloned",
                rule="passkey-counter",
                hint="take the key out of the policy bundle and find out who holds the copy",
            )

    def _read(self, session: Session, intent_id: str, now_ns: int | None = None) -> ApprovalRequest:
        row = _get(session, intent_id)
        approvals = _approvals(session, intent_id)
        intent = CanonicalIntent.from_document(json.loads(row.intent))
        requirements = tuple(Requirement(group=g, count=c, rule=r) for g, c, r in json.loads(row.requirements))
        now_s = (self._now_ns() if now_ns is None else now_ns) // _NS
        state, reason = self._state(_evidence(row, approvals), intent, requirements, now_s)
        return ApprovalRequest(
            intent=intent,
            text=row.text,
            digest=row.digest,
            requirements=requirements,
            approvals=approvals,
            opened_ns=row.opened_ns,
            state=state,
            reason=reason,
        )

    def _state(
        self,
        evidence: Mapping[str, Any],
        intent: CanonicalIntent,
        requirements: tuple[Requirement, ...],
        now_s: int,
    ) -> tuple[ApprovalState, str]:
        try:
            verified: VerifiedApprovals = verify(evidence, subject=intent.subject, rules=self._rules(), now_s=now_s)
        except Refused as exc:
            is_rejected = exc.rule == "approval-rejected"
            return (ApprovalState.REJECTED if is_rejected else ApprovalState.EXPIRED), str(exc)
        try:
            verified.check(requirements)
        except Refused as exc:
            return ApprovalState.PENDING, str(exc)
        return ApprovalState.MET, "all requirements are met"


def _check_reachable(intent: CanonicalIntent, requirement: Requirement, rules: ApprovalRules) -> None:
    possible = set(rules.groups.get(requirement.group, {})) - {intent.initiator}
    if len(possible) < requirement.count:
        raise Refused(
            f"{intent.intent_id}: rule {requirement.rule} wants {requirement.count} of {requirement.group},"
            f" where only {len(possible)} could approve",
            rule="approvers",
        )


def _find(session: Session, intent_id: str) -> ApprovalRequestRow | None:
    return session.exec(select(ApprovalRequestRow).where(ApprovalRequestRow.intent_id == intent_id)).first()


def _get(session: Session, intent_id: str) -> ApprovalRequestRow:
    row = _find(session, intent_id)
    if row is None:
        raise InputError(f"nobody was asked about {intent_id!r}")
    return row


def _approvals(session: Session, intent_id: str) -> tuple[tuple[str, Approval], ...]:
    query = select(ApprovalRow).where(ApprovalRow.intent_id == intent_id).order_by(col(ApprovalRow.id))
    return tuple(
        (row.approver, Approval(row.key, Verdict(row.verdict), json.loads(row.proof)))
        for row in session.exec(query).all()
    )


def _evidence(row: ApprovalRequestRow, approvals: tuple[tuple[str, Approval], ...]) -> dict[str, Any]:
    intent = json.loads(row.intent)
    return {
        "intent": intent,
        "text": row.text,
        "approvals": [approval.to_document() for _, approval in approvals],
        "bundle": {"version": intent["policy_version"], "digest": intent["policy_digest"]},
    }
