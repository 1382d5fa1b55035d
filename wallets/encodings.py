"""Text forms of keys and addresses: base58check (BIP-32, BIP-13) and bech32 / bech32m (BIP-173, BIP-350)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

_LETTERS: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58: Final = {letter: value for value, letter in enumerate(_LETTERS)}
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANT: Final = 1
_BECH32M_CONSTANT: Final = 0x2BC830A3
_TEXT_MAX: Final = 128


def base58check_decode(text: str) -> bytes | None:
    """Read base58check; None when a letter or the checksum is wrong. The text is in no error: it may be a secret."""
    if not 0 < len(text) <= _TEXT_MAX or any(letter not in _BASE58 for letter in text):
        return None
    number = 0
    for letter in text:
        number = number * 58 + _BASE58[letter]
    zeros = len(text) - len(text.lstrip("1"))
    decoded = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    payload, checksum = decoded[:-4], decoded[-4:]
    expected = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return payload if checksum == expected else None


def base58check_encode(payload: bytes) -> str:
    """Write bytes in base58 with their checksum."""
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        letters = _LETTERS[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\x00"))) + letters


def segwit_address(prefix: str, version: int, program: bytes) -> str:
    """Write a witness program: version 0 in bech32, later ones in bech32m."""
    values = [version, *_five_bits(program)]
    constant = _BECH32M_CONSTANT if version else _BECH32_CONSTANT
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    remainder = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ constant
    checksum = [(remainder >> 5 * (5 - place)) & 31 for place in range(6)]
    return prefix + "1" + "".join([_BECH32[value] for value in [*values, *checksum]])


def _five_bits(data: bytes) -> list[int]:
    bits = 8 * len(data)
    number, padding = int.from_bytes(data, "big"), -bits % 5
    number <<= padding
    return [(number >> shift) & 31 for shift in range(bits + padding - 5, -1, -5)]


def _polymod(values: Iterable[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for place, factor in enumerate(_GENERATOR):
            if top >> place & 1:
                remainder ^= factor
    return remainder
