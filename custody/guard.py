"""The policy as the signer process asks it: from the transaction's own bytes, with the signer's own velocity."""

from __future__ import annotations

from collections.abc import Mapping

from custody.policy import Policy, Proposal, Spent
from domain import Address, Refused
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


class PolicyGuard:
    """Satisfies `wallets.Guard`. One policy a chain; other chains are refused.

    Messages, typed data and delegations (EIP-7702) are refused: nothing of ours asks for them yet, a Permit2 signature
    moves funds as surely as a transaction does, and a delegate may do anything.
    """

    def __init__(self, *policies: Policy) -> None:
        self._policies = {chain: policy for policy in policies for chain in policy.document.chains}

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        """Judge a transaction; see `Policy.evaluate`. The chain's time is not known here."""
        policy = self._policies.get(tx.chain_id)
        if policy is None:
            raise Refused(f"no policy for chain {tx.chain_id}", rule="chain")
        if tx.type == 4:
            raise Refused("no rule allows a transaction that delegates accounts", rule="delegation")
        if is_cancel_form(sender, tx):
            # It uses a nonce up: the cancellation of what was signed under it, or the end of a gap.
            policy.check_fees(tx.chain_id, gas_limit=tx.gas_limit, fee_per_gas_wei=tx.fee_ceiling_per_gas_wei)
            return {}
        proposal = Proposal(
            chain_id=tx.chain_id,
            sender=sender,
            to=tx.to,
            value_wei=tx.value_wei,
            data=tx.data,
            gas_limit=tx.gas_limit,
            fee_per_gas_wei=tx.fee_ceiling_per_gas_wei,
        )
        return policy.evaluate(proposal, spent=spent).counts

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Refuse."""
        raise Refused(f"{sender} signs no personal messages", rule="message")

    def check_statement(
        self, key: str, statement: StatementToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Allow the purposes that a policy lists."""
        if not any(statement.purpose in policy.document.statements for policy in self._policies.values()):
            raise Refused(f"{key} makes no statements for {statement.purpose!r}", rule="statement")

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Refuse."""
        raise Refused(f"{sender} signs no typed data", rule="typed-data")

    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        """Refuse."""
        raise Refused(f"no rule lets {sender} run the code of {authorization.delegate}", rule="delegation")
