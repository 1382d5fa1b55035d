"""Access lists (EIP-2930): storage that a transaction declares costs less to touch, but the list itself costs.

Whether it pays is measured, not computed: the node is asked for the gas with and without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from chain.client import ChainClient
from chain.errors import NodeRefused
from chain.keccak import checksum
from domain.ids import Address

AccessList: TypeAlias = tuple[tuple[Address, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True)
class CheaperAccess:
    """What a transaction had better declare: nothing when that is cheapest."""

    access_list: AccessList
    gas: int
    """Estimated with the list."""
    gas_without: int

    @property
    def saved(self) -> int:
        """Gas that the list saves."""
        return self.gas_without - self.gas


async def cheaper_access_list(
    client: ChainClient, sender: str, to: str, data: bytes, value_wei: int = 0
) -> CheaperAccess:
    """Find the access list with which a call needs the least gas, which may be none.

    Tried are the list that the node makes and the same without the called contract, whose address is warm already: it
    costs 2,400 to declare and pays from 25 slots on.

    Raises:
        CallReverted: The call would revert.
        VenueUnavailable: No node answers.
    """
    request: dict[str, Any] = {
        "from": checksum(sender),
        "to": checksum(to),
        "data": "0x" + data.hex(),
        "value": hex(value_wei),
    }
    plain = int(await client.rpc.request("eth_estimateGas", request), 16)
    try:
        answer = await client.rpc.request("eth_createAccessList", request)
    except NodeRefused:
        return CheaperAccess((), plain, plain)  # Not every node makes them.
    if answer.get("error"):
        return CheaperAccess((), plain, plain)
    whole: AccessList = tuple(
        (checksum(entry["address"]), tuple(bytes.fromhex(slot[2:]).rjust(32, b"\0") for slot in entry["storageKeys"]))
        for entry in answer["accessList"]
    )
    target = checksum(to)
    candidates = {whole, tuple(entry for entry in whole if entry[0] != target)} - {()}
    ordered = sorted(candidates, key=len)
    costs = await asyncio.gather(*(_estimate(client, request, listed) for listed in ordered))
    best, gas = min(zip(ordered, costs, strict=True), key=lambda pair: pair[1], default=((), plain))
    return CheaperAccess(best, gas, plain) if gas < plain else CheaperAccess((), plain, plain)


def access_finder(client: ChainClient) -> Callable[[Address, Address, bytes, int], Awaitable[AccessList]]:
    """Give what custody asks before it prices a transaction."""

    async def find(sender: Address, to: Address, data: bytes, value_wei: int) -> AccessList:
        return (await cheaper_access_list(client, sender, to, data, value_wei)).access_list

    return find


async def _estimate(client: ChainClient, request: dict[str, Any], listed: AccessList) -> int:
    entries = [{"address": address, "storageKeys": ["0x" + slot.hex() for slot in slots]} for address, slots in listed]
    return int(await client.rpc.request("eth_estimateGas", {**request, "accessList": entries}), 16)
