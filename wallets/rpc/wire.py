"""JSON-RPC 2.0 as wallets speak it: quantities, errors, and transactions as tools write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address

from domain import Address, ChainId, InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueError
from wallets.payloads import (
    AccessList,
    AuthorizationToSign,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    TransactionToSign,
)
from wallets.transactions import parse

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x([0-9a-fA-F]{2})*")
_FIELDS: Final = frozenset(
    {
        *("from", "to", "value", "data", "input", "gas", "gasLimit", "nonce", "chainId", "type", "accessList"),
        "authorizationList",
        *("gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"),
    }
)


class RpcRefusal(VenueError):
    """An error object of JSON-RPC, handed on as the node gave it."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message", "the node refused")))
        self.error = dict(error)


class UnknownMethod(InputError):
    """Neither the signer nor the node is asked this."""


_CODES: Final = ((UnknownMethod, -32601), (InputError, -32602), (InvariantError, -32603))


def error_object(exc: PlatformError) -> dict[str, Any]:
    """Give an error its JSON-RPC form (codes of EIP-1474); `data.rule` names what refused."""
    if isinstance(exc, RpcRefusal):
        return exc.error
    message = f"{exc} ({exc.hint})" if exc.hint else str(exc)
    if isinstance(exc, Refused):
        return {"code": -32003, "message": f"refused: {message}", "data": {"rule": exc.rule}}
    if isinstance(exc, OutcomeUnknown):
        return {"code": -32002, "message": f"outcome unknown: {message}", "data": {"asked": exc.request_id}}
    code = next((code for family, code in _CODES if isinstance(exc, family)), -32002)
    return {"code": code, "message": message}


def quantity(value: Any, what: str) -> int:
    """Read a quantity: 0x-hex, or a plain JSON integer as some tools write it."""
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise InputError(f"{what} must be a 0x-hex quantity")
    return int(value, 16)


