"""Transactions of a Safe (1.3 and 1.4): built, hashed, signed by its owners elsewhere, and carried by anybody.

A Safe runs what enough of its owners signed, in the order of its own nonce. Owners sign EIP-712 typed data
(`typed_data`); the signatures are checked here before anything is sent, and laid out as the contract wants them.
Whoever carries the transaction pays the gas and needs no trust.

Only calls are built, and batches of calls through MultiSendCallOnly: a delegate call to anything else could take the
Safe over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chain.client import ChainClient
from chain.codec import event, function, parameters
from chain.keccak import checksum, keccak256
from chain.paths.signatures import recovered
from chain.records import Receipt
from domain.errors import InputError
from domain.ids import Address

_ZERO: Final = Address("0x" + "00" * 20)
_CALL, _DELEGATE_CALL = 0, 1

SETUP = function(
    "setup(address[] owners, uint256 threshold, address to, bytes data, address fallbackHandler, address paymentToken, "
    "uint256 payment, address paymentReceiver)"
)
CREATE = function("createProxyWithNonce(address singleton, bytes initializer, uint256 saltNonce) returns (address)")
EXECUTE = function(
    "execTransaction(address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas, "
    "uint256 gasPrice, address gasToken, address refundReceiver, bytes signatures) returns (bool)"
)
MULTI_SEND = function("multiSend(bytes transactions)")
PROXY_CODE = function("proxyCreationCode() returns (bytes)")
OWNERS = function("getOwners() returns (address[])")
THRESHOLD = function("getThreshold() returns (uint256)")
NONCE = function("nonce() returns (uint256)")
VERSION = function("VERSION() returns (string)")

_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_FIELDS: Final = (
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
_TYPE: Final = keccak256(f"SafeTx({','.join(f'{kind} {name}' for name, kind in _FIELDS)})".encode())
_STRUCT = parameters("bytes32,address,uint256,bytes32,uint8,uint256,uint256,uint256,address,address,uint256")
_DOMAIN = parameters("bytes32,uint256,address")
_VERSIONS: Final = ("1.3.", "1.4.")


@dataclass(frozen=True, slots=True)
class SafeTransaction:
    """What a Safe shall do next. No gas is refunded to whoever carries it: a call that fails makes all of it fail."""

    to: Address
    nonce: int
    value_wei: int = 0
    data: bytes = b""
    is_batch: bool = False
    """`to` is MultiSendCallOnly and `data` a batch for it."""

    def typed_data(self, chain_id: int, safe: str) -> dict[str, Any]:
        """Write what an owner signs, as EIP-712 wants it."""
        values = (self.to, self.value_wei, "0x" + self.data.hex(), self._operation, 0, 0, 0, _ZERO, _ZERO, self.nonce)
        return {
            "types": {
                "EIP712Domain": [
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "SafeTx": [{"name": name, "type": kind} for name, kind in _FIELDS],
            },
            "primaryType": "SafeTx",
            "domain": {"chainId": chain_id, "verifyingContract": checksum(safe)},
            "message": {name: value for (name, _), value in zip(_FIELDS, values, strict=True)},
        }

    def hash(self, chain_id: int, safe: str) -> bytes:
        """Give the digest of the typed data: what the contract checks signatures against."""
        fields = (self.to, self.value_wei, keccak256(self.data), self._operation, 0, 0, 0, _ZERO, _ZERO, self.nonce)
        struct = keccak256(_STRUCT.encode(_TYPE, *fields))
        return keccak256(b"\x19\x01" + keccak256(_DOMAIN.encode(_DOMAIN_TYPE, chain_id, checksum(safe))) + struct)

    def execution(self, signatures: bytes) -> bytes:
        """Give the calldata that carries it to the Safe; `signatures` from `SafeState.join`."""
        fields = (self.to, self.value_wei, self.data, self._operation, 0, 0, 0, _ZERO, _ZERO)
        return EXECUTE.encode(*fields, signatures)

    @property
    def _operation(self) -> int:
        return _DELEGATE_CALL if self.is_batch else _CALL


@dataclass(frozen=True, slots=True)
class SafeState:
    """A Safe as it stands at a block."""

    address: Address
    chain_id: int
    owners: tuple[Address, ...]
    threshold: int
    nonce: int
    """The next transaction's."""
    version: str

    def join(self, transaction: SafeTransaction, signatures: Mapping[str, bytes]) -> bytes:
        """Check owners' signatures and lay as many as are needed out in the contract's order.

        Raises:
            InputError: Too few, by a stranger, over something else, or for a nonce that is not next.
        """
        if transaction.nonce != self.nonce:
            raise InputError(f"the Safe is at nonce {self.nonce}, the transaction has {transaction.nonce}")
        digest, known = transaction.hash(self.chain_id, self.address), set(self.owners)
        checked: dict[Address, bytes] = {}
        for name, signature in signatures.items():
            owner = checksum(name)
            if owner not in known:
                raise InputError(f"{owner} is no owner of the Safe {self.address}")
            if recovered(digest, signature) != owner:
                raise InputError(f"the signature of {owner} is not over this transaction")
            checked[owner] = signature
        if len(checked) < self.threshold:
            raise InputError(f"{len(checked)} owners signed, the Safe wants {self.threshold}")
        in_order = sorted(checked, key=lambda owner: int(owner, 16))[: self.threshold]
        return b"".join(checked[owner] for owner in in_order)


