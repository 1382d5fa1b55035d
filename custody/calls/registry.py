"""Which methods can be read, by selector."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from custody.calls import (
    arb_executor,
    balancer,
    deployments,
    deposits,
    erc20,
    gmx,
    guarded_vault,
    lp_manager,
    multicall,
    permit2,
    positions,
    safe,
    uniswap,
    universal_router,
)
from custody.calls.canonical import Descriptions, Method, Place, unsafe
from custody.calls.deployments import ArbExecutorDeployment
from custody.calls.model import DecodedCall
from domain import Address, Refused

_FAMILIES: Final = (
    arb_executor,
    balancer,
    deployments,
    deposits,
    erc20,
    gmx,
    guarded_vault,
    lp_manager,
    multicall,
    permit2,
    positions,
    safe,
    uniswap,
    universal_router,
)
_METHODS: Final[Mapping[bytes, Method | ArbExecutorDeployment]] = MappingProxyType(
    {method.selector: method for family in _FAMILIES for method in family.METHODS}
)
_DEPTH_MAX: Final = 3
_NO_DESCRIPTORS: Final[Descriptions] = MappingProxyType({})


def decode_call(
    sender: Address,
    to: Address,
    data: bytes,
    *,
    chain_id: int = 0,
    value_wei: int = 0,
    descriptors: Descriptions = _NO_DESCRIPTORS,
) -> DecodedCall:
    """Decode a call from its own bytes.

    Args:
        sender: Who calls.
        to: Whom.
        data: Selector and arguments.
        chain_id: Where; descriptors are bound to it.
        value_wei: Coins sent along.
        descriptors: Readers for further methods; see `custody.calls.load_descriptors`.

    Raises:
        Refused: `unknown-method` for a selector that is not known, `malformed-call` for bytes that are not canonical,
            `unsafe-call` for one whose effect the bytes do not fix, `delegatecall` for code that would run as a Safe.
    """
    return read(data, Place(chain_id=chain_id, sender=sender, to=to, value_wei=value_wei, descriptors=descriptors))


def read(data: bytes, place: Place) -> DecodedCall:
    """Decode a call at its place, perhaps within another. Raises as `decode_call`."""
    if place.depth > _DEPTH_MAX:
        raise unsafe(f"calls within calls are read {_DEPTH_MAX} deep")
    method = _METHODS.get(data[:4])
    if method is not None:
        return method.read(data, place)
    description = place.descriptors.get((place.chain_id, place.to, data[:4]))
    if description is None:
        raise Refused(f"{place.to}: method 0x{data[:4].hex()} is not known", rule="unknown-method")
    return description.read(data, place)


def known_methods() -> frozenset[str]:
    """Names a policy may allow."""
    return frozenset(method.name for method in _METHODS.values())