def data_bytes(value: Any, what: str) -> bytes:
    """Read bytes as 0x-hex."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise InputError(f"{what} must be 0x-hex bytes")
    return bytes.fromhex(value[2:])


def address(value: Any, what: str) -> Address:
    """Read an address in any case; mixed case must be its checksum (EIP-55)."""
    if not isinstance(value, str) or not value.startswith("0x") or not is_address(value):
        raise InputError(f"{what} must be an address")
    return Address(to_checksum_address(value))


def check_fields(fields: Any) -> dict[str, Any]:
    """Take a transaction object apart: nulls count as absent, unknown fields are refused.

    Raises:
        InputError: Not an object, or a field that would be ignored, or two that contradict each other.
    """
    if not isinstance(fields, dict):
        raise InputError("a transaction must be an object")
    given = {name: value for name, value in fields.items() if value is not None}
    if unknown := given.keys() - _FIELDS:
        # Blob fields and the like change what is signed: they are not dropped silently.
        raise InputError(f"transaction fields that are not signed here: {', '.join(sorted(map(str, unknown)))}")
    for one, other in (("data", "input"), ("gas", "gasLimit")):
        if one in given and other in given and given[one] != given[other]:
            raise InputError(f"{one} and {other} contradict each other")
    if "gasPrice" in given and ("maxFeePerGas" in given or "maxPriorityFeePerGas" in given):
        raise InputError("a transaction has a gas price or maximal fees, not both")
    return given


def kind_of(given: Mapping[str, Any]) -> int:
    """Tell the transaction type that the fields ask for."""
    if "type" in given:
        return quantity(given["type"], "type")
    if "authorizationList" in given:
        return 4
    if "gasPrice" in given:
        return 1 if "accessList" in given else 0
    return 2


def build(given: Mapping[str, Any]) -> TransactionToSign:
    """Read a complete transaction.

    Raises:
        InputError: A field is missing or malformed.
    """
    if "to" not in given:
        raise InputError("a recipient is needed: contracts are not created from guarded keys")
    for name in ("nonce", "chainId"):
        if name not in given:
            raise InputError(f"{name} is missing", hint="give it, or start the signer with --upstream")
    gas = given.get("gas", given.get("gasLimit"))
    if gas is None:
        raise InputError("gas is missing", hint="give it, or start the signer with --upstream")
    kind = kind_of(given)
    has_maximal_fees = kind in (2, 4)
    fees = ("maxFeePerGas", "maxPriorityFeePerGas") if has_maximal_fees else ("gasPrice",)
    if any(name not in given for name in fees):
        raise InputError(f"{' and '.join(fees)} are needed for type {kind}")
    max_fee, tip = (quantity(given[name], name) for name in fees) if has_maximal_fees else (0, 0)
    return TransactionToSign(
        type=kind,
        chain_id=ChainId(quantity(given["chainId"], "chainId")),
        nonce=quantity(given["nonce"], "nonce"),
        to=address(given["to"], "to"),
        value_wei=quantity(given.get("value", 0), "value"),
        data=data_bytes(given.get("data", given.get("input", "0x")), "data"),
        gas_limit=quantity(gas, "gas"),
        gas_price_wei=0 if has_maximal_fees else quantity(given["gasPrice"], "gasPrice"),
        max_fee_per_gas_wei=max_fee,
        max_priority_fee_per_gas_wei=tip,
        access_list=_access_list(given.get("accessList", [])),
        authorizations=_authorizations(given.get("authorizationList", [])),
    )


def write(tx: TransactionToSign) -> dict[str, Any]:
    """Give a transaction the form in which `build` and other signers read it; `from` is not in it."""
    fields: dict[str, Any] = {
        "type": hex(tx.type),
        "chainId": hex(tx.chain_id),
        "nonce": hex(tx.nonce),
        "to": tx.to,
        "value": hex(tx.value_wei),
        "data": "0x" + tx.data.hex(),
        "gas": hex(tx.gas_limit),
    }
    if tx.has_maximal_fees:
        fees = {"maxFeePerGas": tx.max_fee_per_gas_wei, "maxPriorityFeePerGas": tx.max_priority_fee_per_gas_wei}
    else:
        fees = {"gasPrice": tx.gas_price_wei}
    fields |= {name: hex(value) for name, value in fees.items()}
    if tx.type:
        fields["accessList"] = [
            {"address": place, "storageKeys": ["0x" + slot.hex() for slot in slots]} for place, slots in tx.access_list
        ]
    if tx.authorizations:
        fields["authorizationList"] = [_write_authorization(signed) for signed in tx.authorizations]
    return fields


def describe(signed: SignedTransaction) -> dict[str, Any]:
    """Give a signed transaction the form in which nodes answer `eth_signTransaction`."""
    tx, signature = parse(signed.raw)
    fields = write(tx)
    fields["input"] = fields.pop("data")
    fields |= {
        "from": signed.sender,
        "hash": signed.hash,
        "r": hex(signature.r),
        "s": hex(signature.s),
        "v": hex(signature.y_parity if tx.type else tx.chain_id * 2 + 35 + signature.y_parity),
    }
    if tx.type:
        fields["yParity"] = hex(signature.y_parity)
    return {"raw": "0x" + signed.raw.hex(), "tx": fields}


def _access_list(entries: Any) -> AccessList:
    if not isinstance(entries, list):
        raise InputError("accessList must be a list")
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"address", "storageKeys"}:
            raise InputError("an access list's entry has address and storageKeys")
        if not isinstance(entry["storageKeys"], list):
            raise InputError("storageKeys must be a list")
        slots = tuple(data_bytes(slot, "a storage key") for slot in entry["storageKeys"])
        found.append((address(entry["address"], "an access list's address"), slots))
    return tuple(found)


def _authorizations(entries: Any) -> tuple[SignedAuthorization, ...]:
    if not isinstance(entries, list):
        raise InputError("authorizationList must be a list")
    found = []
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"chainId", "address", "nonce", "yParity", "r", "s"}:
            raise InputError("an authorization has chainId, address, nonce, yParity, r and s")
        numbers = {name: quantity(entry[name], name) for name in ("chainId", "nonce", "yParity", "r", "s")}
        authorization = AuthorizationToSign(
            chain_id=ChainId(numbers["chainId"]), delegate=address(entry["address"], "address"), nonce=numbers["nonce"]
        )
        if numbers["yParity"] > 1:
            raise InputError("an authorization's yParity is 0 or 1")
        found.append(SignedAuthorization(authorization, Signature(numbers["r"], numbers["s"], numbers["yParity"])))
    return tuple(found)


def _write_authorization(signed: SignedAuthorization) -> dict[str, str]:
    authorization, signature = signed.authorization, signed.signature
    return {
        "chainId": hex(authorization.chain_id),
        "address": authorization.delegate,
        "nonce": hex(authorization.nonce),
        "yParity": hex(signature.y_parity),
        "r": hex(signature.r),
        "s": hex(signature.s),
    }
