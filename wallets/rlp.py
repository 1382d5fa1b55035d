"""Recursive length prefix (Ethereum Yellow Paper, appendix B): canonical in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from domain import InputError

Item: TypeAlias = bytes | Sequence["Item"]
_DEPTH_MAX = 8


def encode(item: Item) -> bytes:
    """Encode byte strings and nested sequences of them."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    return wrap(b"".join([encode(element) for element in item]))


def wrap(body: bytes) -> bytes:
    """Make a list of elements that are encoded and joined already."""
    return _prefix(len(body), 0xC0) + body


def integer(value: int) -> bytes:
    """Write a non-negative integer big-endian without leading zeros; zero is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """Read exactly one item; anything that `encode` would have written differently is refused.

    Raises:
        InputError: Truncated, trailing or non-canonical bytes.
    """
    item, end = _decode_at(data, 0, 0)
    if end != len(data):
        raise InputError(f"{len(data) - end} bytes follow the RLP item")
    return item


def to_integer(item: Item) -> int:
    """Read an integer; leading zeros are not canonical.

    Raises:
        InputError: A list, or leading zeros.
    """
    if not isinstance(item, bytes) or item[:1] == b"\x00":
        raise InputError("not a canonical RLP integer")
    return int.from_bytes(item, "big")


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = integer(length)
    return bytes([offset + 55 + len(size)]) + size


def _decode_at(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if at >= len(data):
        raise InputError("RLP item is truncated")
    if depth > _DEPTH_MAX:
        raise InputError("RLP item is nested too deeply")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    offset = 0x80 if first < 0xC0 else 0xC0
    start, end = _bounds(data, at, first - offset)
    if offset == 0x80:
        if end - start == 1 and data[start] < 0x80:
            raise InputError("RLP byte has a needless prefix")
        return data[start:end], end
    items: list[Item] = []
    while start < end:
        item, start = _decode_at(data[:end], start, depth + 1)
        items.append(item)
    return items, end


def _bounds(data: bytes, at: int, code: int) -> tuple[int, int]:
    """Where the content of the item at `at` begins and ends."""
    start, length = at + 1, code
    if code >= 56:
        size = data[start : start + code - 55]
        length = int.from_bytes(size, "big")
        start += code - 55
        if length < 56 or size[:1] == b"\x00":
            raise InputError("RLP length is not canonical")
    if start + length > len(data):
        raise InputError("RLP item is truncated")
    return start, start + length
