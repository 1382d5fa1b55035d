"""The policy as a signer asks it: from the bytes it would sign, with its own windows, clock and memory.

What custody shows besides (`evidence`) is a claim. The intent must be about these very bytes; approvals must verify
under keys of this process's own bundle; statements of services under the keys it lists. A coordinator that skips
policy, or shows a signer another transaction than the approvers saw, gets nothing signed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from custody.approvals import (
    ApprovalUses,
    Authorization,
    CanonicalIntent,
    ChainCall,
    Delegation,
    Subject,
    TypedDocument,
    VerifiedApprovals,
    verify,
)
from custody.policy import (
    Action,
    BundlePolicy,
    Facts,
    Policy,
    Proposal,
    Requirement,
    Rests,
    Spent,
    read_authorization,
    read_message,
    read_proposal,
    read_typed_data,
)
from custody.policy.attestations import attested_facts, attested_initiator, subject_of
from custody.policy.rests import ANNOUNCED, RESTED
from custody.policy.rulebook import canonical_json
from domain import Address, InputError, Refused
from wallets import (
    AuthorizationToSign,
    Evidence,
    MessageToSign,
    Network,
    StatementToSign,
    TransactionToSign,
    TypedDataToSign,
    is_cancel_form,
)

_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the evidence says, as far as it holds."""

    intent: CanonicalIntent | None = None
    approvals: VerifiedApprovals | None = None
    refusal: Refused | None = None
    """Why the approvals do not hold."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a signature is wanted for."""

    sender: Address
    chain_id: int
    nonce: int
    """0 for what has none: approvals of a document hold for that document, however often it is signed."""
    subject: Subject | None
    name: str
    """A digest of what it does."""


