"""Documents to sign (EIP-712): permits, Safe transactions, user operations. A signature moves funds as a call does.

Types and domain must be exactly those of a known document; the values are read strictly and hashed here again, and the
hash must be the one that would be signed. So no library's leniency decides what a document means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from chain import checksum, keccak256
from custody.calls import user_operations
from custody.calls.canonical import Place, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, one
from custody.calls.permit2 import PERMIT2, allowances
from custody.calls.safe import read_safe_tx, safe_tx_hash
from domain import Address, InputError, Refused

_Fields = tuple[tuple[str, str], ...]
_DETAILS: Final[_Fields] = (("token", "address"), ("amount", "uint160"), ("expiration", "uint48"), ("nonce", "uint48"))
_PERMISSIONS: Final[_Fields] = (("token", "address"), ("amount", "uint256"))
_DOMAIN_FIELDS: Final = MappingProxyType(
    {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address", "salt": "bytes32"}
)


@dataclass(frozen=True, slots=True)
class DecodedDocument:
    """What a signature of a document permits."""

    chain_id: int
    contract: Address
    """Who will accept it."""
    call: DecodedCall
    """Its effects, as if `contract` were called by the signer; `method` is the document's primary type."""
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Document:
    primary: str
    domain: tuple[str, ...]
    types: Mapping[str, _Fields]
    reader: Callable[[Mapping[str, Any], Place], DecodedCall]
    name: str | None = None
    """The domain's name, where only one is right."""
    contract: Address | None = None


def decode_typed_data(signer: Address, document: Mapping[str, Any]) -> DecodedDocument:
    """Decode a document somebody would sign.

    Raises:
        Refused: `unknown-document` for one that is not known exactly, `malformed-call` for values that cannot be read,
            or a rule of `decode_call` for what it permits.
    """
    try:
        primary, domain, types = document["primaryType"], document["domain"], document["types"]
        candidates = [known for known in _DOCUMENTS if known.primary == primary and _has_types(known, types)]
        known = next((each for each in candidates if _has_domain(each, domain, types)), None)
        if known is None:
            raise Refused(f"a document of type {str(primary)[:40]!r} is not known", rule="unknown-document")
        kinds = dict(known.types)
        values = _read(kinds, primary, document["message"])
        fields = tuple((name, _DOMAIN_FIELDS[name]) for name in known.domain)
        place = _read({"EIP712Domain": fields}, "EIP712Domain", domain)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as exc:
        raise Refused(f"a document cannot be read: {type(exc).__name__}: {exc}", rule="malformed-call") from exc
    contract = checksum(place["verifyingContract"])
    separator = _hash({"EIP712Domain": fields}, "EIP712Domain", place)
    digest = keccak256(b"\x19\x01" + separator + _hash(kinds, primary, values))
    if primary == "SafeTx" and digest != safe_tx_hash(place["chainId"], contract, values):
        raise Refused("two ways to hash a Safe transaction differ", rule="malformed-call")
    at = Place(chain_id=place["chainId"], sender=signer, to=contract)
    return DecodedDocument(place["chainId"], contract, known.reader(values, at), digest)


def known_documents() -> frozenset[str]:
    """Primary types that are read."""
    return frozenset(known.primary for known in _DOCUMENTS)


# --- what the documents permit


def _single(values: Mapping[str, Any], _place: Place) -> DecodedCall:
    return _permit2("PermitSingle", [values["details"]], values)


def _batch(values: Mapping[str, Any], _place: Place) -> DecodedCall:
    return _permit2("PermitBatch", values["details"], values)


def _permit2(primary: str, details: list[Mapping[str, Any]], values: Mapping[str, Any]) -> DecodedCall:
    rows = [tuple(each[name] for name, _ in _DETAILS) for each in details]
    return allowances(
        primary,
        rows,
        values["spender"],
        sig_deadline=values["sigDeadline"],
        action="Sign: allow a spender to take tokens through Permit2",
    )


def _transfer(values: Mapping[str, Any], _place: Place) -> DecodedCall:
    return _once("PermitTransferFrom", [values["permitted"]], values)


