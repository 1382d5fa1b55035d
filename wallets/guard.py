"""What a signer process asks before it signs. Declared here, satisfied by custody's policy at composition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from domain import Address, Refused
from wallets.evidence import Evidence
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    StatementToSign,
    TransactionToSign,
    TypedDataToSign,
)

Spent = Callable[[str, int], int]
"""(asset id, window in seconds) → raw units this signer has signed away in that window; the guard chooses the names."""


class Guard(Protocol):
    """Says no by raising `Refused`; keeps no state of its own, the journal does.

    `evidence` is what the caller showed (None: nothing, as JSON-RPC callers do). It is a claim: what is not verified
    against the payload and this process's own keys counts as not shown.
    """

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        """Judge a transaction from its own bytes; return what it spends, by asset id in raw units.

        A type 4 transaction also delegates accounts: `wallets.transactions.authority_of` finds whose.
        """
        ...

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None: ...

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None: ...

    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Judge whether a contract's code may stand for the sender's account; what it may do there has no limit."""
        ...

    def check_statement(
        self, key: Address, statement: StatementToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Judge a statement of an Ed25519 key, which is named `ed25519:` and its public key in hex."""
        ...


class DenyAll:
    """The guard of a signer without a policy: nothing is signed."""

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        raise _no_policy()

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        raise _no_policy()

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        raise _no_policy()

    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        raise _no_policy()

    def check_statement(
        self, key: Address, statement: StatementToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        raise _no_policy()


def _no_policy() -> Refused:
    return Refused("this signer has no policy", rule="no-policy", hint="start it with --config")
