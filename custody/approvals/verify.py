"""Checking approvals, as every signer does for itself: a pure function of the evidence and of what it knows already.

The evidence comes from whoever asks for a signature, so nothing in it is believed: the intent must be about this very
transaction, the text must be what this signer writes itself, and each approval must verify under a key of the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from custody.approvals.intent import CanonicalIntent, ChainCall, Subject, Verdict, digest_of
from custody.approvals.keys import Approval, Groups
from custody.clear_signing import Names
from custody.policy import Requirement
from domain import InputError, Refused

_APPROVALS_MAX: Final = 64


class ApprovalRules(Protocol):
    """What approvals need to know of the active policy bundle."""

    @property
    def version(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def groups(self) -> Groups: ...

    @property
    def names(self) -> Names: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedApprovals:
    """Approvals that hold, by group."""

    intent: CanonicalIntent
    digest: bytes
    approvers: Mapping[str, frozenset[str]]
    """Group → who of it approved. A person with two keys is one; a person in two groups is in both."""

    def missing(self, requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
        """The requirements that are not met; each is counted by itself."""
        return tuple(r for r in requirements if len(self.approvers.get(r.group, ())) < r.count)

    def check(self, requirements: Iterable[Requirement]) -> None:
        """Demand that all requirements are met.

        Raises:
            Refused: Rule `approvals-missing`, saying whose.
        """
        if missing := self.missing(requirements):
            wanted = ", ".join(
                f"{r.count} of {r.group} ({len(self.approvers.get(r.group, ()))} so far, rule {r.rule})"
                for r in missing
            )
            raise Refused(f"{self.intent.intent_id}: approvals are missing: {wanted}", rule="approvals-missing")


def verify(
    evidence: Mapping[str, Any] | None, *, subject: Subject, rules: ApprovalRules, now_s: int
) -> VerifiedApprovals:
    """Check the approvals that come with a request to sign.

    Args:
        evidence: As `ApprovalDesk.evidence` gives it: `intent`, `text`, `approvals`.
        subject: What would be signed, read by this signer from its own bytes: `ChainCall.of(sender, tx)`.
        rules: The bundle that is active at this signer.
        now_s: Unix time in seconds.

    Raises:
        Refused: `no-approval` without evidence, `approval-subject` for another transaction than was approved (or higher
            fees), `policy-changed`, `approval-expired`, `approval-text` for another text than this signer writes,
            `approval-signature`, `approval-rejected`, `initiator` when the initiator approved, or a rule of rendering.
    """
    intent, text, approvals = _read(evidence)
    _check_subject(intent, subject)
    _check_bounds(intent, rules, now_s)
    if intent.render(rules.names) != text:
        raise Refused(
            f"{intent.intent_id}: the approvers were shown another text than this transaction has here",
            rule="approval-text",
        )
    persons = _persons(rules.groups)
    approved: dict[str, set[str]] = {}
    for approval in approvals:
        if (name := persons.get(approval.key)) is None:
            continue  # left the bundle, or never was in it
        approval.check(intent, text)
        if approval.verdict is Verdict.REJECT:
            raise Refused(f"{intent.intent_id}: rejected by {name}", rule="approval-rejected")
        check_initiator(intent, name)
        for group, members in rules.groups.items():
            if name in members:
                approved.setdefault(group, set()).add(name)
    return VerifiedApprovals(
        intent=intent,
        digest=digest_of(intent, text),
        approvers={group: frozenset(names) for group, names in approved.items()},
    )


def check_initiator(intent: CanonicalIntent, approver: str) -> None:
    """Keep whoever asked for something from approving it.

    Raises:
        Refused: Rule `initiator`.
    """
    if approver == intent.initiator:
        raise Refused(f"{intent.intent_id}: {approver} asked for it and cannot approve it", rule="initiator")


def person_of(groups: Groups, key: str) -> str | None:
    """Find whose key it is."""
    return _persons(groups).get(key)


def _persons(groups: Groups) -> dict[str, str]:
    """Key → person. A key that two names share would let one person count as two."""
    found: dict[str, str] = {}
    for members in groups.values():
        for name, keys in members.items():
            for key in keys:
                if found.setdefault(key, name) != name:
                    raise Refused(f"{name} and {found[key]} share a key", rule="shared-key")
    return found


def _read(evidence: Mapping[str, Any] | None) -> tuple[CanonicalIntent, str, list[Approval]]:
    if not isinstance(evidence, Mapping) or "intent" not in evidence:
        raise Refused("this needs approvals, and none came with it", rule="no-approval")
    try:
        text, approvals = evidence["text"], evidence["approvals"]
        if not isinstance(text, str) or not isinstance(approvals, list) or len(approvals) > _APPROVALS_MAX:
            raise TypeError
        return (
            CanonicalIntent.from_document(evidence["intent"]),
            text,
            [Approval.from_document(approval) for approval in approvals],
        )
    except (KeyError, TypeError, InputError) as exc:
        raise Refused(f"the approvals cannot be read: {exc}", rule="no-approval") from exc


def _check_subject(intent: CanonicalIntent, subject: Subject) -> None:
    approved = intent.subject
    if not isinstance(approved, ChainCall) or not isinstance(subject, ChainCall):
        if approved != subject:
            raise Refused(f"{intent.intent_id}: something else was approved", rule="approval-subject")
        return
    for what in ("chain_id", "sender", "to", "value_wei", "data", "delegations"):
        if getattr(approved, what) != getattr(subject, what):
            raise Refused(f"{intent.intent_id}: approved for another {what}", rule="approval-subject")
    _check_fees(intent, approved, subject)


def _check_fees(intent: CanonicalIntent, approved: ChainCall, subject: ChainCall) -> None:
    for what in ("gas_limit", "fee_per_gas_wei_max"):
        if getattr(subject, what) > getattr(approved, what):
            raise Refused(
                f"{intent.intent_id}: {what} {getattr(subject, what)} is above the approved {getattr(approved, what)}",
                rule="approval-subject",
            )


def _check_bounds(intent: CanonicalIntent, rules: ApprovalRules, now_s: int) -> None:
    if (intent.policy_version, intent.policy_digest) != (rules.version, rules.digest):
        raise Refused(
            f"{intent.intent_id}: approved under policy version {intent.policy_version}"
            f" ({intent.policy_digest[:12]}), active is {rules.version} ({rules.digest[:12]})",
            rule="policy-changed",
        )
    if now_s >= intent.expires_s:
        raise Refused(f"{intent.intent_id}: its approvals ended at {intent.expires_s}", rule="approval-expired")
