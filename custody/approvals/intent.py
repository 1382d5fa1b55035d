"""What is approved: one canonical text for one intent, its words for a person, and the digest over both.

The digest is SHA-256 over a domain tag, the canonical intent and the rendered text, each of the last two preceded by
its length in eight bytes (big-endian), so that no byte of one can be read as a byte of the other. Rejecting has a tag
of its own: a signature of one kind never counts as the other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from chain import checksum
from custody.clear_signing import Names, date_text, escape, render_call, render_document
from domain import Address, InputError, Refused
from wallets import TransactionToSign
from wallets.transactions import authority_of

_VERSION: Final = 1
_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_NAME: Final = re.compile(r"[A-Za-z0-9._:@/+\-]{1,64}")
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,77})(\.[0-9]{0,35}[1-9])?")
_EVM: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_INT_MAX: Final = 1 << 256


class Verdict(StrEnum):
    """What somebody signs about an intent."""

    APPROVE = "approve"
    REJECT = "reject"


class ApprovalState(StrEnum):
    """How far an intent's approvals have come."""

    PENDING = "pending"
    MET = "met"
    REJECTED = "rejected"
    """Somebody who may approve said no: it ends here."""
    EXPIRED = "expired"
    """Its time is over, or another policy is active than the approvals name: they count no more."""


