"""Approvers of tests: people with keys, a policy bundle that lists them, and intents to ask them about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain import keccak256
from chain.keccak import checksum
from custody.approvals import CanonicalIntent, ChainCall, ExchangeWithdrawal, Groups, key_text
from custody.clear_signing import ChainName, Names, TokenName
from custody.policy import Decision, Requirement
from domain import Address


def key_of(name: str) -> Ed25519PrivateKey:
    """A key of its own for each name, the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def address_of(name: str) -> Address:
    """An address for each name."""
    return checksum("0x" + keccak256(name.encode())[12:].hex())


USDC = checksum("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
VAULT = address_of("vault")
PARTNER = address_of("partner")
NAMES = Names(
    chains={1: ChainName("Ethereum", "ETH")},
    tokens={(1, USDC): TokenName("USDC", 6)},
    addresses={(0, PARTNER): "Partner Ltd", (0, VAULT): "Hot vault"},
)


@dataclass(frozen=True)
class Bundle:
    """What approvals see of a policy bundle."""

    version: int = 7
    digest: str = hashlib.sha256(b"bundle").hexdigest()
    groups: Groups = field(
        default_factory=lambda: groups_of(operators=("alice", "bob", "carol"), treasurers=("alice", "dave"))
    )
    names: Names = NAMES


def groups_of(**members: tuple[str, ...]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Groups of people with one key each."""
    return {group: {name: (key_text(key_of(name).public_key()),) for name in names} for group, names in members.items()}


def transfer_data(recipient: str, raw: int) -> bytes:
    """Calldata of an ERC-20 transfer."""
    return bytes.fromhex("a9059cbb" + recipient[2:].lower().rjust(64, "0") + f"{raw:064x}")


CALL = ChainCall(
    chain_id=1,
    sender=VAULT,
    to=USDC,
    value_wei=0,
    data=transfer_data(PARTNER, 1_500_000_000),
    gas_limit=100_000,
    fee_per_gas_wei_max=50 * 10**9,
)
WITHDRAWAL = ExchangeWithdrawal(venue="binance", asset="USDC", amount="1500.25", address=PARTNER, network="ETH")


def intent(bundle: Bundle | None = None, **changes: Any) -> CanonicalIntent:
    """An intent to send 1,500 USDC, asked for by erin, until second 2,000."""
    bundle = bundle or Bundle()
    fields: Mapping[str, Any] = {
        "intent_id": "w-1",
        "vault": "hot",
        "initiator": "erin",
        "subject": CALL,
        "expires_s": 2_000,
        "policy_version": bundle.version,
        "policy_digest": bundle.digest,
    }
    return CanonicalIntent(**(dict(fields) | changes))


def decision(*requirements: Requirement, bundle: Bundle | None = None) -> Decision:
    """A yes under conditions."""
    bundle = bundle or Bundle()
    return Decision(
        rules=("large",),
        requirements=requirements,
        delay_s=0,
        policy_version=bundle.version,
        policy_digest=bundle.digest,
        spends={},
        counts={},
        call=None,
        addresses=frozenset(),
    )


def need(count: int, group: str = "operators") -> Requirement:
    """So many of a group."""
    return Requirement(group=group, count=count, rule="large")


__all__ = ["CALL", "NAMES", "PARTNER", "USDC", "VAULT", "WITHDRAWAL", "Bundle", "address_of", "decision", "groups_of"]
__all__ += ["intent", "key_of", "need", "replace", "transfer_data"]