def _transfer_batch(values: Mapping[str, Any], _place: Place) -> DecodedCall:
    return _once("PermitBatchTransferFrom", values["permitted"], values)


def _once(primary: str, permitted: list[Mapping[str, Any]], values: Mapping[str, Any]) -> DecodedCall:
    # The spender chooses the recipient when using it: that is an allowance, however it is called.
    return allowances(
        primary,
        [(each["token"], each["amount"], values["deadline"], 0) for each in permitted],
        values["spender"],
        action="Sign: allow a spender to take tokens once, wherever it likes",
    )


def _permit(values: Mapping[str, Any], place: Place) -> DecodedCall:
    if checksum(values["owner"]) != place.sender:
        raise unsafe(f"a permit of {values['owner']}, to be signed by {place.sender}")
    return DecodedCall(
        "Permit",
        NOTHING,
        NOTHING,
        approves=one(place.to, values["value"]),
        spender=checksum(values["spender"]),
        deadline_s=values["deadline"],
        action="Sign: allow a spender to take tokens",
        shown=(
            Shown("Allowance", Kind.ALLOWANCE, values["value"], place.to),
            Shown("Spender", Kind.ADDRESS, checksum(values["spender"])),
            Shown("Signature until", Kind.WORDS, "for ever")
            if values["deadline"] >= 1 << 48
            else Shown("Signature until", Kind.DATE, values["deadline"]),
        ),
        # What is allowed by a permit stays allowed; only the signature has a date.
        warnings=("the allowance has no end",),
    )


def _safe_tx(values: Mapping[str, Any], place: Place) -> DecodedCall:
    call = read_safe_tx(place.to, values, place)
    return DecodedCall(
        "SafeTx",
        call.spends,
        call.receives_min,
        call.approves,
        call.recipient,
        call.spender,
        call.deadline_s,
        action="Sign as an owner of a Safe: let it act",
        shown=(
            *call.shown,
            Shown("Safe's own hash", Kind.BYTES, safe_tx_hash(place.chain_id, place.to, values)),
        ),
        inner=call.inner,
        warnings=call.warnings,
        others=call.others,
    )


_DOCUMENTS: Final = (
    _Document(
        "PermitSingle",
        ("name", "chainId", "verifyingContract"),
        {
            "PermitSingle": (("details", "PermitDetails"), ("spender", "address"), ("sigDeadline", "uint256")),
            "PermitDetails": _DETAILS,
        },
        _single,
        name="Permit2",
        contract=PERMIT2,
    ),
    _Document(
        "PermitBatch",
        ("name", "chainId", "verifyingContract"),
        {
            "PermitBatch": (("details", "PermitDetails[]"), ("spender", "address"), ("sigDeadline", "uint256")),
            "PermitDetails": _DETAILS,
        },
        _batch,
        name="Permit2",
        contract=PERMIT2,
    ),
    _Document(
        "PermitTransferFrom",
        ("name", "chainId", "verifyingContract"),
        {
            "PermitTransferFrom": (
                ("permitted", "TokenPermissions"),
                ("spender", "address"),
                ("nonce", "uint256"),
                ("deadline", "uint256"),
            ),
            "TokenPermissions": _PERMISSIONS,
        },
        _transfer,
        name="Permit2",
        contract=PERMIT2,
    ),
    _Document(
        "PermitBatchTransferFrom",
        ("name", "chainId", "verifyingContract"),
        {
            "PermitBatchTransferFrom": (
                ("permitted", "TokenPermissions[]"),
                ("spender", "address"),
                ("nonce", "uint256"),
                ("deadline", "uint256"),
            ),
            "TokenPermissions": _PERMISSIONS,
        },
        _transfer_batch,
        name="Permit2",
        contract=PERMIT2,
    ),
    *(
        # EIP-2612; tokens differ in whether their domain has a version.
        _Document(
            "Permit",
            domain,
            {
                "Permit": (
                    ("owner", "address"),
                    ("spender", "address"),
                    ("value", "uint256"),
                    ("nonce", "uint256"),
                    ("deadline", "uint256"),
                )
            },
            _permit,
        )
        for domain in (("name", "version", "chainId", "verifyingContract"), ("name", "chainId", "verifyingContract"))
    ),
    _Document(
        "SafeTx",
        ("chainId", "verifyingContract"),
        {
            "SafeTx": (
                ("to", "address"),
                ("value", "uint256"),
                ("data", "bytes"),
                ("operation", "uint8"),
                ("safeTxGas", "uint256"),
                ("baseGas", "uint256"),
                ("gasPrice", "uint256"),
                ("gasToken", "address"),
                ("refundReceiver", "address"),
                ("nonce", "uint256"),
            )
        },
        _safe_tx,
    ),
    _Document(
        "PackedUserOperation",
        user_operations.DOMAIN,
        {"PackedUserOperation": user_operations.FIELDS},
        user_operations.read_user_operation,
        name="ERC4337",
        contract=user_operations.ENTRY_POINT,
    ),
)


