"""User operations (ERC-4337, EntryPoint 0.8): what an account that is a contract shall do, carried by anybody.

The account checks the signature itself and pays whoever carries the operation from its deposit. Its owner signs
EIP-712 typed data; whoever carries calls `handleOps`. The hash binds every field but the signature, the EntryPoint and
the chain.

Not here: EIP-7702 accounts (whose hash the EntryPoint makes of their code), aggregated signatures, paymasters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chain.client import ChainClient
from chain.codec import error, event, function, parameters
from chain.errors import CallReverted
from chain.keccak import checksum, keccak256
from chain.paths.signatures import recovered
from chain.records import Receipt
from chain.reverts import explain
from domain.errors import InputError, OrderRejected
from domain.ids import Address

_OPERATION: Final = "(address,uint256,bytes,bytes,bytes32,uint256,bytes32,bytes,bytes)"
HANDLE = function(f"handleOps({_OPERATION}[] ops, address beneficiary)")
NONCE = function("getNonce(address sender, uint192 key) returns (uint256)")
DEPOSIT = function("depositTo(address account)")
DEPOSITED = function("balanceOf(address account) returns (uint256)")
ADDRESS = function("getAddress(address owner, uint256 salt) returns (address)")
CREATE = function("createAccount(address owner, uint256 salt) returns (address)")
EXECUTE = function("execute(address target, uint256 value, bytes data)")
HANDLED = event(
    "UserOperationEvent(bytes32 indexed userOpHash, address indexed sender, address indexed paymaster, uint256 nonce, "
    "bool success, uint256 actualGasCost, uint256 actualGasUsed)"
)
REVERTED = event(
    "UserOperationRevertReason(bytes32 indexed userOpHash, address indexed sender, uint256 nonce, bytes revertReason)"
)
_FAILED = error("FailedOp(uint256 opIndex, string reason)")
_FAILED_WITH = error("FailedOpWithRevert(uint256 opIndex, string reason, bytes inner)")

_FIELDS: Final = (
    ("sender", "address"),
    ("nonce", "uint256"),
    ("initCode", "bytes"),
    ("callData", "bytes"),
    ("accountGasLimits", "bytes32"),
    ("preVerificationGas", "uint256"),
    ("gasFees", "bytes32"),
    ("paymasterAndData", "bytes"),
)
_TYPE: Final = keccak256(f"PackedUserOperation({','.join(f'{kind} {name}' for name, kind in _FIELDS)})".encode())
_STRUCT = parameters("bytes32,address,uint256,bytes32,bytes32,bytes32,uint256,bytes32,bytes32")
_DOMAIN = parameters("bytes32,bytes32,bytes32,uint256,address")
_DOMAIN_TYPE: Final = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_NAME, _VERSION = "ERC4337", "1"
_EIP7702: Final = b"\x77\x02"
_GAS_MAX: Final = 2**120 - 1
_TRANSACTION_GAS: Final = 21_000
_OVERHEAD_GAS: Final = 40_000
"""What the EntryPoint needs for a bundle of one and does not count, 25,000 of it for a beneficiary that is new."""


class UserOperationRejected(OrderRejected):
    """The EntryPoint would not take an operation. `code` is its AAxx, `index` which of the bundle's it was."""

    def __init__(self, message: str, *, code: str, reason: str, index: int) -> None:
        super().__init__(message, code=code, reason=reason)
        self.index = index


@dataclass(frozen=True, slots=True)
class UserOperation:
    """One operation of one account. Gas is in units, fees in wei per unit."""

    sender: Address
    nonce: int
    """Key in the upper 192 bits, its sequence in the lower 64: `read_nonce`."""
    call_data: bytes
    verification_gas: int
    call_gas: int
    pre_verification_gas: int
    """Paid for the calldata and the bundle's own cost, whatever was used."""
    max_fee_wei: int
    tip_wei: int
    init_code: bytes = b""
    """Factory and its call, where the account does not exist yet."""
    signature: bytes = b""

    def __post_init__(self) -> None:
        if self.init_code[:2] == _EIP7702:
            raise InputError("operations of EIP-7702 accounts are not built here")
        numbers = (self.verification_gas, self.call_gas, self.pre_verification_gas, self.max_fee_wei, self.tip_wei)
        if not all(0 <= number <= _GAS_MAX for number in numbers):
            raise InputError("a user operation's gas and fees are numbers of at most 120 bits")

    @property
    def gas_limit(self) -> int:
        """The most gas it may be made to pay for."""
        return self.verification_gas + self.call_gas + self.pre_verification_gas

    @property
    def cost_max_wei(self) -> int:
        """What the account's deposit must hold: its gas at its highest fee."""
        return self.gas_limit * self.max_fee_wei

    def typed_data(self, chain_id: int, entry_point: str) -> dict[str, Any]:
        """Write what the account's owner signs, as EIP-712 wants it."""
        shown = ["0x" + value.hex() if isinstance(value, bytes) else value for value in self._values]
        domain = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
                "PackedUserOperation": [{"name": name, "type": kind} for name, kind in _FIELDS],
            },
            "primaryType": "PackedUserOperation",
            "domain": {
                "name": _NAME,
                "version": _VERSION,
                "chainId": chain_id,
                "verifyingContract": checksum(entry_point),
            },
            "message": {name: value for (name, _), value in zip(_FIELDS, shown, strict=True)},
        }

    def hash(self, chain_id: int, entry_point: str) -> bytes:
        """Give the digest of the typed data, by which the EntryPoint names the operation."""
        values = [
            keccak256(value) if kind == "bytes" else value
            for value, (_, kind) in zip(self._values, _FIELDS, strict=True)
        ]
        domain = _DOMAIN.encode(
            _DOMAIN_TYPE, keccak256(_NAME.encode()), keccak256(_VERSION.encode()), chain_id, checksum(entry_point)
        )
        return keccak256(b"\x19\x01" + keccak256(domain) + keccak256(_STRUCT.encode(_TYPE, *values)))

    def signed(self, signature: bytes, owner: str, chain_id: int, entry_point: str) -> UserOperation:
        """Attach the owner's signature.

        Raises:
            InputError: It is not the owner's, or not over this operation.
        """
        if recovered(self.hash(chain_id, entry_point), signature) != checksum(owner):
            raise InputError(f"the signature is not {checksum(owner)}'s over this user operation")
        return replace(self, signature=signature)

    @property
    def packed(self) -> tuple[Any, ...]:
        """The tuple the EntryPoint takes."""
        return (*self._values, self.signature)

    @property
    def _values(self) -> tuple[Any, ...]:
        limits = self.verification_gas.to_bytes(16, "big") + self.call_gas.to_bytes(16, "big")
        fees = self.tip_wei.to_bytes(16, "big") + self.max_fee_wei.to_bytes(16, "big")
        return (
            self.sender,
            self.nonce,
            self.init_code,
            self.call_data,
            limits,
            self.pre_verification_gas,
            fees,
            b"",
        )


