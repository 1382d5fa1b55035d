"""Arguments by the ABI, read and written again: bytes that do not come out equal are refused.

So nothing hides in trailing bytes, overlapping tails or dirty padding that another reader would understand in another
way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from eth_abi.abi import decode, encode

from chain import keccak256
from custody.calls.model import DecodedCall
from domain import Address, Refused


class Description(Protocol):
    """Reads calls that no reader of ours knows; see `custody.calls.descriptors`."""

    def read(self, data: bytes, place: Place) -> DecodedCall: ...


Descriptions = Mapping[tuple[int, Address, bytes], Description]
"""By chain id, contract and selector."""
_NO_DESCRIPTIONS: Descriptions = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a call stands: who calls whom, with how many coins, how deep in other calls."""

    chain_id: int
    sender: Address
    to: Address
    value_wei: int = 0
    depth: int = 0
    descriptors: Descriptions = field(default_factory=lambda: _NO_DESCRIPTIONS)


Values = tuple[Any, ...]
Reader = Callable[[Values, Place], DecodedCall]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the ABI and how its effects are read."""

    name: str
    types: tuple[str, ...]
    reader: Reader

    @property
    def selector(self) -> bytes:
        """The first four bytes of its calls."""
        return keccak256(f"{self.name}({','.join(self.types)})".encode())[:4]

    def read(self, data: bytes, place: Place) -> DecodedCall:
        """Decode a call of this method. Raises as `decode_call`."""
        return self.reader(canonical(self.name, self.types, data[4:]), place)


def canonical(what: str, types: Sequence[str], data: bytes) -> Values:
    """Decode ABI-encoded values that are canonical.

    Raises:
        Refused: Rule `malformed-call`.
    """
    try:
        values = decode(types, data)
        is_canonical = encode(types, values) == data
    except Exception as exc:  # eth_abi raises many kinds for crafted bytes
        raise Refused(f"the arguments of {what} cannot be read", rule="malformed-call") from exc
    if not is_canonical:
        raise Refused(f"the arguments of {what} are not canonical", rule="malformed-call")
    return values


def unsafe(why: str) -> Refused:
    """Refuse a call whose effect the bytes do not fix, or that nobody should make."""
    return Refused(why, rule="unsafe-call")
