"""The policy's front: read the bytes, check what no rule can permit, ask the rules. docs/policy.md has the semantics.

A pure function of a document, an action and facts. Custody asks it before a transaction is numbered and signed; every
signer asks its own again, from the bytes it is given, without believing what custody says they mean.
"""

from __future__ import annotations

from custody.clear_signing import Names
from custody.policy.action import Action, Proposal, read_proposal
from custody.policy.compile import NO_RULE, CompiledRules
from custody.policy.decision import Decision, Requirement, Spent
from custody.policy.explain import nearest_miss
from custody.policy.facts import NOTHING_KNOWN, Facts
from custody.policy.limits import Refusal
from custody.policy.rulebook import Rulebook
from custody.policy.schema import ChainCaps
from custody.policy.settings import PolicySettings
from custody.policy.settings_rules import rulebook_of_settings
from domain import Address, Refused

_UNCLAIMED = (None, "", "default")
"""What a desk says that was told of no vault."""


class Policy:
    """Judges by one document, or by the settings' small form of one. Keeps no state: windows are told by `spent`."""

    def __init__(self, source: Rulebook | PolicySettings) -> None:
        self.rulebook = source if isinstance(source, Rulebook) else rulebook_of_settings(source)
        self.document = self.rulebook.document
        self.compiled = CompiledRules(self.document)
        self._names = self.document.spoken
        self.descriptors = self._names.descriptors
        self._groups = {group: dict(self.document.members(group)) for group in self.document.groups}
        self._assets = frozenset(_named_assets(self.rulebook))

    @property
    def version(self) -> int:
        return self.document.version

    @property
    def digest(self) -> str:
        return self.rulebook.digest

    @property
    def groups(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Group → person → that person's keys."""
        return self._groups

    @property
    def names(self) -> Names:
        """What approvers read instead of numbers."""
        return self._names

    @property
    def assets(self) -> frozenset[str]:
        """Every asset id the document names."""
        return self._assets

    def caps(self, chain_id: int) -> ChainCaps:
        """The fixed limits of a chain.

        Raises:
            Refused: Rule `chain`: the document does not know it.
        """
        caps = self.document.chains.get(chain_id)
        if caps is None:
            known = ", ".join(map(str, self.document.chains))
            raise Refused(f"this policy is for chain {known}, not {chain_id}", rule="chain")
        return caps

    def parties(self, proposal: Proposal) -> frozenset[Address]:
        """Everyone a proposal deals with, for screening. Raises as `evaluate` does for calls nobody can read."""
        return read_proposal(proposal, self.descriptors).parties

    def evaluate(self, proposal: Proposal, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision:
        """Approve a transaction, or raise.

        Args:
            proposal: What would be signed.
            spent: Of rolling windows, without this proposal.
            facts: What is known besides the bytes. Without the chain's time (the signer process), how far ahead a
                deadline lies is left to custody.

        Raises:
            Refused: `rule` names what said no: a fixed check, a deny rule's id, `unknown-fact:…`, a limit, or the
                condition at which the nearest allow rule failed.
        """
        self.caps(proposal.chain_id)
        return self.judge(read_proposal(proposal, self.descriptors), spent=spent, facts=facts)

    def judge(self, action: Action, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision:
        """Do as `evaluate` for any action."""
        decision = self.decide(action, facts, spent)
        if isinstance(decision, Decision):
            return decision
        if decision.rule == NO_RULE:
            decision = nearest_miss(self.compiled, action, facts, spent)
        raise Refused(decision.reason, rule=decision.rule)

    def decide(self, action: Action, facts: Facts, spent: Spent) -> Decision | Refusal:
        """Do as `judge` without raising, and without looking for the rule that came nearest."""
        if action.chain:
            refusal = self._fixed(action, facts)
            if refusal is not None:
                return refusal
        found = self.compiled.judge(action, facts, spent)
        if isinstance(found, Refusal):
            return found
        matched, counts = found
        allows: list[str] = []
        requirements: list[Requirement] = []
        delay_s = 0
        for rule in matched:
            if rule.effect == "allow":
                allows.append(rule.id)
            elif rule.requirement is not None:
                requirements.append(rule.requirement)
            else:
                delay_s = max(delay_s, rule.delay_s)
        return Decision(
            rules=tuple(allows),
            requirements=tuple(requirements),
            delay_s=delay_s,
            policy_version=self.document.version,
            policy_digest=self.rulebook.digest,
            spends=action.spends,
            counts=counts,
            call=action.call,
            addresses=action.parties,
        )

    def check_fees(self, chain_id: int, *, gas_limit: int, fee_per_gas_wei: int) -> None:
        """Bound what a transaction may pay for being mined.

        Raises:
            Refused: Rule `gas-limit`, `fee-cap` or `chain`.
        """
        if refusal := _fees(self.caps(chain_id), gas_limit, fee_per_gas_wei):
            raise Refused(refusal.reason, rule=refusal.rule)

    def _fixed(self, action: Action, facts: Facts) -> Refusal | None:
        """What holds whatever the rules say."""
        caps = self.document.chains.get(action.chain)
        if caps is None:
            return Refusal("chain", f"this policy does not know chain {action.chain}")
        if action.gas_limit and (refusal := _fees(caps, action.gas_limit, action.fee_per_gas_wei)):
            return refusal
        if (
            facts.vault not in _UNCLAIMED
            and self.compiled.names.vault_of.get(action.sender, facts.vault) != facts.vault
        ):
            return Refusal("vault", f"{action.sender} is not of vault {facts.vault}")
        if action.is_swap:
            return _swap(action, caps, facts.chain_time_s)
        return None


def _fees(caps: ChainCaps, gas_limit: int, fee_per_gas_wei: int) -> Refusal | None:
    if gas_limit > caps.gas_limit_max:
        return Refusal("gas-limit", f"gas limit {gas_limit} exceeds {caps.gas_limit_max}")
    if fee_per_gas_wei > caps.fee_per_gas_wei_max:
        return Refusal("fee-cap", f"{fee_per_gas_wei} wei per gas exceeds the cap of {caps.fee_per_gas_wei_max}")
    if gas_limit * fee_per_gas_wei > caps.gas_cost_wei_max:
        return Refusal("fee-cap", f"gas may cost {gas_limit * fee_per_gas_wei} wei, the cap is {caps.gas_cost_wei_max}")
    return None


def _swap(action: Action, caps: ChainCaps, now_s: int | None) -> Refusal | None:
    if action.deadline_s == 0:
        return Refusal("deadline", "a swap needs a deadline")
    if now_s is not None and not now_s < action.deadline_s <= now_s + caps.deadline_s_max:
        return Refusal("deadline", f"deadline {action.deadline_s} is not within {caps.deadline_s_max} s after {now_s}")
    if any(raw == 0 for raw in action.receives_min.values()):
        return Refusal("slippage", "a swap needs a least amount to receive")
    return None


def _named_assets(rulebook: Rulebook) -> set[str]:
    document = rulebook.document
    named = {asset.id for asset in document.assets.values()}
    for rule in document.rules:
        named.update(rule.when.asset or ())
        if rule.limits:
            named.update(entry.asset for entry in rule.limits.amounts or () if entry.asset)
    return named
