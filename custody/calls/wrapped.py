"""The ERC-20 form of each chain's own coin. A router wraps with the contract it was deployed with: its bytes in a call
do not name it, so whoever reads such a call has to know."""

from __future__ import annotations

from typing import Final

from chain import checksum
from chain.networks import network_of
from custody.calls.canonical import unsafe
from domain import Address

_DEVNET: Final = 1337
_DEVNET_WRAPPED: Final = checksum("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
"""The devnet's contracts stand at mainnet's addresses."""


def wrapped_coin(chain_id: int) -> Address:
    """Give the contract that wraps a chain's coin.

    Raises:
        Refused: Rule `unsafe-call`: it is not known here.
    """
    if chain_id == _DEVNET:
        return _DEVNET_WRAPPED
    network = network_of(chain_id)
    if network is None:
        raise unsafe(f"what wraps the coin of chain {chain_id} is not known")
    return Address(network.wrapped.id.rpartition(":")[2])