@dataclass(frozen=True, slots=True)
class OperationOutcome:
    """What became of a user operation that was carried."""

    succeeded: bool
    """False: its call failed; the account paid all the same."""
    cost_wei: int
    gas_used: int
    reason: str
    """Why its call failed, if it did."""


async def read_nonce(client: ChainClient, entry_point: str, sender: str, key: int = 0) -> int:
    """Give an account's next nonce. Operations of different keys need not wait for one another."""
    return int(NONCE.decode(await client.call(entry_point, NONCE.encode(sender, key)))[0])


async def account_address(client: ChainClient, factory: str, owner: str, salt: int) -> Address:
    """Give where the factory puts an owner's account, whether it exists or not."""
    return Address(ADDRESS.decode(await client.call(factory, ADDRESS.encode(checksum(owner), salt)))[0])


def account_creation(factory: str, owner: str, salt: int) -> bytes:
    """Give the init code of an account's first operation."""
    return bytes.fromhex(factory[2:]) + CREATE.encode(checksum(owner), salt)


def pre_verification_gas(operation: UserOperation) -> int:
    """Give what a bundle of this operation alone costs besides its own gas: transaction, calldata, the EntryPoint.

    An upper bound for chains without an L1 data fee; on rollups the data fee must be added in gas.
    """
    data = HANDLE.encode([replace(operation, signature=b"\xff" * 65).packed], operation.sender)
    # EIP-2028: 4 gas per zero byte, 16 per other byte; an operation's execution is above the floor of EIP-7623.
    return _TRANSACTION_GAS + _OVERHEAD_GAS + 16 * len(data) - 12 * data.count(0)


def handling(operations: Sequence[UserOperation], beneficiary: str) -> bytes:
    """Give the calldata that carries operations through the EntryPoint; the beneficiary gets what they pay."""
    if not operations:
        raise InputError("a bundle needs at least one user operation")
    return HANDLE.encode([operation.packed for operation in operations], checksum(beneficiary))


async def check(
    client: ChainClient, entry_point: str, operations: Sequence[UserOperation], beneficiary: str, carrier: str
) -> None:
    """Run a bundle without sending it. That an operation's own call fails is no reason to refuse it, and not told here.

    Raises:
        UserOperationRejected: The EntryPoint would refuse an operation, and with it the whole bundle.
    """
    try:
        await client.call(entry_point, handling(operations, beneficiary), sender=carrier)
    except CallReverted as exc:
        for kind in (_FAILED, _FAILED_WITH):
            if exc.output[:4] == kind.selector:
                index, reason = kind.arguments.decode(exc.output[4:])[:2]
                raise UserOperationRejected(
                    f"user operation {index} is refused: {reason}", code=reason[:4], reason=reason, index=int(index)
                ) from exc
        raise


def outcome(receipt: Receipt, entry_point: str, operation_hash: bytes) -> OperationOutcome | None:
    """Read from a receipt what became of an operation; None if it was not in there, or was undone."""
    contract, reason = checksum(entry_point), ""
    for log in receipt.logs if receipt.succeeded else ():
        if log.address != contract:
            continue
        if REVERTED.matches(log.topics):
            name, _, _, output = REVERTED.decode(log.topics, log.data)
            if name == operation_hash:
                reason = explain(output).in_words if output else "reverted without a reason"
        if HANDLED.matches(log.topics):
            name, _, _, _, succeeded, cost, used = HANDLED.decode(log.topics, log.data)
            if name == operation_hash:
                return OperationOutcome(bool(succeeded), int(cost), int(used), "" if succeeded else reason)
    return None
