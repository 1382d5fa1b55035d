"""What custody asks of a policy: `Policy` is one that stays, `BundlePolicy` one that changes with its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from custody.clear_signing import Names
from custody.policy.action import Action, Proposal
from custody.policy.decision import Decision, Spent
from custody.policy.facts import NOTHING_KNOWN, Facts
from custody.policy.schema import ChainCaps, PolicyDocument
from domain import Address


class Judge(Protocol):
    """See `Policy` for each. Raises `Refused`, rule `no-policy`, while there is none."""

    @property
    def version(self) -> int: ...

    @property
    def digest(self) -> str: ...

    @property
    def document(self) -> PolicyDocument: ...

    @property
    def groups(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]: ...

    @property
    def names(self) -> Names: ...

    @property
    def assets(self) -> frozenset[str]: ...

    def caps(self, chain_id: int) -> ChainCaps: ...

    def parties(self, proposal: Proposal) -> frozenset[Address]: ...

    def evaluate(self, proposal: Proposal, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision: ...

    def judge(self, action: Action, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision: ...

    def check_fees(self, chain_id: int, *, gas_limit: int, fee_per_gas_wei: int) -> None: ...
