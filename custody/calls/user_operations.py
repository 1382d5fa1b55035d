"""User operations of smart accounts (ERC-4337): what the owner of a SimpleAccount signs.

A signature lets the account act and lets whoever carries the operation be paid from it: at a fee the operation itself
names, to an address it does not. So the most it may cost is counted among what it spends. Read are the EntryPoint 0.8,
its SimpleAccount's `execute` and `executeBatch`, and an account made by its factory for the signer; paymasters and
EIP-7702 accounts are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chain import checksum, keccak256
from custody.calls.canonical import Place, canonical, unsafe
from custody.calls.model import COIN, DecodedCall, Kind, Shown, joined
from custody.calls.safe import acting
from domain import Address, Refused

ENTRY_POINT: Final = checksum("0x4337084d9e255ff0702461cf8895ce9e3b5ff108")
FACTORY: Final = checksum("0x13e9ed32155810fdbd067d4522c492d6f68e5944")
DOMAIN: Final = ("name", "version", "chainId", "verifyingContract")
FIELDS: Final = (
    ("sender", "address"),
    ("nonce", "uint256"),
    ("initCode", "bytes"),
    ("callData", "bytes"),
    ("accountGasLimits", "bytes32"),
    ("preVerificationGas", "uint256"),
    ("gasFees", "bytes32"),
    ("paymasterAndData", "bytes"),
)

_ACTS: Final = {
    keccak256(b"execute(address,uint256,bytes)")[:4]: ("address", "uint256", "bytes"),
    keccak256(b"executeBatch((address,uint256,bytes)[])")[:4]: ("(address,uint256,bytes)[]",),
}
_CREATE: Final = keccak256(b"createAccount(address,uint256)")[:4]
_BATCH_MAX: Final = 32


def read_user_operation(values: Mapping[str, Any], place: Place) -> DecodedCall:
    """Read what an operation would do; `place` is the EntryPoint, called by the owner.

    Raises:
        Refused: `unsafe-call` for what its bytes do not fix, or what the calls within raise.
    """
    account = checksum(values["sender"])
    if values["paymasterAndData"]:
        raise unsafe("a user operation with a paymaster: who pays, and for what, is not in it")
    _check_creation(values["initCode"], place)
    cost = _cost_max(values)
    call = acting(account, _steps(values["callData"]), place)
    return DecodedCall(
        "PackedUserOperation",
        spends=joined(call.spends, MappingProxyType({COIN: cost})),
        receives_min=call.receives_min,
        approves=call.approves,
        recipient=call.recipient,
        spender=call.spender,
        deadline_s=call.deadline_s,
        action="Sign as the owner of a smart account: let it act",
        shown=(
            Shown("Account", Kind.ADDRESS, account),
            Shown("Its nonce", Kind.NUMBER, values["nonce"] & (1 << 64) - 1),
            *((Shown("In its row", Kind.NUMBER, values["nonce"] >> 64),) if values["nonce"] >> 64 else ()),
            *((Shown("First", Kind.WORDS, "the account is created for the signer"),) if values["initCode"] else ()),
            Shown("Gas at most", Kind.COINS, cost),
        ),
        inner=call.inner,
        others=call.others,
    )


def _cost_max(values: Mapping[str, Any]) -> int:
    """Give the most the account pays for it: all gas it may use, at its highest fee."""
    limits, fees = values["accountGasLimits"], values["gasFees"]
    verification, execution = (int.from_bytes(half, "big") for half in (limits[:16], limits[16:]))
    return (verification + execution + int(values["preVerificationGas"])) * int.from_bytes(fees[16:], "big")


def _check_creation(init_code: bytes, place: Place) -> None:
    if not init_code:
        return
    if checksum("0x" + init_code[:20].hex().rjust(40, "0")) != FACTORY or init_code[20:24] != _CREATE:
        raise unsafe("a user operation that creates an account in a way that is not known")
    owner, _salt = canonical("createAccount", ("address", "uint256"), init_code[24:])
    if checksum(owner) != place.sender:
        raise unsafe(f"a user operation that creates an account of {checksum(owner)}, to be signed by {place.sender}")


def _steps(data: bytes) -> tuple[tuple[Address, int, bytes], ...]:
    types = _ACTS.get(data[:4])
    if types is None:
        raise Refused(f"a smart account's method 0x{data[:4].hex()} is not known", rule="unknown-method")
    values = canonical("execute", types, data[4:])
    calls = values[0] if len(types) == 1 else (values,)
    if not 1 <= len(calls) <= _BATCH_MAX:
        raise unsafe(f"a smart account's batch of {len(calls)} calls")
    return tuple((checksum(to), value, content) for to, value, content in calls)
