"""What a signer is given: typed payloads that it can read itself, never a bare hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Self

from capstan_native import keccak256 as keccak
from eth_utils.address import is_address, to_checksum_address

from domain import Address, ChainId, InputError, Refused
from wallets import rlp

AccessList = tuple[tuple[Address, tuple[bytes, ...]], ...]
"""EIP-2930: contracts with the storage slots (32 bytes each) that the transaction says it will touch."""

_UINT256: Final = 1 << 256
_UINT64: Final = 1 << 64
_DATA_BYTES_MAX: Final = 96 * 1024
_PURPOSE: Final = re.compile("[a-z0-9-]{1,40}")


class Network(StrEnum):
    """What kind of chain the caller means. Chain ids do not tell: a local node may run under mainnet's."""

    DEVNET = "devnet"
    TESTNET = "testnet"
    LIVE = "live"
    """Anything else, also what nobody knows."""


@dataclass(frozen=True, slots=True)
class StatementToSign:
    """What an Ed25519 key signs: bytes for a purpose, such as a checkpoint of the audit log.

    The purpose is signed as well, and the first byte begins no message of Solana, SSH or TLS: a statement is good for
    nothing else, and one purpose's for no other.
    """

    purpose: str
    content: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.purpose, str) or not _PURPOSE.fullmatch(self.purpose):
            raise InputError("a statement's purpose is 1 to 40 of a-z, 0-9 and -")
        if len(self.content) > _DATA_BYTES_MAX:
            raise InputError(f"a statement has at most {_DATA_BYTES_MAX} bytes, found {len(self.content)}")

    def signed_bytes(self) -> bytes:
        """Give the bytes that are signed (RFC 8032, without a hash before)."""
        return b"\xffcapstan statement\n" + self.purpose.encode() + b"\n" + self.content

    def to_wire(self) -> dict[str, Any]:
        return {"purpose": self.purpose, "content": "0x" + self.content.hex()}

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_wire` wrote.

        Raises:
            InputError: A field is missing or malformed.
        """
        try:
            return cls(fields["purpose"], unhex(fields["content"]))
        except (KeyError, ValueError) as exc:
            raise InputError("a statement has a purpose and its content as 0x-hex") from exc


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature over secp256k1 with low s. `y_parity` picks the public key (0 or 1)."""

    r: int
    s: int
    y_parity: int

    def to_bytes(self) -> bytes:
        """Give the usual 65 bytes: r, s, and 27 + y parity."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes([27 + self.y_parity])

    @classmethod
    def from_bytes(cls, signature: bytes) -> Signature:
        """Read the 65-byte form."""
        if len(signature) != 65 or signature[64] not in (27, 28):
            raise InputError("a signature has 65 bytes, the last 27 or 28")
        return cls(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64] - 27)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationToSign:
    """An EIP-7702 authorization: the account of the key that signs it runs the delegate's code, until it signs another.

    Valid on one chain and for one nonce of the account. The zero address as delegate ends a delegation.

    Raises:
        InputError: A field is out of range.
        Refused: Chain id 0 (rule `any-chain`), under which the same signature would hold on every chain there is.
    """

    chain_id: ChainId
    delegate: Address
    nonce: int

    def __post_init__(self) -> None:
        if self.chain_id == 0:
            raise Refused("an authorization for chain id 0 would hold on every chain", rule="any-chain")
        _within("chain id", self.chain_id, _UINT64 >> 1, low=1)
        _within("nonce", self.nonce, _UINT64 - 1)
        _checksummed(self.delegate)

    def digest(self) -> bytes:
        """Hash the authorization under EIP-7702's own byte, so that it can be neither transaction nor message."""
        return keccak(b"\x05" + rlp.encode(self.items()))

    def items(self) -> list[rlp.Item]:
        """Give the fields in the order of their encoding."""
        return [rlp.integer(self.chain_id), bytes.fromhex(self.delegate[2:]), rlp.integer(self.nonce)]

    def to_wire(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {"chain_id": str(self.chain_id), "delegate": self.delegate, "nonce": str(self.nonce)}

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> AuthorizationToSign:
        """Read what `to_wire` wrote; errors as of the class."""
        if set(fields) != {"chain_id", "delegate", "nonce"}:
            raise InputError("an authorization has exactly chain_id, delegate and nonce")
        try:
            return cls(
                chain_id=ChainId(decimal(fields["chain_id"])),
                delegate=Address(fields["delegate"]),
                nonce=decimal(fields["nonce"]),
            )
        except (TypeError, ValueError) as exc:
            raise InputError("an authorization's field has the wrong form") from exc


@dataclass(frozen=True, slots=True)
class SignedAuthorization:
    """An authorization and its signature, as a type 4 transaction carries it. Who signed is found by recovery."""

    authorization: AuthorizationToSign
    signature: Signature

    def items(self) -> list[rlp.Item]:
        """Give the fields in the order of their encoding."""
        numbers = (self.signature.y_parity, self.signature.r, self.signature.s)
        return [*self.authorization.items(), *map(rlp.integer, numbers)]

    def to_wire(self) -> dict[str, Any]:
        """Give JSON-ready fields."""
        return {**self.authorization.to_wire(), "signature": "0x" + self.signature.to_bytes().hex()}

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> SignedAuthorization:
        """Read what `to_wire` wrote; errors as of `AuthorizationToSign`."""
        try:
            rest = dict(fields)
            signature = unhex(rest.pop("signature"))
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError("a signed authorization has its signature as 0x-hex") from exc
        return cls(AuthorizationToSign.from_wire(rest), Signature.from_bytes(signature))


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionToSign:
    """A complete unsigned transaction of type 0 (legacy with EIP-155), 1 (EIP-2930), 2 (EIP-1559) or 4 (EIP-7702).

    Amounts in wei. Types 0 and 1 carry `gas_price_wei`, types 2 and 4 the two `max_…` fees, type 4 at least one
    authorization for its own chain. Contract creation (`to` absent) is not offered: nobody in the platform deploys from
    a guarded key.
    """

    type: int = 2
    chain_id: ChainId
    nonce: int
    to: Address
    value_wei: int = 0
    data: bytes = b""
    gas_limit: int
    gas_price_wei: int = 0
    max_fee_per_gas_wei: int = 0
    max_priority_fee_per_gas_wei: int = 0
    access_list: AccessList = ()
    authorizations: tuple[SignedAuthorization, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in (0, 1, 2, 4):
            raise InputError(f"transaction type must be 0, 1, 2 or 4, found {self.type!r}")
        # Nonces end at 2**64 - 2 (EIP-2681); chain ids stay within what 64-bit storage holds.
        _within("chain id", self.chain_id, _UINT64 >> 1, low=1)
        _within("nonce", self.nonce, _UINT64 - 1)
        _within("gas limit", self.gas_limit, _UINT64)
        for what in ("value_wei", "gas_price_wei", "max_fee_per_gas_wei", "max_priority_fee_per_gas_wei"):
            _within(what, getattr(self, what), _UINT256)
        _checksummed(self.to)
        if len(self.data) > _DATA_BYTES_MAX:
            raise InputError(f"transaction data is {len(self.data)} bytes long, at most {_DATA_BYTES_MAX} are signed")
        if self.has_maximal_fees:
            if self.gas_price_wei:
                raise InputError(f"a type {self.type} transaction has no gas price")
            if self.max_priority_fee_per_gas_wei > self.max_fee_per_gas_wei:
                raise InputError("the priority fee exceeds the maximal fee")
        elif self.max_fee_per_gas_wei or self.max_priority_fee_per_gas_wei:
            raise InputError(f"a type {self.type} transaction has a gas price, not maximal fees")
        if self.access_list and self.type == 0:
            raise InputError("a legacy transaction has no access list")
        for address, slots in self.access_list:
            _checksummed(address)
            if any(len(slot) != 32 for slot in slots):
                raise InputError("an access list's storage slots have 32 bytes each")
        # EIP-7702: a type 4 transaction without an authorization is invalid.
        if bool(self.authorizations) != (self.type == 4):
            raise InputError("type 4, and no other, has authorizations")
        if any(signed.authorization.chain_id != self.chain_id for signed in self.authorizations):
            raise InputError("an authorization is for another chain than its transaction")

    @property
    def has_maximal_fees(self) -> bool:
        """Whether it pays by EIP-1559: a fee and a tip at most, not a gas price."""
        return self.type in (2, 4)

    @property
    def fee_ceiling_per_gas_wei(self) -> int:
        """The most one unit of gas may cost."""
        return self.max_fee_per_gas_wei if self.has_maximal_fees else self.gas_price_wei

    @property
    def tip_ceiling_per_gas_wei(self) -> int:
        """The most the block's producer may get for one unit of gas."""
        return self.max_priority_fee_per_gas_wei if self.has_maximal_fees else self.gas_price_wei

    def to_wire(self) -> dict[str, Any]:
        """Give JSON-ready fields: integers as decimal text, bytes as 0x-hex. Only type 4 has `authorizations`."""
        fields: dict[str, Any] = {
            "type": self.type,
            "chain_id": str(self.chain_id),
            "nonce": str(self.nonce),
            "to": self.to,
            "value_wei": str(self.value_wei),
            "data": "0x" + self.data.hex(),
            "gas_limit": str(self.gas_limit),
            "gas_price_wei": str(self.gas_price_wei),
            "max_fee_per_gas_wei": str(self.max_fee_per_gas_wei),
            "max_priority_fee_per_gas_wei": str(self.max_priority_fee_per_gas_wei),
            "access_list": [[address, ["0x" + slot.hex() for slot in slots]] for address, slots in self.access_list],
        }
        if self.authorizations:
            fields["authorizations"] = [signed.to_wire() for signed in self.authorizations]
        return fields

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> TransactionToSign:
        """Read what `to_wire` wrote; every field must be there, and no other.

        Raises:
            InputError: A field is missing, unknown or of the wrong form.
        """
        names = _WIRE_FIELDS | {"authorizations"} if fields.get("type") == 4 else _WIRE_FIELDS
        if set(fields) != names:
            raise InputError(f"transaction fields must be exactly {', '.join(sorted(names))}")
        try:
            kind, access_list = fields["type"], fields["access_list"]
            if type(kind) is not int or not isinstance(access_list, list):
                raise TypeError
            numbers = {name: decimal(fields[name]) for name in _WIRE_NUMBERS}
            return cls(
                type=kind,
                chain_id=ChainId(numbers.pop("chain_id")),
                to=Address(fields["to"]),
                data=unhex(fields["data"]),
                access_list=tuple((Address(a), tuple(unhex(slot) for slot in slots)) for a, slots in access_list),
                authorizations=tuple(map(SignedAuthorization.from_wire, fields.get("authorizations", ()))),
                **numbers,
            )
        except (TypeError, ValueError) as exc:
            raise InputError("a transaction field has the wrong form") from exc


@dataclass(frozen=True, slots=True)
class MessageToSign:
    """Bytes to sign as a personal message (EIP-191, version 0x45)."""

    content: bytes

    def digest(self) -> bytes:
        """Hash the message under its prefix, so that it can never be a transaction."""
        return keccak(b"\x19Ethereum Signed Message:\n" + str(len(self.content)).encode() + self.content)


@dataclass(frozen=True, slots=True)
class TypedDataToSign:
    """A full EIP-712 document: `types`, `primaryType`, `domain` and `message`."""

    document: Mapping[str, Any]

    def __post_init__(self) -> None:
        if set(self.document) != {"types", "primaryType", "domain", "message"}:
            raise InputError("typed data has exactly types, primaryType, domain and message")
        object.__setattr__(self, "document", MappingProxyType(dict(self.document)))

    def digest(self) -> bytes:
        """Hash the document by EIP-712.

        Raises:
            InputError: The document does not fit its own types.
        """
        from eth_account.messages import encode_typed_data

        types = self.document["types"]
        try:
            _check_typed(types, "EIP712Domain", self.document["domain"])
            _check_typed(types, self.document["primaryType"], self.document["message"])
            encoded = encode_typed_data(full_message=dict(self.document))
        except InputError:
            raise
        except Exception as exc:  # the library raises a dozen kinds for malformed documents
            raise InputError(f"not an EIP-712 document: {type(exc).__name__}: {exc}") from exc
        return keccak(b"\x19" + encoded.version + encoded.header + encoded.body)


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Raw bytes ready to broadcast, and the hash the chain will know them by."""

    raw: bytes
    hash: str
    sender: Address


def decimal(text: Any) -> int:
    """Read plain decimal digits (at most 78) as they travel on the wire."""
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 78:
        raise ValueError("expected decimal digits")
    return int(text)


def unhex(text: Any) -> bytes:
    """Read 0x-hex as it travels on the wire."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("expected 0x-hex")
    return bytes.fromhex(text[2:])


def _check_typed(types: Any, kind: Any, value: Any) -> None:
    """Demand every field of every struct, and no other: the library hashes absent fields as zeros without a word."""
    if not isinstance(types, Mapping) or not isinstance(kind, str):
        raise InputError("typed data names its types as text")
    if kind.endswith("]"):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"a value of type {kind} must be a list")
        for element in value:
            _check_typed(types, kind[: kind.rindex("[")], element)
    elif kind in types:
        try:
            fields = {field["name"]: field["type"] for field in types[kind]}
        except (TypeError, KeyError) as exc:
            raise InputError(f"type {kind} is malformed") from exc
        if not isinstance(value, Mapping) or set(value) != set(fields):
            raise InputError(f"a value of type {kind} must have exactly the fields {', '.join(map(str, fields))}")
        for name, inner in fields.items():
            _check_typed(types, inner, value[name])
    elif kind == "EIP712Domain" or value is None:
        raise InputError(f"a value or the definition of type {kind} is missing")


def _within(what: str, value: int, limit: int, *, low: int = 0) -> None:
    if type(value) is not int or not low <= value < limit:
        raise InputError(f"{what} must be an integer of at least {low} and below {limit}, found {value!r}")


def _checksummed(address: str) -> None:
    if not isinstance(address, str) or not _is_checksummed(address):
        raise InputError(f"not an EIP-55 checksummed address: {address!r}")


@lru_cache(maxsize=4096)  # a hash each, and the same few recipients come again: four fifths of making a payload
def _is_checksummed(address: str) -> bool:
    return is_address(address) and to_checksum_address(address) == address


_WIRE_NUMBERS: Final = (
    "chain_id",
    "nonce",
    "value_wei",
    "gas_limit",
    "gas_price_wei",
    "max_fee_per_gas_wei",
    "max_priority_fee_per_gas_wei",
)
_WIRE_FIELDS: Final = frozenset({*_WIRE_NUMBERS, "type", "to", "data", "access_list"})
