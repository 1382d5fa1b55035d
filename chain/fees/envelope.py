"""An EIP-1559 transaction's bytes before it is signed: what a rollup's fee is estimated from."""

from __future__ import annotations

from collections.abc import Sequence

from chain.fees.access_lists import AccessList
from chain.keccak import checksum
from domain.errors import InputError


def unsigned_bytes(
    *,
    chain_id: int,
    nonce: int,
    priority_wei: int,
    max_fee_wei: int,
    gas_limit: int,
    to: str | None,
    value_wei: int,
    data: bytes,
    access_list: AccessList = (),
) -> bytes:
    """Encode the payload that is hashed for the signature, type byte included.

    Raises:
        InputError: A number is negative.
    """
    numbers = (chain_id, nonce, priority_wei, max_fee_wei, gas_limit)
    if min(*numbers, value_wei) < 0:
        raise InputError("a transaction has no negative numbers")
    listed = [
        _list([_bytes(bytes.fromhex(checksum(address)[2:])), _list([_bytes(slot) for slot in slots])])
        for address, slots in access_list
    ]
    target = b"" if to is None else bytes.fromhex(checksum(to)[2:])
    fields = [*map(_number, numbers), _bytes(target), _number(value_wei), _bytes(data), _list(listed)]
    return b"\x02" + _list(fields)


def _number(value: int) -> bytes:
    return _bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _bytes(data: bytes) -> bytes:
    return data if len(data) == 1 and data[0] < 0x80 else _prefix(len(data), 0x80) + data


def _list(items: Sequence[bytes]) -> bytes:
    body = b"".join(items)
    return _prefix(len(body), 0xC0) + body


def _prefix(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size