_TAGS: Final = MappingProxyType(
    {Verdict.APPROVE: b"capstan/approve/v1\n", Verdict.REJECT: b"capstan/reject/v1\n"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """An account that runs a contract's code from now on (EIP-7702)."""

    account: Address
    delegate: Address
    nonce: int

    def __post_init__(self) -> None:
        _number("nonce", self.nonce)
        _checksummed(self.account, self.delegate)

    def to_document(self) -> dict[str, str]:
        """Give JSON-ready fields."""
        return {"account": self.account, "delegate": self.delegate, "nonce": str(self.nonce)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCall:
    """A transaction's effects, with what it may cost at most. The nonce is not known yet when people approve."""

    chain_id: int
    sender: Address
    to: Address
    value_wei: int
    data: bytes
    gas_limit: int
    """Most gas the transaction may use."""
    fee_per_gas_wei_max: int
    """Most it may pay for one unit of gas, fee bumps included."""
    delegations: tuple[Delegation, ...] = ()

    def __post_init__(self) -> None:
        for what in ("chain_id", "value_wei", "gas_limit", "fee_per_gas_wei_max"):
            _number(what, getattr(self, what))
        _checksummed(self.sender, self.to)

    @classmethod
    def of(cls, sender: Address, tx: TransactionToSign) -> ChainCall:
        """Read what a transaction is about from itself; its own fees stand for the caps."""
        return cls(
            chain_id=tx.chain_id,
            sender=sender,
            to=tx.to,
            value_wei=tx.value_wei,
            data=tx.data,
            gas_limit=tx.gas_limit,
            fee_per_gas_wei_max=tx.fee_ceiling_per_gas_wei,
            delegations=tuple(
                Delegation(
                    account=authority_of(signed),
                    delegate=signed.authorization.delegate,
                    nonce=signed.authorization.nonce,
                )
                for signed in tx.authorizations
            ),
        )

    def to_document(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {
            "kind": "transaction",
            "chain_id": str(self.chain_id),
            "sender": self.sender,
            "to": self.to,
            "value_wei": str(self.value_wei),
            "data": "0x" + self.data.hex(),
            "gas_limit": str(self.gas_limit),
            "fee_per_gas_wei_max": str(self.fee_per_gas_wei_max),
            "delegations": [delegation.to_document() for delegation in self.delegations],
        }

    def render(self, names: Names) -> tuple[str, ...]:
        """Say what it does and what it may cost, in lines."""
        *lines, warnings = _split_warnings(
            render_call(
                chain_id=self.chain_id,
                sender=self.sender,
                to=self.to,
                value_wei=self.value_wei,
                data=self.data,
                names=names,
            )
        )
        fees = names.coins(self.chain_id, self.gas_limit * self.fee_per_gas_wei_max)
        return (
            *lines,
            *(line for each in self.delegations for line in _delegation_lines(each, self.chain_id, names)),
            f"From:          {names.address(self.chain_id, self.sender)}",
            f"Chain:         {names.chain(self.chain_id)}",
            f"Network fee:   at most {fees}",
            *warnings,
            *(f"WARNING: {each.delegate} may do anything with {each.account}" for each in self.delegations),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A signature by which an account runs a contract's code (EIP-7702), whoever sends it to the chain."""

    chain_id: int
    delegation: Delegation

    def __post_init__(self) -> None:
        _number("chain_id", self.chain_id)

    def to_document(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {"kind": "authorization", "chain_id": str(self.chain_id), "delegation": self.delegation.to_document()}

    def render(self, names: Names) -> tuple[str, ...]:
        """Say who will run whose code, in lines."""
        if self.chain_id == 0:
            raise Refused("an authorization for chain id 0 would hold on every chain", rule="any-chain")
        return (
            "Action:        Sign: run a contract's code as this account",
            *_delegation_lines(self.delegation, self.chain_id, names),
            f"Chain:         {names.chain(self.chain_id)}",
            f"WARNING: {self.delegation.delegate} may do anything with {self.delegation.account}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedDocument:
    """A document to sign (EIP-712): a permit, a Safe's transaction. `document` is kept as canonical JSON."""

    signer: Address
    document: str

    def __post_init__(self) -> None:
        _checksummed(self.signer)

    @classmethod
    def of(cls, signer: Address, document: Mapping[str, Any]) -> TypedDocument:
        """Write a document down in its one form.

        Raises:
            InputError: It holds something that JSON does not.
        """
        try:
            return cls(signer=signer, document=_canonical(dict(document)).decode())
        except TypeError as exc:
            raise InputError("a document to sign is plain JSON, bytes as 0x-hex") from exc

    def to_document(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {"kind": "typed-data", "signer": self.signer, "document": self.document}

    def render(self, names: Names) -> tuple[str, ...]:
        """Say what a signature of it permits, in lines."""
        document = json.loads(self.document)
        *lines, warnings = _split_warnings(render_document(signer=self.signer, document=document, names=names))
        chain_id = int(document["domain"]["chainId"])
        return (
            *lines,
            f"Signed by:     {names.address(chain_id, self.signer)}",
            f"Chain:         {names.chain(chain_id)}",
            *warnings,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeWithdrawal:
    """A withdrawal from an exchange to an address."""

    venue: str
    asset: str
    """The exchange's code: `USDC`."""
    amount: str
    """Plain decimal text without trailing zeros: `1500.25`."""
    address: str
    network: str
    """The exchange's name of the network: `ETH`, `ARBITRUM`."""
    memo: str = ""

    def __post_init__(self) -> None:
        if not _AMOUNT.fullmatch(self.amount):
            raise InputError(f"an amount is plain decimal text without trailing zeros, found {self.amount!r}")
        for what in ("venue", "asset", "network"):
            _word(what, getattr(self, what))
        if not _ID.fullmatch(self.address) or (self.memo and not _ID.fullmatch(self.memo)):
            raise InputError("an address or memo is printable ASCII without blanks, at most 128 characters")

    def to_document(self) -> dict[str, str]:
        """Give JSON-ready fields."""
        return {
            "kind": "exchange-withdrawal",
            "venue": self.venue,
            "asset": self.asset,
            "amount": self.amount,
            "address": self.address,
            "network": self.network,
            "memo": self.memo,
        }

    def render(self, names: Names) -> tuple[str, ...]:
        """Say what is withdrawn whither, in lines."""
        on_evm = checksum(self.address) if _EVM.fullmatch(self.address) else None
        known = names.name_of(0, on_evm) if on_evm else None
        if on_evm and known is None and (twin := names.look_alike(0, on_evm)):
            raise Refused(
                f"{self.address} is unknown and looks like {escape(names.name_of(0, twin) or '')} ({twin})",
                rule="look-alike",
            )
        named = f"{escape(known)} ({self.address})" if known else self.address
        lines = [
            f"Action:        Withdraw from {escape(self.venue)}",
            f"Amount:        {self.amount} {escape(self.asset)}",
            f"Recipient:     {named}",
            f"Network:       {escape(self.network)}",
        ]
        if self.memo:
            lines.append(f"Memo:          {self.memo}")
        if known is None:
            lines.append(f"WARNING: {self.address} is not in the address book")
        return tuple(lines)


Subject = ChainCall | ExchangeWithdrawal | TypedDocument | Authorization


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalIntent:
    """Everything an approver says yes to."""

    intent_id: str
    """Chosen before planning; one intent is signed under one nonce and executed at most once."""
    vault: str
    initiator: str
    """Who asked for it, a person or a program; cannot approve."""
    subject: Subject
    expires_s: int
    """Unix seconds after which no approval counts."""
    policy_version: int
    policy_digest: str

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.intent_id):
            raise InputError(f"an intent id is printable ASCII without blanks, found {self.intent_id!r}")
        _word("vault", self.vault)
        _word("initiator", self.initiator)
        _number("expires_s", self.expires_s)
        _number("policy_version", self.policy_version)
        if not _DIGEST.fullmatch(self.policy_digest):
            raise InputError("a policy digest is 64 hex digits")

    def to_document(self) -> dict[str, Any]:
        """Give JSON-ready fields: integers as decimal text, bytes as 0x-hex."""
        return {
            "version": _VERSION,
            "intent_id": self.intent_id,
            "vault": self.vault,
            "initiator": self.initiator,
            "expires_s": str(self.expires_s),
            "policy_version": str(self.policy_version),
            "policy_digest": self.policy_digest,
            "subject": self.subject.to_document(),
        }

    @classmethod
    def from_document(cls, document: Any) -> CanonicalIntent:
        """Read what `to_document` gives, and nothing else.

        Raises:
            InputError: A field is missing, unknown, malformed or written otherwise than canonically.
        """
        try:
            subject = document["subject"]
            intent = cls(
                intent_id=document["intent_id"],
                vault=document["vault"],
                initiator=document["initiator"],
                subject=_subject(subject),
                expires_s=int(document["expires_s"]),
                policy_version=int(document["policy_version"]),
                policy_digest=document["policy_digest"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
            raise InputError(f"an intent cannot be read: {type(exc).__name__}") from exc
        if not _is_same(document, intent.to_document()):
            raise InputError("an intent is not written canonically")
        return intent

    def canonical(self) -> bytes:
        """Write the intent as canonical JSON: ASCII, sorted keys, no blanks."""
        return _canonical(self.to_document())

    def render(self, names: Names) -> str:
        """Write what approvers read.

        Raises:
            Refused: See `custody.clear_signing.render_call`.
        """
        *lines, warnings = _split_warnings(self.subject.render(names))
        return "\n".join(
            (
                *lines,
                f"Vault:         {self.vault}",
                f"Asked by:      {self.initiator}",
                f"Approve until: {date_text(self.expires_s)}",
                f"Policy:        version {self.policy_version}, {self.policy_digest}",
                f"Intent:        {self.intent_id}",
                *warnings,
                "",
            )
        )


def digest_of(intent: CanonicalIntent, text: str, verdict: Verdict = Verdict.APPROVE) -> bytes:
    """Hash what an approver signs: see the module's text."""
    hasher = hashlib.sha256(_TAGS[verdict])
    for part in (intent.canonical(), text.encode()):
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _is_same(given: Any, expected: Any) -> bool:
    """Compare JSON values, types included (True is not 1), going no deeper than the expected one goes.

    Whoever sends a document decides how deep it is; writing it as JSON to compare could exhaust the stack.
    """
    if type(given) is not type(expected):
        return False
    if isinstance(expected, dict):
        return given.keys() == expected.keys() and all(_is_same(given[key], each) for key, each in expected.items())
    if isinstance(expected, list):
        return len(given) == len(expected) and all(map(_is_same, given, expected))
    return bool(given == expected)


def _subject(document: Mapping[str, Any]) -> Subject:
    if document["kind"] == "typed-data":
        return TypedDocument(signer=document["signer"], document=document["document"])
    if document["kind"] == "authorization":
        return Authorization(chain_id=int(document["chain_id"]), delegation=_delegation(document["delegation"]))
    if document["kind"] == "exchange-withdrawal":
        return ExchangeWithdrawal(
            venue=document["venue"],
            asset=document["asset"],
            amount=document["amount"],
            address=document["address"],
            network=document["network"],
            memo=document["memo"],
        )
    return ChainCall(
        chain_id=int(document["chain_id"]),
        sender=document["sender"],
        to=document["to"],
        value_wei=int(document["value_wei"]),
        data=bytes.fromhex(document["data"].removeprefix("0x")),
        gas_limit=int(document["gas_limit"]),
        fee_per_gas_wei_max=int(document["fee_per_gas_wei_max"]),
        delegations=tuple(map(_delegation, document["delegations"])),
    )


def _delegation(document: Mapping[str, Any]) -> Delegation:
    return Delegation(account=document["account"], delegate=document["delegate"], nonce=int(document["nonce"]))


def _delegation_lines(delegation: Delegation, chain_id: int, names: Names) -> tuple[str, ...]:
    return (
        f"Account:       {names.address(chain_id, delegation.account)}",
        f"Runs code of:  {names.address(chain_id, delegation.delegate)}",
        f"At its nonce:  {delegation.nonce}",
    )


def _split_warnings(lines: tuple[str, ...]) -> list[Any]:
    """Give the lines, then the list of those that are warnings: these come last whatever is added."""
    warnings = [line for line in lines if line.startswith("WARNING: ")]
    return [*(line for line in lines if not line.startswith("WARNING: ")), warnings]


def _checksummed(*addresses: Any) -> None:
    for address in addresses:
        if not isinstance(address, str) or checksum(address) != address:
            raise InputError(f"not an EIP-55 checksummed address: {address!r}")


def _word(what: str, text: Any) -> None:
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise InputError(f"{what} is 1 to 64 letters, digits or ._:@/+-, found {text!r}")


def _number(what: str, value: Any) -> None:
    if type(value) is not int or not 0 <= value < _INT_MAX:
        raise InputError(f"{what} must be an integer within 0..2**256-1, found {value!r}")
