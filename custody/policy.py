"""The policy: what may leave a vault. Deny by default; every rule is a no that something must not have.

The evaluator is a pure function of a declared policy and a transaction's own bytes. Custody asks it before a
transaction is numbered and signed; the signer process asks it again through `PolicyGuard`, from the bytes it is given,
without believing what custody says they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from chain import parse_address
from custody.calls import DecodedCall, decode_call, known_methods
from domain import Address, Amount, ChainId, InputError, Refused, native_asset
from domain.plans import TransactionPlan
from runtime import SettingsPart

VELOCITY_WINDOW_NS: Final = 24 * 3600 * 10**9

Spent = Callable[[str], int]
"""How much of an asset (asset id, raw units) the vault has been allowed to spend in the last 24 hours."""


def _raw(value: Any) -> Any:
    # TOML integers end at 64 bits, so wide amounts are written as text; underscores group digits as in TOML.
    if isinstance(value, str):
        digits = value.replace("_", "")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 78:
            raise ValueError("expected a raw amount: decimal digits")
        return int(digits)
    return value


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


def _methods(names: frozenset[str]) -> frozenset[str]:
    if unknown := names - known_methods():
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known_methods()))}")
    return names


RawLimit = Annotated[int, BeforeValidator(_raw), Field(ge=0, lt=1 << 256)]
PolicyAddress = Annotated[Address, AfterValidator(_address)]


class AssetLimits(SettingsPart):
    """Limits of one asset, in raw units. What is not given is 0: nothing."""

    per_transaction_raw: RawLimit = 0
    per_day_raw: RawLimit = 0
    """In any 24 hours, over all that was approved and not refused later."""
    approval_raw: RawLimit = 0
    """The largest allowance a spender may be given."""


class AllowedContract(SettingsPart):
    """A contract that may be called, and how."""

    address: PolicyAddress
    methods: Annotated[frozenset[str], AfterValidator(_methods)]


class PolicySettings(SettingsPart):
    """The rules of one chain's vaults. The defaults allow nothing."""

    chain_id: int = Field(gt=0)
    assets: Mapping[str, AssetLimits] = Field(default_factory=dict)
    """By asset id: `eip155:1337/erc20:0x…`, `eip155:1337/slip44:60`."""
    contracts: tuple[AllowedContract, ...] = ()
    recipients: tuple[PolicyAddress, ...] = ()
    """Who may receive proceeds, transfers and coins, besides the sender itself."""
    spenders: tuple[PolicyAddress, ...] = ()
    """Who may be given an allowance."""
    gas_limit_max: int = Field(default=1_000_000, gt=0)
    fee_per_gas_wei_max: RawLimit = 500 * 10**9
    gas_cost_wei_max: RawLimit = 10**17
    """Gas limit times fee ceiling: the most one transaction may cost."""
    deadline_s_max: int = Field(default=1800, gt=0)
    """How far ahead of the chain's time a swap's deadline may lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A transaction as policy sees it: its own bytes, no promises."""

    chain_id: ChainId
    sender: Address
    to: Address
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Approval:
    """A yes, with what it was given for."""

    spends: Mapping[str, int]
    """By asset id in raw units; counted against the daily limits."""
    call: DecodedCall | None
    """None for a plain transfer of the chain's coin."""
    addresses: frozenset[Address]
    """Everyone who takes part: what screening must see."""


class Policy:
    """Evaluates proposals against one chain's settings. Holds no state: velocity is told through `spent`."""

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self._methods = {contract.address: contract.methods for contract in settings.contracts}

    def parties(self, proposal: Proposal) -> frozenset[Address]:
        """Everyone a proposal deals with, for screening. Raises as `evaluate` does for calls nobody can read."""
        return _parties(proposal, self._decode(proposal))

    def evaluate(self, proposal: Proposal, *, spent: Spent, now_s: int | None = None) -> Approval:
        """Approve, or raise.

        Args:
            proposal: What would be signed.
            spent: Of the rolling window, without this proposal.
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
        return Approval(spends, call, _parties(proposal, call))

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
        before = spent(asset)
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


def _parties(proposal: Proposal, call: DecodedCall | None) -> frozenset[Address]:
    parties = {proposal.to}
    if call is not None:
        parties |= {address for address in (call.recipient, call.spender) if address is not None}
        parties |= call.spends.keys() | call.receives_min.keys()
    return frozenset(parties - {proposal.sender})


def check_promises(plan: TransactionPlan, approval: Approval) -> None:
    """Compare what a plan says it does with what its calldata does; they must be the same.

    Raises:
        Refused: Rule `broken-promise`, naming the first difference.
    """
    call = approval.call
    receives = call.receives_min if call is not None else {}
    approves = call.approves if call is not None else {}
    recipient = call.recipient if call is not None else plan.to
    named = plan.recipient or plan.sender
    if call is not None and call.spender is not None:
        # An approval's plan may name the spender as its recipient, or nobody.
        recipient, named = call.spender, plan.recipient or call.spender
    checks: tuple[tuple[str, object, object], ...] = (
        ("spends", _by_asset(plan.spends), dict(approval.spends)),
        ("receives at least", _by_asset(plan.receives_min), _by_token(plan, receives)),
        ("approves", _by_asset(plan.approves), _by_token(plan, approves)),
        ("deadline", plan.deadline_s, call.deadline_s if call is not None and receives else plan.deadline_s),
        ("recipient", named, recipient),
    )
    for what, promised, found in checks:
        if promised != found:
            raise Refused(
                f"{plan.intent_id}: the plan promises {what} {promised}, its calldata says {found}",
                rule="broken-promise",
            )


def _by_asset(amounts: tuple[Amount, ...]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for amount in amounts:
        totals[amount.asset.id] = totals.get(amount.asset.id, 0) + amount.raw
    return totals


def _by_token(plan: TransactionPlan, amounts: Mapping[Address, int]) -> dict[str, int]:
    return {f"eip155:{plan.chain_id}/erc20:{token}": raw for token, raw in amounts.items()}
