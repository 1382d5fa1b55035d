"""Which methods can be read, by selector."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from custody.calls import deposits, erc20, uniswap
from custody.calls.canonical import Method, Place
from custody.calls.model import DecodedCall
from domain import Address, Refused

_FAMILIES: Final = (erc20, uniswap, deposits)
_METHODS: Final[Mapping[bytes, Method]] = MappingProxyType(
    {method.selector: method for family in _FAMILIES for method in family.METHODS}
)


def decode_call(sender: Address, to: Address, data: bytes, *, chain_id: int = 0, value_wei: int = 0) -> DecodedCall:
    """Decode a call from its own bytes.

    Args:
        sender: Who calls.
        to: Whom.
        data: Selector and arguments.
        chain_id: What signatures within the call are bound to; 0 refuses calls that hold any.
        value_wei: Coins sent along.

    Raises:
        Refused: `unknown-method` for a selector that is not known, `malformed-call` for bytes that are not canonical,
            `unsafe-call` for one whose effect the bytes do not fix.
    """
    return _method(to, data).read(data, Place(chain_id=chain_id, sender=sender, to=to, value_wei=value_wei))


def known_methods() -> frozenset[str]:
    """Names a policy may allow."""
    return frozenset(method.name for method in _METHODS.values())


def _method(to: Address, data: bytes) -> Method:
    method = _METHODS.get(data[:4])
    if method is None:
        raise Refused(f"{to}: method 0x{data[:4].hex()} is not known", rule="unknown-method")
    return method
