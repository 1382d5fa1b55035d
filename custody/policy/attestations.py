"""Facts a signer cannot know by itself, as statements that services have signed (Ed25519).

A statement says what it is about: a price names its asset and its time, a verdict its address, a simulation the digest
of the very transaction. Whoever asks for a signature passes statements on and cannot change them. What is stale, signed
by somebody else, or about something else is not there: the fact is unknown, and unknown is a no.

    {"fact": "usd-price", "at_s": 1764000000, "attester": "ed25519:…",
     "asset": "eip155:1/slip44:60", "usd_micro": "2500000000", "signature": "…"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custody.policy.action import Proposal
from custody.policy.facts import Facts, Price, Screened, Simulation
from custody.policy.rulebook import canonical_json
from custody.policy.schema import PolicyDocument
from domain import Address, InputError

_TAG: Final = b"capstan/attestation/v1\n"
_SUBJECT_TAG: Final = b"capstan/subject/v1\n"
_STATEMENTS_MAX: Final = 256
_SKEW_S: Final = 30

_FIELDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "usd-price": frozenset({"asset", "usd_micro"}),
        "aml": frozenset({"address", "verdict", "risk"}),
        "first-seen": frozenset({"address", "first_seen_s"}),
        "balances": frozenset({"address", "balances"}),
        "simulation": frozenset({"subject", "changes", "allowances"}),
        "initiator": frozenset({"subject", "person"}),
    }
)
"""`initiator` is signed by the person, not by a service."""
_FRAME: Final = frozenset({"fact", "at_s", "attester", "signature"})


def subject_of(proposal: Proposal) -> str:
    """Name a transaction by what it does, as hex: SHA-256 over chain, sender, recipient, value and data. No fees."""
    what = {
        "chain_id": str(proposal.chain_id),
        "sender": proposal.sender,
        "to": proposal.to,
        "value_wei": str(proposal.value_wei),
        "data": "0x" + proposal.data.hex(),
    }
    return hashlib.sha256(_SUBJECT_TAG + canonical_json(what)).hexdigest()


def attest(key: Ed25519PrivateKey, fact: str, at_s: int, **fields: Any) -> dict[str, Any]:
    """Sign a statement; amounts are decimal text.

    Raises:
        InputError: Not the fields of that fact.
    """
    wanted = _FIELDS.get(fact, frozenset())
    if not wanted or fields.keys() != wanted:
        raise InputError(f"a statement about {fact} has the fields {', '.join(sorted(wanted))}")
    attester = f"ed25519:{key.public_key().public_bytes_raw().hex()}"
    statement = {"fact": fact, "at_s": at_s, "attester": attester, **fields}
    return {**statement, "signature": key.sign(_TAG + canonical_json(statement)).hex()}


def attested_facts(
    statements: Any, document: PolicyDocument, *, known: Facts, now_s: int, subject: str, sender: Address
) -> Facts:
    """Add what the document's attesters say to what is known. All other statements are passed over.

    Of two statements about the same thing the later counts.
    """
    prices: dict[str, Price] = {}
    screened: dict[str, Screened] = {}
    first_seen_s: dict[str, int] = {}
    found = known
    for statement in sorted(_genuine(statements, document, now_s), key=lambda s: int(s["at_s"])):
        try:
            match statement["fact"]:
                case "usd-price":
                    prices[_text(statement["asset"])] = Price(_count(statement["usd_micro"]), statement["at_s"])
                case "aml":
                    screened[_text(statement["address"])] = Screened(
                        _text(statement["verdict"]), int(_count(str(statement["risk"])))
                    )
                case "first-seen":
                    first_seen_s[_text(statement["address"])] = _count(str(statement["first_seen_s"]))
                case "balances" if statement["address"] == sender:
                    held = {_text(asset): _count(raw) for asset, raw in statement["balances"].items()}
                    found = replace(found, balances=held)
                case "simulation" if statement["subject"] == subject:
                    found = replace(found, simulation=_simulation(statement))
        except (TypeError, ValueError, AttributeError):
            continue  # signed, but of another form than this release reads
    return replace(found, prices=prices, screened=screened, first_seen_s=first_seen_s)


def attested_initiator(statements: Any, document: PolicyDocument, *, person: str, subject: str, now_s: int) -> bool:
    """Whether a person has signed for having asked for a transaction, within the last day."""
    known = document.people.get(person)
    return known is not None and any(
        statement["fact"] == "initiator"
        and statement["person"] == person
        and statement["subject"] == subject
        and statement["attester"] in known.keys
        for statement in _signed(statements, lambda s: s["at_s"] >= now_s - 86_400 and s["at_s"] <= now_s + _SKEW_S)
    )


def _genuine(statements: Any, document: PolicyDocument, now_s: int) -> Iterable[Mapping[str, Any]]:
    ages = {
        (attester.key, fact): attester.max_age for attester in document.attesters.values() for fact in attester.facts
    }

    def is_wanted(statement: Mapping[str, Any]) -> bool:
        max_age = ages.get((statement["attester"], statement["fact"]))
        return max_age is not None and -_SKEW_S <= now_s - statement["at_s"] <= max_age

    return _signed(statements, is_wanted)


def _signed(statements: Any, is_wanted: Callable[[Mapping[str, Any]], bool]) -> Iterable[Mapping[str, Any]]:
    if not isinstance(statements, list):
        return
    for statement in statements[:_STATEMENTS_MAX]:
        if _is_formed(statement) and is_wanted(statement) and _verifies(statement):
            yield statement


def _is_formed(statement: Any) -> bool:
    return (
        isinstance(statement, Mapping)
        and isinstance(statement.get("fact"), str)
        and set(statement) == _FRAME | _FIELDS.get(statement["fact"], _FRAME)
        and type(statement["at_s"]) is int
        and isinstance(statement["attester"], str)
        and isinstance(statement["signature"], str)
    )


def _verifies(statement: Mapping[str, Any]) -> bool:
    kind, _, key = statement["attester"].partition(":")
    if kind != "ed25519":
        return False
    said = {name: value for name, value in statement.items() if name != "signature"}
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(statement["signature"]), _TAG + canonical_json(said))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _simulation(statement: Mapping[str, Any]) -> Simulation:
    changes = {_text(asset): _integer(raw) for asset, raw in statement["changes"].items()}
    allowances = frozenset((_text(asset), Address(_text(spender))) for asset, spender in statement["allowances"])
    return Simulation(changes, allowances)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 78:
        raise ValueError("expected decimal digits")
    return int(value)


def _integer(value: Any) -> int:
    negative = isinstance(value, str) and value.startswith("-")
    return -_count(value[1:]) if negative else _count(value)
