"""The ERC-20 form of each chain's own coin. A router wraps with the contract it was deployed with: its bytes in a call
do not name it, so whoever reads such a call has to know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chain import checksum
from custody.calls.canonical import unsafe
from domain import Address

_OP_STACK: Final = checksum("0x4200000000000000000000000000000000000006")
_WETH9: Final = checksum("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
_BY_CHAIN: Final[Mapping[int, Address]] = MappingProxyType(
    {
        1: _WETH9,
        10: _OP_STACK,
        56: checksum("0xbb4cdb9cbd36b01bd1cbaebf2de08d9173bc095c"),
        137: checksum("0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270"),
        1337: _WETH9,  # The devnet's contracts stand at mainnet's addresses.
        8453: _OP_STACK,
        42161: checksum("0x82af49447d8a07e3bd95bd0d56f35241523fbab1"),
    }
)


def wrapped_coin(chain_id: int) -> Address:
    """Give the contract that wraps a chain's coin.

    Raises:
        Refused: Rule `unsafe-call`: it is not known here.
    """
    found = _BY_CHAIN.get(chain_id)
    if found is None:
        raise unsafe(f"what wraps the coin of chain {chain_id} is not known")
    return found
