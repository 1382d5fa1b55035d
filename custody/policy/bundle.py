"""A policy that administrators have signed, and the rules by which one follows another.

Who the administrators are, and how many of them it takes, is pinned in the configuration of each process: no policy
changes that. A signature is over the document's digest, its version and the time of signing. Versions only rise. A
successor must be dated at least the present document's `min_delay` after it was signed, and each process counts that
delay once more from when it first saw it: signatures that were dated back gain nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from custody.policy.references import instant_s
from custody.policy.rulebook import Rulebook, canonical_json, parse_yaml, rulebook_of
from domain import InputError, Refused

_TAG: Final = b"capstan/policy-bundle/v1\n"
_FORMAT: Final = 1
_BYTES_MAX: Final = 16 * 1024 * 1024
_SKEW_S: Final = 300


@dataclass(frozen=True, slots=True)
class Admins:
    """Who may change the policy: so many of these."""

    threshold: int
    keys: Mapping[str, str]
    """Name → `ed25519:<64 hex digits>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSignature:
    """One administrator's signature."""

    admin: str
    """The key, as the pinned list has it."""
    signed_s: int
    signature: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A document with the signatures it has so far."""

    rulebook: Rulebook
    signatures: tuple[AdminSignature, ...]

    @property
    def activates_s(self) -> int:
        """When the document wants to become active, in Unix seconds."""
        return instant_s(self.rulebook.document.activates_at)

    def to_json(self) -> str:
        """Write the file."""
        return json.dumps(
            {
                "bundle": _FORMAT,
                "policy": self.rulebook.data,
                "signatures": [
                    {"admin": s.admin, "signed_s": s.signed_s, "signature": s.signature} for s in self.signatures
                ],
            },
            indent=1,
        )


def load_admins(path: Path) -> Admins:
    """Read the pinned administrators: YAML with `threshold` and `admins` (name → key).

    Raises:
        InputError: Unreadable, or a quorum that cannot be.
    """
    data = parse_yaml(_read(path), str(path))
    threshold, keys = data.get("threshold"), data.get("admins")
    if set(data) != {"threshold", "admins"} or type(threshold) is not int or not isinstance(keys, dict):
        raise InputError(f"{path} needs `threshold` and `admins`, and nothing else")
    for name, key in keys.items():
        _public(key, f"{path}: {name}")
    if len(set(keys.values())) != len(keys):
        raise InputError(f"{path}: two administrators share a key")
    if not 1 <= threshold <= len(keys):
        raise InputError(f"{path}: {threshold} of {len(keys)} administrators is no quorum")
    return Admins(threshold, {str(name): str(key) for name, key in keys.items()})


def sign_bundle(bundle: Bundle, key: Ed25519PrivateKey, *, now_s: int) -> Bundle:
    """Add an administrator's signature, in the place of an earlier one of the same key."""
    admin = f"ed25519:{key.public_key().public_bytes_raw().hex()}"
    signature = AdminSignature(admin=admin, signed_s=now_s, signature=key.sign(_signed(bundle.rulebook, now_s)).hex())
    others = tuple(other for other in bundle.signatures if other.admin != admin)
    return Bundle(bundle.rulebook, (*others, signature))


def add_signature(bundle: Bundle, signature: AdminSignature, admins: Admins) -> Bundle:
    """Add what an administrator has signed elsewhere, in the place of an earlier one of the same key.

    Raises:
        Refused: Rule `policy-signature`: it is nobody's who may change the policy, or not over this document.
    """
    if signature.admin not in admins.keys.values() or not _verifies(bundle.rulebook, signature):
        raise Refused(
            f"not an administrator's signature over version {bundle.rulebook.version} and its moment",
            rule="policy-signature",
            hint="`capstan policy sign` writes one; docs/policy.md says over what",
        )
    others = tuple(other for other in bundle.signatures if other.admin != signature.admin)
    return Bundle(bundle.rulebook, (*others, signature))


def read_bundle(text: str, what: str = "policy bundle") -> Bundle:
    """Read a bundle. Its signatures are not verified; `check_quorum` does that.

    Raises:
        InputError: Not a bundle, or its document is not sound.
    """
    try:
        if len(text) > _BYTES_MAX:
            raise ValueError
        data = json.loads(text, object_pairs_hook=_once)
        if set(data) != {"bundle", "policy", "signatures"} or data["bundle"] != _FORMAT:
            raise ValueError
        signatures = tuple(
            AdminSignature(admin=str(s["admin"]), signed_s=int(s["signed_s"]), signature=str(s["signature"]))
            for s in data["signatures"]
        )
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise InputError(f"{what} is not a policy bundle of format {_FORMAT}") from exc
    return Bundle(rulebook_of(data["policy"], what), signatures)


def load_bundle(path: Path) -> Bundle:
    """Read a bundle from a file. Raises as `read_bundle`."""
    return read_bundle(_read(path), str(path))


def check_quorum(bundle: Bundle, admins: Admins) -> int:
    """Verify the signatures; return when the last of them was made, in Unix seconds.

    Raises:
        Refused: Rule `policy-quorum`: fewer administrators than it takes have signed this very document.
    """
    times: dict[str, int] = {}
    for signature in bundle.signatures:
        if signature.admin in admins.keys.values() and _verifies(bundle.rulebook, signature):
            times[signature.admin] = max(signature.signed_s, times.get(signature.admin, 0))
    if len(times) < admins.threshold:
        raise Refused(
            f"policy version {bundle.rulebook.version} has {len(times)} valid signatures of administrators,"
            f" {admins.threshold} are needed",
            rule="policy-quorum",
        )
    return max(times.values())


def check_successor(bundle: Bundle, *, signed_s: int, highest: int, current: Rulebook | None, now_s: int) -> None:
    """Demand that a bundle may follow what is active.

    Args:
        bundle: With a verified quorum.
        signed_s: What `check_quorum` gave.
        highest: The highest version that was ever accepted here; 0 for none.
        current: The active document.
        now_s: Unix seconds.

    Raises:
        Refused: `policy-version` for one that is not above `highest`, `policy-delay` for one that is dated too early,
            `policy-time` for signatures from the future.
    """
    version = bundle.rulebook.version
    if version <= highest:
        raise Refused(
            f"policy version {version} is not above {highest}, which was accepted before", rule="policy-version"
        )
    if signed_s > now_s + _SKEW_S:
        raise Refused(f"policy version {version} is signed in the future", rule="policy-time")
    delay_s = 0 if current is None else current.document.min_delay
    if delay_s and bundle.activates_s < signed_s + delay_s:
        raise Refused(
            f"policy version {version} is dated {bundle.rulebook.document.activates_at or 'at once'}, less than"
            f" {delay_s} s after it was signed",
            rule="policy-delay",
            hint="set activates_at later, and sign again",
        )


def effective_s(bundle: Bundle, *, seen_s: int, current: Rulebook | None) -> int:
    """When a bundle becomes active at a process that saw it first at `seen_s`."""
    delay = 0 if current is None else current.document.min_delay
    return max(bundle.activates_s, seen_s + delay if delay else 0)


def _signed(rulebook: Rulebook, signed_s: int) -> bytes:
    return _TAG + canonical_json({"digest": rulebook.digest, "version": rulebook.version, "signed_s": signed_s})


def _verifies(rulebook: Rulebook, signature: AdminSignature) -> bool:
    try:
        _public(signature.admin, "administrator").verify(
            bytes.fromhex(signature.signature), _signed(rulebook, signature.signed_s)
        )
    except (InvalidSignature, ValueError, InputError):
        return False
    return True


def _public(text: Any, what: str) -> Ed25519PublicKey:
    kind, _, digits = text.partition(":") if isinstance(text, str) else ("", "", "")
    try:
        if kind != "ed25519" or len(digits) != 64 or digits != digits.lower():
            raise ValueError
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits))
    except ValueError as exc:
        raise InputError(f"{what}: a key is written ed25519:<64 hex digits>") from exc


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key is there twice")
    return data


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
