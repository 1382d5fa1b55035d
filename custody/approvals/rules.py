"""What approvals need of the active policy, read from its document: the same at the desk and at every signer."""

from __future__ import annotations

from custody.approvals.keys import Groups
from custody.clear_signing import Names
from custody.policy import Policy


class PolicyRules:
    """A policy's version, digest, groups and names. Satisfies `ApprovalRules`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._groups: Groups = policy.groups
        self._names = names_of(policy)

    @property
    def version(self) -> int:
        return self._policy.version

    @property
    def digest(self) -> str:
        return self._policy.digest

    @property
    def groups(self) -> Groups:
        return self._groups

    @property
    def names(self) -> Names:
        return self._names


def names_of(policy: Policy) -> Names:
    """Read names from a policy's document: assets' short names are symbols, vaults and `names` the address book."""
    return policy.names