async def read_safe(client: ChainClient, safe: str) -> SafeState:
    """Read a Safe at the newest block.

    Raises:
        InputError: There is none, or one of a version whose rules are not known here.
    """
    address, head = checksum(safe), await client.head()

    async def ask(what: Any) -> Any:
        (value,) = what.decode(await client.call(address, what.encode(), head.hash))
        return value

    try:
        version = await ask(VERSION)
    except InputError as exc:
        raise InputError(f"no Safe answers at {address}") from exc
    if not version.startswith(_VERSIONS):
        raise InputError(f"the Safe {address} is of version {version}, known are {', '.join(_VERSIONS)}x")
    owners = tuple(Address(owner) for owner in await ask(OWNERS))
    return SafeState(address, client.chain_id, owners, await ask(THRESHOLD), await ask(NONCE), version)


@dataclass(frozen=True, slots=True)
class InnerCall:
    """One of the calls of a batch, made by the Safe itself."""

    to: Address
    data: bytes = b""
    value_wei: int = 0


def batch(calls: Sequence[InnerCall], multi_send: str, nonce: int) -> SafeTransaction:
    """Make one transaction of several calls, all or none. `multi_send` must be MultiSendCallOnly."""
    if not calls:
        raise InputError("a batch needs at least one call")
    packed = b"".join(
        bytes([_CALL])
        + bytes.fromhex(call.to[2:])
        + call.value_wei.to_bytes(32, "big")
        + len(call.data).to_bytes(32, "big")
        + call.data
        for call in calls
    )
    return SafeTransaction(checksum(multi_send), nonce, data=MULTI_SEND.encode(packed), is_batch=True)


def setup(owners: Sequence[str], threshold: int, fallback_handler: str) -> bytes:
    """Give a new Safe's first call: who owns it and how many must sign.

    Raises:
        InputError: Owners that are doubled or missing, or a threshold that cannot be met.
    """
    listed = [checksum(owner) for owner in owners]
    if len(set(listed)) != len(listed) or _ZERO in listed:
        raise InputError("a Safe's owners must differ, and none may be the zero address")
    if not 1 <= threshold <= len(listed):
        raise InputError(f"a threshold of {threshold} does not fit {len(listed)} owners")
    return SETUP.encode(listed, threshold, _ZERO, b"", checksum(fallback_handler), _ZERO, 0, _ZERO)


def creation(singleton: str, initializer: bytes, salt: int) -> bytes:
    """Give the calldata with which SafeProxyFactory creates a Safe; anybody may send it."""
    return CREATE.encode(checksum(singleton), initializer, salt)


async def future_address(client: ChainClient, factory: str, singleton: str, initializer: bytes, salt: int) -> Address:
    """Compute where a Safe will stand (CREATE2), before it is created."""
    (code,) = PROXY_CODE.decode(await client.call(factory, PROXY_CODE.encode()))
    init_code = keccak256(code + bytes(12) + bytes.fromhex(singleton[2:]))
    salted = keccak256(keccak256(initializer) + salt.to_bytes(32, "big"))
    return checksum("0x" + keccak256(b"\xff" + bytes.fromhex(factory[2:]) + salted + init_code)[12:].hex())


class SafeOutcome(StrEnum):
    """What a mined transaction did with a Safe's."""

    EXECUTED = "executed"
    FAILED = "failed"
    """The Safe used up its nonce, and the call inside failed."""
    ABSENT = "absent"
    """It was not in there, or everything was undone: the Safe's nonce is still to be used."""


def outcome(receipt: Receipt, safe: str, safe_hash: bytes) -> SafeOutcome:
    """Read from a receipt what became of a Safe's transaction."""
    for log in receipt.logs if receipt.succeeded else ():
        for kind, what in _ENDINGS if log.address == checksum(safe) else ():
            if kind.matches(log.topics) and kind.decode(log.topics, log.data)[0] == safe_hash:
                return what
    return SafeOutcome.ABSENT


# Version 1.4 indexes the hash, 1.3 does not.
_ENDINGS: Final = tuple(
    (event(f"{name}(bytes32{indexed} txHash, uint256 payment)"), what)
    for name, what in (("ExecutionSuccess", SafeOutcome.EXECUTED), ("ExecutionFailure", SafeOutcome.FAILED))
    for indexed in (" indexed", "")
)