# --- exact types, strict values, our own hash


def _has_types(known: _Document, types: Any) -> bool:
    given = {name: tuple((f["name"], f["type"]) for f in fields) for name, fields in types.items()}
    given.pop("EIP712Domain", None)
    return given == dict(known.types)


def _has_domain(known: _Document, domain: Any, types: Any) -> bool:
    declared = types.get("EIP712Domain")
    wanted = [(name, _DOMAIN_FIELDS[name]) for name in known.domain]
    if declared is not None and [(f["name"], f["type"]) for f in declared] != wanted:
        return False
    return (
        set(domain) == set(known.domain)
        and (known.name is None or domain["name"] == known.name)
        and (known.contract is None or checksum(domain["verifyingContract"]) == known.contract)
    )


def _read(types: Mapping[str, _Fields], kind: str, value: Any) -> Any:
    """Read a value strictly: integers as integers or decimal text, bytes as 0x-hex, addresses checksummed or lower."""
    if kind.endswith("[]"):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{kind} is a list")
        return [_read(types, kind[:-2], each) for each in value]
    if kind in types:
        if set(value) != {name for name, _ in types[kind]}:
            raise ValueError(f"{kind} has other fields")
        return {name: _read(types, inner, value[name]) for name, inner in types[kind]}
    if kind.startswith("uint"):
        return _integer(value, int(kind.removeprefix("uint")))
    if kind == "address":
        return checksum(value)
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError("a string is text")
        return value
    content = value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("0x"))
    if not isinstance(value, bytes) and "0x" + content.hex() != value.lower():
        raise ValueError("bytes are 0x-hex")
    if kind == "bytes32" and len(content) != 32:
        raise ValueError("32 bytes are wanted")
    return content


def _integer(value: Any, bits: int) -> int:
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit() or (value != "0" and value.startswith("0")):
            raise ValueError("an integer is written in decimal")
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ValueError(f"an integer of {bits} bits is wanted")
    return value


def _hash(types: Mapping[str, _Fields], kind: str, value: Mapping[str, Any]) -> bytes:
    """EIP-712's hashStruct."""
    words = [keccak256(_type_text(types, kind).encode())]
    words += [_word(types, inner, value[name]) for name, inner in types[kind]]
    return keccak256(b"".join(words))


def _word(types: Mapping[str, _Fields], kind: str, value: Any) -> bytes:
    if kind.endswith("[]"):
        return keccak256(b"".join(_word(types, kind[:-2], each) for each in value))
    if kind in types:
        return _hash(types, kind, value)
    if kind in ("string", "bytes"):
        return keccak256(value.encode() if kind == "string" else value)
    if kind == "bytes32":
        return bytes(value)
    if kind == "address":
        return bytes.fromhex(value[2:]).rjust(32, b"\0")
    number: int = value
    return number.to_bytes(32, "big")


def _type_text(types: Mapping[str, _Fields], kind: str) -> str:
    """EIP-712's encodeType: the type, then those it refers to by name. Ours refer one level deep."""
    others = sorted({inner.removesuffix("[]") for _, inner in types[kind]} & types.keys())
    return "".join(f"{each}({','.join(f'{inner} {name}' for name, inner in types[each])})" for each in (kind, *others))