class PolicyGuard:
    """Satisfies `wallets.Guard`.

    Messages, typed data and delegations (EIP-7702) are judged like everything else, and denied unless a rule names
    their kind.

    Args:
        source: The policy, or the bundle file that says which.
        uses: Remembers which approvals were used; without it nothing that needs approval is signed.
        rests: Remembers delays; without it nothing that must rest is signed.
        now_ns: UTC nanoseconds, by this process's own clock.
    """

    def __init__(
        self,
        source: Policy | BundlePolicy,
        *,
        uses: ApprovalUses | None = None,
        rests: Rests | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._source = source
        self._uses = uses
        self._rests = rests
        self._now_ns = now_ns

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        """Judge a transaction, and each delegation it carries; return what to count. The chain's time is not known.

        Raises:
            Refused: See `Policy.evaluate` and `custody.approvals.verify`; `delay` while it must rest; `announced` or
                `rested` when the evidence only announces it.
        """
        policy = self._policy()
        policy.caps(tx.chain_id)
        if is_cancel_form(sender, tx):
            # It uses a nonce up: the cancellation of what was signed under it, or the end of a gap.
            policy.check_fees(tx.chain_id, gas_limit=tx.gas_limit, fee_per_gas_wei=tx.fee_ceiling_per_gas_wei)
            return {}
        proposal = _proposal(sender, tx)
        subject = ChainCall.of(sender, tx)
        actions = [
            read_authorization(each.account, chain_id=tx.chain_id, delegate=each.delegate)
            for each in subject.delegations
        ]
        actions.append(read_proposal(proposal, policy.descriptors))
        asked = _Asked(sender, tx.chain_id, tx.nonce, subject, subject_of(proposal))
        return self._judge(policy, actions, asked, spent, evidence)

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Judge a personal message by its kind and signer; see `Policy.judge`. Approvals do not cover messages."""
        asked = _Asked(sender, 0, 0, None, "")
        self._judge(self._policy(), [read_message(sender, message.content)], asked, _nothing_counted, None)

    def check_statement(
        self, key: str, statement: StatementToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Allow the purposes that the policy lists."""
        if statement.purpose not in self._policy().document.statements:
            raise Refused(f"{key} makes no statements for {statement.purpose!r}", rule="statement")

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Judge an EIP-712 document by what it permits; see `Policy.judge`. It is counted in no window."""
        action = read_typed_data(sender, data.document)
        subject = TypedDocument.of(sender, data.document)
        asked = _Asked(sender, action.chain, 0, subject, _digest(subject))
        self._judge(self._policy(), [action], asked, _nothing_counted, evidence)

    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Judge whose code may stand for the account; see `Policy.judge`."""
        chain, delegate, nonce = authorization.chain_id, authorization.delegate, authorization.nonce
        delegation = Delegation(account=sender, delegate=delegate, nonce=nonce)
        subject = Authorization(chain_id=chain, delegation=delegation)
        asked = _Asked(sender, chain, nonce, subject, _digest(subject))
        action = read_authorization(sender, chain_id=chain, delegate=delegate)
        self._judge(self._policy(), [action], asked, _nothing_counted, evidence)

    def _policy(self) -> Policy:
        return self._source if isinstance(self._source, Policy) else self._source.current()

    def _judge(
        self, policy: Policy, actions: list[Action], asked: _Asked, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        shown_by = evidence or {}
        now_s = self._now_ns() // _NS
        shown = _shown(shown_by, asked.subject, policy, now_s)
        statements = shown_by.get("attestations")
        known = Facts(
            initiator=_initiator(shown, statements, policy, asked.name, now_s),
            vault=None if shown.intent is None else shown.intent.vault,
            now_s=now_s,
        )
        facts = attested_facts(
            statements, policy.document, known=known, now_s=now_s, subject=asked.name, sender=asked.sender
        )
        decisions = [policy.judge(action, spent=spent, facts=facts) for action in actions]
        requirements = [requirement for decision in decisions for requirement in decision.requirements]
        delay_s = max(decision.delay_s for decision in decisions)
        named = f"{asked.name}/{shown.intent.intent_id if shown.intent else ''}"
        if shown_by.get("announce") is True:
            raise self._announce(named, delay_s, now_s)
        if (requirements or delay_s) and asked.subject is None:
            raise Refused("approvals and delays do not cover messages", rule="no-approval")
        if requirements:
            self._check_approvals(requirements, shown, asked)
        if delay_s:
            if self._rests is None:
                raise Refused("it must rest, and this signer has no memory of delays", rule="delay")
            self._rests.check(named, nonce=asked.nonce, delay_s=delay_s, now_s=now_s)
        return decisions[-1].counts

    def _check_approvals(self, requirements: list[Requirement], shown: _Shown, asked: _Asked) -> None:
        if shown.refusal is not None:
            raise shown.refusal
        if shown.approvals is None:
            raise Refused("this needs approvals, and none came with it", rule="no-approval")
        shown.approvals.check(requirements)
        if self._uses is None:
            raise Refused("this signer has no memory of used approvals", rule="no-approval")
        self._uses.take(
            shown.approvals.intent.intent_id,
            shown.approvals.digest,
            key=asked.sender,
            chain_id=asked.chain_id,
            nonce=asked.nonce,
        )

    def _announce(self, named: str, delay_s: int, now_s: int) -> Refused:
        if not delay_s:
            return Refused("it need not rest", rule=RESTED)
        if self._rests is None:
            return Refused("it must rest, and this signer has no memory of delays", rule="delay")
        since = self._rests.announce(named, now_s=now_s)
        rule = RESTED if now_s >= since + delay_s else ANNOUNCED
        return Refused(f"known since {since}; it must rest for {delay_s} s", rule=rule)


def _proposal(sender: Address, tx: TransactionToSign) -> Proposal:
    return Proposal(
        chain_id=tx.chain_id,
        sender=sender,
        to=tx.to,
        value_wei=tx.value_wei,
        data=tx.data,
        gas_limit=tx.gas_limit,
        fee_per_gas_wei=tx.fee_ceiling_per_gas_wei,
    )


def _digest(subject: Subject) -> str:
    return hashlib.sha256(canonical_json(subject.to_document())).hexdigest()


def _shown(evidence: Mapping[str, Any], subject: Subject | None, policy: Policy, now_s: int) -> _Shown:
    """Read an intent and its approvals. An intent about something else is refused, needed or not."""
    if "intent" not in evidence or subject is None:
        return _Shown()
    try:
        intent = CanonicalIntent.from_document(evidence["intent"])
    except InputError as exc:
        raise Refused(f"the intent that came with it cannot be read: {exc}", rule="approval-subject") from exc
    if not _is_about(intent.subject, subject):
        raise Refused(f"{intent.intent_id} is about something else", rule="approval-subject")
    if not evidence.get("approvals"):
        return _Shown(intent)
    try:
        return _Shown(intent, verify(evidence, subject=subject, rules=policy, now_s=now_s))
    except Refused as exc:
        return _Shown(intent, refusal=exc)


def _is_about(approved: Subject, subject: Subject) -> bool:
    """Whether both do the same; fees may differ here, `verify` bounds them."""
    if isinstance(approved, ChainCall) and isinstance(subject, ChainCall):
        same = replace(approved, gas_limit=subject.gas_limit, fee_per_gas_wei_max=subject.fee_per_gas_wei_max)
        return same == subject
    return approved == subject


def _initiator(shown: _Shown, statements: Any, policy: Policy, subject: str, now_s: int) -> str | None:
    """Who asked. A person with keys must have signed for it, or approvers for the intent that says so.

    A program without keys is whoever speaks to us: its name is believed, and proves nothing.
    """
    if shown.intent is None:
        return None
    name = shown.intent.initiator
    person = policy.document.people.get(name)
    if person is None or not person.keys or (shown.approvals is not None and any(shown.approvals.approvers.values())):
        return name
    is_signed = attested_initiator(statements, policy.document, person=name, subject=subject, now_s=now_s)
    return name if is_signed else None


def _nothing_counted(_counter: str, _window_s: int) -> int:
    return 0
