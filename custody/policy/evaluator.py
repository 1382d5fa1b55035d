"""Deny by default; every rule is a no that something must not have.

The evaluator is a pure function of a declared policy and a transaction's own bytes. Custody asks it before a
transaction is numbered and signed; the signer process asks it again through `PolicyGuard`, from the bytes it is given,
without believing what custody says they mean.
"""

from __future__ import annotations

import hashlib
from typing import Final

from custody.calls import DecodedCall, decode_call
from custody.policy.decision import Decision, Spent
from custody.policy.proposal import Proposal, parties_of
from custody.policy.settings import AssetLimits, PolicySettings
from domain import Address, Refused, native_asset

_DAY_S: Final = 24 * 3600


class Policy:
    """Evaluates proposals against one chain's settings. Holds no state: velocity is told through `spent`."""

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self._digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
        self._methods = {contract.address: contract.methods for contract in settings.contracts}

    def parties(self, proposal: Proposal) -> frozenset[Address]:
        """Everyone a proposal deals with, for screening. Raises as `evaluate` does for calls nobody can read."""
        return parties_of(proposal, self._decode(proposal))

    def evaluate(self, proposal: Proposal, *, spent: Spent, now_s: int | None = None) -> Decision:
        """Approve, or raise.

        Args:
            proposal: What would be signed.
            spent: Of rolling windows, without this proposal.
            now_s: The chain's time; None where it is not known (the signer process), which leaves the deadline's
                distance to custody.

        Raises:
            Refused: `rule` names the first rule that said no.
        """
        settings = self.settings
        if proposal.chain_id != settings.chain_id:
            raise Refused(f"this policy is for chain {settings.chain_id}, not {proposal.chain_id}", rule="chain")
        call = self._decode(proposal)
        self._check_place(proposal, call)
        if call is not None:
            self._check_deadline(call, now_s)
            for token, raw in call.approves.items():
                self._check_approval(self._token_id(token), raw, call.spender)
        spends = self._spends(proposal, call)
        for asset, raw in spends.items():
            self._check_spend(asset, raw, spent)
        return Decision(
            rules=("settings",),
            requirements=(),
            delay_s=0,
            policy_version=0,
            policy_digest=self._digest,
            spends=spends,
            counts=spends,
            call=call,
            addresses=parties_of(proposal, call),
        )

    def check_fees(self, *, gas_limit: int, fee_per_gas_wei: int) -> None:
        """Bound what a transaction may pay for being mined.

        Raises:
            Refused: Rule `gas-limit` or `fee-cap`.
        """
        settings = self.settings
        if gas_limit > settings.gas_limit_max:
            raise Refused(f"gas limit {gas_limit} exceeds {settings.gas_limit_max}", rule="gas-limit")
        if fee_per_gas_wei > settings.fee_per_gas_wei_max:
            raise Refused(
                f"{fee_per_gas_wei} wei per gas exceeds the cap of {settings.fee_per_gas_wei_max}", rule="fee-cap"
            )
        if gas_limit * fee_per_gas_wei > settings.gas_cost_wei_max:
            raise Refused(
                f"gas may cost {gas_limit * fee_per_gas_wei} wei, the cap is {settings.gas_cost_wei_max}",
                rule="fee-cap",
            )

    def _decode(self, proposal: Proposal) -> DecodedCall | None:
        return decode_call(proposal.sender, proposal.to, proposal.data) if proposal.data else None

    def _check_place(self, proposal: Proposal, call: DecodedCall | None) -> None:
        """The contract, its method, coins sent along, and whoever receives something."""
        if call is None:
            self._check_recipient(proposal, proposal.to)
            return
        if proposal.to not in self._methods:
            raise Refused(f"contract {proposal.to} is not allow-listed", rule="contract")
        if call.method not in self._methods[proposal.to]:
            raise Refused(f"{call.method} is not allow-listed for contract {proposal.to}", rule="method")
        if proposal.value_wei:
            raise Refused(f"{call.method} takes no coins, {proposal.value_wei} wei are sent along", rule="value")
        if call.recipient is not None:
            self._check_recipient(proposal, call.recipient)

    def _check_recipient(self, proposal: Proposal, recipient: Address) -> None:
        if recipient != proposal.sender and recipient not in self.settings.recipients:
            raise Refused(f"recipient {recipient} is neither the sender nor allow-listed", rule="recipient")

    def _check_deadline(self, call: DecodedCall, now_s: int | None) -> None:
        if not call.receives_min:
            return
        if call.deadline_s == 0:
            raise Refused("a swap needs a deadline", rule="deadline")
        if now_s is not None and not now_s < call.deadline_s <= now_s + self.settings.deadline_s_max:
            raise Refused(
                f"deadline {call.deadline_s} is not within {self.settings.deadline_s_max} s after {now_s}",
                rule="deadline",
            )
        if any(raw == 0 for raw in call.receives_min.values()):
            raise Refused("a swap needs a least amount to receive", rule="slippage")

    def _check_approval(self, asset: str, raw: int, spender: Address | None) -> None:
        if spender not in self.settings.spenders:
            raise Refused(f"spender {spender} is not allow-listed", rule="spender")
        limit = self._limits(asset).approval_raw
        if raw > limit:
            raise Refused(f"an allowance of {raw} {asset} exceeds {limit}", rule="approval-limit")

    def _check_spend(self, asset: str, raw: int, spent: Spent) -> None:
        limits = self._limits(asset)
        if raw > limits.per_transaction_raw:
            raise Refused(f"{raw} {asset} exceeds {limits.per_transaction_raw} per transaction", rule="amount")
        before = spent(asset, _DAY_S)
        if before + raw > limits.per_day_raw:
            raise Refused(
                f"{raw} {asset} after {before} in 24 hours exceeds {limits.per_day_raw} per day", rule="velocity"
            )

    def _spends(self, proposal: Proposal, call: DecodedCall | None) -> dict[str, int]:
        if call is None:
            return {native_asset(proposal.chain_id).id: proposal.value_wei}
        return {self._token_id(token): raw for token, raw in call.spends.items()}

    def _limits(self, asset: str) -> AssetLimits:
        limits = self.settings.assets.get(asset)
        if limits is None:
            raise Refused(f"asset {asset} is not listed", rule="asset")
        return limits

    def _token_id(self, token: Address) -> str:
        return f"eip155:{self.settings.chain_id}/erc20:{token}"
